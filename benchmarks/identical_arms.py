"""Record blocks of identical arms: the data for the tests of the statistics (tests/data/).

    python benchmarks/identical_arms.py 204 tests/data/identical_arms.json                        about 16 minutes
    python benchmarks/identical_arms.py 204 tests/data/identical_arm.json 30 raw psycopg          about 6 minutes

Each driver is measured against itself, in point reads with client and server on one CPU: by default three drivers at
three layers with eight rounds in a block, as in a run of a minute. A row of the data is one driver at one layer; each
block contributes one value to each row: ln(time per operation / that of the same arm again).
"""

import json
import sys
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Final

import msgspec

from dbbench import catalog, result_file
from dbbench.analysis.ratios import log_ratios
from dbbench.cli.progress import watcher
from dbbench.cli.values import layers as named_layers
from dbbench.drivers import DEFAULT
from dbbench.engine.blocks import Blocks
from dbbench.engine.machine import describe
from dbbench.engine.opening import opened
from dbbench.engine.options import Options
from dbbench.engine.setup import SetUp
from dbbench.plan import Connections, Effort, Layer, Load, Plan, Pool
from dbbench.records import Measurement

AGAIN: Final = " again"
SEED: Final = 20261123


def twice(plan: Plan, rounds: int) -> Plan:
    """The plan with every driver as two arms."""
    arms = [msgspec.structs.replace(arm, name=f"{arm.name}{again}") for arm in plan.arms for again in ("", AGAIN)]
    return msgspec.structs.replace(plan, arms=arms, rounds=[rounds] * len(plan.cells))


def record(blocks: int, rounds: int, layers: list[Layer], drivers: list[str]) -> tuple[Plan, list[Measurement]]:
    """Measure; Ctrl-C ends it early and keeps the blocks so far."""
    options = Options(
        scenarios=[catalog.builtin()["point_reads"]], drivers=drivers, baseline=drivers[0], layers=layers,
        load=Load(sessions=[1]),
        connections=Connections(Pool(1, 0)), placement="shared", effort=Effort(blocks=blocks, seed=SEED),
    )  # fmt: skip
    measured: list[Measurement] = []
    with (
        watcher(quiet=False) as watch,
        opened(options, result_file.new_id(), watch, partial(twice, rounds=rounds)) as found,
    ):
        set_up = SetUp(found.workers, watch.say, watch.note)
        with ExitStack() as stack:
            found.workers.start("set-up", stack)
            for problem in set_up.run(found.described, stack):
                watch.problem(problem.message)
        try:
            measured.extend(
                msgspec.structs.replace(one, latency={}, wait={}, query={})
                for one in Blocks(found.workers, set_up.shapes, watch.say).blocks()
                if isinstance(one, Measurement)
            )
        except KeyboardInterrupt:
            watch.note("stopped")
    return found.workers.plan, measured


def main(
    blocks: str, path: str, rounds: str = "8", layers: str = "raw,core,orm", drivers: str = ",".join(DEFAULT)
) -> None:
    """Measure and write the file."""
    plan, measured = record(int(blocks), int(rounds), named_layers([layers]) or [], drivers.split(","))
    rows, columns = [], []
    for index, cell in enumerate(plan.cells):
        for driver in drivers.split(","):
            against = msgspec.structs.replace(plan, baseline=f"{driver}{AGAIN}")
            rows.append(f"{cell.scenario} {cell.layer} {driver}")
            columns.append(log_ratios(against, measured)[index, driver])
    machine = describe([])["machine"]
    head = {
        "machine": f"{machine.get('cpu_model_name', '?')}, {machine.get('cpu_count', '?')} CPUs, shared with others",
        "placement": plan.placement.mode,
        "rounds": int(rounds),
        "rows": rows,
    }
    blocks_ = [[round(value, 5) for value in block] for block in zip(*columns, strict=True) if None not in block]
    above = ",\n".join(f" {json.dumps(name)}: {json.dumps(value)}" for name, value in head.items())
    below = ",\n".join(f"  {json.dumps(block)}" for block in blocks_)
    Path(path).write_text(f'{{\n{above},\n "blocks": [\n{below}\n ]\n}}\n')


if __name__ == "__main__":
    main(*sys.argv[1:])
