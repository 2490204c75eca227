"""The run as it went: what each slice did, or in an open loop each second of it, by when it was (pure)."""

from collections.abc import Iterator

import msgspec

from dbbench.analysis.places import Places
from dbbench.analysis.rows import NS_PER_S, NS_PER_US, params_text
from dbbench.plan import Cell, Plan
from dbbench.records import Measurement, Slice


class Point(msgspec.Struct, frozen=True):
    """One arm in one cell for a while. These fields, in this order, are the columns of the CSV.

    Of several processes it is what they did together. None: unknown, or does not apply.
    """

    scenario: str
    layer: str
    sessions: int
    params: str
    driver: str  # the arm's name
    block: int
    slice: int  # 0-based among all slices of the cell in this block
    second: int | None  # open loop: 0-based in the slice, by when operations were due; None: the whole slice
    began_s: float  # from the start of the first block
    seconds: float  # how long it lasted
    operations: int  # that succeeded
    errors: int | None  # None: not known for a second by itself
    ops_per_second: float | None
    mean_us: float | None  # the three percentiles where there are enough operations for them
    p50_us: float | None
    p95_us: float | None
    p99_us: float | None
    max_us: float | None
    disturbed: bool  # whether the block is left out of the verdict


def series(plan: Plan, places: Places) -> list[Point]:
    """All points, in the order of time."""
    points = [
        point
        for index, cell in enumerate(plan.cells)
        for arm in plan.arms
        for one in places[index, arm.name]
        for part in one.slices
        for point in _points(cell, one, part)
    ]
    return sorted(points, key=lambda point: (point.began_s, point.block, point.slice, point.driver))


def _points(cell: Cell, one: Measurement, part: Slice) -> Iterator[Point]:
    """The seconds of a slice, the last of which may be a part of one, or the slice."""
    usage, began_s = part.usage, part.began_ns / NS_PER_S
    lasted_s = usage.elapsed_ns / NS_PER_S
    whole = Point(
        scenario=cell.scenario,
        layer=cell.layer,
        sessions=cell.sessions,
        params=params_text(cell),
        driver=one.arm,
        block=one.block,
        slice=part.position,
        second=None,
        began_s=began_s,
        seconds=lasted_s,
        operations=usage.operations,
        errors=usage.errors,
        ops_per_second=usage.operations / lasted_s if lasted_s else None,
        mean_us=_us(usage.latency_ns / usage.operations) if usage.operations and usage.latency_ns else None,
        p50_us=None,
        p95_us=None,
        p99_us=None,
        max_us=None,
        disturbed=bool(one.disturbed),
    )
    if not part.seconds:
        yield whole
    for each in part.seconds:
        left_s = lasted_s - each.second
        seconds = left_s if 0 < left_s < 1 else 1.0
        yield msgspec.structs.replace(
            whole,
            second=each.second,
            began_s=began_s + each.second,
            seconds=seconds,
            operations=each.operations,
            errors=None,
            ops_per_second=float(each.operations) if seconds == 1.0 else None,  # too short for a rate
            mean_us=_us(each.sum_ns / each.operations) if each.operations else None,
            p50_us=_us(each.p50_ns),
            p95_us=_us(each.p95_ns),
            p99_us=_us(each.p99_ns),
            max_us=_us(each.max_ns) if each.operations else None,
        )


def _us(time_ns: float | None) -> float | None:
    return None if time_ns is None else time_ns / NS_PER_US
