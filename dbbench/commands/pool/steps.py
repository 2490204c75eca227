"""The `pool` command as a list of steps: the smallest pool with which nobody waits long for a connection.

Every driver has a search of its own (search.py), and they take turns, a trial each. A trial opens the pools of all the
driver's processes with one size, warms them up, and runs the load for a few seconds.
"""

import itertools
from array import array
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import Final

import msgspec

from dbbench import result_file
from dbbench.child import WorkerFailedError, WorkerLostError
from dbbench.commands.pool import search
from dbbench.commands.pool.result import tried
from dbbench.commands.recording import Ended, Journal, recording
from dbbench.engine.clocks import Disturbances
from dbbench.engine.exclusive import exclusive
from dbbench.engine.opening import Opened, OpenSite, header, opened, opened_site
from dbbench.engine.options import Options
from dbbench.engine.setup import SetUp
from dbbench.engine.watcher import Watcher
from dbbench.engine.workers import Workers
from dbbench.errors import DbbenchError, ExitCode
from dbbench.messages import Failed, Ran
from dbbench.plan import Arm, Cell, Connections
from dbbench.records import Header, PoolHeader, PoolTrial, Problem
from dbbench.server.passwords import redacted
from dbbench.stats.histogram import Histogram
from dbbench.stats.rare import surely_rarer
from dbbench.units import time_text
from dbbench.wording import count

GUESS: Final = 5  # SQLAlchemy's pool_size, with which a search begins
LEAST_OPERATIONS: Final = 300  # of which none waits too long: then it is surely fewer than 1 in 100
LATE: Final = 0.01  # share of the waits that may be as long as the limit
ERROR: Final = 0.05  # of calling a pool large enough that is not
_MOST_DISTURBED: Final = 10  # trials that are tried again
_NS_PER_US: Final = 1_000
_NS_PER_S: Final = 1e9


@dataclass(frozen=True)
class Wanted:
    """What is searched for."""

    limit_us: float  # of the wait for a connection: its p99 must be below
    most: int  # connections of each process
    trial_s: float  # at least


def execute(options: Options, target: Wanted, watch: Watcher, open_site: OpenSite = opened_site) -> Ended:
    """Search, and write the result file as it goes; also when the search ends early, once something was tried.

    `options` has one scenario, one layer and one number of sessions; its arms have the largest pool. Raises
    DbbenchError or Interrupted, and leaves no file, when nothing was tried at all.
    """
    started, run_id = datetime.now(UTC), result_file.new_id()
    exit_codes = {"different": ExitCode.OK, "not comparable": ExitCode.INCONCLUSIVE, "disturbed": ExitCode.INCONCLUSIVE}
    with (
        recording(options.output, started, run_id, watch, exit_codes) as journal,
        exclusive(watch) as is_alone,
        opened(options, run_id, watch, open_site=open_site, turns=True) as found,
    ):
        make_header = partial(header, run_id=run_id, started=started, other_runs=not is_alone)
        _Searches(found, target, watch, journal).run(make_header)
    return Ended(journal.path, journal.exit_code)


