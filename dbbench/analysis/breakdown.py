"""Where the time went, what failed, and what the layers add: from the records of a run to rows. Pure.

These stand beside the rows of rows.py, whose columns are fixed; here, too, nanoseconds become microseconds.
"""

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from statistics import median
from typing import Final

import msgspec

from dbbench.analysis.places import Places
from dbbench.analysis.rows import NS_PER_US, params_text
from dbbench.analysis.sqlstate import meaning
from dbbench.plan import Arm, Cell, Layer, Plan
from dbbench.records import Distribution, Measurement, Problem, Slice
from dbbench.stats.histogram import Histogram, value_of
from dbbench.stats.paired import median_interval

NS_PER_MS: Final = 1_000_000
BYTES_PER_MB: Final = 1_000_000
LAYERS: Final[tuple[Layer, ...]] = ("raw", "core", "orm", "app")  # from the lowest to the highest
NOT_RECORDED: Final = "not recorded"  # by the dbbench that wrote the file
IN_CHECK: Final = "in the check"  # before anything was measured
REFUSED: Final = "no measurement"  # the operations need not have failed


class Breakdown(msgspec.Struct, frozen=True):
    """Where the time of one arm in one cell went. These fields, in this order, are the columns of its CSV.

    None: unknown, or does not apply. The median of a sum is not the sum of medians: wait and query need not add up.
    """

    scenario: str
    layer: str
    sessions: int
    params: str
    driver: str  # the arm's name
    attempts: int  # operations that began: they succeeded or failed
    operations: int  # that succeeded
    errors: int
    not_started: int  # open loop: operations that were due but never begun; no attempts
    wait_p50_us: float | None  # for a connection: waiting for one and opening one; None where sessions hold theirs
    wait_p99_us: float | None
    query_p50_us: float | None  # the rest of the operation
    query_p99_us: float | None
    service_p50_us: float | None  # open loop: from when the operation began
    service_p99_us: float | None
    service_p999_us: float | None
    service_max_us: float | None  # of the histogram, so within 0.4%
    lag_p50_us: float | None  # open loop: from when the operation was due to when it began
    lag_p99_us: float | None
    connects_per_1000: float | None  # connections opened per 1,000 checkouts; None where sessions hold theirs
    user_us_per_op: float | None  # CPU of the client outside the kernel; None in an open loop, which spins until due
    system_us_per_op: float | None  # CPU of the client in the kernel
    loop_lag_p99_ms: float | None  # async drivers: how late timers ran; asyncio's timers resolve 1 ms
    peak_mb: float | None  # of the client process, resident, the largest of all blocks; millions of bytes


class Failure(msgspec.Struct, frozen=True):
    """How many operations of one arm in one cell failed in one way: a line of the ledger of errors."""

    scenario: str
    layer: str
    sessions: int
    params: str
    driver: str
    code: str  # SQLSTATE or the exception's class; empty where it was not recorded
    meaning: str  # of the SQLSTATE's class; empty for exceptions; begins with IN_CHECK where the arm was left out
    operations: int


class LayerTax(msgspec.Struct, frozen=True):
    """What one layer adds to the lowest that was measured, for one arm in one scenario.

    Time per operation is elapsed time / operations, or the mean latency where the pace is set (see `Plan.paced`).
    """

    scenario: str
    sessions: int
    params: str
    driver: str
    base: str  # the lowest layer that was measured
    layer: str  # the one above it that this is about
    base_us: float | None  # per operation, from totals
    layer_us: float | None
    added_us: float | None
    ratio: float | None  # layer / base: the median over blocks, so it need not be the quotient of the totals
    ratio_low: float | None  # 95% interval, of this ratio alone
    ratio_high: float | None


# --- where the time goes ---------------------------------------------------------------------------------------------


def breakdown(plan: Plan, cell: Cell, arm: Arm, measured: Sequence[Measurement]) -> Breakdown:
    """Break down the time of an arm in a cell."""
    slices = _slices(measured)
    operations, errors = sum(part.usage.operations for part in slices), sum(part.usage.errors for part in slices)
    wait = _merged(measurement.wait for measurement in measured)
    query = _merged(measurement.query for measurement in measured)
    service = _merged(measurement.service for measurement in measured)
    lag = _merged(measurement.lag for measurement in measured)
    peak = max((measurement.peak_bytes for measurement in measured), default=0)
    # Files of earlier versions have neither, and zeros that nobody counted.
    detailed = bool(peak or query.total)
    user_us, system_us = _cpu_us(slices, operations) if detailed and plan.load.rate is None else (None, None)
    return Breakdown(
        scenario=cell.scenario,
        layer=cell.layer,
        sessions=cell.sessions,
        params=params_text(cell),
        driver=arm.name,
        attempts=operations + errors,
        operations=operations,
        errors=errors,
        not_started=sum(part.usage.not_started for part in slices),
        wait_p50_us=_percentile(wait, 0.5, NS_PER_US),
        wait_p99_us=_percentile(wait, 0.99, NS_PER_US),
        query_p50_us=_percentile(query, 0.5, NS_PER_US),
        query_p99_us=_percentile(query, 0.99, NS_PER_US),
        service_p50_us=_percentile(service, 0.5, NS_PER_US),
        service_p99_us=_percentile(service, 0.99, NS_PER_US),
        service_p999_us=_percentile(service, 0.999, NS_PER_US),
        service_max_us=value_of(max(service.counts)) / NS_PER_US if service.counts else None,
        lag_p50_us=_percentile(lag, 0.5, NS_PER_US),
        lag_p99_us=_percentile(lag, 0.99, NS_PER_US),
        connects_per_1000=_connects(slices, operations + errors)
        if detailed and arm.connections.checkout == "request"
        else None,
        user_us_per_op=user_us,
        system_us_per_op=system_us,
        loop_lag_p99_ms=_percentile(_merged(measurement.loop_lag for measurement in measured), 0.99, NS_PER_MS),
        peak_mb=peak / BYTES_PER_MB if peak else None,
    )


