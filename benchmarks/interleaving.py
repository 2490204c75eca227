"""How far two identical arms seem to differ, depending on the length of their turns and on where their processes run.

    python benchmarks/interleaving.py            about three minutes; a table of docs/evidence.md

The same driver twice, point reads through Core, one session. Each line takes the same time. The difference is that
between the two totals, as seen by someone who runs one benchmark after the other (one turn each), or in turns; the
table has the smallest and the largest of several repetitions.
"""

import random
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Final

import msgspec
from rich.console import Console

from dbbench import catalog, result_file
from dbbench.cli.progress import watcher
from dbbench.engine.opening import opened
from dbbench.engine.options import Options
from dbbench.engine.setup import SetUp
from dbbench.engine.workers import Workers
from dbbench.plan import Arm, Connections, Effort, Load, PlacementMode, Plan, Pool

SECONDS: Final = 1.5  # of each arm, in one repetition
REPETITIONS: Final = 5
TURNS: Final = (1, 10, 60)  # of each arm
PLACEMENTS: Final[tuple[PlacementMode, ...]] = ("free", "split", "shared")


def twice(plan: Plan) -> Plan:
    """The plan with the driver as two arms."""
    return msgspec.structs.replace(plan, arms=[Arm("psycopg", "psycopg"), Arm("again", "psycopg")])


def lines() -> Iterator[list[str]]:
    """The lines of the table, one for each placement and number of turns."""
    for placement in PLACEMENTS:
        options = Options(
            scenarios=[catalog.builtin()["point_reads"]], drivers=["psycopg"], layers=["core"], load=Load(sessions=[1]),
            connections=Connections(Pool(1, 0)), placement=placement, effort=Effort(seed=1),
        )  # fmt: skip
        with (
            watcher(quiet=True) as watch,
            opened(options, result_file.new_id(), watch, twice) as found,
            ExitStack() as stack,
        ):
            set_up = SetUp(found.workers, watch.say, watch.note)
            with ExitStack() as first:
                found.workers.start("set-up", first)
                for problem in set_up.run(found.described, first):
                    raise SystemExit(problem.message)
            workers = found.workers
            workers.start(0, stack)
            (cell,) = workers.plan.cells
            for arm in workers.running:
                workers.open(cell, arm)
                workers.warm_up(cell, arm, "warm")
            operations = int(SECONDS * 1e9 / min(set_up.per_operation_ns.values()))
            for turns in TURNS:
                found_ratios = [ratio(workers, operations // turns, turns) for _ in range(REPETITIONS)]
                differences = sorted(100 * (each - 1) for each in found_ratios)
                slice_ms = 1000 * SECONDS / turns
                yield [placement, f"{slice_ms:,.0f} ms", f"{differences[0]:+.1f}% to {differences[-1]:+.1f}%"]


def ratio(workers: Workers, operations: int, turns: int) -> float:
    """Time of one arm / time of the other, in this number of turns each, in random order."""
    elapsed = dict.fromkeys(workers.running, 0)
    for turn in range(turns):
        for name in random.sample(list(workers.running), 2):
            elapsed[name] += workers.slice(name, operations, f"{turn}", lead_in=10).usage.elapsed_ns
    one, other = elapsed["psycopg"], elapsed["again"]
    return one / other


if __name__ == "__main__":
    console = Console(width=100)
    console.print("| placement | turns of | difference of identical arms |")
    console.print("|---|---|---|")
    for line in lines():
        console.print(f"| {' | '.join(line)} |", highlight=False)
