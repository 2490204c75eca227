"""How far this machine can be trusted, measured with the engine that measures drivers.

harness overhead   dbbench's own loop against a bare hand-written one of the same driver, interleaved like two arms
noise floor        two identical arms: how wide the interval of their ratio is, how often resampled tables are wrong
sensitivity        the smallest slow-down that would be found; one of known size is injected and measured, too
pgbench            PostgreSQL's own C client on the same query, in turns with a driver
"""

import contextlib
import math
import os
import random
import re
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from statistics import median
from typing import Final

import msgspec

from dbbench import catalog, result_file
from dbbench.analysis.ratios import log_ratios
from dbbench.child import worker_environment
from dbbench.commands.selfcheck.result import NoiseFloor, Overhead, Pgbench, SelfCheck, Sensitivity
from dbbench.drivers import DRIVERS as ALL_DRIVERS
from dbbench.drivers.point_read import QUERY
from dbbench.engine.blocks import Blocks
from dbbench.engine.exclusive import exclusive
from dbbench.engine.opening import opened, problem_line
from dbbench.engine.options import Options
from dbbench.engine.setup import SetUp
from dbbench.engine.watcher import Watcher
from dbbench.engine.workers import Workers
from dbbench.errors import DbbenchError
from dbbench.plan import Arm, Connections, Effort, Layer, Load, PlacementMode, Plan, Pool
from dbbench.records import Measurement, Problem
from dbbench.scenario import LAYERS
from dbbench.server.embedded import find_package
from dbbench.server.supervisors.postgres import Binaries
from dbbench.stats.paired import ERROR, Verdict, half_width, judge, median_interval

SCENARIO: Final = "point_reads"
DRIVERS: Final = tuple(name for name, driver in ALL_DRIVERS.items() if set(LAYERS) <= set(driver.layers))
FLOOR_DRIVER: Final = "psycopg"
FLOOR_LAYER: Final[Layer] = "raw"  # the least noisy: how an SQLAlchemy process lies in memory differs by more
PLACEMENTS: Final[tuple[PlacementMode, ...]] = ("shared", "split")
OVERHEAD_ROUNDS: Final = 6
FLOOR_ROUNDS: Final = 30
STAGE_S: Final = 30.0
RAW_STAGES: Final = 1.5  # times the seconds of a stage: eight arms at one layer
SQLALCHEMY_STAGES: Final = 2.0  # eight arms at two layers
INJECTED_STAGES: Final = 0.5
INJECTED: Final = 0.05  # of an operation's time, roughly, as a busy-wait; how much it was is known afterwards
RUN_S: Final = 60.0  # of a run whose sensitivity is asked for
POWER: Final = 0.95
TABLES: Final = 400  # resampled
TABLE_ROWS: Final = 9  # of a resampled table: three scenarios, three drivers
TABLE_BLOCKS: Final = 12
ONE_CONNECTION: Final = Connections(Pool(1, 0))
HELD: Final = Connections(Pool(1, 0), checkout="session", tx_end="autocommit")  # as bare loops and pgbench have it
PGBENCH_DRIVER: Final = "psycopg-sync"
PGBENCH_PAIRS: Final = 12
PGBENCH_OPERATIONS: Final = 2_000
_PGBENCH_TIMEOUT_S: Final = 60.0


@dataclass
class _Stage:
    """One measurement of the self-check."""

    workers: Workers
    measurements: list[Measurement]
    seconds: float
    problems: list[str]

    @property
    def plan(self) -> Plan:
        return self.workers.plan

    def time_per_operation_ns(self, arm: str) -> float:
        """Of all slices of the arm."""
        slices = [part for one in self.measurements if one.arm == arm for part in one.slices]
        return sum(part.usage.elapsed_ns for part in slices) / sum(part.usage.operations for part in slices)

    def logs(self, arm: str, against: str, cell: int = 0) -> list[float]:
        """The ln of how many times the time of the other arm this arm took, by block."""
        plan = msgspec.structs.replace(self.plan, baseline=against)
        return [value for value in log_ratios(plan, self.measurements).get((cell, arm), []) if value is not None]


def run(watch: Watcher, stage_s: float = STAGE_S, *, seed: int | None = None) -> SelfCheck:
    """Measure everything, with `stage_s` seconds for each noise floor and in proportion for the rest.

    Takes 6.5 times that, and half a minute. Raises DbbenchError when it cannot start.
    """
    with exclusive(watch):
        return _run(watch, stage_s, seed)


