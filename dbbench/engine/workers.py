"""The workers of a run, one for every arm and one for the tables, and what they can be asked to do.

The set-up and the blocks are written in terms of these requests.
"""

import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from types import TracebackType
from typing import Any, Final, Protocol, TypeVar

import msgspec

from dbbench import messages
from dbbench.child import Home, WorkerFailedError, WorkerLostError, WorkerProcess
from dbbench.engine import machine
from dbbench.errors import DbbenchError, ServerLostError, UsageError
from dbbench.messages import Closed, Described, Done, Ran, Route, RunSlice, Start, Started
from dbbench.plan import Arm, Cell, Load, Placement, Plan
from dbbench.records import Problem
from dbbench.scenario import Description

WARM_UP_OPERATIONS: Final = 7  # per connection: psycopg prepares a statement at its 6th execution
MORE_WARM_UP_OPERATIONS: Final = 3
LONG_WARM_UP_NS: Final = 400_000_000  # if the first part takes longer, one operation more per connection is enough
WARM_UP_NS: Final = 50_000_000  # length of the second part, which samples the event loop's lag 50 times
LIMIT_NS: Final = 10_000_000_000  # a slice begins no operation later than this
PATIENCE_S: Final = 60.0  # how long to wait for a reply, besides the time that the settings allow a request
_SHORTER: Final = "smaller parameters (--set) or fewer --sessions make it shorter, and a longer --budget allows more"
TABLES_DRIVER: Final = "psycopg-sync"
_REPLY = TypeVar("_REPLY", bound=messages.Message)


class Worker(Protocol):
    """What the engine needs from a worker: see child.WorkerProcess."""

    @property
    def pid(self) -> int:
        """Its process id."""
        ...

    def ask(self, request: messages.Request, kind: type[_REPLY], patience: float | None) -> _REPLY:
        """Send a request and wait for its reply."""
        ...

    def reply(self, kind: type[_REPLY], patience: float | None) -> _REPLY:
        """Wait for the reply to a request that was sent before."""
        ...

    def __enter__(self) -> Any:
        """Use the worker for the length of a `with` block."""
        ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None, /
    ) -> None:
        """End it."""
        ...


class Homes(Protocol):
    """The home of each arm: the Python environment of its workers, and the files that they work with.

    Usually `AtHome`; a gate has two homes.
    """

    @property
    def tables_for(self) -> Sequence[str]:
        """Arms with a worker of their own for their tables; all other arms use the first one's."""
        ...

    @property
    def same_tables(self) -> bool:
        """Whether all arms work on the same tables."""
        ...

    def home(self, arm: str) -> Home:
        """The environment of the arm in this run."""
        ...

    def for_block(self, rng: Random) -> Mapping[str, Home]:
        """The environments of the arms for one block, where they differ from `home`."""
        ...

    def path(self, arm: str, path: str) -> str:
        """The path of the arm's own copy of the scenario's file."""
        ...


class AtHome:
    """All arms use the Python environment of this process, and work with the same files and tables."""

    tables_for: Sequence[str] = ("",)
    same_tables = True

    def home(self, _arm: str) -> Home:
        """See Homes."""
        return Home()

    def for_block(self, _rng: Random) -> Mapping[str, Home]:
        """See Homes."""
        return {}

    def path(self, _arm: str, path: str) -> str:
        """See Homes."""
        return path


AT_HOME: Final = AtHome()


@dataclass(frozen=True)
class Site:
    """Where a run takes place: a server, and how workers are started on it."""

    start: Start  # the first message to a worker, without what depends on the arm
    placement: Placement
    create_schema: Callable[[int], str]
    alive: Callable[[], bool]
    check_connections: Callable[[int], None]  # raises if this number cannot be opened, or rights are missing
    describe: Callable[[], dict[str, Any]]  # version and settings of the server
    run_id: str
    embedded: bool  # an embedded server may be told to checkpoint, and keeps nothing after the run
    homes: Homes = AT_HOME
    describe_machine: Callable[[Iterable[str]], dict[str, Any]] = machine.describe  # with versions of these packages
    clock_ns: Callable[[], int] = time.perf_counter_ns  # a clock that all processes of the machine share
    start_worker: Callable[[str, Start, Mapping[str, str], Home], Worker] = WorkerProcess


def start_tables_worker(site: Site, arm: str) -> Worker:
    """Start the worker that loads scenarios, makes their tables and keeps them tidy, in the home of the arm."""
    run_id = "" if site.embedded else site.run_id
    start = msgspec.structs.replace(site.start, driver=TABLES_DRIVER, cpus=None, run_id=run_id)
    worker = site.start_worker("the tables", start, {}, site.homes.home(arm))
    worker.reply(Started, PATIENCE_S)
    return worker


