"""What network latency costs: time = cost + round trips x round-trip time, and where two drivers break even (pure).

Times are mean latencies of an operation, and the round trips are those that the relay counted. Predictions take the
cost from the lowest round-trip time alone, so that the other measurements test the model; the break-even is worked out
from the costs at all round-trip times.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import groupby, pairwise
from typing import Final

from dbbench.analysis.rows import CellRow
from dbbench.plan import Cell
from dbbench.records import BreakEven, Run
from dbbench.stats.paired import TIE_BAND

US_PER_S: Final = 1e6
GRID: Final = [1e-5 * 1.03**step for step in range(390)]
"""Round-trip times, seconds: from 10 microseconds to 1 s."""
Time = Callable[[float], float]
"""Of an operation at a round-trip time, both in seconds."""


@dataclass(frozen=True)
class Line:
    """One driver at one round-trip time."""

    rtt_s: float
    measured_us: float | None  # mean latency of an operation
    predicted_us: float | None

    @property
    def deviation(self) -> float | None:
        """How much longer than predicted it took, as a share."""
        return self.measured_us / self.predicted_us - 1 if self.measured_us and self.predicted_us else None


@dataclass(frozen=True)
class Tie:
    """The round-trip time above which a driver ties with the baseline."""

    rtt_s: float | None  # None: they never tie, because one makes more round trips
    checked: BreakEven | None  # what was measured there


@dataclass(frozen=True)
class Effect:
    """What latency does to one driver in one scenario, layer and number of sessions."""

    cell: Cell  # at the lowest round-trip time
    driver: str
    baseline: str  # the driver that it is compared with, or itself
    round_trips: float | None  # per operation
    lines: list[Line]  # ascending
    tie: Tie | None  # None: the baseline itself, or unknown


def effects(run: Run, rows: Sequence[CellRow]) -> list[list[Effect]]:
    """What latency does to every driver, by scenario, layer and sessions; empty for a run without latency.

    `rows` are those of the whole run.
    """
    plan = run.header.plan
    places = [(index, arm.name) for index in range(len(plan.cells)) for arm in plan.arms]
    mean_us = {place: row.mean_us for place, row in zip(places, rows, strict=True)}
    grouped = []
    for _, group in groupby(enumerate(plan.cells), lambda each: _place(each[1])):
        cells = sorted(((cell.rtt_s, index) for index, cell in group if cell.rtt_s is not None))
        if cells:
            grouped.append(_group(run, [index for _, index in cells], mean_us))
    return grouped


def _place(cell: Cell) -> tuple[str, str, int, str]:
    return cell.scenario, cell.layer, cell.sessions, repr(cell.params)


def _group(run: Run, indexes: Sequence[int], mean_us: Mapping[tuple[int, str], float | None]) -> list[Effect]:
    """All drivers in cells that differ in their round-trip time alone."""
    plan = run.header.plan
    cells = [plan.cells[index] for index in indexes]
    lowest = cells[0]
    of_drivers = []
    for arm in plan.arms:
        counts = run.header.round_trips.get(arm.name, [])
        trips = counts[indexes[0]] if indexes[0] < len(counts) else None
        measured = [mean_us[index, arm.name] for index in indexes]
        first = measured[0]
        lines = [
            Line(cell.rtt_s or 0.0, us, None if first is None or trips is None else first + trips * _us(lowest, cell))
            for cell, us in zip(cells, measured, strict=True)
        ]
        of_drivers.append(Effect(lowest, arm.name, plan.baseline_of(indexes[0], arm.name), trips, lines, None))
    by_name = {effect.driver: effect for effect in of_drivers}
    return [
        effect if effect.baseline == effect.driver else _with_tie(run, indexes[0], effect, by_name[effect.baseline])
        for effect in of_drivers
    ]


def _us(lowest: Cell, cell: Cell) -> float:
    """How much longer than the lowest the round-trip time is, in microseconds."""
    return ((cell.rtt_s or 0.0) - (lowest.rtt_s or 0.0)) * US_PER_S


def _with_tie(run: Run, cell: int, effect: Effect, baseline: Effect) -> Effect:
    costs, others = cost_s(effect), cost_s(baseline)
    if not costs or not others or effect.round_trips is None or baseline.round_trips is None:
        return effect
    checks = [check for check in run.break_evens if check.cell == cell and check.arm == effect.driver]
    rtt_s = break_even_s(partial(time_s, costs, effect.round_trips), partial(time_s, others, baseline.round_trips))
    return replace(effect, tie=Tie(rtt_s, checks[-1] if checks else None))


def cost_s(effect: Effect) -> list[tuple[float, float]]:
    """(Round-trip time, time of an operation besides waiting for the network), both in seconds.

    The cost grows with the round-trip time: after a wait, caches are cold.
    """
    if effect.round_trips is None:
        return []
    return [
        (line.rtt_s, max(0.0, line.measured_us / US_PER_S - effect.round_trips * line.rtt_s))
        for line in effect.lines
        if line.measured_us is not None
    ]


def time_s(costs: Sequence[tuple[float, float]], round_trips: float, rtt_s: float) -> float:
    """Seconds that an operation takes at a round-trip time; between those measured the cost is interpolated."""
    for (low, cost), (high, more) in pairwise(costs):
        if low <= rtt_s <= high and low < high:
            return cost + (more - cost) * (rtt_s - low) / (high - low) + round_trips * rtt_s
    nearest = costs[0] if rtt_s < costs[0][0] else costs[-1]
    return nearest[1] + round_trips * rtt_s


def break_even_s(time: Time, other: Time, band: float = TIE_BAND) -> float | None:
    """The round-trip time in seconds above which two drivers take the same time within the tie band.

    `time` and `other` give the time of an operation at a round-trip time. The result is one of `GRID`, whose steps are
    3%, or 0 where the drivers always tie. None: they do not tie even at the largest, because their round trips differ.
    """
    lowest: float | None = None
    for rtt_s in reversed(GRID):
        ratio = time(rtt_s) / max(other(rtt_s), 1e-12)
        if not 1 / (1 + band) <= ratio <= 1 + band:
            return lowest
        lowest = rtt_s
    return 0.0
