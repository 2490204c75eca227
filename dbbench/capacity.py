"""The `capacity` command as a list of steps: the highest rate at which each driver still holds an objective.

Every driver has a search of its own (search.py), and they take turns, a trial each: what slows the machine down for
half a minute slows them all down. A trial is a slice in an open loop; the tables are reset before it.
"""

from array import array
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final, Literal

import msgspec

from dbbench import __version__, environment, messages, records, search, slo
from dbbench.crew import Crew
from dbbench.drivers import DRIVERS
from dbbench.errors import DbbenchError, ExitCode, Interrupted, ServerLostError, UsageError
from dbbench.messages import Done, Failed, Ran
from dbbench.plan import Arm, Arrival, Cell, Pace
from dbbench.process import Worker, WorkerFailedError, WorkerLostError
from dbbench.progress import Watcher
from dbbench.records import End, Header, Problem, Run
from dbbench.run import Gathered, Options, gathered, problem_line, public
from dbbench.search import Bounds
from dbbench.server.target import redacted
from dbbench.setup import SetUp, Shape
from dbbench.slo import Objective
from dbbench.trials import Answer, Capacity, Result, Trial, capacity, rate_text, tried

_GUESS: Final = 0.5  # of a closed loop's throughput: responses of arrivals at random get late well before that
_GRACE_S: Final = 1.0  # an operation that has not begun so long after it was due is not waited for,
_GRACE_LIMITS: Final = 5  # or so many times what the objective allows: by then it has failed, or was one of very few
_SPREAD: Final = 5  # standard deviations by which the last of many random arrivals may come late
_NS_PER_US: Final = 1_000
_ENDS: Final = {"not comparable": "not comparable"}  # kinds of problems that are results; all others are failures


@dataclass(frozen=True)
class Wanted:
    """What is searched for."""

    objective: Objective
    bounds: Bounds
    trial_s: float  # at least
    arrival: Arrival = "poisson"


def wanted(
    objective: Objective, min_rate: float, max_rate: float, precision: float, trial_s: float, arrival: Arrival
) -> Wanted:
    """Check what was asked for.

    Rates at which a trial would take too long are left out of the search; UsageError when none is left.
    """
    lowest = slo.lowest_rate(objective, trial_s)
    if max_rate < min_rate:
        raise UsageError(f"--max-rate {max_rate:g} is below --min-rate {min_rate:g}")
    if max_rate < lowest:
        raise UsageError(
            f"--max-rate {max_rate:g}: {objective.measure} takes {objective.needed:,} operations, which is more than "
            f"{max(slo.MAX_TRIAL_S, trial_s):g} s of them; a lower percentile takes fewer, and --trial allows more time"
        )
    return Wanted(objective, Bounds(max(min_rate, lowest), max_rate, precision), trial_s, arrival)


def execute(options: Options, target: Wanted, watch: Watcher) -> tuple[Answer, int]:
    """Search, and give what was found with the exit code; also when it ends early, once something was tried.

    `options` has one scenario, one layer and one number of sessions. Raises DbbenchError or Interrupted when nothing
    was tried at all.
    """
    run_id = records.new_id()
    began = datetime.now(UTC)
    searches: _Searches | None = None
    status: Literal["complete", "degraded", "interrupted", "failed"]
    try:
        with gathered(options, run_id, watch) as found:
            searches = _Searches(found, target, watch, _header(found, run_id, began))
            searches.run()
    except Interrupted as signal:
        if searches is None or not searches.measured:
            raise
        status, reason, exit_code = "interrupted", str(signal), signal.exit_code
    except DbbenchError as error:
        if searches is None or not searches.measured:
            raise
        status, reason, exit_code = "failed", str(error), int(error.exit_code)
        if isinstance(error, ServerLostError):
            searches.report(Problem("server lost", str(error)))
    else:
        exit_code = searches.exit_code
        status, reason = "degraded" if exit_code == ExitCode.DEGRADED else "complete", ""
    now = datetime.now(UTC)
    return searches.answer(End(status, now.isoformat(timespec="seconds"), (now - began).total_seconds(), reason)), exit_code


def _header(found: Gathered, run_id: str, began: datetime) -> Header:
    """Under which conditions it is searched, as a run keeps it."""
    crew, plan = found.crew, found.crew.plan
    distributions = [name for arm in plan.arms for name in DRIVERS[arm.driver].distributions]
    return Header(
        schema=records.SCHEMA,
        id=run_id,
        started=began.isoformat(timespec="seconds"),
        dbbench=__version__,
        plan=public(plan),
        environment=environment.describe(dict.fromkeys(distributions)),
        server={"embedded": crew.site.embedded, **found.target.describe()},
        drivers=crew.facts,
    )


@dataclass
class _Searches:
    """The searches of all drivers, and what they have found so far."""

    found: Gathered
    target: Wanted
    watch: Watcher
    header: Header
    problems: list[Problem] = field(default_factory=list)
    guesses: dict[str, float] = field(default_factory=dict)  # arm -> operations per second
    trials: dict[str, list[Trial]] = field(default_factory=dict)  # arm -> in the order of time
    _said: set[tuple[str, str]] = field(default_factory=set)  # (arm, message) of operations that failed

    @property
    def measured(self) -> bool:
        """Whether there is anything to tell."""
        return any(self.trials.values())

    @property
    def exit_code(self) -> int:
        """How it ends when nothing ends it early."""
        if any(problem.kind not in _ENDS for problem in self.problems):
            return ExitCode.DEGRADED
        return ExitCode.INCONCLUSIVE if self.problems else ExitCode.OK

    def answer(self, end: End) -> Answer:
        """Put together what is known."""
        plan = self.header.plan
        return Answer(
            objective=self.target.objective,
            precision=self.target.bounds.precision,
            cell=plan.cells[0],
            run=Run(self.header, [], self.problems, end),
            drivers=[self._capacity(arm.name) for arm in plan.arms],
        )

    def run(self) -> None:
        """Make the tables, check that the drivers give equal results, then search, a trial of each driver in turn."""
        crew = self._crew
        set_up = SetUp(crew, self.watch.say, self.watch.note)
        with ExitStack() as stack:
            workers = crew.start_workers("set-up", stack)
            for problem in set_up.run(self.found.described, workers, stack):
                self.report(problem)
                if problem.kind == "not comparable" and problem.arm is not None:
                    crew.excluded.add((0, problem.arm))
        if 0 not in set_up.shapes:
            return
        crew.tidy()
        with ExitStack() as stack:
            workers = crew.start_workers("capacity", stack)
            for arm in crew.arms(0, workers):
                self._attempt(arm, workers, lambda worker, arm=arm: self._open(arm, worker, set_up.shapes[0]))  # type: ignore[misc]
            self._estimate()
            round_ = 0
            while pending := list(self._pending(round_, workers)):
                for arm, rate in pending:
                    self._trial(arm, rate, workers, set_up.shapes[0])
                round_ += 1

    def report(self, problem: Problem) -> None:
        """Keep a problem and say it."""
        message = redacted(problem.message, self._crew.site.start.address.password)  # a scenario may say anything
        self.problems.append(msgspec.structs.replace(problem, message=message))
        self.watch.problem(problem_line(self.problems[-1]))
