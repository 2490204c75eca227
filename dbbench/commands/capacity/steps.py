"""The `capacity` command as a list of steps: the highest rate at which each driver still holds an objective.

Every driver has a search of its own (search.py), and they take turns, a trial each: what slows the machine down for
half a minute slows them all down. A trial is a slice in an open loop; the tables are reset before it.
"""

import itertools
import math
from array import array
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import Final

import msgspec

from dbbench import result_file
from dbbench.analysis.saturation import is_busy, used
from dbbench.child import WorkerFailedError, WorkerLostError
from dbbench.commands.capacity import search, slo
from dbbench.commands.capacity.result import rate_text, tried
from dbbench.commands.capacity.slo import Objective
from dbbench.commands.recording import Ended, Journal, recording
from dbbench.engine.clocks import Disturbances
from dbbench.engine.exclusive import exclusive
from dbbench.engine.opening import Opened, OpenSite, header, opened, opened_site
from dbbench.engine.options import Options
from dbbench.engine.setup import SetUp, Shape
from dbbench.engine.watcher import Watcher
from dbbench.engine.workers import Workers
from dbbench.errors import DbbenchError, ExitCode, UsageError
from dbbench.messages import Failed, Ran
from dbbench.plan import Arm, Cell, Load
from dbbench.records import Bounds, Header, Problem, SearchHeader, Trial
from dbbench.server.passwords import redacted
from dbbench.units import time_text
from dbbench.wording import count

_GUESS: Final = 0.5  # of a closed loop's throughput: responses of arrivals at random get late well before that
_GRACE_S: Final = 1.0  # an operation that has not begun so long after it was due is not waited for,
_GRACE_LIMITS: Final = 5  # or so many times what the objective allows: by then it has failed, or was one of very few
_SPREAD: Final = 5  # standard deviations by which the last of many random arrivals may come late
_MOST_DISTURBED: Final = 10  # trials of a driver that are tried again
_NS_PER_US: Final = 1_000


@dataclass(frozen=True)
class Wanted:
    """What is searched for."""

    objective: Objective
    bounds: Bounds
    trial_s: float  # at least


def wanted(objective: Objective, min_rate: float, max_rate: float, precision: float, trial_s: float) -> Wanted:
    """Check what was asked for.

    Rates at which a trial would take too long are left out of the search; UsageError when none is left.
    """
    lowest = slo.lowest_rate(objective, trial_s)
    if max_rate < min_rate:
        raise UsageError(f"--max-rate {max_rate:g} is below --min-rate {min_rate:g}")
    if max_rate < lowest:
        raise UsageError(
            f"--max-rate {max_rate:g}: {objective.measure} takes {objective.needed:,} operations, which is more than "
            f"{max(slo.MAX_TRIAL_S, trial_s):g} s of them",
            "a lower percentile takes fewer, and --trial allows more time",
        )
    return Wanted(objective, Bounds(max(min_rate, lowest), max_rate, precision), trial_s)


