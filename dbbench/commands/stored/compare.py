"""What changed between two stored runs, in the ratio of every driver to a control. Pure.

Absolute times are never compared: the two runs may come from different machines, or from one that was less busy. The
control, which ran beside the driver in both, cancels what slows everything down. It does not cancel everything: ratios
still move by 10 to 20% between tiers of CPUs, and by more on a machine that is busy with other things. `dbbench gate`
measures both sides in one job.
"""

import math
from collections.abc import Sequence
from statistics import median
from typing import NamedTuple

import msgspec

from dbbench.analysis.places import by_place
from dbbench.analysis.ratios import log_ratios, time_per_operation
from dbbench.analysis.rows import NS_PER_US, params_text, rows
from dbbench.commands.stored.fingerprint import Difference, changed, mismatches
from dbbench.drivers import DRIVERS
from dbbench.errors import UsageError
from dbbench.plan import Cell, Plan
from dbbench.records import Run
from dbbench.stats.paired import CONFIDENCE, Verdict, verdict
from dbbench.stats.shift import shift, shift_interval


class Subject(NamedTuple):
    """A driver in a cell, identified so that it can be found in another run."""

    scenario: str
    layer: str
    sessions: int
    params: str
    driver: str


class Change(msgspec.Struct, frozen=True):
    """One driver in one cell of both runs. These fields, in this order, are the columns of the CSV.

    Changes are shares: 0.05 is 5% more time per operation, relative to the control, in head than in base.
    """

    scenario: str
    layer: str
    sessions: int
    params: str
    driver: str
    control: str
    base_blocks: int  # blocks in which both the driver and the control were measured
    head_blocks: int
    base_ratio: float  # time per operation relative to the control, the median over blocks
    head_ratio: float
    change: float
    change_low: float | None  # ends of its interval, at joint confidence for all rows; None: too few blocks
    change_high: float | None
    verdict: Verdict  # FASTER, SLOWER, TIE or UNDECIDED
    control_base_us: float  # the control's own time, for information: not comparable across machines
    control_head_us: float


class LeftOut(msgspec.Struct, frozen=True):
    """One driver in one cell that cannot be compared, and why."""

    scenario: str
    layer: str
    sessions: int
    params: str
    driver: str
    reason: str


class Comparison(msgspec.Struct, frozen=True):
    """The comparison of two runs, from which every report is made."""

    base: Run
    head: Run
    control: str
    refused: bool  # nothing was compared, because of the mismatches
    mismatches: list[Difference]
    changed: list[Difference]
    changes: list[Change] = []
    left_out: list[LeftOut] = []
    warnings: list[str] = []


def compare(base: Run, head: Run, control: str | None = None, *, force: bool = False) -> Comparison:
    """Compare two runs; with `force`, even if they were measured under different conditions.

    The control defaults to the baseline of `base`. Raises UsageError where a run lacks it, or is a gate's.
    """
    for name, run in (("base", base), ("head", head)):
        if is_gate(run):
            raise UsageError(f"{name} is the result of a gate, which has compared its two sides itself")
    chosen = control or base.header.plan.baseline
    both = [name for name in _arms(base) if name in _arms(head)]
    if chosen not in both:
        there_is = ", ".join(both) or "none"
        raise UsageError(f"{chosen!r} is not in both runs", f"--control takes a driver that is: there is {there_is}")
    unlike, other = mismatches(base, head), changed(base, head)
    if unlike and not force:
        return Comparison(base, head, chosen, refused=True, mismatches=unlike, changed=other)
    return Comparison(
        base,
        head,
        chosen,
        refused=False,
        mismatches=unlike,
        changed=other,
        changes=changes(base, head, chosen),
        left_out=left_out(base, head, chosen),
        warnings=_warnings(base, head, chosen, unlike, other),
    )


def is_gate(run: Run) -> bool:
    """Whether the run compared two environments."""
    return run.header.plan.gate is not None


def changes(base: Run, head: Run, control: str) -> list[Change]:
    """Compare what both runs measured, in the order of the base; the intervals have joint confidence, by Bonferroni.

    The blocks of the two runs are two samples. So an interval reflects how much blocks vary within each run, but not
    how whole runs differ: another machine, another day, another layout of the server's memory.
    """
    before, after = block_log_ratios(base, control), block_log_ratios(head, control)
    common = [subject for subject in before if subject in after]
    confidence = 1 - (1 - CONFIDENCE) / max(1, len(common))
    times = _times_us(base, control), _times_us(head, control)
    return [_change(subject, before[subject], after[subject], confidence, control, times) for subject in common]


def left_out(base: Run, head: Run, control: str) -> list[LeftOut]:
    """What only one of the runs has, or has numbers for."""
    states = {"base": _states(base, control), "head": _states(head, control)}
    found = []
    for subject in {**states["base"], **states["head"]}:
        known = {name: state[subject] for name, state in states.items() if subject in state}
        if len(known) == 1:
            found.append(LeftOut(*subject, f"only in {next(iter(known))}"))
        elif reason := ", ".join(f"{state} in {name}" for name, state in known.items() if state):
            found.append(LeftOut(*subject, reason))
    return found