def _merged(distributions: Iterable[Distribution]) -> Histogram:
    merged = Histogram()
    for counts in distributions:
        merged.merge(Histogram(counts))
    return merged


def _percentile(histogram: Histogram, q: float, unit_ns: int) -> float | None:
    value = histogram.percentile(q)
    return None if value is None else value / unit_ns


def _cpu_us(slices: Sequence[Slice], operations: int) -> tuple[float | None, float | None]:
    """The client's CPU time per operation: outside the kernel, and in it."""
    if not operations:
        return None, None
    system = sum(part.usage.system_ns for part in slices)
    user = max(0, sum(part.usage.cpu_ns for part in slices) - system)  # two clocks: one may lead the other by a tick
    return user / operations / NS_PER_US, system / operations / NS_PER_US


def _connects(slices: Sequence[Slice], checkouts: int) -> float | None:
    return 1000 * sum(part.usage.connects for part in slices) / checkouts if checkouts else None


# --- what failed -----------------------------------------------------------------------------------------------------


def failures(cell: Cell, arm: Arm, measured: Sequence[Measurement], problems: Sequence[Problem] = ()) -> list[Failure]:
    """The ledger of errors of an arm in a cell: what failed in its check, then the rest, the most frequent code first.

    The operations of the run add up to the errors of the row: those without a code, as in a file of an earlier version,
    get a line that says so.
    """
    in_check = [
        (problem.code, ": ".join(filter(None, [IN_CHECK, _meaning(problem)])), problem.operations)
        for problem in problems
        if problem.operations
    ]
    return [
        Failure(cell.scenario, cell.layer, cell.sessions, params_text(cell), arm.name, code, said, operations)
        for code, said, operations in (*in_check, *_ledger(measured))
    ]


def _meaning(problem: Problem) -> str:
    return meaning(problem.code) if problem.code else REFUSED


def _ledger(measured: Sequence[Measurement]) -> list[tuple[str, str, int]]:
    """How many operations failed by code, with what the code means."""
    counts = Counter[str]()
    for measurement in measured:
        counts.update(measurement.failures)
    lines = [
        (code, meaning(code), operations)
        for code, operations in sorted(counts.items(), key=lambda item: (-item[1], item[0]))
        if operations
    ]
    if (rest := sum(part.usage.errors for part in _slices(measured)) - counts.total()) > 0:
        lines.append(("", NOT_RECORDED, rest))
    return lines


# --- what the layers add ---------------------------------------------------------------------------------------------


def layer_tax(plan: Plan, measured: Places) -> list[LayerTax]:
    """Compare the layers of a scenario, by scenario, sessions and parameters, then by arm, then from the lowest up."""
    groups: dict[tuple[str, str, int, str], dict[str, int]] = {}  # to the index of each layer's cell
    for index, cell in enumerate(plan.cells):
        group = groups.setdefault((cell.path, cell.scenario, cell.sessions, params_text(cell)), {})
        group.setdefault(cell.layer, index)
    taxes: list[LayerTax] = []
    for (_, scenario, sessions, params), group in groups.items():
        base, *above = [layer for layer in LAYERS if layer in group]
        for arm in plan.arms:
            lowest = measured[group[base], arm.name]
            for layer in above:
                figures = _tax(lowest, measured[group[layer], arm.name], paced=plan.paced)
                taxes.append(LayerTax(scenario, sessions, params, arm.name, base, layer, **figures))
    return taxes


def _tax(lowest: Sequence[Measurement], higher: Sequence[Measurement], *, paced: bool) -> dict[str, float | None]:
    base_ns = _time_per_operation(_slices(lowest), paced=paced)
    layer_ns = _time_per_operation(_slices(higher), paced=paced)
    # A block at a time: what slows the machine down for a while strikes both layers. Their rounds are no neighbours.
    base_of = {
        measurement.block: time
        for measurement in lowest
        if (time := _time_per_operation(measurement.slices, paced=paced))
    }
    logs = [
        math.log(time / base_of[measurement.block])
        for measurement in higher
        if measurement.block in base_of and (time := _time_per_operation(measurement.slices, paced=paced))
    ]
    low, high = median_interval(logs) or (None, None)
    return {
        "base_us": None if base_ns is None else base_ns / NS_PER_US,
        "layer_us": None if layer_ns is None else layer_ns / NS_PER_US,
        "added_us": None if base_ns is None or layer_ns is None else (layer_ns - base_ns) / NS_PER_US,
        "ratio": math.exp(median(logs)) if logs else None,
        "ratio_low": None if low is None else math.exp(low),
        "ratio_high": None if high is None else math.exp(high),
    }


def _time_per_operation(slices: Sequence[Slice], *, paced: bool) -> float | None:
    """Nanoseconds per operation, from totals; None where there are none."""
    operations = sum(part.usage.operations for part in slices)
    time = sum(part.usage.latency_ns if paced else part.usage.elapsed_ns for part in slices)
    return time / operations if operations and time else None


def _slices(measured: Iterable[Measurement]) -> list[Slice]:
    return [part for measurement in measured for part in measurement.slices]
