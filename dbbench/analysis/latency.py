"""What network latency does: time = cost + round trips x round-trip time, and from where on two drivers tie (pure).

Times are mean latencies of an operation, and the round trips are those that the relay counted. What is predicted takes
the cost from the lowest round-trip time alone, so that the others say how far the model holds; where drivers tie is
worked out from the costs at all of them.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import groupby, pairwise
from typing import Final

from dbbench.analysis.rows import CellRow, params_text, rows
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
    """From which round-trip time on a driver ties with the baseline."""

    rtt_s: float | None  # None: from none on, because one makes more round trips
    checked: BreakEven | None  # what was measured there


@dataclass(frozen=True)
class Effect:
    """What latency does to one driver in one scenario, layer and number of sessions."""

    cell: Cell  # at the lowest round-trip time
    driver: str
    round_trips: float | None  # per operation
    lines: list[Line]  # ascending
    tie: Tie | None  # None: it is the baseline, or nothing is known


def effects(run: Run) -> list[list[Effect]]:
    """By scenario, layer and sessions: what latency does to every driver. Empty for a run without it."""
    plan = run.header.plan
    found = {(row.scenario, row.layer, row.sessions, row.params, row.driver): row for row in rows(run)}
    made = []
    for _, group in groupby(enumerate(plan.cells), lambda each: _place(each[1])):
        cells = sorted(((cell.rtt_s, index) for index, cell in group if cell.rtt_s is not None))
        if cells:
            made.append(_group(run, [index for _, index in cells], found))
    return made


def _place(cell: Cell) -> tuple[str, str, int, str]:
    return cell.scenario, cell.layer, cell.sessions, repr(cell.params)


def _group(run: Run, indexes: Sequence[int], found: dict[tuple[str, str, int, str, str], CellRow]) -> list[Effect]:
    """All drivers in cells that differ in their round-trip time alone."""
    plan = run.header.plan
    cells = [plan.cells[index] for index in indexes]
    lowest = cells[0]
    made = []
    for arm in plan.arms:
        counts = run.header.round_trips.get(arm.name, [])
        trips = counts[indexes[0]] if indexes[0] < len(counts) else None
        measured = [
            found[cell.scenario, cell.layer, cell.sessions, params_text(cell), arm.name].mean_us for cell in cells
        ]
        first = measured[0]
        lines = [
            Line(cell.rtt_s or 0.0, us, None if first is None or trips is None else first + trips * _us(lowest, cell))
            for cell, us in zip(cells, measured, strict=True)
        ]
        made.append(Effect(lowest, arm.name, trips, lines, None))
    baseline = next(one for one in made if one.driver == plan.baseline)
    return [one if one is baseline else _with_tie(run, indexes[0], one, baseline) for one in made]


def _us(lowest: Cell, cell: Cell) -> float:
    """By how much the round-trip time is longer than the lowest, microseconds."""
    return ((cell.rtt_s or 0.0) - (lowest.rtt_s or 0.0)) * US_PER_S


def _with_tie(run: Run, cell: int, one: Effect, baseline: Effect) -> Effect:
    costs, others = cost_s(one), cost_s(baseline)
    if not costs or not others or one.round_trips is None or baseline.round_trips is None:
        return one
    checks = [each for each in run.break_evens if each.cell == cell and each.arm == one.driver]
    rtt_s = break_even_s(partial(time_s, costs, one.round_trips), partial(time_s, others, baseline.round_trips))
    return Effect(one.cell, one.driver, one.round_trips, one.lines, Tie(rtt_s, checks[-1] if checks else None))


def cost_s(effect: Effect) -> list[tuple[float, float]]:
    """What an operation takes besides waiting for the network, by round-trip time; both in seconds.

    It grows: who has waited for a while has cold caches.
    """
    if effect.round_trips is None:
        return []
    return [
        (line.rtt_s, max(0.0, line.measured_us / US_PER_S - effect.round_trips * line.rtt_s))
        for line in effect.lines
        if line.measured_us is not None
    ]


def time_s(costs: Sequence[tuple[float, float]], round_trips: float, rtt_s: float) -> float:
    """How long an operation takes at a round-trip time, seconds; between those measured the cost is interpolated."""
    for (low, cost), (high, more) in pairwise(costs):
        if low <= rtt_s <= high and low < high:
            return cost + (more - cost) * (rtt_s - low) / (high - low) + round_trips * rtt_s
    nearest = costs[0] if rtt_s < costs[0][0] else costs[-1]
    return nearest[1] + round_trips * rtt_s


def break_even_s(time: Time, other: Time, band: float = TIE_BAND) -> float | None:
    """The round-trip time, seconds, from which on two drivers take the same time within the tie band.

    `time` and `other` give the time of an operation at a round-trip time. The result is one of `GRID`, whose steps are
    3%. None: not even at the largest of them, because the round trips themselves differ.
    """
    found: float | None = None
    for rtt_s in reversed(GRID):
        ratio = time(rtt_s) / max(other(rtt_s), 1e-12)
        if not 1 / (1 + band) <= ratio <= 1 + band:
            return found
        found = rtt_s
    return 0.0
