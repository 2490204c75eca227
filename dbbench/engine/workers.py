"""Everybody who works on a run: the steward, and for as long as a block lasts a worker for every arm.

Which of them can still be asked for what, and how: the set-up and the blocks are written in these terms.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Final, Protocol, TypeVar

import msgspec

from dbbench import messages
from dbbench.child import Home, WorkerFailedError, WorkerLostError, WorkerProcess
from dbbench.errors import DbbenchError, ServerLostError, UsageError
from dbbench.messages import Described, Done, Ran, Route, RunSlice, Start, Started
from dbbench.plan import Arm, Cell, Pace, Plan
from dbbench.records import Problem
from dbbench.scenario import Description

WARM_UP_OPERATIONS: Final = 7  # per connection: psycopg prepares a statement at its 6th execution
MORE_WARM_UP_OPERATIONS: Final = 3
LONG_WARM_UP_NS: Final = 400_000_000  # of the first part: operations so long have had time enough to settle
WARM_UP_NS: Final = 50_000_000  # of the second part, in which the event loop's lag is seen: 50 samples of it
LIMIT_NS: Final = 10_000_000_000  # a slice begins no operation after this
PATIENCE_S: Final = 60.0  # on top of what the settings allow a request to take
STEWARD: Final = "psycopg-sync"
_REPLY = TypeVar("_REPLY", bound=messages.Message)


class Homes(Protocol):
    """Where the workers of each arm live, and which files they work with. `AtHome` is the rule, a gate differs."""

    @property
    def stewards(self) -> Sequence[str]:
        """Arms that have a steward each; the first one is everybody's who has none."""
        ...

    @property
    def same_tables(self) -> bool:
        """Whether all arms work on the same tables."""
        ...

    def home(self, arm: str) -> Home:
        """The environment of the arm, for as long as the run lasts."""
        ...

    def seats(self, rng: Random) -> Mapping[str, Home]:
        """The environments of the arms for one block, where they differ from `home`."""
        ...

    def path(self, arm: str, path: str) -> str:
        """The scenario's file as the arm has it."""
        ...


class AtHome:
    """All arms live where this process does, and work with the same files and tables."""

    stewards: Sequence[str] = ("",)
    same_tables = True

    def home(self, _arm: str) -> Home:
        """See Homes."""
        return Home()

    def seats(self, _rng: Random) -> Mapping[str, Home]:
        """See Homes."""
        return {}

    def path(self, _arm: str, path: str) -> str:
        """See Homes."""
        return path


@dataclass(frozen=True)
class Site:
    """Where a run takes place."""

    start: Start  # what a worker is told first; the driver is filled in
    create_schema: Callable[[int], str]
    alive: Callable[[], bool]
    run_id: str
    embedded: bool  # then it may be told to checkpoint, and keeps nothing after the run
    homes: Homes = field(default_factory=AtHome)


def start_steward(site: Site, arm: str) -> WorkerProcess:
    """Start the worker that loads scenarios, makes their tables and keeps them tidy, at the home of the arm."""
    run_id = "" if site.embedded else site.run_id
    start = msgspec.structs.replace(site.start, driver=STEWARD, cpus=None, run_id=run_id)
    worker = WorkerProcess("the steward", start, home=site.homes.home(arm))
    worker.reply(Started, PATIENCE_S)
    return worker


def describe(
    steward: WorkerProcess, paths: Mapping[Path, str], overrides: Mapping[str, str]
) -> tuple[dict[Path, Description], list[Problem]]:
    """What scenario files say of themselves, and a problem for each that cannot be loaded.

    `paths` has for each scenario the file that this steward has of it.
    """
    described: dict[Path, Description] = {}
    problems = []
    for path, own in paths.items():
        try:
            described[path] = steward.ask(messages.Describe(own, dict(overrides)), Described, PATIENCE_S).scenario
        except WorkerFailedError as error:
            if not error.scenario:
                raise UsageError(str(error)) from None  # a value that a parameter cannot take
            problems.append(Problem("scenario", str(error)))
    return described, problems


