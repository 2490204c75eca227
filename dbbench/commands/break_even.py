"""The additional steps of a run with network latency: count round trips, and verify where drivers should tie."""

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from typing import Final

import msgspec

from dbbench.analysis import latency
from dbbench.analysis.places import by_place
from dbbench.analysis.rows import rows
from dbbench.child import WorkerFailedError
from dbbench.commands.wire.steps import Counting
from dbbench.engine.blocks import Blocks
from dbbench.engine.setup import Shape
from dbbench.engine.workers import Workers
from dbbench.plan import Cell, Effort, Plan
from dbbench.records import BreakEven, End, Header, Measurement, Run
from dbbench.relay.handle import RelayProcess
from dbbench.stats.paired import blocks_for_interval

MAX_CHECKED_S: Final = 0.2  # longest round-trip time worth checking: the driver hardly matters on slower networks
_COUNTED_OPERATIONS: Final = 20
_ROUNDS: Final = 10  # in a block of a check


def round_trips(workers: Workers, relay: RelayProcess) -> dict[str, list[float | None]]:
    """The round trips of an operation: arm -> by cell. None where they could not be counted.

    They do not depend on latency or sessions, so each scenario and layer is counted once.
    """
    counting = Counting(workers, relay, _COUNTED_OPERATIONS)
    found: dict[tuple[str, str, str], float | None] = {}
    for index, cell in enumerate(workers.plan.cells):
        for arm in workers.arms(index):
            place = cell.path, cell.layer, arm.name
            if place not in found:
                found[place] = None
                with suppress(WorkerFailedError):
                    found[place] = counting.row(index, arm.name).round_trips
    return {
        arm.name: [found.get((cell.path, cell.layer, arm.name)) for cell in workers.plan.cells]
        for arm in workers.plan.arms
    }


def checks(blocks: Blocks, header: Header, say: Callable[[str], None]) -> Iterator[BreakEven]:
    """Re-measure each driver and the baseline at the latency above which they should tie.

    It measures the number of blocks that an interval needs, but no more than the run had.
    """
    run = Run(header, blocks.measured, [], None)
    found = [
        (one, one.tie.rtt_s)
        for group in latency.effects(run, rows(run, by_place(run)))
        for one in group
        if one.tie is not None and one.tie.rtt_s and one.tie.rtt_s <= MAX_CHECKED_S
    ]
    if not found:
        return
    say("checking where drivers tie")
    workers, indexes = blocks.workers, [header.plan.cells.index(one.cell) for one, _ in found]
    at = [
        msgspec.structs.replace(workers.plan.cells[index], rtt_s=rtt_s)  # the header's cells lack the folders
        for index, (_, rtt_s) in zip(indexes, found, strict=True)
    ]
    plan = _plan(workers.plan, at, most=1 + max(one.block for one in blocks.measured))
    pairs = [(one.driver, one.baseline) for one, _ in found]
    excluded = {(number, arm.name) for number, pair in enumerate(pairs) for arm in plan.arms if arm.name not in pair}
    shapes = {number: Shape.of(_expected_ns(*each), at[number], plan) for number, each in enumerate(found)}
    own = Blocks(replace(workers, plan=plan, excluded=excluded), shapes, say=lambda _: None)
    measured = [record for record in own.blocks() if isinstance(record, Measurement)]
    end = End("complete", datetime.now(UTC).isoformat(timespec="seconds"), own.measured_s)
    check = Run(msgspec.structs.replace(header, plan=plan), measured, [], end)
    compared = iter(rows(check, by_place(check)))
    for index, (one, rtt_s) in zip(indexes, found, strict=True):  # a row for every arm
        row = next(row for row in [next(compared) for _ in plan.arms] if row.driver == one.driver)
        if row.ratio is not None:
            yield BreakEven(index, one.driver, rtt_s, row.ratio, row.ratio_low, row.ratio_high)


def _expected_ns(one: latency.Effect, rtt_s: float) -> float:
    """The expected time of an operation at this round-trip time, nanoseconds."""
    assert one.round_trips is not None
    return latency.time_s(latency.cost_s(one), one.round_trips, rtt_s) * 1e9


def _plan(plan: Plan, cells: list[Cell], most: int) -> Plan:
    """The run's plan for cells at the latencies to check, with at most `most` blocks."""
    needed = blocks_for_interval(family=len(cells) * plan.compared)  # as analysis.ratios.family counts them
    return msgspec.structs.replace(
        plan,
        cells=cells,
        rounds=[_ROUNDS] * len(cells),
        early=[],
        effort=Effort(blocks=min(needed, most)),
        seed=plan.seed + 1,
    )
