"""How far this machine can be trusted, measured with the engine that measures drivers.

harness overhead   dbbench's own loop against a bare hand-written one of the same driver, interleaved like two arms
noise floor        two identical arms: how wide the interval of their ratio is, how often resampled tables are wrong
sensitivity        the smallest slow-down that would be found; one of known size is injected and measured, too
pgbench            PostgreSQL's own C client on the same query, in turns with a driver
"""

import contextlib
import itertools
import math
import os
import random
import re
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from statistics import median
from typing import Final

import msgspec

from dbbench import __version__, result_file
from dbbench.child import worker_environment
from dbbench.commands.recording import Ended, recording
from dbbench.commands.selfcheck import kept
from dbbench.commands.selfcheck.result import self_check
from dbbench.commands.selfcheck.stages import RUN_S, Stage, measure, options, set_up
from dbbench.drivers import DRIVERS as ALL_DRIVERS
from dbbench.drivers import PRESETS
from dbbench.drivers.point_read import QUERY
from dbbench.engine import machine
from dbbench.engine.exclusive import exclusive
from dbbench.engine.watcher import Watcher
from dbbench.engine.workers import Workers
from dbbench.errors import DbbenchError
from dbbench.plan import Arm, Connections, Layer, PlacementMode, Plan, Pool
from dbbench.records import Finding, NoiseFloor, Overhead, Pgbench, Problem, SelfChecked, SelfCheckHeader, Sensitivity
from dbbench.server.embedded import find_package
from dbbench.server.supervisors.postgres import Binaries
from dbbench.stats.centre import Block, centre
from dbbench.stats.paired import ERROR, Verdict, half_width, judge

DRIVERS: Final = PRESETS["all"]
FLOOR_DRIVER: Final = "psycopg"
FLOOR_LAYER: Final[Layer] = "raw"  # the least noisy: how an SQLAlchemy process lies in memory differs by more
PLACEMENTS: Final[tuple[PlacementMode, ...]] = ("shared", "split")
STAGE_S: Final = 30.0
RAW_STAGES: Final = 2.5  # times the seconds of a stage: eight arms with one session and with ten
SQLALCHEMY_STAGES: Final = 2.0  # eight arms at two layers
INJECTED_STAGES: Final = 0.5
INJECTED: Final = 0.05  # of an operation's time, roughly, as a busy-wait; how much it was is known afterwards
POWER: Final = 0.95
TABLES: Final = 400  # resampled
TABLE_ROWS: Final = 9  # of a resampled table: three scenarios, three drivers
TABLE_BLOCKS: Final = 12
OVERHEAD_SESSIONS: Final = (1, 10)
HELD: Final = Connections(Pool(10, 0), checkout="session", tx_end="autocommit")  # as bare loops and pgbench have it
PGBENCH_DRIVER: Final = "psycopg-sync"
PGBENCH_PAIRS: Final = 12
PGBENCH_OPERATIONS: Final = 2_000
_PGBENCH_TIMEOUT_S: Final = 60.0


def run(watch: Watcher, stage_s: float = STAGE_S, *, seed: int | None = None, output: Path | None = None) -> Ended:
    """Measure everything, with `stage_s` seconds for each noise floor and in proportion for the rest.

    Takes 7.5 times that, and half a minute. Writes the result file as it goes. Raises DbbenchError, and leaves no file,
    when nothing could be measured at all.
    """
    started, run_id = datetime.now(UTC), result_file.new_id()
    with recording(output, started, run_id, watch) as journal, exclusive(watch) as is_alone:
        distributions = [name for driver in DRIVERS for name in ALL_DRIVERS[driver].distributions]
        environment = {**machine.describe(dict.fromkeys(distributions)), "other_runs": not is_alone}
        began = started.isoformat(timespec="seconds")
        journal.write(SelfCheckHeader(result_file.SCHEMA, run_id, began, __version__, environment, stage_s, seed))
        for record in _found(watch, stage_s, seed):
            journal.write(record)
    _keep(journal.path, watch)
    return Ended(journal.path, journal.exit_code)


def _keep(path: Path, watch: Watcher) -> None:
    """Keep the result for the runs that come after it, if it is whole."""
    stored = result_file.read_any(path)
    assert isinstance(stored, SelfChecked)
    found = self_check(stored)
    if found.finished and not kept.keep(found):
        watch.note(f"the result could not be kept in {kept.path()}: later runs cannot be compared with it")


def _found(watch: Watcher, stage_s: float, seed: int | None) -> Iterator[Finding | Problem]:
    """Everything that is found, as it is found."""
    stages = [
        _raw_overhead(watch, RAW_STAGES * stage_s, seed),
        _sqlalchemy_overhead(watch, SQLALCHEMY_STAGES * stage_s, seed),
        *(_floor(watch, placement, stage_s, seed) for placement in PLACEMENTS),
        _pgbench(watch, seed),
    ]
    for record in itertools.chain.from_iterable(stages):
        # The file has no plan into which a cell could point.
        yield msgspec.structs.replace(record, cell=None) if isinstance(record, Problem) else record


