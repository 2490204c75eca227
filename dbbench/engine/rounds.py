"""How many rounds every cell gets in a block.

At first that follows from what operations cost, with all cells alike. From the fourth block on it follows from what the
blocks so far have shown: how much a round scatters, how much processes differ, and what a visit costs besides its
slices. Only sizes of errors count, never in which direction a ratio points, so that verdicts are not biased by it.

Where a run may end early and has time for it, the cells whose visits are the shortest come first and alone, in short
blocks: their rows may be decided long before the others can be.
"""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, median
from typing import Final

import msgspec

from dbbench.analysis.ratios import blocks, family
from dbbench.engine.planning import NOMINAL_BUDGET_S, WANTED_BLOCKS
from dbbench.engine.setup import Cost
from dbbench.plan import Plan
from dbbench.records import Measurement
from dbbench.stats.centre import Block
from dbbench.stats.paired import looks

EARLY_SHARE: Final = 0.14  # of the budget for the cells that are measured first
PILOT_BLOCKS: Final = 4  # after which the rounds are chosen again, block after block; of three, one may mislead
MAX_ROUNDS: Final = 200
USUAL_WITHIN: Final = 0.04  # of a round, until it is known (docs/evidence.md)
LEAST_BETWEEN: Final = 0.003  # processes differ by a few thousandths at least, however few blocks have shown it
GATE_BLOCKS: Final = 27  # that should fit in a gate's budget: all looks, and the second in three fifths of it
GATE_LEAST_ROUNDS: Final = 5  # rounds of a gate: fewer do not show how noisy they are
LEAST_ROUNDS: Final = 3  # rounds of a run where one session makes slices short; else 1
_FILLED: Final = 0.7  # of a block, at most, with the shortest visits: the rest is for more rounds
_SD_PER_MAD: Final = 1.4826  # of a normal distribution
_START_S: Final = 0.25  # of a worker, until it is known; others start beside it
_OPEN_S: Final = 0.01  # of an arm in a cell, beside its warm-up
_HALVINGS: Final = 60


@dataclass(frozen=True)
class Visit:
    """The time that a visit to a cell took, seconds, and the rounds that it had."""

    opening_s: float
    rounds_s: float
    rounds: int


@dataclass(frozen=True)
class Expected:
    """What is known of a cell before its next visit."""

    opening_s: float  # for all arms to connect and warm up
    round_s: float  # for a slice of every arm
    least: int  # rounds
    within: float = USUAL_WITHIN  # standard error of a row's ln ratio if a visit had one round
    between: float = LEAST_BETWEEN  # standard deviation of the ln ratios of blocks, beyond that


def settled(plan: Plan, costs: Sequence[Cost]) -> Plan:
    """The plan with the rounds of its first blocks, by what the set-up found that operations cost."""
    if not _free(plan):
        return plan
    arms = len(plan.arms)
    known = {
        index: Expected(arms * (_OPEN_S + cost.warm_up_s), arms * cost.slice_s, _least(plan, index))
        for index, cost in enumerate(costs)
        if cost.slice_s
    }
    starting_s, early_s = arms * _START_S, EARLY_SHARE * _planned_s(plan)
    early_block_s = early_s / first_look(plan)
    early = early_cells(_kin(plan, known), known, starting_s, early_block_s) if _may_end(plan) else []
    first = {index: known.pop(index) for index in early}
    left_s = _planned_s(plan) - (early_s if early else 0.0)
    found = spread(known, starting_s, left_s / wanted_blocks(plan)) | spread(first, starting_s, early_block_s)
    return msgspec.structs.replace(plan, rounds=[found.get(index, 1) for index in range(len(plan.cells))], early=early)


def early_cells(
    kin: Sequence[Sequence[int]], cells: Mapping[int, Expected], starting_s: float, block_s: float
) -> list[int]:
    """The cells to measure alone first, in blocks of `block_s` seconds: the quickest that fit; none, or not all.

    Cells that are `kin` stay together, since they are compared block by block.
    """

    def quickest_s(group: Sequence[int]) -> float:
        return sum(cells[index].opening_s + cells[index].least * cells[index].round_s for index in group)

    chosen: list[int] = []
    spent_s = starting_s
    for group in sorted(kin, key=quickest_s):
        spent_s += quickest_s(group)
        if spent_s <= _FILLED * block_s:
            chosen += group
    return sorted(chosen) if len(chosen) < len(cells) else []


def _kin(plan: Plan, known: Collection[int]) -> list[list[int]]:
    """The cells that differ only in their layer, or in the way to the server."""
    groups: dict[tuple[object, ...], list[int]] = {}
    for index in known:
        cell = plan.cells[index]
        groups.setdefault((cell.path, cell.sessions, repr(cell.params)), []).append(index)
    return list(groups.values())


def first_look(plan: Plan) -> int:
    """The number of blocks at which a run that may end early looks at its results for the first time."""
    return next(iter(looks(max(1, family(plan))))).blocks


def wanted_blocks(plan: Plan) -> int:
    """The blocks that should fit in the budget: enough for narrow intervals, and one more than the first look needs."""
    if plan.gate is not None:
        return GATE_BLOCKS
    return max(WANTED_BLOCKS, first_look(plan) + 1)


