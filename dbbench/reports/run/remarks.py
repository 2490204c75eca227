"""What stands below a cell's sentence: remarks where they matter, and the tables that say where the time goes."""

from collections import defaultdict
from collections.abc import Sequence
from itertools import groupby
from typing import Final, NamedTuple

from dbbench.analysis.breakdown import Breakdown, Failure, Identity, breakdowns, failures, identity, layer_tax
from dbbench.analysis.rows import CellRow
from dbbench.plan import Cell
from dbbench.records import Run
from dbbench.reports.columns import Column, details, in_one_unit, layers, open_loop

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


def below(run: Run, cells: Sequence[tuple[Cell, Sequence[CellRow]]], *, detailed: bool) -> list[Below]:
    """Say of each cell what its table and sentence leave out; `detailed`: where the time goes, too."""
    known = {identity(one): one for one in breakdowns(run)}
    ledger: dict[Identity, list[Failure]] = defaultdict(list)
    for line in failures(run):
        ledger[identity(line)].append(line)
    found = []
    for _, rows in cells:
        made = [known[identity(row)] for row in rows]
        remarks = [waiting(rows, made), *(failed(one, ledger.get(identity(one), ())) for one in made)]
        tables = _tables(run, rows, made)
        if detailed:
            where = details(made)
            tables += [Titled("where the time goes", [], where)] if where else []
            remarks.append("" if where or not any(one.attempts for one in made) else UNKNOWN)
        found.append(Below([remark for remark in remarks if remark], tables))
    return found


def layer_tables(run: Run) -> list[Titled]:
    """Say what the layers add, wherever a scenario was measured at several with the same sessions and parameters."""
    return [
        Titled("what the layers add", _where(*place), layers(taxes))
        for place, group in groupby(layer_tax(run), lambda tax: (tax.scenario, tax.sessions, tax.params))
        for taxes in [list(group)]
        if any(tax.added_us is not None for tax in taxes)
    ]


def waiting(rows: Sequence[CellRow], made: Sequence[Breakdown]) -> str:
    """Tell how much of the latency is the wait for a connection, of the drivers for which it is a good part."""
    parts: list[str] = []
    for row, one in zip(rows, made, strict=True):
        if one.wait_p50_us and row.p50_us and one.wait_p50_us >= WORTH_SAYING * row.p50_us:
            (wait, latency), unit = in_one_unit([one.wait_p50_us, row.p50_us])
            parts.append(f"{wait} of {row.driver}'s {latency} {unit}{'' if parts else ' (p50)'}")
    return f"Waiting for a connection takes {_listed(parts)}." if parts else ""


def failed(one: Breakdown, lines: Sequence[Failure]) -> str:
    """Write one driver's lines of the ledger as one: how many operations failed, and of what."""
    if not lines:
        return ""
    said = f"{one.driver}: {one.errors:,} of {one.attempts:,} operations failed"
    if not any(line.code for line in lines):
        return said
    causes = [_cause(line) for line in lines[:MAX_CODES]]
    if more := sum(line.operations for line in lines[MAX_CODES:]):
        causes.append(f"other ({more:,})")
    return f"{said}: {', '.join(causes)}"


def _tables(run: Run, rows: Sequence[CellRow], made: Sequence[Breakdown]) -> list[Titled]:
    """Put response times beside service times in an open loop."""
    rate = run.header.plan.load.rate
    if rate is None or not any(one.attempts or one.not_started for one in made):
        return []
    unit, columns = open_loop(rate, rows, made)
    return [Titled("open loop", [f"times in {unit}"], columns)]


def _cause(line: Failure) -> str:
    code = line.code if len(line.code) <= MAX_CODE else line.code[: MAX_CODE - 1] + "…"
    return f"{' '.join(filter(None, (code, line.meaning)))} ({line.operations:,})"


def _where(scenario: str, sessions: int, params: str) -> list[str]:
    number = f"{sessions:,} session{'' if sessions == 1 else 's'}"
    return [part for part in (scenario, number, params, "per operation") if part]


def _listed(parts: Sequence[str]) -> str:
    *first, last = parts
    return f"{', '.join(first)} and {last}" if first else last