@dataclass
class Workers:
    """The steward and the workers, with what they may still be asked for."""

    plan: Plan
    site: Site
    stewards: Mapping[
        str, WorkerProcess
    ]  # arm -> who prepares its tables; one and the same where all have the same files
    schemas: dict[tuple[str, str], str] = field(default_factory=dict)  # (scenario file, arm) -> schema
    resets: set[str] = field(default_factory=set)  # scenario files that have a reset()
    route: Callable[[Cell, str, str], Route | None] = lambda _cell, _arm, _schema: None
    excluded: set[tuple[int, str]] = field(default_factory=set)  # (cell, arm) that could not be measured
    facts: dict[str, dict[str, str]] = field(default_factory=dict)  # arm -> what its driver says of itself

    def start_workers(self, block: int | str, stack: ExitStack) -> dict[str, WorkerProcess]:
        """One fresh worker per arm, started in random order, all with the same hash seed; `stack` ends them."""
        rng = self.plan.rng(block, "start")
        environment = {"PYTHONHASHSEED": str(rng.randrange(2**32))}
        seats = self.site.homes.seats(self.plan.rng(block, "seats"))
        workers = {}
        for arm in rng.sample(self.plan.arms, len(self.plan.arms)):
            start = self._start(arm)
            home = seats.get(arm.name) or self.site.homes.home(arm.name)
            workers[arm.name] = stack.enter_context(WorkerProcess(arm.name, start, environment, home))
        for name, worker in workers.items():
            self.facts[name] = worker.reply(Started, PATIENCE_S).facts
        return workers

    def _start(self, arm: Arm) -> Start:
        """What the arm's worker is told first."""
        settings = dict(self.plan.settings)
        if arm.settings:
            settings[arm.driver] = {**settings.get(arm.driver, {}), **arm.settings}
        return msgspec.structs.replace(
            self.site.start,
            driver=arm.driver,
            bare=arm.bare,
            busy_ns=arm.busy_ns,
            pre_ping=self.plan.pre_ping,
            null_pool=arm.null_pool,
            settings=settings,
        )

    def arms(self, index: int, workers: Mapping[str, WorkerProcess]) -> list[Arm]:
        """The arms that can still be measured in the cell."""
        return [arm for arm in self.plan.arms if arm.name in workers and (index, arm.name) not in self.excluded]

    def excuse(
        self, index: int, arm: Arm, error: WorkerFailedError | WorkerLostError, workers: dict[str, WorkerProcess]
    ) -> Problem:
        """Leave the arm out of the cell from now on, and say why."""
        self.excluded.add((index, arm.name))
        lost = isinstance(error, WorkerLostError)
        if lost:
            del workers[arm.name]
        if not self.site.alive():
            raise ServerLostError("the server went away") from error
        return Problem(
            "worker lost" if lost else "operation", str(error), self.plan.cells[index].scenario, index, arm.name
        )

    def open(self, worker: WorkerProcess, cell: Cell, arm: str) -> None:
        """Have the arm's worker open pool and sessions for the cell."""
        own = msgspec.structs.replace(cell, path=self.site.homes.path(arm, cell.path))
        schema = self.schemas[cell.path, arm]
        worker.ask(messages.Open(own, schema, self.route(cell, arm, schema)), Done, self.patience)

    def warm_up(self, worker: WorkerProcess, cell: Cell, seed: str) -> bytes:
        """By operations per connection first, then by time; gives how late the event loop was in the second part."""
        connections = self.plan.connections(cell)
        operations = WARM_UP_OPERATIONS * connections
        ran = self.slice(worker, operations, f"{seed}/warm-up")
        spent_ns, loop_lags = 0, b""
        more = 1 if ran.elapsed_ns > LONG_WARM_UP_NS else MORE_WARM_UP_OPERATIONS
        while spent_ns < WARM_UP_NS:
            per_operation_ns = max(1.0, ran.elapsed_ns / operations)
            operations = max(more * connections, math.ceil((WARM_UP_NS - spent_ns) / per_operation_ns))
            ran = self.slice(worker, operations, f"{seed}/warm-up/{spent_ns > 0}", freeze=True, heartbeat=True)
            spent_ns += max(1, ran.elapsed_ns)
            loop_lags += ran.loop_lags
        return loop_lags

    def slice(
        self,
        worker: WorkerProcess,
        operations: int,
        seed: str,
        *,
        lead_in: int = 0,
        freeze: bool = False,
        heartbeat: bool = False,
        pace: Pace | None = None,
        grace_ns: int = LIMIT_NS,
    ) -> Ran:
        """Have a worker run a slice in the cell that it has open; nothing begins later than `grace_ns` after it is due.

        In a closed loop everything is due at once.
        """
        pace = pace or Pace()
        due_s = operations / pace.rate if pace.rate else 0.0
        limit_ns = int(due_s * 1e9) + grace_ns
        request = RunSlice(operations, seed, limit_ns, lead_in, freeze, pace, heartbeat)
        return worker.ask(request, Ran, self.patience + limit_ns / 1e9)

    def reset(self, cell: Cell, arm: str) -> None:
        """Have the steward empty or restore the arm's tables, where the scenario says how."""
        if cell.path in self.resets:
            path = self.site.homes.path(arm, cell.path)
            self.ask_steward(arm, messages.Reset(path, self.schemas[cell.path, arm], cell.params), Done)

    def tidy(self) -> None:
        """Bring the tables and the server to a settled state."""
        schemas = list(dict.fromkeys(self.schemas.values()))
        self.ask_steward(self.plan.arms[0].name, messages.Tidy(schemas, self.site.embedded), Done)

    def ask_steward(self, arm: str, request: messages.Request, kind: type[_REPLY]) -> _REPLY:
        """Ask the arm's steward, who may take any time. Without it, or without a server, the run cannot go on."""
        try:
            return self.stewards[arm].ask(request, kind, None)
        except WorkerLostError as error:
            raise DbbenchError(str(error)) from error
        except WorkerFailedError as error:
            if not self.site.alive():
                raise ServerLostError("the server went away") from error
            raise

    @property
    def patience(self) -> float:
        """Seconds that a worker may take for a request that is not a slice."""
        return PATIENCE_S + self.plan.pool.timeout