# --- harness overhead ------------------------------------------------------------------------------------------------


def _with_bare(plan: Plan) -> Plan:
    arms = [arm for one in plan.arms for arm in (one, Arm(_bare(one.name), one.driver, one.connections, bare=True))]
    return msgspec.structs.replace(plan, arms=arms, early_end=False)


def _bare(driver: str) -> str:
    return f"{driver} bare"


def _raw_overhead(watch: Watcher, seconds: float, seed: int | None) -> Iterator[Overhead | Problem]:
    watch.say("harness overhead, raw")
    asked = options(["raw"], DRIVERS, "shared", seed, HELD, budget_s=seconds, sessions=OVERHEAD_SESSIONS)
    yield from _overheads(measure(asked, watch, _with_bare))


def _sqlalchemy_overhead(watch: Watcher, seconds: float, seed: int | None) -> Iterator[Overhead | Problem]:
    watch.say("harness overhead, Core and ORM")
    asked = options(["core", "orm"], DRIVERS, "shared", seed, budget_s=seconds)
    yield from _overheads(measure(asked, watch, _with_bare))


def _overheads(stage: Stage) -> Iterator[Overhead | Problem]:
    yield from stage.problems
    for index, cell in enumerate(stage.plan.cells):
        for driver in DRIVERS:
            logs = stage.logs(driver, _bare(driver), index)
            if logs:
                low, high = _interval(logs)
                yield Overhead(driver, cell.layer, math.exp(median(logs)), low, high, cell.sessions)


# --- noise floor and sensitivity -------------------------------------------------------------------------------------

_SAME: Final = "the same again"
_SLOWED: Final = "slowed"


def _floor(
    watch: Watcher, placement: PlacementMode, seconds: float, seed: int | None
) -> Iterator[NoiseFloor | Sensitivity | Problem]:
    """Two identical arms for so many seconds, then one that is slowed down for half as many."""
    watch.say(f"noise floor, {placement}")
    asked = options([FLOOR_LAYER], [FLOOR_DRIVER], placement, seed, budget_s=seconds)
    stage = measure(asked, watch, partial(_two_arms, _SAME, 0))
    same = stage.logs(_SAME, FLOOR_DRIVER)
    busy_ns = round(INJECTED * stage.time_per_operation_ns(FLOOR_DRIVER))
    slowed_options = replace(asked, effort=msgspec.structs.replace(asked.effort, budget_s=seconds * INJECTED_STAGES))
    slowed = measure(slowed_options, watch, partial(_two_arms, _SLOWED, busy_ns))
    slow = slowed.logs(_SLOWED, FLOOR_DRIVER)
    yield from (*stage.problems, *slowed.problems)
    if not same or not slow:
        raise DbbenchError("the noise floor could not be measured")
    ratio, (low, high) = math.exp(median(same)), _interval(same)
    found_low, found_high = _interval(slow)
    rng = random.Random(f"{stage.plan.seed}/resample")
    floor = NoiseFloor(
        placement=stage.plan.placement.mode,
        half_width=None if low is None or high is None else half_width(ratio, (low, high)),
        false_alarm_rate=false_alarm_rate(same, rng),
        seconds=stage.seconds,
        blocks=len(same),
        block_sd=_spread(same),
        injected=busy_ns / slowed.time_per_operation_ns(FLOOR_DRIVER),
        measured=math.exp(median(slow)) - 1,
        measured_low=None if found_low is None else found_low - 1,
        measured_high=None if found_high is None else found_high - 1,
    )
    blocks = max(1, int(RUN_S * len(same) / stage.seconds))
    yield floor
    yield Sensitivity(floor.placement, smallest_effect(same, blocks, rng), RUN_S, blocks)


def _two_arms(name: str, busy_ns: int, plan: Plan) -> Plan:
    (arm,) = plan.arms
    # What is waited for must be the only difference, so the first arm has the loop that waits, too, for no time.
    arms = [
        msgspec.structs.replace(arm, busy_ns=min(1, busy_ns)),
        msgspec.structs.replace(arm, name=name, busy_ns=busy_ns),
    ]
    return msgspec.structs.replace(plan, arms=arms, early_end=False)


def false_alarm_rate(logs: Sequence[float], rng: random.Random) -> float:
    """Share of tables, resampled from the blocks of identical arms, in which one is called faster or slower.

    Identical arms may change places, so every block is drawn with either sign.
    """
    alarms = 0
    for _ in range(TABLES):
        table = [list(map(Block, _resampled(logs, TABLE_BLOCKS, rng))) for _ in range(TABLE_ROWS)]
        judged = judge(table, ERROR, TABLE_ROWS)
        alarms += any(one.verdict in (Verdict.FASTER, Verdict.SLOWER) for one in judged)
    return alarms / TABLES


