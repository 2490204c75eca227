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
from dbbench.plan import Arm, Cell, Plan
from dbbench.process import Worker, WorkerFailedError, WorkerLostError
from dbbench.records import Problem
from dbbench.scenario import Description

WARM_UP_OPERATIONS: Final = 10  # per connection: psycopg prepares a statement at its 6th execution
WARM_UP_NS: Final = 30_000_000
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
            start = msgspec.structs.replace(self.site.start, driver=arm.driver)
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

    def warm_up(self, worker: Worker, cell: Cell, seed: str) -> None:
        """By operations per connection first, then by time."""
        operations = WARM_UP_OPERATIONS * self.plan.connections(cell)
        ran = self.slice(worker, operations, f"{seed}/warm-up", freeze=True)
        if ran.elapsed_ns < WARM_UP_NS:
            more = math.ceil(operations * (WARM_UP_NS / ran.elapsed_ns - 1))
            self.slice(worker, more, f"{seed}/warm-up more", freeze=True)

    def slice(self, worker: Worker, operations: int, seed: str, *, lead_in: int = 0, freeze: bool = False) -> Ran:
        """Have a worker run a slice in the cell that it has open."""
        request = RunSlice(operations, seed, LIMIT_NS, lead_in, freeze)
        return worker.ask(request, Ran, self.patience + LIMIT_NS / 1e9)

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
