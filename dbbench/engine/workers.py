"""The workers of a run, one for every arm and one for the tables, and what they can be asked to do.

The set-up and the blocks are written in terms of these requests.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Final, TypeVar, cast

import msgspec

from dbbench import messages
from dbbench.child import Home, WorkerFailedError, WorkerLateError, WorkerLostError, WorkerProcess
from dbbench.engine.site import PATIENCE_S, Site, Worker
from dbbench.engine.team import Team
from dbbench.errors import DbbenchError, ServerLostError
from dbbench.messages import Closed, Done, Ran, Route, RunSlice, Start, Started
from dbbench.plan import Arm, Cell, Load, Plan, Pool
from dbbench.records import Problem
from dbbench.server.passwords import redacted
from dbbench.worker import gil

WARM_UP_OPERATIONS: Final = 7  # per connection: psycopg prepares a statement at its 6th execution
MORE_WARM_UP_OPERATIONS: Final = 3
LONG_WARM_UP_NS: Final = 100_000_000  # if the first part takes longer, one operation more per connection is enough
WARM_UP_NS: Final = 25_000_000  # length of the second part, which samples the event loop's lag 25 times
LIMIT_NS: Final = 10_000_000_000  # a slice begins no operation later than this
RECONNECT_LIMIT_S: Final = 300.0  # how long to wait for a server that went away
_SHORTER: Final = "smaller parameters (--set) or fewer --sessions make it shorter, and a longer --budget allows more"
_WITHOUT: Final = "the rest of the run does without it"
_DOING: Final[Mapping[type[messages.Message], str]] = {
    messages.Prepare: "prepare() ran",
    messages.Reset: "reset() ran",
    messages.Tidy: "the tables were vacuumed",
    messages.Fingerprint: "the tables were compared",
    messages.Open: "{} connected",
    messages.Connect: "{} connected",
    messages.Check: "{} was checked",
    messages.RunSlice: "{} was measured",
    messages.Close: "{} disconnected",
}
"""What goes on during a request, as in "the server stopped answering while ..."."""
_WARM_UP: Final = "{} warmed up"
_REPLY = TypeVar("_REPLY", bound=messages.Message)


def _told(error: WorkerFailedError | WorkerLostError) -> str:
    """What an error says, with its code: 53100 is a full disk in any language."""
    code = error.code if isinstance(error, WorkerFailedError) else ""
    return f"{error} ({code})" if code and code not in str(error) else str(error)


def _took_too_long(limit_s: float) -> str:
    return f"its check took longer than {limit_s:.0f} s, its share of the budget"


@dataclass
class Workers:
    """The workers of a run: one for each arm while a block lasts, and those for the tables."""

    plan: Plan
    site: Site
    tables: dict[str, Worker]  # arm -> the worker for its tables; the same one where all have the same files
    schemas: dict[tuple[str, str], str] = field(default_factory=dict)  # (scenario file, arm) -> schema
    route: Callable[[Cell, str, str], Route | None] = lambda _cell, _arm, _schema: None
    renewed: Callable[[], Mapping[str, Worker]] = dict  # replaces the workers for the tables
    resets: set[str] = field(default_factory=set)  # scenario files that have a reset()
    excluded: set[tuple[int, str]] = field(default_factory=set)  # (cell, arm) that could not be measured
    facts: dict[str, dict[str, str]] = field(default_factory=dict)  # arm -> facts that its driver reports
    running: dict[str, Worker] = field(default_factory=dict)  # arm -> its worker, in the order in which they started
    _until_ns: int | None = None  # when what goes on must be over; see within()
    _stage: str = "nothing was asked of it"  # what goes on now

    @contextmanager
    def started(self, block: int | str) -> Iterator[list[Problem]]:
        """Run a fresh worker for every arm for the length of a `with` block; gives what start() returns."""
        with ExitStack() as stack:
            yield self.start(block, stack)

    def start(self, block: int | str, stack: ExitStack) -> list[Problem]:
        """Start a fresh worker for every arm, in random order, all with the same hash seed; `stack` ends them.

        Those that are lost before they are ready are left out from now on: returns a problem for each. Raises
        WorkerLostError where all are lost.
        """
        rng = self.plan.rng(block, "start")
        environment = {"PYTHONHASHSEED": str(rng.randrange(2**32))}
        homes = self.site.homes.for_block(self.plan.rng(block, "seats"))
        self.running.clear()
        stack.callback(self.running.clear)
        lost: dict[str, WorkerLostError] = {}
        for arm in rng.sample(self.plan.arms, len(self.plan.arms)):
            if not self._stays(arm.name):
                continue
            home = homes.get(arm.name) or self.site.homes.home(arm.name)
            try:
                worker = self._started(arm, self._start(arm, block), environment, home)
            except WorkerLostError as error:
                lost[arm.name] = error
            else:
                self.running[arm.name] = stack.enter_context(worker)
        for name, worker in list(self.running.items()):
            try:
                self.facts[name] = worker.reply(Started, PATIENCE_S).facts
            except WorkerLostError as error:
                lost[name] = error
                del self.running[name]
        if lost and not self.running:
            raise next(iter(lost.values()))
        return [self._leave_out(name, error) for name, error in lost.items()]

    def _started(self, arm: Arm, start: Start, environment: Mapping[str, str], home: Home) -> Worker:
        """A fresh worker, or as many as the arm has processes, as one."""
        if arm.connections.processes == 1:
            return self.site.start_worker(arm.name, start, environment, home)
        names = [f"{arm.name}, process {number + 1}" for number in range(arm.connections.processes)]
        with ExitStack() as stack:
            members = [stack.enter_context(self.site.start_worker(name, start, environment, home)) for name in names]
            stack.pop_all()
        return Team(cast("list[WorkerProcess]", members), arm.connections)

    def _leave_out(self, arm: str, error: WorkerLostError) -> Problem:
        """Leave the arm out of all cells from now on; returns why."""
        self.excluded.update((index, arm) for index in range(len(self.plan.cells)))
        self.facts.setdefault(arm, {})
        return Problem("worker lost", f"{error}, before it was ready; {_WITHOUT}", arm=arm)

    def _stays(self, arm: str) -> bool:
        """Whether the arm can still be measured in any cell."""
        return any((index, arm) not in self.excluded for index in range(len(self.plan.cells)))

    @property
    def complete(self) -> bool:
        """Whether every arm that can still be measured has its worker."""
        return all(arm.name in self.running for arm in self.plan.arms if self._stays(arm.name))

    def _start(self, arm: Arm, block: int | str) -> Start:
        """The first message to the arm's worker; in a block it may load all scenarios that the set-up could measure."""
        order = self.plan.cell_order(block) if isinstance(block, int) else []
        due = [self.plan.cells[index] for index in order if (index, arm.name) not in self.excluded]
        loads = [self.plan.of(cell, arm.name).path for cell in due]
        return msgspec.structs.replace(
            self.site.start,
            driver=arm.driver,
            connections=arm.connections,
            bare=arm.bare,
            busy_ns=arm.busy_ns,
            scenarios=[self.site.homes.path(arm.name, path) for path in dict.fromkeys(loads) if arm.driver],
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
        if self.was_away or not self.site.alive():
            raise self.server_lost(error) from error
        scenario, code = self.plan.cells[index].scenario, "" if isinstance(error, WorkerLostError) else error.code
        return Problem("worker lost" if lost else "operation", str(error), scenario, index, arm, code)

    def ask(self, arm: str, request: messages.Request, kind: type[_REPLY]) -> _REPLY:
        """Send the arm's worker any request but a slice."""
        return self._ask(self.running[arm], request, kind, self.patience(), _DOING[type(request)].format(arm))

    def _ask(
        self, worker: Worker, request: messages.Request, kind: type[_REPLY], patience: float, stage: str
    ) -> _REPLY:
        """Send a worker a request; while it does not answer, look whether the server does."""
        self._stage = stage
        return worker.ask(request, kind, patience, self.check_server)

    def check_server(self) -> None:
        """Raise ServerLostError, which says what went on, where the server does not answer, or was away meanwhile."""
        if self.was_away or not self.site.alive():
            raise self.server_lost()

    @property
    def was_away(self) -> bool:
        """Whether the server has gone away, and that is to be waited for; it may be back already."""
        return self.site.sentry is not None and self.site.sentry.lost

    def wait_for_server(self) -> float:
        """Wait until a server that went away is back; returns for how many seconds it was away.

        Raises ServerLostError where it stays away for longer than RECONNECT_LIMIT_S.
        """
        assert self.site.sentry is not None
        away_s = self.site.sentry.wait(RECONNECT_LIMIT_S)
        self.tables.update(self.renewed())
        return away_s

    def server_lost(self, error: WorkerFailedError | WorkerLostError | None = None) -> ServerLostError:
        """What to raise where the server does not answer: what went on, and the last that was heard of it."""
        said = self.site.obituary() or ("" if error is None else _told(error))
        why = f": {redacted(said, self.site.start.address.password)}" if said else ""
        return ServerLostError(f"the server stopped answering while {self._stage}{why}")

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

    def open(self, cell: Cell, arm: str, pool: Pool | None = None) -> None:
        """Have the arm's worker open pool and sessions for the cell; `pool`: other than the arm's own."""
        own = self.plan.of(cell, arm)
        own = msgspec.structs.replace(own, path=self.site.homes.path(arm, own.path))
        schema = self.schemas[cell.path, arm]
        self.ask(arm, messages.Open(own, schema, self.route(cell, arm, schema), pool), Done)

    def close(self, arm: str) -> Closed:
        """Have the arm's worker close the cell; notes whether the load has switched Python's lock on."""
        closed = self.ask(arm, messages.Close(), Closed)
        if closed.gil:
            before = self.facts[arm].get(gil.FACT, "").partition(",")[0]
            self.facts[arm][gil.FACT] = before if before == closed.gil else f"{before}, {closed.gil} under load"
        return closed

    def warm_up(self, cell: Cell, arm: str, seed: str) -> bytes:
        """Warm up by operations per connection, then by time; returns the lags of the event loop in the second part."""
        connections = self.plan.connections(cell)
        operations = WARM_UP_OPERATIONS * connections
        elapsed_ns = self.slice(arm, operations, f"{seed}/warm-up", stage=_WARM_UP).usage.elapsed_ns
        spent_ns, loop_lags = 0, b""
        more = 1 if elapsed_ns > LONG_WARM_UP_NS else MORE_WARM_UP_OPERATIONS
        while spent_ns < WARM_UP_NS:
            per_operation_ns = max(1.0, elapsed_ns / operations)
            operations = max(more * connections, math.ceil((WARM_UP_NS - spent_ns) / per_operation_ns))
            again = f"{seed}/warm-up/{spent_ns > 0}"
            ran = self.slice(arm, operations, again, freeze=True, heartbeat=True, stage=_WARM_UP)
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
        stage: str = "",
    ) -> Ran:
        """Have an arm run a slice in its open cell; no operation begins more than `grace_ns` after the last one is due.

        In a closed loop all operations are due at once.
        """
        load = load or Load()
        due_s = operations / load.rate if load.rate else 0.0
        limit_ns = int(due_s * 1e9) + grace_ns
        request = RunSlice(operations, seed, limit_ns, lead_in, freeze, load, heartbeat)
        stage = (stage or _DOING[RunSlice]).format(arm)
        return self._ask(self.running[arm], request, Ran, self.patience(limit_ns / 1e9), stage)

    def reset(self, cell: Cell, arm: str) -> None:
        """Have the scenario reset the tables of the arm, if it defines how."""
        if cell.path in self.resets:
            own = self.plan.of(cell, arm)
            path = self.site.homes.path(arm, own.path)
            self.ask_tables(arm, messages.Reset(path, self.schemas[cell.path, arm], own.params), Done)

    def tidy(self) -> None:
        """Vacuum and analyze the tables; have an embedded server checkpoint."""
        schemas = list(dict.fromkeys(self.schemas.values()))
        self.ask_tables(self.plan.arms[0].name, messages.Tidy(schemas, self.site.embedded), Done)

    def ask_tables(self, arm: str, request: messages.Request, kind: type[_REPLY]) -> _REPLY:
        """Send a request to the worker for the arm's tables, which may take as long as the site allows.

        Raises DbbenchError when that worker or the server is lost, since the run cannot go on without them.
        """
        limit_s, stage = self.site.prepare_limit_s, _DOING[type(request)]
        try:
            return self._ask(self.tables[arm], request, kind, limit_s, stage)
        except WorkerLateError:
            raise DbbenchError(f"{stage} for more than {limit_s:g} s", "--prepare-timeout allows more") from None
        except WorkerLostError as error:
            raise DbbenchError(str(error)) from error
        except WorkerFailedError as error:
            if self.was_away or not self.site.alive():
                raise self.server_lost(error) from error
            raise

    def patience(self, slice_s: float = 0.0) -> float:
        """The seconds that a worker may take for a request, of which a slice takes so many by itself."""
        longest_s = max(arm.connections.pool.timeout + arm.connections.statement_limit_s for arm in self.plan.arms)
        usual_s = PATIENCE_S + longest_s + slice_s
        return min(usual_s, max(0.0, self._left_s()))