def _run(watch: Watcher, stage_s: float, seed: int | None) -> SelfCheck:
    problems: list[str] = []
    overhead = [
        *_raw_overhead(watch, RAW_STAGES * stage_s, problems, seed),
        *_sqlalchemy_overhead(watch, SQLALCHEMY_STAGES * stage_s, problems, seed),
    ]
    floors, sensitivities = [], []
    for placement in PLACEMENTS:
        watch.say(f"noise floor, {placement}")
        floor, sensitivity = _floor(watch, placement, stage_s, problems, seed)
        floors.append(floor)
        sensitivities.append(sensitivity)
    pgbench = _pgbench(watch, problems, seed)
    now = datetime.now(UTC).isoformat(timespec="seconds")
    return SelfCheck(overhead, floors, sensitivities, pgbench, problems, now)


# --- harness overhead ------------------------------------------------------------------------------------------------


def _with_bare(plan: Plan) -> Plan:
    arms = [arm for one in plan.arms for arm in (one, Arm(_bare(one.name), one.driver, one.connections, bare=True))]
    return msgspec.structs.replace(plan, arms=arms, rounds=[OVERHEAD_ROUNDS] * len(plan.cells), early_end=False)


def _bare(driver: str) -> str:
    return f"{driver} bare"


def _raw_overhead(watch: Watcher, seconds: float, problems: list[str], seed: int | None) -> Iterator[Overhead]:
    watch.say("harness overhead, raw")
    options = _options(["raw"], DRIVERS, "shared", seed, HELD, budget_s=seconds)
    yield from _overheads(_measure(options, watch, _with_bare), problems)


def _sqlalchemy_overhead(watch: Watcher, seconds: float, problems: list[str], seed: int | None) -> Iterator[Overhead]:
    watch.say("harness overhead, Core and ORM")
    options = _options(["core", "orm"], DRIVERS, "shared", seed, budget_s=seconds)
    yield from _overheads(_measure(options, watch, _with_bare), problems)


def _overheads(stage: _Stage, problems: list[str]) -> Iterator[Overhead]:
    problems += stage.problems
    for index, cell in enumerate(stage.plan.cells):
        for driver in DRIVERS:
            logs = stage.logs(driver, _bare(driver), index)
            if logs:
                low, high = _interval(logs)
                yield Overhead(driver, cell.layer, math.exp(median(logs)), low, high)


# --- noise floor and sensitivity -------------------------------------------------------------------------------------

_SAME: Final = "the same again"
_SLOWED: Final = "slowed"


def _floor(
    watch: Watcher, placement: PlacementMode, seconds: float, problems: list[str], seed: int | None
) -> tuple[NoiseFloor, Sensitivity]:
    """Two identical arms for so many seconds, then one that is slowed down for half as many."""
    options = _options([FLOOR_LAYER], [FLOOR_DRIVER], placement, seed, budget_s=seconds)
    stage = _measure(options, watch, partial(_two_arms, _SAME, 0))
    same = stage.logs(_SAME, FLOOR_DRIVER)
    busy_ns = round(INJECTED * stage.time_per_operation_ns(FLOOR_DRIVER))
    slowed_options = replace(options, effort=Effort(budget_s=seconds * INJECTED_STAGES, seed=seed))
    slowed = _measure(slowed_options, watch, partial(_two_arms, _SLOWED, busy_ns))
    slow = slowed.logs(_SLOWED, FLOOR_DRIVER)
    problems += [*stage.problems, *slowed.problems]
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
    return floor, Sensitivity(floor.placement, smallest_effect(same, blocks, rng), RUN_S, blocks)


def _two_arms(name: str, busy_ns: int, plan: Plan) -> Plan:
    (arm,) = plan.arms
    arms = [arm, msgspec.structs.replace(arm, name=name, busy_ns=busy_ns)]
    return msgspec.structs.replace(plan, arms=arms, rounds=[FLOOR_ROUNDS], early_end=False)


def false_alarm_rate(logs: Sequence[float], rng: random.Random) -> float:
    """Share of tables, resampled from the blocks of identical arms, in which one is called faster or slower.

    Identical arms may change places, so every block is drawn with either sign.
    """
    alarms = 0
    for _ in range(TABLES):
        table = [_resampled(logs, TABLE_BLOCKS, rng) for _ in range(TABLE_ROWS)]
        judged = judge(table, ERROR, TABLE_ROWS)
        alarms += any(one.verdict in (Verdict.FASTER, Verdict.SLOWER) for one in judged)
    return alarms / TABLES


