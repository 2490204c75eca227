"""Record blocks of identical arms: the data on which the tests of the statistics rest (tests/data/identical_arms.json).

    python benchmarks/identical_arms.py 200 tests/data/identical_arms.json      about 25 minutes

Each driver is measured against itself, in point reads at three layers with client and server on one CPU. A row of the
data is one driver at one layer, a block gives each row one value: ln(time per operation / the same arm again).
"""

import json
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Final

import msgspec

from dbbench import catalog, records
from dbbench.bench import Bench
from dbbench.compare import log_ratios
from dbbench.drivers import DEFAULT
from dbbench.environment import describe
from dbbench.gathering import Options, gathered
from dbbench.plan import Arm, Plan, Pool
from dbbench.progress import watcher
from dbbench.records import Measurement
from dbbench.setup import SetUp

ROUNDS: Final = 4
AGAIN: Final = " again"


def twice(plan: Plan) -> Plan:
    """Every driver as two arms."""
    arms = [Arm(f"{arm.name}{again}", arm.driver) for arm in plan.arms for again in ("", AGAIN)]
    return msgspec.structs.replace(plan, arms=arms, rounds=[ROUNDS] * len(plan.cells))


def record(blocks: int, seed: int) -> tuple[Plan, list[Measurement]]:
    """Measure; Ctrl-C keeps what there is."""
    options = Options(
        scenarios=[catalog.builtin()["point_reads"]], layers=["raw", "core", "orm"], sessions=[1],
        pool=Pool(1, 0), placement="shared", blocks=blocks, seed=seed,
    )  # fmt: skip
    measured: list[Measurement] = []
    with watcher(quiet=False) as watch, gathered(options, records.new_id(), watch, twice) as found:
        set_up = SetUp(found.crew, watch.say, watch.note)
        with ExitStack() as stack:
            for problem in set_up.run(found.described, found.crew.start_workers("set-up", stack), stack):
                watch.problem(problem.message)
        try:
            measured.extend(
                msgspec.structs.replace(one, latency={}, wait={}, query={})
                for one in Bench(found.crew, set_up.shapes, watch.say).blocks()
                if isinstance(one, Measurement)
            )
        except KeyboardInterrupt:
            watch.note("stopped")
    return found.crew.plan, measured


def main(blocks: int, path: Path) -> None:
    """Measure and write the file."""
    plan, measured = record(blocks, seed=20261123)
    rows, columns = [], []
    for index, cell in enumerate(plan.cells):
        for driver in DEFAULT:
            against = msgspec.structs.replace(plan, baseline=f"{driver}{AGAIN}")
            rows.append(f"{cell.scenario} {cell.layer} {driver}")
            columns.append(log_ratios(against, measured)[index, driver])
    machine = describe([])["machine"]
    document = {
        "machine": f"{machine.get('cpu_model_name', '?')}, {machine.get('cpu_count', '?')} CPUs, shared with others",
        "placement": plan.placement.mode,
        "rows": rows,
        "blocks": [
            [round(value, 5) for value in block if value is not None]
            for block in zip(*columns, strict=True)
            if None not in block
        ],
    }
    lines = ",\n".join(f"  {json.dumps(block)}" for block in document.pop("blocks"))
    head = ",\n".join(f" {json.dumps(name)}: {json.dumps(value)}" for name, value in document.items())
    path.write_text(f'{{\n{head},\n "blocks": [\n{lines}\n ]\n}}\n')


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]))
