"""From the records of a gate to the tables to judge: rows that count, and advisory rows. Pure."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from statistics import median
from typing import Final

from dbbench.analysis.ratios import Quantity, blocks, time_per_operation
from dbbench.commands.gate.judging import TOLERANCE, Key, Values
from dbbench.commands.gate.result import HEAD, Metric
from dbbench.plan import Plan
from dbbench.records import Measurement
from dbbench.stats.histogram import Histogram

METRICS: Final[tuple[Metric, ...]] = ("time", "cpu", "p95", "p99")
_QUANTILES: Final[Mapping[Metric, float]] = {"p95": 0.95, "p99": 0.99}
_MIN_OPERATIONS_BEYOND: Final = 100  # in a block, beyond a percentile; with fewer it is only advisory


@dataclass(frozen=True)
class Tables:
    """The measurements in the form that judging.py needs."""

    counted: dict[Key, Values]
    advisory: dict[Key, Values]
    tolerances: dict[Key, float]  # of both


def tables(plan: Plan, measured: Sequence[Measurement]) -> Tables:
    """Make the tables of all metrics that have a tolerance, in the order of the plan's cells.

    A percentile counts where every block has enough operations beyond it. That depends on the number of operations in a
    slice, which is fixed before anything is measured, and not on results.
    """
    found: dict[Metric, Mapping[tuple[int, str], Values]] = {}
    operations = _operations(plan, measured)
    made = Tables({}, {}, {})
    for index, cell in enumerate(plan.cells):
        for metric in METRICS:
            tolerance = tolerance_of(plan, cell.scenario, metric)
            if tolerance is None:
                continue
            if metric not in found:
                found[metric] = blocks(plan, measured, QUANTITIES[metric])
            longest = max(map(len, found[metric].values()), default=0)
            counts = metric not in _QUANTILES or operations[index] * (1 - _QUANTILES[metric]) >= _MIN_OPERATIONS_BEYOND
            row = found[metric].get((index, HEAD), [])
            padded = [*row, *[None] * (longest - len(row))]  # its last blocks may have been disturbed
            (made.counted if counts else made.advisory)[index, metric] = padded
            made.tolerances[index, metric] = tolerance
    return made


def tolerance_of(plan: Plan, scenario: str, metric: Metric) -> float | None:
    """The loss of the metric that a scenario tolerates, as a share; None: the metric is not judged."""
    assert plan.gate is not None
    given = plan.gate.tolerances
    default = TOLERANCE if metric == "time" else None
    return given.get(f"{scenario}.{metric}", given.get(metric, default))


def _operations(plan: Plan, measured: Sequence[Measurement]) -> list[float]:
    """The number of operations of an arm in a block, by cell: the median over blocks."""
    done: list[list[int]] = [[] for _ in plan.cells]
    for one in measured:
        done[one.cell].append(sum(part.usage.operations for part in one.slices))
    return [median(counts) if counts else 0 for counts in done]


def _cpu_per_operation(measurement: Measurement) -> dict[int, float]:
    """Round -> nanoseconds of client CPU per operation."""
    return {
        part.round: part.usage.cpu_ns / part.usage.operations for part in measurement.slices if part.usage.operations
    }


def _percentile(quantile: float, measurement: Measurement) -> dict[int, float]:
    """The percentile over the whole block, nanoseconds, as if the block had a single round."""
    value = Histogram(measurement.latency).percentile(quantile)
    return {} if value is None else {0: value}


QUANTITIES: Final[Mapping[Metric, Quantity]] = {
    "time": partial(time_per_operation, paced=False),
    "cpu": _cpu_per_operation,
    **{metric: partial(_percentile, quantile) for metric, quantile in _QUANTILES.items()},
}


def total_us(metric: Metric, measured: Sequence[Measurement]) -> float | None:
    """The metric over all blocks of one arm in one cell, microseconds; None where nothing succeeded."""
    return _TOTALS[metric](measured)


def _per_operation_us(quantity: str, measured: Sequence[Measurement]) -> float | None:
    slices = [part for one in measured for part in one.slices]
    operations = sum(part.usage.operations for part in slices)
    return sum(getattr(part.usage, quantity) for part in slices) / operations / 1e3 if operations else None


def _percentile_us(quantile: float, measured: Sequence[Measurement]) -> float | None:
    latency = Histogram()
    for one in measured:
        latency.merge(Histogram(one.latency))
    value = latency.percentile(quantile)
    return None if value is None else value / 1e3


_TOTALS: Final[Mapping[Metric, Callable[[Sequence[Measurement]], float | None]]] = {
    "time": partial(_per_operation_us, "elapsed_ns"),
    "cpu": partial(_per_operation_us, "cpu_ns"),
    **{metric: partial(_percentile_us, quantile) for metric, quantile in _QUANTILES.items()},
}