def execute(options: Options, target: Wanted, watch: Watcher, open_site: OpenSite = opened_site) -> Ended:
    """Search, and write the result file as it goes; also when the search ends early, once something was tried.

    `options` has one scenario, one layer and one number of sessions. Raises DbbenchError or Interrupted, and leaves no
    file, when nothing was tried at all.
    """
    started = datetime.now(UTC)
    run_id = result_file.new_id()
    exit_codes = {"different": ExitCode.OK, "not comparable": ExitCode.INCONCLUSIVE, "disturbed": ExitCode.INCONCLUSIVE}
    with (
        recording(options.output, started, run_id, watch, exit_codes) as journal,
        exclusive(watch) as is_alone,
        opened(options, run_id, watch, open_site=open_site) as found,
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
    guesses: dict[str, float] = field(default_factory=dict)  # arm -> operations per second
    trials: dict[str, list[Trial]] = field(default_factory=dict)  # arm -> in the order of time
    disturbed: Counter[str] = field(default_factory=Counter)  # arm -> trials that were left out
    _said: set[tuple[str, str]] = field(default_factory=set)  # (arm, message) of operations that failed

    def run(self, make_header: Callable[[Workers], Header]) -> None:
        """Make the tables, check that the drivers give equal results, then search, a trial of each driver in turn."""
        workers = self._workers
        set_up = SetUp(workers, self.watch.say, self.watch.note, compares=False)
        with ExitStack() as stack:
            lost = workers.start("set-up", stack)
            top = msgspec.structs.asdict(make_header(workers))
            self.journal.write(SearchHeader(**top, objective=self.target.objective.text, bounds=self.target.bounds))
            for problem in itertools.chain(lost, set_up.run(self.found.described, stack)):
                self._report(problem)
                if problem.kind == "not comparable" and problem.arm is not None:
                    workers.excluded.add((0, problem.arm))
        if 0 not in set_up.shapes:
            return
        workers.tidy()
        with workers.started("capacity") as lost:
            for problem in lost:
                self._report(problem)
            for arm in workers.arms(0):
                self._open(arm, set_up.shapes[0])
            self._estimate()
            round_ = 0
            while pending := self._pending(round_):
                for arm, rate in pending:
                    self._trial(arm, rate, set_up.shapes[0].lead_in)
                round_ += 1
                self._advance()

    def _report(self, problem: Problem) -> None:
        self.journal.report(problem, self._workers.site.start.address.password, self.watch)

    @property
    def _workers(self) -> Workers:
        return self.found.workers

    @property
    def _cell(self) -> Cell:
        (cell,) = self._workers.plan.cells
        return cell

    def _open(self, arm: Arm, shape: Shape) -> None:
        """Have an arm open the cell and warm up, and guess from a closed loop where to begin."""
        workers = self._workers
        self.watch.say(f"warming {arm.name} up")
        seed = f"{workers.plan.seed}/capacity"
        try:
            workers.open(self._cell, arm.name)
            workers.reset(self._cell, arm.name)
            workers.warm_up(self._cell, arm.name, seed)
            workers.reset(self._cell, arm.name)
            ran = workers.slice(arm.name, shape.operations, f"{seed}/guess", lead_in=shape.lead_in)
            guess = _guessed(ran)
        except (WorkerFailedError, WorkerLostError) as error:
            self._report(workers.exclude(0, arm.name, error))
        else:
            self.guesses[arm.name] = guess
            self.trials[arm.name] = []

    def _pending(self, round_: int) -> list[tuple[Arm, float]]:
        """The arms whose search goes on, in random order, with the rate that each tries next."""
        arms = [arm for arm in self._workers.plan.arm_order(0, 0, round_) if arm in self._workers.arms(0)]
        return [(arm, rate) for arm in arms if isinstance(rate := self._step(arm.name), float)]

    def _step(self, name: str) -> float | search.Outcome:
        return search.step(tried(self.trials[name]), self.target.bounds, self.guesses[name])

    def _trial(self, arm: Arm, rate: float, lead_in: int) -> None:
        """Have an arm try a rate; trials of the same number have the same random numbers for all drivers."""
        workers, objective = self._workers, self.target.objective
        operations = slo.operations_at(objective, rate, self.target.trial_s)
        name = f"trial {len(self.trials[arm.name]) + 1}, {arm.name}: {rate_text(rate)}/s"
        self.watch.say(f"{name} for {operations / rate:.0f} s")
        try:
            workers.reset(self._cell, arm.name)
            workers.running[arm.name].disturbance()  # what happened before the trial does not matter
            disturbances = Disturbances(workers.site.read_clocks)
            ran = workers.slice(
                arm.name,
                operations,
                f"{workers.plan.seed}/capacity/{len(self.trials[arm.name])}",
                lead_in=lead_in,
                load=Load(rate=rate, arrival=workers.plan.load.arrival),
                grace_ns=_grace_ns(objective, rate, operations),
            )
        except (WorkerFailedError, WorkerLostError) as error:
            self._report(workers.exclude(0, arm.name, error))
            return
        disturbances.add(workers.running[arm.name].disturbance())
        if disturbed := disturbances.found():  # it is tried again
            self._report(Problem("disturbed", f"{name} is left out: {disturbed}", self._cell.scenario, 0, arm.name))
            self.disturbed[arm.name] += 1
            if self.disturbed[arm.name] > _MOST_DISTURBED:
                raise DbbenchError(f"{_MOST_DISTURBED + 1} trials of {arm.name} were disturbed: no answer here")
            return
        trial = judged(arm.name, objective, rate, ran)
        self.trials[arm.name].append(trial)
        self.journal.write(trial)
        self.watch.note(f"{name} {'held' if trial.held else 'failed'} ({'; '.join(self._details(arm, trial, ran))})")

    def _details(self, arm: Arm, trial: Trial, ran: Ran) -> Iterator[str]:
        """Say what happened in a trial; every message of an operation that failed once for each driver."""
        yield f"{self.target.objective.measure} {'unknown' if trial.value_us is None else time_text(trial.value_us)}"
        if trial.not_started:
            yield f"{trial.not_started:,} of {trial.operations + trial.errors + trial.not_started:,} never started"
        usage = ran.usage
        busy = is_busy(usage.cpu_ns + usage.ready_ns, usage.elapsed_ns * arm.connections.processes)
        if not trial.held and busy:
            yield f"the client itself {used(usage.cpu_ns, usage.ready_ns, usage.elapsed_ns)}"
        if trial.errors:
            yield f"{trial.errors:,} of {count(trial.operations + trial.errors, 'operation')} failed"
        for message in ran.errors:
            if (arm.name, message) not in self._said:
                self._said.add((arm.name, message))
                yield redacted(message, self._workers.site.start.address.password)

    def _estimate(self) -> None:
        """Say how long it will take, roughly."""
        if not self.guesses:
            return
        each = search.usual_trials(self.target.bounds.precision)
        seconds = [
            slo.operations_at(self.target.objective, guess, self.target.trial_s) / guess
            for guess in self.guesses.values()
        ]
        self.watch.note(
            f"{count(len(seconds), 'driver')}, about {each} trials of {max(seconds):.0f} s each: "
            f"{max(1, round(each * sum(seconds) / 60))} min or more"
        )

    def _advance(self) -> None:
        """Say how much is done, from how many trials a search usually takes."""
        usual = search.usual_trials(self.target.bounds.precision)
        shares = [
            min(1.0, len(trials) / usual) if isinstance(self._step(name), float) else 1.0
            for name, trials in self.trials.items()
        ]
        self.watch.advance(sum(shares) / len(shares), None)


def judged(arm: str, objective: Objective, rate: float, ran: Ran) -> Trial:
    """Say whether a slice met the objective."""
    latencies = array("q", ran.latencies)
    value_ns = objective.value_ns(latencies)
    held = objective.holds(
        value_ns, operations=len(latencies), errors=ran.usage.errors, not_started=ran.usage.not_started
    )
    return Trial(
        arm=arm,
        rate=rate,
        held=held is True,  # what cannot be told has not held
        value_us=None if value_ns is None else value_ns / _NS_PER_US,
        operations=len(latencies),
        errors=ran.usage.errors,
        not_started=ran.usage.not_started,
    )


def _guessed(ran: Ran) -> float:
    """Guess from a closed loop at which rate to begin; WorkerFailedError when nothing succeeded."""
    if not ran.usage.operations:
        raise WorkerFailedError(Failed(ran.errors[0], scenario=True))
    return _GUESS * ran.usage.operations / ran.usage.elapsed_ns * 1e9


def _grace_ns(objective: Objective, rate: float, operations: int) -> int:
    """How long after it was due an operation may begin: no longer than needed, since all others wait meanwhile.

    The end of a trial is known by the rate; arrivals at random may take longer than that.
    """
    return int(max(_GRACE_S * 1e9, _GRACE_LIMITS * objective.limit_ns) + _SPREAD * math.sqrt(operations) / rate * 1e9)