@dataclass
class _Searches:
    """The searches of all drivers, and what they have found so far."""

    found: Opened
    target: Wanted
    watch: Watcher
    journal: Journal
    per_operation_ns: dict[str, float] = field(default_factory=dict)  # arm -> roughly, in a closed loop
    trials: dict[str, list[PoolTrial]] = field(default_factory=dict)  # arm -> in the order of time
    disturbed: int = 0  # trials that were left out

    def run(self, make_header: Callable[[Workers], Header]) -> None:
        """Make the tables, check that the drivers give equal results, then search, a trial of each driver in turn."""
        workers = self._workers
        set_up = SetUp(workers, self.watch.say, self.watch.note, compares=False)
        with ExitStack() as stack:
            lost = workers.start("set-up", stack)
            top = msgspec.structs.asdict(make_header(workers))
            self.journal.write(PoolHeader(**top, limit_us=self.target.limit_us, most=self.target.most))
            for problem in itertools.chain(lost, set_up.run(self.found.described, stack)):
                self._report(problem)
                if problem.kind == "not comparable" and problem.arm is not None:
                    workers.excluded.add((0, problem.arm))
        self.per_operation_ns = {arm: time for (_, arm), time in set_up.per_operation_ns.items()}
        workers.tidy()
        with workers.started("pool") as lost:
            for problem in lost:
                self._report(problem)
            self.trials = {arm.name: [] for arm in workers.arms(0) if arm.name in self.per_operation_ns}
            round_ = 0
            while pending := self._pending(round_):
                for arm, size in pending:
                    self._trial(arm, size, 0)
                round_ += 1
            for arm in workers.arms(0):
                self._with_overflow(arm)

    def _report(self, problem: Problem) -> None:
        self.journal.report(problem, self._workers.site.start.address.password, self.watch)

    @property
    def _workers(self) -> Workers:
        return self.found.workers

    @property
    def _cell(self) -> Cell:
        (cell,) = self._workers.plan.cells
        return cell

    def _pending(self, round_: int) -> list[tuple[Arm, int]]:
        """The arms whose search goes on, in random order, with the size that each tries next."""
        there = [arm for arm in self._workers.arms(0) if arm.name in self.trials]
        arms = [arm for arm in self._workers.plan.arm_order(0, 0, round_) if arm in there]
        return [(arm, size) for arm in arms if (size := self._step(arm.name)) is not None]

    def _step(self, name: str) -> int | None:
        return search.step(tried(self.trials[name]), self.target.most, GUESS)

    def _with_overflow(self, arm: Arm) -> None:
        """Try a pool of the smallest capacity that keeps only the connections that are busy on average."""
        trials = self.trials.get(arm.name, [])
        held = search.so_far(tried(trials)).held
        busy = max((trial.busy for trial in trials if trial.size == held and trial.held), default=0.0)
        size = max(1, min(held or 0, int(busy) + 1))
        if held is not None and size < held:
            self._trial(arm, size, held - size)

    def _trial(self, arm: Arm, size: int, overflow: int) -> None:
        """Have an arm run the load with pools of a size; trials of the same number have the same random numbers."""
        workers, cell, number = self._workers, self._cell, len(self.trials[arm.name])
        shown = f"pool {size}+{overflow}"
        self.watch.say(f"trial {number + 1}, {arm.name}: {shown}")
        pool = msgspec.structs.replace(arm.connections.pool, size=size, max_overflow=overflow)
        seed = f"{workers.plan.seed}/pool/{number}"
        operations = self._operations(arm)
        try:
            workers.open(cell, arm.name, pool)
            workers.reset(cell, arm.name)
            workers.warm_up(cell, arm.name, seed)
            workers.reset(cell, arm.name)
            workers.running[arm.name].disturbance()  # what happened before the trial does not matter
            disturbances = Disturbances(workers.site.read_clocks)
            ran = workers.slice(arm.name, operations, seed, load=workers.plan.load)
            workers.close(arm.name)
            if not ran.usage.operations and ran.errors and not ran.usage.not_started:
                raise WorkerFailedError(Failed(ran.errors[0], scenario=True))  # noqa: TRY301 - as any other failure
        except (WorkerFailedError, WorkerLostError) as error:
            self._report(workers.exclude(0, arm.name, error))
            return
        disturbances.add(workers.running[arm.name].disturbance())
        if disturbed := disturbances.found():  # it is tried again
            said = f"trial {number + 1}, {arm.name}: {shown} is left out: {disturbed}"
            self._report(Problem("disturbed", said, cell.scenario, 0, arm.name))
            self.disturbed += 1
            if self.disturbed > _MOST_DISTURBED:
                raise DbbenchError(f"{self.disturbed} trials were disturbed: no answer here")
            return
        trial = judged(arm.name, arm.connections, (size, overflow), self.target.limit_us, ran)
        self.trials[arm.name].append(trial)
        self.journal.write(trial)
        wait = "unknown" if trial.wait_p99_us is None else time_text(trial.wait_p99_us)
        details = [f"wait p99 {wait}, {trial.late} of {trial.operations:,} too long", *self._failures(trial, ran)]
        self.watch.note(
            f"trial {number + 1}, {arm.name}: {shown} {'held' if trial.held else 'failed'} ({'; '.join(details)})"
        )

    def _operations(self, arm: Arm) -> int:
        """How many operations a trial has: those of its seconds, and as many as a p99 needs."""
        load, cell = self._workers.plan.load, self._cell
        rate = load.rate
        if rate is None:
            paced_ns = max(self.per_operation_ns[arm.name], load.think_s * _NS_PER_S / cell.sessions)
            rate = _NS_PER_S / paced_ns
        return max(LEAST_OPERATIONS, round(rate * self.target.trial_s))

    def _failures(self, trial: PoolTrial, ran: Ran) -> Iterator[str]:
        if trial.not_started:
            yield f"{trial.not_started:,} never started"
        if trial.errors:
            yield f"{count(trial.errors, 'operation')} failed"
        for message in ran.errors[:1]:
            yield redacted(message, self._workers.site.start.address.password)


def judged(arm: str, connections: Connections, pool: tuple[int, int], limit_us: float, ran: Ran) -> PoolTrial:
    """Say whether surely fewer than 1 in 100 wait too long for a connection, and none in vain: a (size, overflow).

    A percentile that happens to lie below the limit is not enough: in the next trial it may lie above. The connections
    in use are what Little's law says: throughput times the time that an operation holds one.
    """
    latencies, waits = array("q", ran.latencies), array("q", ran.waits)
    services = latencies if ran.services is None else array("q", ran.services)
    histogram = Histogram()
    histogram.record_all(waits)
    wait_ns = histogram.percentile(0.99)
    usage, held_ns = ran.usage, sum(services) - sum(waits)
    wait_us = None if wait_ns is None else min(wait_ns, max(waits)) / _NS_PER_US
    late = sum(wait >= limit_us * _NS_PER_US for wait in waits)
    seldom = surely_rarer(late, len(waits), LATE, ERROR)
    return PoolTrial(
        arm=arm,
        size=pool[0],
        overflow=pool[1],
        held=seldom and not usage.errors and not usage.not_started,
        wait_p99_us=wait_us,
        late=late,
        # What comes after the connection is back counts as busy, too, but no more can be than there are.
        busy=min(sum(pool[:2]), held_ns / usage.elapsed_ns / connections.processes) if usage.elapsed_ns else 0.0,
        operations=usage.operations,
        errors=usage.errors,
        not_started=usage.not_started,
        ops_per_second=usage.operations * _NS_PER_S / usage.elapsed_ns if usage.elapsed_ns else 0.0,
    )
