"""What the rows of a cell mean, in plain words; the same in every report that people read."""

import math
from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from dbbench.analysis.analysis import CellAnalysis
from dbbench.analysis.ratios import family
from dbbench.analysis.rows import CellRow
from dbbench.drivers import DRIVERS
from dbbench.plan import Cell
from dbbench.records import Run
from dbbench.reports.text import place
from dbbench.stats.paired import TIE_BAND, Verdict, blocks_for_interval, blocks_for_verdict
from dbbench.wording import are, count, listed

_DIFFERENT: Final = (Verdict.FASTER, Verdict.SLOWER)
_MANY: Final = 100  # blocks; an estimate from a few does not reach further
_STEP_S: Final = 10  # a budget is suggested in steps of this
_TWICE: Final = 2.0
_TENTH: Final = 0.1  # a difference of this much is said in whole per cents,
_HUNDREDTH: Final = 0.01  # unless its interval is narrower than this
_SAME_TRIPS: Final = 0.05  # round trips of an operation: a mean of counts
_NOT_COUNTED: Final[Mapping[str, float]] = {}


def title(cell: Cell, params: str) -> tuple[str, list[str]]:
    """What to call the cell: the scenario, and what else there is to say about it."""
    return place(cell.scenario, cell.layer, cell.sessions, params)


def sentences(run: Run, index: int, of: CellAnalysis) -> list[str]:
    """What the rows of one cell mean, in plain words: a sentence for all that are compared with the same arm."""
    groups: dict[str, list[CellRow]] = {}
    for row, baseline in zip(of.rows, of.baselines, strict=True):
        groups.setdefault(baseline, []).append(row)
    if len(groups) == 1 and not _settings_of(of.rows):
        return [sentence(run, of.rows)]
    told = {baseline: rows for baseline, rows in groups.items() if len(rows) > 1 or len(groups) == 1}
    return [_of_settings(run, index, rows, baseline) for baseline, rows in told.items()]


def _settings_of(rows: Sequence[CellRow]) -> str:
    """The driver of which all rows are; empty where they are not told apart by settings alone."""
    names = {row.driver.partition("+")[0] for row in rows}
    return names.pop() if len(names) == 1 and all("=" in row.driver for row in rows) else ""


def _of_settings(run: Run, index: int, rows: Sequence[CellRow], baseline: str) -> str:
    """The sentence about rows that are one driver with several settings: these are named, and how chatty they are."""
    driver = _settings_of(rows)
    if not driver:
        return sentence(run, rows, baseline=baseline)
    counted = run.header.round_trips
    trips = {row.driver: counted[row.driver][index] for row in rows if index < len(counted.get(row.driver, []))}
    short = {row.driver: row.driver.removeprefix(f"{driver}+") for row in rows}
    told = [msgspec.structs.replace(row, driver=short[row.driver]) for row in rows]
    known = {short[name]: number for name, number in trips.items() if number is not None}
    said = sentence(run, told, known, short.get(baseline, baseline))
    return f"{driver}: {said[0].lower()}{said[1:]}"


def sentence(
    run: Run, rows: Sequence[CellRow], round_trips: Mapping[str, float] = _NOT_COUNTED, baseline: str = ""
) -> str:
    """What rows mean that are compared with one of them, in plain words.

    `round_trips` of each, where they matter; `baseline` is what they should be compared with, empty for the plan's.
    """
    baseline = next(
        (row.driver for row in rows if row.verdict is Verdict.BASELINE), baseline or run.header.plan.baseline
    )
    others = [row for row in rows if row.driver != baseline]
    if nothing := _nothing_compared(run, rows, others, baseline):
        return nothing
    if all(row.verdict is Verdict.UNDECIDED and row.ratio_low is None for row in others):
        return f"Undecided after {_blocks(others)}: {_more_blocks(run, rows)}."
    more = {row.driver: _more_trips(round_trips, row.driver, baseline) for row in others}
    return "; ".join(_clauses(run, others, baseline, _more_blocks(run, rows), more)) + "."


def _nothing_compared(run: Run, rows: Sequence[CellRow], others: Sequence[CellRow], baseline: str) -> str:
    """Why nothing was compared; an empty text where something was."""
    if all(row.verdict is Verdict.NOT_MEASURED for row in rows):
        return "Not measured: the run ended before."
    if not others:
        return f"Only {baseline} was asked for: there is nothing to compare it with."
    if all(row.verdict is Verdict.NOT_COMPARABLE for row in others):
        return "The drivers did not return the same: nothing is compared (see below)."
    failed = [row for row in rows if row.verdict is Verdict.FAILED]
    left = [row for row in rows if row.verdict is Verdict.NOT_MEASURED]
    if failed and left and not any(row.operations for row in rows):
        said = f"{_names(failed)} could not be measured (see below): nothing to compare {_names(left)} with"
        alone = left[0].driver if len(left) == 1 and left[0].driver in DRIVERS and not run.header.plan.gate else ""
        return f"{said}; --driver {alone} --baseline {alone} measures it alone." if alone else f"{said}."
    if not any(row.driver == baseline and row.operations for row in rows):
        return f"{baseline}, the baseline, was not measured here: nothing is compared with it."
    return ""