def describe(
    worker: Worker, paths: Mapping[Path, str], overrides: Mapping[str, str]
) -> tuple[dict[Path, Description], list[Problem]]:
    """The descriptions of scenario files, and a problem for each that cannot be loaded.

    `paths`: scenario -> this worker's own copy of its file. Raises UsageError for a value that a parameter cannot have.
    """
    described: dict[Path, Description] = {}
    problems = []
    for path, own in paths.items():
        try:
            described[path] = worker.ask(messages.Describe(own, dict(overrides)), Described, PATIENCE_S).scenario
        except WorkerFailedError as error:
            if not error.scenario:
                raise UsageError(str(error)) from None  # a value that a parameter cannot take
            problems.append(Problem("scenario", str(error)))
    return described, problems


def _took_too_long(limit_s: float) -> str:
    return f"its check took longer than {limit_s:.0f} s, its share of the budget"


@dataclass
class Workers:
    """The workers of a run: one for each arm while a block lasts, and those for the tables."""

    plan: Plan
    site: Site
    tables: Mapping[str, Worker]  # arm -> the worker for its tables; the same one where all have the same files
    schemas: dict[tuple[str, str], str] = field(default_factory=dict)  # (scenario file, arm) -> schema
    route: Callable[[Cell, str, str], Route | None] = lambda _cell, _arm, _schema: None
    resets: set[str] = field(default_factory=set)  # scenario files that have a reset()
    excluded: set[tuple[int, str]] = field(default_factory=set)  # (cell, arm) that could not be measured
    facts: dict[str, dict[str, str]] = field(default_factory=dict)  # arm -> facts that its driver reports
    running: dict[str, Worker] = field(default_factory=dict)  # arm -> its worker, in the order in which they started
    _until_ns: int | None = None  # when what goes on must be over; see within()

    @contextmanager
    def started(self, block: int | str) -> Iterator[None]:
        """Run a fresh worker for every arm for the length of a `with` block."""
        with ExitStack() as stack:
            self.start(block, stack)
            yield

    def start(self, block: int | str, stack: ExitStack) -> None:
        """Start a fresh worker for every arm, in random order, all with the same hash seed; `stack` ends them."""
        rng = self.plan.rng(block, "start")
        environment = {"PYTHONHASHSEED": str(rng.randrange(2**32))}
        homes = self.site.homes.for_block(self.plan.rng(block, "seats"))
        self.running.clear()
        stack.callback(self.running.clear)
        for arm in rng.sample(self.plan.arms, len(self.plan.arms)):
            home = homes.get(arm.name) or self.site.homes.home(arm.name)
            worker = self.site.start_worker(arm.name, self._start(arm), environment, home)
            self.running[arm.name] = stack.enter_context(worker)
        for name, worker in self.running.items():
            self.facts[name] = worker.reply(Started, PATIENCE_S).facts

    @property
    def complete(self) -> bool:
        """Whether every arm has its worker."""
        return len(self.running) == len(self.plan.arms)

    def _start(self, arm: Arm) -> Start:
        """The first message to the arm's worker."""
        return msgspec.structs.replace(
            self.site.start, driver=arm.driver, connections=arm.connections, bare=arm.bare, busy_ns=arm.busy_ns
        )

    def arms(self, index: int) -> list[Arm]:
        """The arms that can still be measured in the cell."""
        return [arm for arm in self.plan.arms if arm.name in self.running and (index, arm.name) not in self.excluded]

    def exclude(self, index: int, arm: str, error: WorkerFailedError | WorkerLostError) -> Problem:
        """Leave the arm out of the cell from now on; returns why."""
        self.excluded.add((index, arm))
        lost = isinstance(error, WorkerLostError)
        if lost:
            del self.running[arm]
        if not self.site.alive():
            raise ServerLostError("the server went away") from error
        scenario, code = self.plan.cells[index].scenario, "" if isinstance(error, WorkerLostError) else error.code
        return Problem("worker lost" if lost else "operation", str(error), scenario, index, arm, code)

    def ask(self, arm: str, request: messages.Request, kind: type[_REPLY]) -> _REPLY:
        """Send the arm's worker any request but a slice."""
        return self.running[arm].ask(request, kind, self.patience())

    @contextmanager
    def within(self, limit_s: float | None) -> Iterator[None]:
        """Give all requests of a `with` block so many seconds together; None: as many as they take.

        Raises WorkerFailedError or WorkerLostError, with the way out, where they take longer.
        """
        if limit_s is None:
            yield
            return
        self._until_ns = self.site.clock_ns() + int(limit_s * 1e9)
        try:
            yield
        except WorkerLostError:
            if self._left_s() > 0:
                raise
            raise WorkerLostError(_took_too_long(limit_s), _SHORTER) from None
        else:
            if self._left_s() <= 0:
                raise WorkerFailedError(messages.Failed(f"{_took_too_long(limit_s)}; {_SHORTER}", scenario=True))
        finally:
            self._until_ns = None

    def _left_s(self) -> float:
        """The seconds until what goes on must be over."""
        return math.inf if self._until_ns is None else (self._until_ns - self.site.clock_ns()) / 1e9

    def open(self, cell: Cell, arm: str) -> None:
        """Have the arm's worker open pool and sessions for the cell."""
        own = msgspec.structs.replace(cell, path=self.site.homes.path(arm, cell.path))
        schema = self.schemas[cell.path, arm]
        self.ask(arm, messages.Open(own, schema, self.route(cell, arm, schema)), Done)

    def close(self, arm: str) -> Closed:
        """Have the arm's worker close the cell."""
        return self.ask(arm, messages.Close(), Closed)

    def warm_up(self, cell: Cell, arm: str, seed: str) -> bytes:
        """Warm up by operations per connection, then by time; returns the lags of the event loop in the second part."""
        connections = self.plan.connections(cell)
        operations = WARM_UP_OPERATIONS * connections
        elapsed_ns = self.slice(arm, operations, f"{seed}/warm-up").usage.elapsed_ns
        spent_ns, loop_lags = 0, b""
        more = 1 if elapsed_ns > LONG_WARM_UP_NS else MORE_WARM_UP_OPERATIONS
        while spent_ns < WARM_UP_NS:
            per_operation_ns = max(1.0, elapsed_ns / operations)
            operations = max(more * connections, math.ceil((WARM_UP_NS - spent_ns) / per_operation_ns))
            ran = self.slice(arm, operations, f"{seed}/warm-up/{spent_ns > 0}", freeze=True, heartbeat=True)
            elapsed_ns = ran.usage.elapsed_ns
            spent_ns += max(1, elapsed_ns)
            loop_lags += ran.loop_lags
        return loop_lags

    def slice(
        self,
        arm: str,
        operations: int,
        seed: str,
        *,
        lead_in: int = 0,
        freeze: bool = False,
        heartbeat: bool = False,
        load: Load | None = None,
        grace_ns: int = LIMIT_NS,
    ) -> Ran:
        """Have an arm run a slice in its open cell; no operation begins more than `grace_ns` after the last one is due.

        In a closed loop all operations are due at once.
        """
        load = load or Load()
        due_s = operations / load.rate if load.rate else 0.0
        limit_ns = int(due_s * 1e9) + grace_ns
        request = RunSlice(operations, seed, limit_ns, lead_in, freeze, load, heartbeat)
        return self.running[arm].ask(request, Ran, self.patience(limit_ns / 1e9))

    def reset(self, cell: Cell, arm: str) -> None:
        """Have the scenario reset the tables of the arm, if it defines how."""
        if cell.path in self.resets:
            path = self.site.homes.path(arm, cell.path)
            self.ask_tables(arm, messages.Reset(path, self.schemas[cell.path, arm], cell.params), Done)

    def tidy(self) -> None:
        """Vacuum and analyze the tables; have an embedded server checkpoint."""
        schemas = list(dict.fromkeys(self.schemas.values()))
        self.ask_tables(self.plan.arms[0].name, messages.Tidy(schemas, self.site.embedded), Done)

    def ask_tables(self, arm: str, request: messages.Request, kind: type[_REPLY]) -> _REPLY:
        """Send a request, which may take any time, to the worker for the arm's tables.

        Raises DbbenchError when that worker or the server is lost, since the run cannot go on without them.
        """
        try:
            return self.tables[arm].ask(request, kind, None)
        except WorkerLostError as error:
            raise DbbenchError(str(error)) from error
        except WorkerFailedError as error:
            if not self.site.alive():
                raise ServerLostError("the server went away") from error
            raise

    def patience(self, slice_s: float = 0.0) -> float:
        """The seconds that a worker may take for a request, of which a slice takes so many by itself."""
        usual_s = PATIENCE_S + max(arm.connections.pool.timeout for arm in self.plan.arms) + slice_s
        return min(usual_s, max(0.0, self._left_s()))