def smallest_effect(logs: Sequence[float], blocks: int, rng: random.Random) -> float | None:
    """The smallest slow-down, as a share, whose interval excludes 1 in 95% of runs resampled from identical arms.

    `logs` are ln ratios of their blocks, `blocks` how many a run has; None above 50%, and where those are too few.
    """
    runs = [_resampled(logs, blocks, rng) for _ in range(TABLES)]
    lows = [low for one in runs if (low := centre(list(map(Block, one)), ERROR / 2).low) is not None]
    if len(lows) < len(runs):
        return None
    # A shift moves both ends of the interval: it is found where it is larger than what the low end lacks.
    needed = sorted(-low for low in lows)[math.ceil(POWER * len(lows)) - 1]
    effect = max(0.0, math.exp(needed) - 1)
    return effect if effect <= 0.5 else None  # noqa: PLR2004


def _resampled(logs: Sequence[float], blocks: int, rng: random.Random) -> list[float]:
    return [rng.choice((-1, 1)) * rng.choice(logs) for _ in range(blocks)]


def _spread(logs: Sequence[float]) -> float:
    """Standard deviation about 0, where the ln ratio of identical arms belongs."""
    return math.sqrt(sum(value * value for value in logs) / len(logs))


def _interval(logs: Sequence[float]) -> tuple[float, float] | tuple[None, None]:
    found = centre(list(map(Block, logs)), ERROR / 2)
    return (None, None) if found.low is None or found.high is None else (math.exp(found.low), math.exp(found.high))


# --- pgbench ---------------------------------------------------------------------------------------------------------


def _pgbench(watch: Watcher, seed: int | None) -> Iterator[Pgbench | Problem]:
    """Turns of a driver and pgbench on the same query, table and CPU; a problem where it is not there."""
    watch.say("pgbench")
    asked = options(["raw"], [PGBENCH_DRIVER], "shared", seed, HELD)
    problems: list[Problem] = []
    pairs: list[tuple[float, float]] = []
    program = _program()
    if program is None:
        yield Problem("operation", "pgbench is not there: no comparison with a C client")
        return
    with set_up(asked, watch, lambda plan: plan, problems) as made, contextlib.ExitStack() as stack:
        workers, cell = made.workers, made.workers.plan.cells[0]
        pgbench = _Pgbench(program, workers, workers.schemas[cell.path, PGBENCH_DRIVER], cell.params["rows"])
        problems += workers.start("pgbench", stack)
        workers.open(cell, PGBENCH_DRIVER)
        workers.warm_up(cell, PGBENCH_DRIVER, "pgbench")
        for turn in range(PGBENCH_PAIRS):
            ran = workers.slice(PGBENCH_DRIVER, PGBENCH_OPERATIONS, f"{turn}", lead_in=10)
            pairs.append((ran.usage.elapsed_ns / PGBENCH_OPERATIONS / 1e3, pgbench.us_per_operation(turn)))
        workers.close(PGBENCH_DRIVER)
    logs = [math.log(driver_us / pgbench_us) for driver_us, pgbench_us in pairs]
    low, high = _interval(logs)
    yield from problems
    yield Pgbench(
        driver=PGBENCH_DRIVER,
        pgbench_us=median(pgbench_us for _, pgbench_us in pairs),
        driver_us=median(driver_us for driver_us, _ in pairs),
        tax=math.exp(median(logs)) - 1,
        low=None if low is None else low - 1,
        high=None if high is None else high - 1,
    )


def _program() -> Path | None:
    """The pgbench that comes with the embedded PostgreSQL."""
    package = find_package()
    program = Binaries(package).install / "bin/pgbench"
    return program if program.is_file() else None


@dataclass(frozen=True)
class _Pgbench:
    """Runs pgbench with one session on the client's CPU, as the driver does: prepared statements, no transaction."""

    program: Path
    workers: Workers
    schema: str
    rows: int

    def us_per_operation(self, seed: int) -> float:
        """Microseconds per operation without the time to connect, as pgbench says."""
        address, cpus = self.workers.site.start.address, self.workers.site.start.cpus
        query = QUERY.replace("$1", ":id").replace("patients", f"{self.schema}.patients")
        script = f"\\set id random(1, {self.rows})\n{query};\n"
        with tempfile.NamedTemporaryFile("w", suffix=".sql") as file:
            file.write(script)
            file.flush()
            process = subprocess.Popen(
                [
                    self.program, "--no-vacuum", "--protocol=prepared", "--client=1", f"--random-seed={seed}",
                    f"--transactions={PGBENCH_OPERATIONS}", f"--file={file.name}",
                    f"--host={address.host}", f"--port={address.port}", f"--username={address.user}", address.database,
                ],
                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                env={**worker_environment({}), "PGAPPNAME": self.workers.site.start.application},
            )  # fmt: skip
            try:
                if cpus is not None:
                    os.sched_setaffinity(process.pid, cpus)
                said, _ = process.communicate(timeout=_PGBENCH_TIMEOUT_S)
            except BaseException:
                process.kill()
                process.wait()
                raise
        found = re.search(r"^tps = ([0-9.]+) \(without initial connection time\)", said, re.MULTILINE)
        if process.returncode or found is None:
            raise DbbenchError(f"pgbench failed: {said.strip().rpartition(chr(10))[2]}")
        return 1e6 / float(found[1])
