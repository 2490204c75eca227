"""What stands below a cell's sentence: remarks where they matter, and tables of where the time goes."""

from collections.abc import Sequence
from itertools import groupby
from typing import Final, NamedTuple

from dbbench.analysis.analysis import Analysis, CellAnalysis
from dbbench.analysis.breakdown import IN_CHECK, Breakdown, Failure
from dbbench.analysis.rows import CellRow
from dbbench.records import Run
from dbbench.reports.columns import Column, layers, open_loop, where_time_goes
from dbbench.units import in_one_unit
from dbbench.wording import count, listed

WORTH_SAYING: Final = 0.2  # a wait for a connection of at least this share of the latency
MAX_CODES: Final = 5  # of one driver; all of them are in the exports
MAX_CODE: Final = 60  # characters
UNKNOWN: Final = "The result file does not say where the time goes: it was written by an earlier version."


class Titled(NamedTuple):
    """A table with what to call it."""

    title: str
    rest: list[str]  # what else there is to say about it
    columns: list[Column]
    sentences: Sequence[str] = ()  # below it


class Below(NamedTuple):
    """What stands below the sentence of one cell."""

    remarks: list[str]  # a line each
    tables: list[Titled]


def below(run: Run, of: CellAnalysis, *, details: bool) -> Below:
    """What the table and the sentence of a cell leave out; `details`: where the time goes, too."""
    remarks = [waiting(of.rows, of.breakdowns), *map(failed, of.breakdowns, of.failures)]
    tables = _tables(run, of.rows, of.breakdowns)
    if details:
        where = where_time_goes(of.breakdowns)
        tables += [Titled("where the time goes", [], where)] if where else []
        remarks.append("" if where or not any(breakdown.attempts for breakdown in of.breakdowns) else UNKNOWN)
    return Below([remark for remark in remarks if remark], tables)


def layer_tables(analysis: Analysis) -> list[Titled]:
    """What the layers add, wherever a scenario was measured at several with the same sessions and parameters."""
    return [
        Titled("what the layers add", _where(*place), layers(taxes))
        for place, group in groupby(analysis.layer_tax, lambda tax: (tax.scenario, tax.sessions, tax.params))
        for taxes in [list(group)]
        if any(tax.added_us is not None for tax in taxes)
    ]


def waiting(rows: Sequence[CellRow], breakdowns: Sequence[Breakdown]) -> str:
    """How much of the latency is the wait for a connection, of the drivers for which it is a good part."""
    parts: list[str] = []
    for row, breakdown in zip(rows, breakdowns, strict=True):
        wait_us = breakdown.wait_p50_us
        if wait_us and row.p50_us and wait_us >= WORTH_SAYING * row.p50_us:
            (wait, latency), unit = in_one_unit([wait_us, row.p50_us])
            parts.append(f"{wait} of {row.driver}'s {latency} {unit}{'' if parts else ' (p50)'}")
    return f"Waiting for a connection takes {listed(parts)}." if parts else ""


def failed(breakdown: Breakdown, lines: Sequence[Failure]) -> str:
    """How many operations of one driver failed, and of what: its lines of the ledger as one.

    What failed in the check is a problem, which the footer has.
    """
    lines = [line for line in lines if not line.meaning.startswith(IN_CHECK)]
    if not lines:
        return ""
    said = f"{breakdown.driver}: {breakdown.errors:,} of {count(breakdown.attempts, 'operation')} failed"
    if not any(line.code for line in lines):
        return said
    causes = [_cause(line) for line in lines[:MAX_CODES]]
    if more := sum(line.operations for line in lines[MAX_CODES:]):
        causes.append(f"other ({more:,})")
    return f"{said}: {', '.join(causes)}"


def _tables(run: Run, rows: Sequence[CellRow], breakdowns: Sequence[Breakdown]) -> list[Titled]:
    """In an open loop, response times beside service times."""
    rate = run.header.plan.load.rate
    if rate is None or not any(breakdown.attempts or breakdown.not_started for breakdown in breakdowns):
        return []
    unit, columns = open_loop(rate, rows, breakdowns)
    return [Titled("open loop", [f"times in {unit}"], columns)]


def _cause(line: Failure) -> str:
    code = line.code if len(line.code) <= MAX_CODE else line.code[: MAX_CODE - 1] + "…"
    return f"{' '.join(filter(None, (code, line.meaning)))} ({line.operations:,})"


def _where(scenario: str, sessions: int, params: str) -> list[str]:
    return [part for part in (scenario, count(sessions, "session"), params, "per operation") if part]