def chosen_again(
    plan: Plan,
    measured: Sequence[Measurement],
    visits: Mapping[int, Sequence[Visit]],
    closed: Collection[int],
    starting_s: float,
    measured_s: float,
) -> dict[int, int]:
    """The rounds of open cells for the next blocks, by what those so far have shown; each took `starting_s` to start.

    `measured_s` is what the budget has been used for so far. Cells of which nothing can be learnt are left out.
    """
    begun = max((len(times) for index, times in visits.items() if index not in plan.early), default=0)
    if not (_free(plan) and plan.effort.budget_s and PILOT_BLOCKS <= begun < wanted_blocks(plan)):
        return {}
    table = blocks(plan, measured)
    known = {}
    for index, times in visits.items():
        rows = [[block for block in row if block] for (cell, _), row in table.items() if cell == index]
        rows = [row for row in rows if len(row) > 1]
        if index in closed or not rows:
            continue
        rounds = fmean(visit.rounds for visit in times)
        scatter = _scatter(rows) ** 2
        inside = median(block.error**2 for row in rows for block in row) or scatter  # one round shows no error
        known[index] = Expected(
            fmean(visit.opening_s for visit in times),
            sum(visit.rounds_s for visit in times) / (rounds * len(times)),
            _least(plan, index),
            math.sqrt(inside * rounds),
            _between(scatter, inside, sum(len(row) - 1 for row in rows)),
        )
    return spread(known, starting_s, (_planned_s(plan) - measured_s) / (wanted_blocks(plan) - begun))


def _between(scatter: float, inside: float, freedom: int) -> float:
    """The standard deviation between blocks, from the variance of the blocks and that which their rounds explain.

    Two standard errors of the variance are explained by chance: of few blocks the difference says little, and too few
    rounds cost more than too many.
    """
    explained = inside * (1 + 2 * math.sqrt(2 / freedom))
    return max(LEAST_BETWEEN, math.sqrt(max(0.0, scatter - explained)))


def _scatter(rows: Sequence[Sequence[Block]]) -> float:
    """The standard deviation of the rows' blocks around the middle of their row; one disturbed block does not count.

    Of a row with few blocks one deviation is 0 by construction, so it is left out.
    """
    deviations: list[float] = []
    for row in rows:
        middle = median(block.log_ratio for block in row)
        deviations += sorted(abs(block.log_ratio - middle) for block in row)[1:]
    return _SD_PER_MAD * median(deviations)


def spread(cells: Mapping[int, Expected], starting_s: float, block_s: float) -> dict[int, int]:
    """The rounds of cells with which a block of `block_s` seconds, of which `starting_s` go into starting, shows most.

    The variance of a cell's ln ratio in a block is between² + within² / rounds. In a given time the sum over cells is
    smallest where rounds are in proportion to within / sqrt(round_s) (optimum allocation: Cochran, Sampling Techniques,
    1977, 5.5). But from within / between * sqrt(opening_s / round_s) rounds on, where opening includes the cell's share
    of the start, another block shows more than a longer one (optimum subsampling: Cochran 10.6; for benchmarks:
    Kalibera and Jones, Rigorous benchmarking in reasonable time, ISMM 2013).
    """
    if not cells:
        return {}
    free_s = block_s - starting_s - sum(cell.opening_s for cell in cells.values())
    share_s = starting_s / len(cells)

    def rounds(scale: float) -> dict[int, int]:
        return {
            index: _bounded(scale * cell.within / math.sqrt(cell.round_s), cell, share_s)
            for index, cell in cells.items()
        }

    def takes_s(scale: float) -> float:
        return sum(cells[index].round_s * number for index, number in rounds(scale).items())

    low, high = 0.0, MAX_ROUNDS * max(math.sqrt(cell.round_s) / max(cell.within, 1e-9) for cell in cells.values())
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if takes_s(middle) <= free_s else (low, middle)
    return rounds(low)


def _bounded(wanted: float, cell: Expected, share_s: float) -> int:
    most = min(MAX_ROUNDS, cell.within / cell.between * math.sqrt((cell.opening_s + share_s) / cell.round_s))
    return max(cell.least, int(min(wanted, most)))


def _planned_s(plan: Plan) -> float:
    """The seconds to plan for: the budget, if there is one that is not only a limit."""
    budget_s = plan.effort.budget_s or NOMINAL_BUDGET_S
    return min(budget_s, NOMINAL_BUDGET_S) if plan.effort.precision else budget_s


def _may_end(plan: Plan) -> bool:
    """Whether the run ends when every cell is decided, which takes intervals that exclude 1, not a precision."""
    return plan.adaptive and plan.gate is None and plan.effort.precision is None and plan.compared > 0


def _free(plan: Plan) -> bool:
    """Whether the rounds may be chosen: nobody asked for a number, and slices are not made of seconds."""
    return plan.effort.rounds is None and plan.load.rate is None


def _least(plan: Plan, index: int) -> int:
    if plan.gate is not None:
        return GATE_LEAST_ROUNDS
    return LEAST_ROUNDS if plan.cells[index].sessions == 1 else 1
