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
from dbbench.drivers import DRIVERS, Driver
from dbbench.errors import UsageError
from dbbench.plan import Cell, Connections, Plan
from dbbench.records import Run
from dbbench.stats.paired import CONFIDENCE, Verdict, blocks_for_interval, verdict
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
    change_low: float | None  # ends of its interval, at joint confidence for all rows; None: too few blocks in a run
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
    control_changes: list[str] = []  # what is different about the control itself: "loop asyncio -> uvloop"
    blocks_needed: int = 0  # in each run, for an interval
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
    found, of_control = changes(base, head, chosen), control_changes(base, head, chosen, other)
    return Comparison(
        base,
        head,
        chosen,
        refused=False,
        mismatches=unlike,
        changed=other,
        changes=found,
        left_out=left_out(base, head, chosen),
        control_changes=of_control,
        blocks_needed=blocks_needed(len(found)),
        warnings=_warnings(base, head, chosen, unlike, of_control),
    )


def is_gate(run: Run) -> bool:
    """Whether the run compared two environments."""
    return run.header.plan.gate is not None


def changes(base: Run, head: Run, control: str) -> list[Change]:
    """Compare what both runs measured, in the order of the base; the intervals have joint confidence, by Bonferroni.

    The blocks of the two runs are two samples. So an interval reflects how much blocks vary within each run, but not
    how whole runs differ: another machine, another day, another layout of the server's memory. There is no interval
    where a run has too few blocks to give one by itself: the test of two samples needs fewer, but few blocks of one run
    do not show how much its blocks vary.
    """
    before, after = block_log_ratios(base, control), block_log_ratios(head, control)
    controls, others = _controls(base, control), _controls(head, control)
    common = [subject for subject in before if subject in after and controls[subject] == others[subject]]
    confidence, fewest = 1 - (1 - CONFIDENCE) / max(1, len(common)), blocks_needed(len(common))
    times = _times_us(base), _times_us(head)
    return [
        _change(subject, (before[subject], after[subject]), (confidence, fewest), controls[subject], times)
        for subject in common
    ]


def blocks_needed(rows: int) -> int:
    """The blocks that each run must have for an interval in a comparison of so many rows."""
    return blocks_for_interval(family=max(1, rows))


def left_out(base: Run, head: Run, control: str) -> list[LeftOut]:
    """What only one of the runs has, or has numbers for."""
    states = {"base": _states(base, control), "head": _states(head, control)}
    controls = {"base": _controls(base, control), "head": _controls(head, control)}
    found = []
    for subject in {**states["base"], **states["head"]}:
        known = {name: state[subject] for name, state in states.items() if subject in state}
        if len(known) == 1:
            found.append(LeftOut(*subject, f"only in {next(iter(known))}"))
        elif reason := ", ".join(f"{state} in {name}" for name, state in known.items() if state):
            found.append(LeftOut(*subject, reason))
        elif len({of[subject] for of in controls.values()}) > 1:
            found.append(
                LeftOut(*subject, ", ".join(f"compared with {of[subject]} in {name}" for name, of in controls.items()))
            )
    return found


def over(found: Sequence[Change], share: float) -> list[Change]:
    """The changes whose whole interval is above `share` more time: 0.1 is 10%."""
    return [one for one in found if one.change_low is not None and one.change_low > share]


def block_log_ratios(run: Run, control: str, *, everywhere: bool = False) -> dict[Subject, list[float]]:
    """The ln of the ratio to the control, by block, of all drivers and cells that can be compared and have a value.

    With `everywhere`, cells that have a baseline of their own are compared with the control, too.
    """
    plan = run.header.plan.against(control) if everywhere else _with(run, control)
    usable = _comparable(run, plan)
    found: dict[Subject, list[float]] = {}
    for (index, arm), values in log_ratios(plan, run.measurements).items():
        known = [value for value in values if value is not None]
        if known and (index, arm) in usable:
            found.setdefault(subject_of(plan.cells[index], arm), known)
    return found


def _change(
    subject: Subject,
    samples: tuple[Sequence[float], Sequence[float]],  # of base and head
    required: tuple[float, int],  # confidence, and blocks of each
    control: str,
    times: tuple[dict[Subject, float], dict[Subject, float]],
) -> Change:
    (before, after), (confidence, fewest) = samples, required
    interval = shift_interval(before, after, confidence) if min(len(before), len(after)) >= fewest else None
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


