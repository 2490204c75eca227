"""From measurements to ln ratios by block, which are looked at while measuring and judged afterwards."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial

from dbbench.plan import Plan
from dbbench.records import Measurement
from dbbench.stats.centre import Block
from dbbench.stats.paired import block_error, block_log_ratio
from dbbench.stats.sequential import Key


def family(plan: Plan) -> int:
    """How many comparisons the run makes: the rows that are judged together."""
    return len(plan.cells) * plan.compared


Quantity = Callable[[Measurement], Mapping[int, float]]  # by round of a block
OfBlock = Callable[[Mapping[int, float], Mapping[int, float]], float | None]  # of an arm and of the baseline


def blocks(
    plan: Plan, measurements: Sequence[Measurement], quantity: Quantity | None = None
) -> dict[Key, list[Block | None]]:
    """The blocks of every row, each with its standard error as far as its slices show it: see log_ratios()."""
    ratios = log_ratios(plan, measurements, quantity)
    errors = log_ratios(plan, measurements, quantity, block_error)
    return {
        key: [
            None if ratio is None else Block(ratio, error or 0.0)  # a percentile has one value in a block
            for ratio, error in zip(ratios[key], errors[key], strict=True)
        ]
        for key in ratios
    }


def log_ratios(
    plan: Plan,
    measurements: Iterable[Measurement],
    quantity: Quantity | None = None,
    of_block: OfBlock = block_log_ratio,
) -> dict[Key, list[float | None]]:
    """The ln of the ratio to the baseline by block, for every other arm in every cell measured so far.

    The ratio is that of the time per operation or of another `quantity`; `of_block` makes one number of a block.

    A row ends with the last block in which its cell was measured, and has None where the arm or the baseline was not.
    Blocks of cells that are measured early, and those of the others, do not count for each other. Slices are all it
    needs, so that a run may drop the histograms of its measurements. Problems do not count: the table of a run's first
    blocks is the beginning of the table of the whole, whatever happens later.
    """
    times: dict[tuple[int, int, str], Mapping[int, float]] = {}
    blocks: dict[bool, set[int]] = {True: set(), False: set()}  # of early cells, and of the others
    last: dict[int, int] = {}  # cell -> the last block in which it was measured
    quantity = quantity or partial(time_per_operation, paced=plan.paced)
    for measurement in measurements:
        times[measurement.block, measurement.cell, measurement.arm] = quantity(measurement)
        blocks[measurement.cell in plan.early].add(measurement.block)
        last[measurement.cell] = max(last.get(measurement.cell, 0), measurement.block)
    ordered = {early: sorted(found) for early, found in blocks.items()}  # a file may leave out a billion of them
    return {
        (cell, arm.name): [
            of_block(times.get((block, cell, arm.name), {}), times.get((block, cell, baseline), {}))
            for block in ordered[cell in plan.early]
            if block <= last[cell]
        ]
        for cell in sorted(last)
        for arm in plan.arms
        if arm.name != (baseline := plan.baseline_of(cell, arm.name))
    }


def time_per_operation(measurement: Measurement, *, paced: bool) -> dict[int, float]:
    """Map each round to its nanoseconds per operation; rounds in which nothing succeeded are left out.

    Elapsed time, so that it is 1 / throughput; with `paced` (see Plan) the mean latency.
    """
    times = {
        part.round: (part.usage.latency_ns if paced else part.usage.elapsed_ns) / part.usage.operations
        for part in measurement.slices
        if part.usage.operations
    }
    return {round_: time for round_, time in times.items() if time}
