"""Everybody who works on a run: the steward, and for as long as a block lasts a worker for every arm.

Which of them can still be asked for what, and how: the set-up and the blocks are written in these terms.
"""

import math
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, TypeVar

import msgspec

from dbbench import messages
from dbbench.errors import DbbenchError, ServerLostError, UsageError
from dbbench.messages import Described, Done, Ran, RunSlice, Start, Started
from dbbench.plan import Arm, Cell, Pace, Plan
from dbbench.process import Worker, WorkerFailedError, WorkerLostError
from dbbench.records import Problem
from dbbench.scenario import Description

WARM_UP_OPERATIONS: Final = 7  # per connection: psycopg prepares a statement at its 6th execution
MORE_WARM_UP_OPERATIONS: Final = 3
WARM_UP_NS: Final = 50_000_000  # of the second part, in which the event loop's lag is seen: 50 samples of it
LIMIT_NS: Final = 10_000_000_000  # a slice begins no operation after this
PATIENCE_S: Final = 60.0  # on top of what the settings allow a request to take
STEWARD: Final = "psycopg-sync"
_REPLY = TypeVar("_REPLY", bound=messages.Message)


@dataclass(frozen=True)
class Site:
    """Where a run takes place."""

    start: Start  # what a worker is told first; the driver is filled in
    create_schema: Callable[[int], str]
    alive: Callable[[], bool]
    run_id: str
    embedded: bool  # then it may be told to checkpoint, and keeps nothing after the run


def start_steward(site: Site) -> Worker:
    """Start the worker that loads scenarios, makes their tables and keeps them tidy."""
    run_id = "" if site.embedded else site.run_id
    worker = Worker("the steward", msgspec.structs.replace(site.start, driver=STEWARD, cpus=None, run_id=run_id))
    worker.reply(Started, PATIENCE_S)
    return worker


def describe(
    steward: Worker, paths: list[Path], overrides: Mapping[str, str]
) -> tuple[dict[Path, Description], list[Problem]]:
    """What the scenario files say of themselves, and a problem for each that cannot be loaded."""
    described: dict[Path, Description] = {}
    problems = []
    for path in paths:
        try:
            described[path] = steward.ask(messages.Describe(str(path), dict(overrides)), Described, PATIENCE_S).scenario
        except WorkerFailedError as error:
            if not error.scenario:
                raise UsageError(str(error)) from None  # a value that a parameter cannot take
            problems.append(Problem("scenario", str(error)))
    return described, problems


@dataclass
class Crew:
    """The steward and the workers, with what they may still be asked for."""

    plan: Plan
    site: Site
    steward: Worker
    schemas: dict[str, str] = field(default_factory=dict)  # scenario file -> schema
    resets: set[str] = field(default_factory=set)  # scenario files that have a reset()
    excluded: set[tuple[int, str]] = field(default_factory=set)  # (cell, arm) that could not be measured
    facts: dict[str, dict[str, str]] = field(default_factory=dict)  # arm -> what its driver says of itself

    def start_workers(self, block: int | str, stack: ExitStack) -> dict[str, Worker]:
        """One fresh worker per arm, started in random order, all with the same hash seed; `stack` ends them."""
        rng = self.plan.rng(block, "start")
        environment = {"PYTHONHASHSEED": str(rng.randrange(2**32))}
        workers = {}
        for arm in rng.sample(self.plan.arms, len(self.plan.arms)):
            start = msgspec.structs.replace(self.site.start, driver=arm.driver, bare=arm.bare, busy_ns=arm.busy_ns)
            workers[arm.name] = stack.enter_context(Worker(arm.name, start, environment))
        for name, worker in workers.items():
            self.facts[name] = worker.reply(Started, PATIENCE_S).facts
        return workers

    def arms(self, index: int, workers: Mapping[str, Worker]) -> list[Arm]:
        """The arms that can still be measured in the cell."""
        return [arm for arm in self.plan.arms if arm.name in workers and (index, arm.name) not in self.excluded]

    def excuse(
        self, index: int, arm: Arm, error: WorkerFailedError | WorkerLostError, workers: dict[str, Worker]
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

    def warm_up(self, worker: Worker, cell: Cell, seed: str) -> bytes:
        """By operations per connection first, then by time; gives how late the event loop was in the second part."""
        connections = self.plan.connections(cell)
        operations = WARM_UP_OPERATIONS * connections
        ran = self.slice(worker, operations, f"{seed}/warm-up")
        spent_ns, loop_lags = 0, b""
        while spent_ns < WARM_UP_NS:
            per_operation_ns = max(1.0, ran.elapsed_ns / operations)
            operations = max(
                MORE_WARM_UP_OPERATIONS * connections, math.ceil((WARM_UP_NS - spent_ns) / per_operation_ns)
            )
            ran = self.slice(worker, operations, f"{seed}/warm-up/{spent_ns > 0}", freeze=True, heartbeat=True)
            spent_ns += max(1, ran.elapsed_ns)
            loop_lags += ran.loop_lags
        return loop_lags

    def slice(
        self,
        worker: Worker,
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

    def reset(self, cell: Cell) -> None:
        """Have the steward empty or restore the tables, where the scenario says how."""
        if cell.path in self.resets:
            self.ask_steward(messages.Reset(cell.path, self.schemas[cell.path], cell.params), Done)

    def tidy(self) -> None:
        """Bring the tables and the server to a settled state."""
        self.ask_steward(messages.Tidy(list(self.schemas.values()), self.site.embedded), Done)

    def ask_steward(self, request: messages.Request, kind: type[_REPLY]) -> _REPLY:
        """Ask the steward, who may take any time. Without it, or without a server, the run cannot go on."""
        try:
            return self.steward.ask(request, kind, None)
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