def over(found: Sequence[Change], share: float) -> list[Change]:
    """The changes whose whole interval is above `share` more time: 0.1 is 10%."""
    return [one for one in found if one.change_low is not None and one.change_low > share]


def block_log_ratios(run: Run, control: str) -> dict[Subject, list[float]]:
    """The ln of the ratio to the control, by block, of all drivers and cells that can be compared and have a value."""
    plan = _with(run, control)
    usable = _comparable(run, plan)
    found: dict[Subject, list[float]] = {}
    for (index, arm), values in log_ratios(plan, run.measurements).items():
        known = [value for value in values if value is not None]
        if known and (index, arm) in usable:
            found.setdefault(_subject(plan.cells[index], arm), known)
    return found


def _change(
    subject: Subject,
    before: Sequence[float],
    after: Sequence[float],
    confidence: float,
    control: str,
    times: tuple[dict[Subject, float], dict[Subject, float]],
) -> Change:
    interval = shift_interval(before, after, confidence)
    low, high = interval or (None, None)
    of_control = subject._replace(driver=control)
    return Change(
        *subject,
        control=control,
        base_blocks=len(before),
        head_blocks=len(after),
        base_ratio=math.exp(median(before)),
        head_ratio=math.exp(median(after)),
        change=math.expm1(shift(before, after)),
        change_low=None if low is None else math.expm1(low),
        change_high=None if high is None else math.expm1(high),
        verdict=verdict(interval and (math.exp(interval[0]), math.exp(interval[1]))),
        control_base_us=times[0][of_control],
        control_head_us=times[1][of_control],
    )


def _times_us(run: Run, control: str) -> dict[Subject, float]:
    """The control's microseconds per operation by cell: the median over rounds, then over blocks."""
    plan = run.header.plan
    blocks: dict[Subject, list[float]] = {}
    for one in run.measurements:
        if one.arm == control and (times := time_per_operation(one, paced=plan.paced)):
            subject = _subject(plan.cells[one.cell], control)
            blocks.setdefault(subject, []).append(median(times.values()) / NS_PER_US)
    return {subject: median(times) for subject, times in blocks.items()}


def _states(run: Run, control: str) -> dict[Subject, str]:
    """Why each driver in each cell of the plan cannot be compared with the control; empty where it can."""
    plan = _with(run, control)
    usable, measured = _comparable(run, plan), block_log_ratios(run, control)
    states: dict[Subject, str] = {}
    for index, cell in enumerate(plan.cells):
        for arm in _arms(run):
            subject = _subject(cell, arm)
            state = "not measured" if (index, arm) in usable else "not comparable"
            if arm != control:
                states.setdefault(subject, "" if subject in measured else state)
    return states


def _comparable(run: Run, plan: Plan) -> set[tuple[int, str]]:
    """The cells and arms that returned the same as the control."""
    # Rows of a run without measurements: they are cheap, and still show what is not comparable.
    header = msgspec.structs.replace(run.header, plan=plan)
    empty = msgspec.structs.replace(run, header=header, measurements=[])
    bare = rows(empty, by_place(empty))
    places = [(index, arm.name) for index in range(len(plan.cells)) for arm in plan.arms]
    return {place for place, row in zip(places, bare, strict=True) if row.verdict is not Verdict.NOT_COMPARABLE}


def _warnings(base: Run, head: Run, control: str, unlike: list[Difference], other: list[Difference]) -> list[str]:
    said = []
    if unlike:
        keys = ", ".join(one.key for one in unlike)
        said.append(f"the runs are not alike ({keys}): a change may come from that alone")
    driver = next((arm.driver for arm in base.header.plan.arms if arm.name == control), control)
    own = (*DRIVERS[driver].distributions, "sqlalchemy") if driver in DRIVERS else ("sqlalchemy",)
    if moved := [f"{one.key} {one.base} -> {one.head}" for one in other if one.key in own]:
        said.append(f"{control}, the control, changed itself ({', '.join(moved)}): what it gained, all others lose")
    for name, run in (("base", base), ("head", head)):
        if run.status != "complete":
            said.append(f"{name} is {run.status}")
        if run.header.environment.get("other_runs"):
            said.append(f"{name}: another dbbench run was measuring on this machine")
    return said


def _with(run: Run, control: str) -> Plan:
    return msgspec.structs.replace(run.header.plan, baseline=control)


def _arms(run: Run) -> list[str]:
    return [arm.name for arm in run.header.plan.arms]


def _subject(cell: Cell, driver: str) -> Subject:
    return Subject(cell.scenario, cell.layer, cell.sessions, params_text(cell), driver)
