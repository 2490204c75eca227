"""What network latency does: time = cost + round trips x round-trip time, and from where on two drivers tie (pure).

The cost is the mean latency of an operation at the lowest round-trip time that was measured, and the round trips are
those that the relay counted, so that what is measured at the others says how far the model holds.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Final

from dbbench.compare import Row, params_text, rows
from dbbench.plan import Cell
from dbbench.records import BreakEven, Run
from dbbench.statistics import TIE_BAND

US_PER_S: Final = 1e6


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


def _group(run: Run, indexes: Sequence[int], found: dict[tuple[str, str, int, str, str], Row]) -> list[Effect]:
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
        cost_us = _cost_us(measured[0], trips, lowest)
        lines = [
            Line(cell.rtt_s or 0.0, us, None if cost_us is None or trips is None else cost_us + trips * _us(cell))
            for cell, us in zip(cells, measured, strict=True)
        ]
        made.append(Effect(lowest, arm.name, trips, lines, None))
    baseline = next(one for one in made if one.driver == plan.baseline)
    return [one if one is baseline else _with_tie(run, indexes[0], one, baseline) for one in made]


def _us(cell: Cell) -> float:
    return (cell.rtt_s or 0.0) * US_PER_S


def _cost_us(measured_us: float | None, trips: float | None, cell: Cell) -> float | None:
    """What an operation takes without latency, microseconds."""
    if measured_us is None or trips is None:
        return None
    return max(0.0, measured_us - trips * _us(cell))


def _with_tie(run: Run, cell: int, one: Effect, baseline: Effect) -> Effect:
    own, other = cost_s(one), cost_s(baseline)
    if own is None or other is None or one.round_trips is None or baseline.round_trips is None:
        return one
    checks = [each for each in run.break_evens if each.cell == cell and each.arm == one.driver]
    rtt_s = break_even_s(own, one.round_trips, other, baseline.round_trips)
    return Effect(one.cell, one.driver, one.round_trips, one.lines, Tie(rtt_s, checks[-1] if checks else None))


def cost_s(effect: Effect) -> float | None:
    """What an operation takes without latency, seconds."""
    us = _cost_us(effect.lines[0].measured_us, effect.round_trips, effect.cell)
    return None if us is None else us / US_PER_S


def break_even_s(
    cost_s: float, round_trips: float, other_cost_s: float, other_round_trips: float, band: float = TIE_BAND
) -> float | None:
    """The round-trip time, seconds, from which on two drivers take the same time within the tie band.

    Each takes cost + round trips x round-trip time, and they tie while neither takes more than 1 + band times the
    other's. None: from none on, because the round trips themselves differ by more than the band.
    """
    needed = 0.0
    for cost, trips, other, others in (
        (cost_s, round_trips, other_cost_s, other_round_trips),
        (other_cost_s, other_round_trips, cost_s, round_trips),
    ):
        # cost + trips x R <= (1 + band) (other + others x R)
        ahead, slope = cost - (1 + band) * other, (1 + band) * others - trips
        if slope > 0:
            needed = max(needed, ahead / slope)
        elif ahead > 0 or slope < 0:
            return None
    return needed if math.isfinite(needed) else None