def smallest_effect(logs: Sequence[float], blocks: int, rng: random.Random) -> float | None:
    """The smallest slow-down, as a share, whose interval excludes 1 in 95% of runs resampled from identical arms.

    `logs` are ln ratios of their blocks, `blocks` how many a run has; None above 50%, and where those are too few.
    """
    runs = [_resampled(logs, blocks, rng) for _ in range(TABLES)]
    lows = [interval[0] for one in runs if (interval := median_interval(one)) is not None]
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
    interval = median_interval(logs)
    return (None, None) if interval is None else (math.exp(interval[0]), math.exp(interval[1]))


# --- pgbench ---------------------------------------------------------------------------------------------------------


def _pgbench(watch: Watcher, problems: list[str], seed: int | None) -> Pgbench | None:
    """Turns of a driver and pgbench on the same query, table and CPU; None, with a problem, where it is not there."""
    watch.say("pgbench")
    options = _options(["raw"], [PGBENCH_DRIVER], "shared", seed, HELD)
    pairs: list[tuple[float, float]] = []
    program = _program()
    if program is None:
        problems.append("pgbench is not there: no comparison with a C client")
        return None
    with _set_up(options, watch, lambda plan: plan, problems) as set_up, contextlib.ExitStack() as stack:
        workers, cell = set_up.workers, set_up.workers.plan.cells[0]
        pgbench = _Pgbench(program, workers, workers.schemas[cell.path, PGBENCH_DRIVER], cell.params["rows"])
        workers.start("pgbench", stack)
        workers.open(cell, PGBENCH_DRIVER)
        workers.warm_up(cell, PGBENCH_DRIVER, "pgbench")
        for turn in range(PGBENCH_PAIRS):
            ran = workers.slice(PGBENCH_DRIVER, PGBENCH_OPERATIONS, f"{turn}", lead_in=10)
            pairs.append((ran.usage.elapsed_ns / PGBENCH_OPERATIONS / 1e3, pgbench.us_per_operation(turn)))
        workers.close(PGBENCH_DRIVER)
    logs = [math.log(driver_us / pgbench_us) for driver_us, pgbench_us in pairs]
    low, high = _interval(logs)
    return Pgbench(
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


# --- stages ----------------------------------------------------------------------------------------------------------


def _options(
    layers: list[Layer],
    drivers: Sequence[str],
    placement: PlacementMode,
    seed: int | None,
    connections: Connections = ONE_CONNECTION,
    *,
    budget_s: float = RUN_S,
) -> Options:
    """Point reads with one session."""
    return Options(
        scenarios=[catalog.builtin()[SCENARIO]],
        drivers=list(drivers),
        baseline=drivers[0],
        layers=layers,
        connections=connections,
        load=Load(sessions=[1]),
        effort=Effort(budget_s=budget_s, seed=seed),
        placement=placement,
    )


@contextlib.contextmanager
def _set_up(options: Options, watch: Watcher, arrange: Callable[[Plan], Plan], problems: list[str]) -> Iterator[SetUp]:
    """A server, the table and the size of slices."""
    with opened(options, result_file.new_id(), _Hushed(watch), arrange) as found:
        set_up = SetUp(found.workers, lambda _: None, lambda _: None)
        with contextlib.ExitStack() as stack:
            found.workers.start("set-up", stack)
            problems.extend(map(problem_line, found.problems))
            problems.extend(map(problem_line, set_up.run(found.described, stack)))
        yield set_up


def _measure(options: Options, watch: Watcher, arrange: Callable[[Plan], Plan]) -> _Stage:
    """Measure one stage."""
    problems: list[str] = []
    measurements: list[Measurement] = []
    with _set_up(options, watch, arrange, problems) as set_up:
        bench = Blocks(set_up.workers, set_up.shapes, lambda _: None)
        for record in bench.blocks():
            watch.advance(*bench.progress())
            if isinstance(record, Problem):
                problems.append(problem_line(record))
            else:
                measurements.append(record)
    return _Stage(set_up.workers, measurements, bench.measured_s, problems)


@dataclass(frozen=True)
class _Hushed:
    """Passes on what must be said and keeps the steps of a stage to itself."""

    watch: Watcher

    def say(self, what: str) -> None:
        """Keep it."""

    def advance(self, fraction: float, left_s: float | None) -> None:
        """Pass it on."""
        self.watch.advance(fraction, left_s)

    def note(self, text: str) -> None:
        """Pass it on."""
        self.watch.note(text)

    def problem(self, text: str) -> None:
        """Pass it on."""
        self.watch.problem(text)