def _clauses(
    run: Run, rows: Sequence[CellRow], baseline: str, more_blocks: str, more_trips: Mapping[str, str]
) -> list[str]:
    """A clause for every row or group of rows: what is known first, what is unknown last."""
    clauses: list[str] = []
    for row in rows:
        if row.verdict in _DIFFERENT:
            clauses.append(_difference(row, run, baseline, brief=bool(clauses)) + more_trips[row.driver])
    if ties := [row for row in rows if row.verdict is Verdict.TIE]:
        verb = "ties" if len(ties) == 1 else "tie"
        clauses.append(f"{_names(ties)} {verb} with {'it' if clauses else baseline} within {TIE_BAND:.0%}")
    open_ = [row for row in rows if row.verdict is Verdict.UNDECIDED]
    clauses += [_undecided(row) for row in open_ if row.ratio_low is not None]
    if unknown := [row for row in open_ if row.ratio_low is None]:
        clauses.append(f"{_names(unknown)} {are(len(unknown))} undecided after {_blocks(unknown)} ({more_blocks})")
    elif any(row.verdict in _DIFFERENT and row.ratio_low is None for row in rows):
        clauses.append(f"how much exactly is not known ({more_blocks})")
    if different := [row for row in rows if row.verdict is Verdict.NOT_COMPARABLE]:
        clauses.append(f"{_names(different)} {are(len(different))} not comparable (see below)")
    if missed := [row for row in rows if row.verdict is Verdict.NOT_MEASURED]:
        clauses.append(f"{_names(missed)} {_was(missed)} not measured before the run ended")
    if failed := [row for row in rows if row.verdict is Verdict.FAILED]:
        clauses.append(f"{_names(failed)} could not be measured (see below)")
    return clauses


def _difference(row: CellRow, run: Run, baseline: str, *, brief: bool) -> str:
    """How much faster or slower, with the interval; "about" where there are too few blocks for one."""
    assert row.ratio is not None
    needs, what = ("has", "mean latency") if run.header.plan.paced else ("needs", "time per operation")
    ends = None if row.ratio_low is None or row.ratio_high is None else (row.ratio_low, row.ratio_high)
    about = "" if ends else "about "
    if row.ratio >= _TWICE:
        much = "times as much" if brief else f"times as much {what} as {baseline}"
        digits = 2 if ends and ends[1] - ends[0] < _TENTH else 1
        return f"{row.driver} {needs} {about}{row.ratio:.{digits}f} {much}{_interval(ends, f'.{digits}f')}"
    kind = "less" if row.ratio < 1 else "more"
    much = kind if brief else f"{kind} {what} than {baseline}"
    shares = ends and (abs(ends[0] - 1), abs(ends[1] - 1))
    wide = shares is None or abs(shares[1] - shares[0]) >= _HUNDREDTH
    digits = 0 if abs(row.ratio - 1) >= _TENTH and wide else 1
    return f"{row.driver} {needs} {about}{abs(row.ratio - 1):.{digits}%} {much}{_interval(shares, f'.{digits}%')}"


def _more_trips(round_trips: Mapping[str, float], name: str, baseline: str) -> str:
    """How many more round trips an operation makes than with the baseline; empty where it makes as many."""
    if name not in round_trips or baseline not in round_trips:
        return ""
    more = round_trips[name] - round_trips[baseline]
    if abs(more) < _SAME_TRIPS:
        return ""
    number = f"{abs(more):.1f}".removesuffix(".0")
    return f", with {number} {'more' if more > 0 else 'fewer'} round {'trip' if number == '1' else 'trips'}"


def _interval(ends: tuple[float, float] | None, format_: str) -> str:
    if ends is None:
        return ""
    low, high = sorted(ends)
    return f" ({low:{format_}} to {high:{format_}})"


def _undecided(row: CellRow) -> str:
    assert row.ratio is not None
    assert row.ratio_low is not None
    assert row.ratio_high is not None
    blocks = blocks_for_verdict(row.blocks, row.ratio, (row.ratio_low, row.ratio_high))
    needed = f"about {blocks}" if blocks <= _MANY else f"more than {_MANY}"
    ends = f"between {_change(row.ratio_low)} and {_change(row.ratio_high)}"
    return f"{row.driver} is undecided after {_blocks([row])} ({ends}; {needed} would tell)"


def _change(ratio: float) -> str:
    return f"{abs(ratio - 1):.1%} {'less' if ratio < 1 else 'more'}"


def _more_blocks(run: Run, rows: Sequence[CellRow]) -> str:
    """How many blocks an interval takes, and what to type where the cell had fewer.

    That is no longer budget: blocks get longer with it, and on a slow machine there would be as few as before.
    """
    needed = blocks_for_interval(family=family(run.header.plan))
    measured = max(row.blocks for row in rows)  # of the cell
    wanted = f"an interval needs at least {count(needed, 'block')}"
    if measured >= needed:  # the cell had them, but not all of its arms
        return wanted
    if run.header.plan.effort.precision is None or not measured or run.end is None:
        return f"{wanted}; --blocks {needed} gives them"
    seconds = math.ceil(run.end.measured_s / measured * needed / _STEP_S) * _STEP_S  # whose blocks are always alike
    return f"{wanted}; --budget {seconds} should give them"


def _blocks(rows: Sequence[CellRow]) -> str:
    return count(max(row.blocks for row in rows), "block")


def _was(rows: Sequence[CellRow]) -> str:
    return "was" if len(rows) == 1 else "were"


def _names(rows: Sequence[CellRow]) -> str:
    return listed([row.driver for row in rows])
