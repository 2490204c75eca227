"""What it would take to decide the rest: the rows that a run with a budget has left undecided."""

import math
from collections import Counter
from collections.abc import Sequence
from typing import Final

from dbbench.analysis.rows import CellRow
from dbbench.records import Run
from dbbench.stats.paired import Verdict, blocks_for_verdict
from dbbench.wording import are, count

_STEP_S: Final = 10  # to which an estimate is rounded up
_LONG_S: Final = 3600


def rest(run: Run, rows: Sequence[CellRow]) -> list[str]:
    """A line about the rows that are undecided and have an interval, if there are any.

    Their cells alone would go on, so the time is estimated from each cell's share of the time inside slices.
    """
    plan = run.header.plan
    inside_ns = Counter[int]()
    for measurement in run.measurements:
        inside_ns[measurement.cell] += sum(part.usage.elapsed_ns for part in measurement.slices)
    longer: dict[int, float] = {}  # cell -> how many times the blocks that it has had
    undecided = 0
    for number, row in enumerate(rows):
        if row.verdict is not Verdict.UNDECIDED or row.ratio is None or row.ratio_low is None or row.ratio_high is None:
            continue
        undecided += 1
        needed = blocks_for_verdict(row.blocks, row.ratio, (row.ratio_low, row.ratio_high))
        cell = number // len(plan.arms)
        longer[cell] = max(longer.get(cell, 1.0), needed / row.blocks)
    if not undecided or plan.effort.budget_s is None or run.end is None or not inside_ns.total():
        return []
    shares = {cell: inside_ns[cell] / inside_ns.total() for cell in longer}
    more_s = run.end.measured_s * sum(shares[cell] * (times - 1) for cell, times in longer.items())
    said = f"{count(undecided, 'row')} {are(undecided)} undecided: "
    if more_s > _LONG_S:
        return [f"{said}more than an hour would be needed to tell"]
    return [f"{said}about {_up(more_s)} s more would tell; --budget {_up(run.end.measured_s + more_s)}"]


def _up(seconds: float) -> int:
    return _STEP_S * math.ceil(seconds / _STEP_S)
