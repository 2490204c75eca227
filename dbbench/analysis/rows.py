"""From the records of a run to the rows that reports show: one per cell and arm. Pure.

Here nanoseconds become microseconds, and only here.
"""

from collections.abc import Iterable, Sequence
from typing import Final

import msgspec

from dbbench.analysis.places import Places
from dbbench.analysis.ratios import blocks, family
from dbbench.plan import Arm, Cell
from dbbench.records import Measurement, Problem, Run
from dbbench.stats.histogram import Histogram
from dbbench.stats.paired import Judgement, Verdict
from dbbench.stats.sequential import judgements

NS_PER_S: Final = 1_000_000_000
NS_PER_US: Final = 1_000


class CellRow(msgspec.Struct, frozen=True):
    """One arm in one cell. These fields, in this order, are the columns of the CSV and the keys of a JSON cell.

    None: unknown. Times are of operations that succeeded.
    """

    scenario: str
    layer: str
    sessions: int
    params: str
    driver: str  # the arm's name
    placement: str
    blocks: int  # in which the arm succeeded at least once
    operations: int  # that succeeded
    errors: int
    ops_per_second: float | None
    mean_us: float | None
    p50_us: float | None
    p90_us: float | None
    p95_us: float | None
    p99_us: float | None
    p999_us: float | None
    max_us: float | None
    cpu_us_per_op: float | None  # of the client process
    ratio: float | None  # time per operation relative to the baseline: below 1 is faster, 1 is the baseline itself
    ratio_low: float | None  # ends of its interval; those of all rows hold at once (see stats/paired.py)
    ratio_high: float | None
    verdict: Verdict


Value = str | int | float | None
COLUMNS: Final = CellRow.__struct_fields__


def rows(run: Run, places: Places) -> list[CellRow]:
    """Compare every arm with the baseline in every cell: cells in the plan's order, in each the arms in the plan's."""
    plan = run.header.plan
    judged = judgements(
        blocks(plan, run.measurements),
        family(plan),
        adaptive=plan.adaptive,
        precision=plan.effort.precision,
        early=plan.early,
    )
    return [
        _row(run, index, arm, places[index, arm.name], judged.get((index, arm.name)))
        for index in range(len(plan.cells))
        for arm in plan.arms
    ]


def params_text(cell: Cell) -> str:
    """Write the parameters as they are given on the command line, and the way to the server: rows=10000 rtt=5ms."""
    return " ".join(filter(None, [*(f"{name}={value}" for name, value in cell.params.items()), cell.way]))


def _row(run: Run, index: int, arm: Arm, measured: Sequence[Measurement], judged: Judgement | None) -> CellRow:
    plan = run.header.plan
    cell = plan.cells[index]
    slices = [part for measurement in measured for part in measurement.slices]
    operations = sum(part.usage.operations for part in slices)
    elapsed_ns = sum(part.usage.elapsed_ns for part in slices)
    ratio, interval, verdict = _comparison(run, index, arm, measured, judged)
    low, high = interval or (None, None)
    return CellRow(
        scenario=cell.scenario,
        layer=cell.layer,
        sessions=cell.sessions,
        params=params_text(cell),
        driver=arm.name,
        placement=plan.placement.mode,
        blocks=sum(any(part.usage.operations for part in measurement.slices) for measurement in measured),
        operations=operations,
        errors=sum(part.usage.errors for part in slices),
        ops_per_second=operations * NS_PER_S / elapsed_ns if operations and elapsed_ns else None,
        # In an open loop the client also spends CPU on beginning in time.
        cpu_us_per_op=(
            sum(part.usage.cpu_ns for part in slices) / operations / NS_PER_US
            if operations and plan.load.rate is None
            else None
        ),
        ratio=ratio,
        ratio_low=low,
        ratio_high=high,
        verdict=verdict,
        **latencies(measured),
    )


def latencies(measured: Iterable[Measurement]) -> dict[str, float | None]:
    """The fields `mean_us` to `max_us` of `CellRow`, over all blocks."""
    latency = Histogram()
    sum_ns = max_ns = 0
    for measurement in measured:
        latency.merge(Histogram(measurement.latency))
        sum_ns += measurement.sum_ns
        max_ns = max(max_ns, measurement.max_ns)
    total = latency.total

    def percentile_us(q: float) -> float | None:
        # A bucket's midpoint may lie beyond the largest value in it.
        value = latency.percentile(q)
        return None if value is None else min(value, max_ns) / NS_PER_US

    return {
        "mean_us": sum_ns / total / NS_PER_US if total else None,
        "p50_us": percentile_us(0.5),
        "p90_us": percentile_us(0.9),
        "p95_us": percentile_us(0.95),
        "p99_us": percentile_us(0.99),
        "p999_us": percentile_us(0.999),
        "max_us": max_ns / NS_PER_US if total else None,
    }


def _comparison(
    run: Run, index: int, arm: Arm, measured: Sequence[Measurement], judged: Judgement | None
) -> tuple[float | None, tuple[float, float] | None, Verdict]:
    """The ratio, its interval and the verdict; `judged` is what the numbers alone say, if they say anything."""
    if any(_concerns(problem, run, index, arm) for problem in run.problems if problem.kind == "not comparable"):
        return None, None, Verdict.NOT_COMPARABLE
    if not any(part.usage.operations for measurement in measured for part in measurement.slices):
        return None, None, Verdict.NOT_MEASURED if _left_out(run, index, arm, measured) else Verdict.FAILED
    if arm.name == run.header.plan.baseline_of(index, arm.name):
        return 1.0, None, Verdict.BASELINE
    if judged is None:  # no block has a pair
        return None, None, Verdict.UNDECIDED
    return judged.ratio, judged.interval, judged.verdict


def _left_out(run: Run, index: int, arm: Arm, measured: Sequence[Measurement]) -> bool:
    """Whether nothing had gone wrong with the arm: the run ended before, or there was nothing to compare it with."""
    if measured:
        return False
    if any(problem.kind == "disturbed" and _is_there(problem, run, index) for problem in run.problems):
        return True
    harmless = ("server lost", "different", "outage")
    there = [problem for problem in run.problems if problem.kind not in harmless and _is_there(problem, run, index)]
    if all(problem.arm not in (None, arm.name) for problem in there) and there:
        return not any(one.cell == index for one in run.measurements)
    return not there and run.status not in ("complete", "degraded")


def _concerns(problem: Problem, run: Run, index: int, arm: Arm) -> bool:
    """Whether the problem is about this arm in this cell; one of the baseline is about every arm."""
    concerned = (None, arm.name, run.header.plan.baseline_of(index, arm.name))
    return problem.arm in concerned and _is_there(problem, run, index)


def _is_there(problem: Problem, run: Run, index: int) -> bool:
    """Whether the problem is about this cell."""
    if problem.cell is not None:
        return problem.cell == index
    return problem.scenario in ("", run.header.plan.cells[index].scenario)