def _times_us(run: Run) -> dict[Subject, float]:
    """The microseconds per operation of every arm in every cell: the median over rounds, then over blocks."""
    plan = run.header.plan
    blocks: dict[Subject, list[float]] = {}
    for one in run.measurements:
        if times := time_per_operation(one, paced=plan.paced):
            subject = subject_of(plan.cells[one.cell], one.arm)
            blocks.setdefault(subject, []).append(median(times.values()) / NS_PER_US)
    return {subject: median(times) for subject, times in blocks.items()}


def _states(run: Run, control: str) -> dict[Subject, str]:
    """Why each driver in each cell of the plan cannot be compared with the control; empty where it can."""
    plan = _with(run, control)
    usable, measured = _comparable(run, plan), block_log_ratios(run, control)
    states: dict[Subject, str] = {}
    for index, cell in enumerate(plan.cells):
        for arm in _arms(run):
            subject = subject_of(cell, arm)
            state = "not measured" if (index, arm) in usable else "not comparable"
            if arm != plan.baseline_of(index, arm):
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


def control_changes(base: Run, head: Run, control: str, other: Sequence[Difference]) -> list[str]:
    """What is different about the control itself: its versions, among the differences `other`, and its settings."""
    one, two = (next(arm for arm in run.header.plan.arms if arm.name == control) for run in (base, head))
    row = DRIVERS.get(one.driver)
    own = {*(row.distributions if row else ()), "sqlalchemy"}
    if row is not None and row.is_async and "uvloop" in (one.connections.loop, two.connections.loop):
        own.add("uvloop")
    moved = [f"{each.key} {each.base} -> {each.head}" for each in other if each.key in own]
    of_base, of_head = (_settings(arm.connections, row) for arm in (one, two))
    return moved + [f"{name} {of_base[name]} -> {of_head[name]}" for name in of_base if of_base[name] != of_head[name]]


def _settings(connections: Connections, driver: Driver | None) -> dict[str, str]:
    """The settings of connections that concern the driver, each as key and text."""
    pool = connections.pool
    own = connections.settings.get(driver.name, {}) if driver else {}
    return {
        "pool": f"{pool.size}+{pool.max_overflow}",
        "pool class": "null" if connections.null_pool else "queue",
        "checkout": connections.checkout,
        "tx-end": connections.tx_end,
        **({"loop": connections.loop} if driver is None or driver.is_async else {}),
        "pool-pre-ping": "on" if connections.pre_ping else "off",
        "driver settings": ", ".join(f"{name}={value}" for name, value in sorted(own.items())) or "default",
    }


def _warnings(base: Run, head: Run, control: str, unlike: Sequence[Difference], of_control: Sequence[str]) -> list[str]:
    said = []
    if unlike:
        keys = ", ".join(one.key for one in unlike)
        said.append(f"the runs are not alike ({keys}): a change may come from that alone")
    if of_control:
        said.append(
            f"{control}, the control, changed itself ({', '.join(of_control)}): what it gained, all others lose"
        )
    for name, run in (("base", base), ("head", head)):
        if run.status != "complete":
            said.append(f"{name} is {run.status}")
        if run.header.environment.get("other_runs"):
            said.append(f"{name}: another dbbench run was measuring on this machine")
    return said


def _with(run: Run, control: str) -> Plan:
    """The run's plan with this control; where that is the plan's own baseline, cells with another one keep it."""
    plan = run.header.plan
    return plan if control == plan.baseline else plan.against(control)


def _controls(run: Run, control: str) -> dict[Subject, str]:
    """What each driver in each cell is compared with."""
    plan = _with(run, control)
    return {
        subject_of(cell, arm): plan.baseline_of(index, arm)
        for index, cell in enumerate(plan.cells)
        for arm in _arms(run)
    }


def _arms(run: Run) -> list[str]:
    return [arm.name for arm in run.header.plan.arms]


def subject_of(cell: Cell, driver: str) -> Subject:
    """How to find the driver in the cell in another run."""
    return Subject(cell.scenario, cell.layer, cell.sessions, params_text(cell), driver)
