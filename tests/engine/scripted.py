"""A machine without a server and without processes: its workers answer as the scenario's name says (see script.py).

The machine has a clock of its own, which goes on while slices run, so that nothing depends on the real one.
"""

import contextlib
import hashlib
import json
import math
import signal
from array import array
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from random import Random
from types import TracebackType
from typing import Any, Final, Self, TypeVar

from engine.script import Part, Script, moment

from dbbench import messages
from dbbench.address import Address
from dbbench.child import Home, WorkerFailedError, WorkerLostError
from dbbench.drivers import DRIVERS
from dbbench.engine.clocks import Reading
from dbbench.engine.options import Options
from dbbench.engine.site import Homes, Site
from dbbench.engine.watcher import Watcher
from dbbench.errors import Interrupted, ServerLostError
from dbbench.messages import Checked, Closed, Described, Done, Failed, Ran, Reply, Request, RunSlice, Start, Started
from dbbench.plan import Cell, Placement
from dbbench.records import Usage
from dbbench.worker.load import schedule

PASSWORD: Final = "s3cr3t c@nary/%?"
ADDRESS: Final = Address("localhost", 5432, "scratch", "owner", PASSWORD)
START_NS: Final = 200_000_000  # of a worker
TABLES: Final = "the tables"
_SPREAD: Final = (1.0, 0.8, 1.2, 0.9, 1.1)  # of an operation's time around its mean
_REPLY = TypeVar("_REPLY", bound=messages.Message)
_REQUEST = TypeVar("_REQUEST", bound=messages.Message)


@dataclass
class ScriptedMachine:
    """Where scripted workers work: its clock, its server, and all that was asked of the workers, in order."""

    now_ns: int = 10**12
    alive: bool = True
    asked: list[tuple[str, Request]] = field(default_factory=list)  # (name of the worker, request)
    workers: list["ScriptedWorker"] = field(default_factory=list)  # all that were ever started
    stillborn: tuple[tuple[str, int], ...] = ()  # (name of a worker, which of its starts fails)
    restart_s: float = 7.0  # of the server
    away_s: float = 0.0  # that the server was away, which nobody has waited for yet
    suspended_s: float = 0.0  # for which the monotonic clock stood still
    schemas: list[str] = field(default_factory=list)  # in the order in which they were made
    connections: int | None = None  # for which rights and limits were checked
    written: dict[str, str] = field(default_factory=dict)  # schema -> what was last written there
    made: dict[str, str] = field(default_factory=dict)  # schema -> how its tables are made

    def _create_schema(self, number: int) -> str:
        """Make a schema, which no two requests may ask for."""
        name = f"schema_{number}"
        assert name not in self.schemas, f"{name} already exists"
        self.schemas.append(name)
        return name

    @contextlib.contextmanager
    def site(self, options: Options, _run_id: str, homes: Homes, _watch: Watcher) -> Iterator[Site]:
        """See engine.opening.OpenSite."""

        def check(connections: int) -> None:
            self.connections = connections

        yield Site(
            start=Start("", ADDRESS, "dbbench_scripted", options.connections, None),
            placement=Placement(options.placement or "split", [0], [1]),
            create_schema=self._create_schema,
            alive=lambda: self.alive,
            check_connections=check,
            describe=lambda: {"version": "PostgreSQL 18.4 on a script", "transport": "none", "tls": False},
            embedded=False,
            homes=homes,
            start_worker=self._start,
            describe_machine=lambda names: {"machine": {"cpu_count": 2}, "packages": dict.fromkeys(names, "1.2")},
            clock_ns=lambda: self.now_ns,
            sentry=ScriptedSentry(self) if options.on_disconnect == "reconnect" else None,
            read_clocks=self._read_clocks,
        )

    def _read_clocks(self) -> Reading:
        now = self.now_ns / 1e9
        return Reading(now, now + self.suspended_s, now + self.suspended_s)

    def _start(self, name: str, start: Start, environment: Mapping[str, str], home: Home) -> "ScriptedWorker":
        self.now_ns += START_NS
        self.workers.append(
            ScriptedWorker(self, name, travelled(start, Start), environment, home, 4000 + len(self.workers))
        )
        return self.workers[-1]

    def slices(self, moment_: str = "block") -> list[tuple[str, RunSlice]]:
        """The slices that began in moments of this name, with the names of their workers."""
        return [
            (name, request)
            for name, request in self.asked
            if isinstance(request, RunSlice) and moment(request.seed).startswith(moment_)
        ]


@dataclass
class ScriptedSentry:
    """Stands where server.sentry.Sentry does."""

    machine: ScriptedMachine

    @property
    def lost(self) -> bool:
        """Whether the server was away."""
        return self.machine.away_s > 0

    def wait(self, limit_s: float) -> float:
        """Wait, by the machine's clock."""
        away_s, self.machine.away_s = self.machine.away_s, 0.0
        if away_s > limit_s:
            raise ServerLostError(f"the server was not back within {limit_s:g} s")
        self.machine.now_ns += int(away_s * 1e9)
        return away_s


@dataclass
class ScriptedWorker:
    """Stands where child.WorkerProcess does."""

    machine: ScriptedMachine
    name: str
    start: Start
    environment: Mapping[str, str]
    home: Home
    pid: int
    ended: bool = False
    disturbed: str = ""
    script: Script | None = None  # of the open cell
    cell: Cell | None = None
    schema: str = ""

    def disturbance(self) -> str:
        """What the script says that happened."""
        found, self.disturbed = self.disturbed, ""
        return found

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.ended = True

    def reply(self, kind: type[_REPLY], patience: float, meanwhile: Callable[[], None] | None = None) -> _REPLY:
        """Say that it has started, unless it was to be lost before."""
        del patience, meanwhile
        number = [each.name for each in self.machine.workers].count(self.name)
        if (self.name, number) in self.machine.stillborn:
            self.ended = True
            raise WorkerLostError(f"the worker of {self.name} ended (exit status -9)")
        return travelled(Started({"results": "scripted"}), kind)

    def ask(
        self, request: Request, kind: type[_REPLY], patience: float, meanwhile: Callable[[], None] | None = None
    ) -> _REPLY:
        """Answer."""
        del patience, meanwhile
        assert not self.ended, f"{self.name} is asked for {request} and has ended"
        request = travelled(request, type(request))
        self.machine.asked.append((self.name, request))
        reply = travelled(self._answer(request), messages.Message)
        if isinstance(reply, Failed):
            raise WorkerFailedError(reply)
        assert isinstance(reply, kind), reply
        return reply

    def _answer(self, request: Request) -> Reply:  # noqa: PLR0911 - one case for each request
        match request:
            case messages.Describe(path, overrides):
                script = Script.of(path)
                if "broken" in script.words:
                    return Failed(f"{script.name}.py:1: invalid syntax", scenario=True)
                return Described(script.description(overrides))
            case messages.Prepare(path, schema):
                return self._prepare(Script.of(path), schema)
            case messages.Fingerprint(schema, structure):
                found = self.machine.made[schema] if structure else self.machine.written.get(schema, "nothing")
                return checked([f"table t: {found}"])
            case messages.Open(cell, schema):
                self.cell, self.script, self.schema = cell, Script.of(cell.path), schema
            case messages.Check(seeds):
                return self._check(seeds)
            case messages.RunSlice():
                return self._run(request)
            case messages.Close():
                self._happen("close")
                self.cell = None
                return Closed(peak_bytes=64_000_000)
        return Done()

    @property
    def _part(self) -> Part:
        assert self.cell is not None, "no cell is open"
        assert self.script is not None
        return self.script.part(self.name, self.start.driver or self.cell.driver)

    def _prepare(self, script: Script, schema: str) -> Reply:
        if "unprepared" in script.words:
            return Failed(f"{script.name}.py:2: LookupError: no data", scenario=True)
        side = Path(self.home.python).name
        self.machine.made[schema] = f"as {side} makes it" if "rebuilt" in script.words else "id int"
        return Done()

    def _happen(self, moment_: str) -> None:
        """End, if the script says so for this moment."""
        match self._part.happens.get(moment_):
            case "lost":
                self.ended = True
                raise WorkerLostError(f"the worker of {self.name} ended (exit status 9)")
            case "stopped":
                self.disturbed = f"the worker of {self.name} was stopped by a signal"
            case "suspended":
                self.machine.suspended_s += 4
            case "restarted":
                self.machine.away_s += self.machine.restart_s
                raise WorkerFailedError(Failed("the connection was closed", scenario=True))
            case "interrupted":
                raise Interrupted(signal.SIGINT)
            case "deserted":
                self.machine.alive = False
                raise WorkerFailedError(Failed("the connection was closed", scenario=True))

    def _failure(self, seed: str) -> str:
        """What an operation that fails says."""
        told = PASSWORD if self._part.leaking else seed if self._part.differently else "told to"
        assert self.script is not None
        return f"{self.script.name}.py:3: Error: {told}"

    def _check(self, seeds: list[str]) -> Reply:
        part = self._part
        self._happen(moment(seeds[0]))
        if part.failing == 1:
            return Failed(self._failure(seeds[0]), scenario=True, code=part.fails)
        if part.unfit:
            return Failed("nothing is sent", scenario=True, unfit=True)
        self.machine.written[self.schema] = part.writes
        value = "NoneType None" if part.returns == "nothing" else f"int {part.returns}"
        return checked([f"operation {number}: {value}" for number, _ in enumerate(seeds, 1)])

    def _run(self, request: RunSlice) -> Ran:
        part, cell = self._part, self.cell
        assert cell is not None
        self._happen(moment(request.seed))
        connections = min(cell.sessions, self.start.connections.pool.capacity)
        operation_ns = part.at_layers.get(cell.layer, part.operation_ns) * self._disturbance(request.seed)
        failed = int(request.operations * part.failing + 1e-9)
        services = array("q", (round(operation_ns * _SPREAD[at % len(_SPREAD)]) for at in range(request.operations)))
        latencies, elapsed_ns = services, round(operation_ns * request.operations / connections)
        if request.load.rate is not None:
            services, latencies, elapsed_ns = queued(request, services, connections)
        if request.load.think_s:  # a session pauses after each of its operations
            elapsed_ns = round((operation_ns + request.load.think_s * 1e9) * request.operations / cell.sessions)
        not_started = request.operations - len(services)
        services, latencies = services[failed:], latencies[failed:]
        self.machine.now_ns += round(request.lead_in * operation_ns)
        began_ns = self.machine.now_ns
        self.machine.now_ns += elapsed_ns
        due = schedule(request.load, request.operations, request.seed) or []
        ends = [began_ns + at + latency for at, latency in zip(due[failed:], latencies, strict=False)]
        return Ran(
            latencies=latencies.tobytes(),
            waits=array("q", (each // 10 for each in services)).tobytes(),
            services=None if request.load.rate is None else services.tobytes(),
            loop_lags=array("q", [50_000] * 20).tobytes() if request.heartbeat and self._is_async else b"",
            began_ns=began_ns,
            usage=Usage(
                operations=len(latencies),
                errors=failed,
                elapsed_ns=elapsed_ns,
                cpu_ns=sum(services) * 6 // 10,
                system_ns=sum(services) * 2 // 10,
                latency_ns=sum(latencies),
                not_started=not_started,
            ),
            failures={part.fails: failed} if failed else {},
            errors=[self._failure(request.seed)] if failed else [],
            ends=array("q", ends).tobytes(),
        )

    @property
    def _is_async(self) -> bool:
        assert self.cell is not None
        return DRIVERS[self.start.driver or self.cell.driver].is_async

    def _disturbance(self, seed: str) -> float:
        """By how much a slice takes longer than the script says."""
        part = self._part
        if part.happens.get(moment(seed)) == "crawls":
            return 10.0
        if part.recorded and moment(seed).startswith("block"):
            return math.exp(recorded(*map(int, seed.split("/"))))
        return math.exp(part.noise * Random(f"{seed}/{self.name}").uniform(-1, 1))


def queued(request: RunSlice, services: "array[int]", connections: int) -> tuple["array[int]", "array[int]", int]:
    """Service times and response times of what began before the limit, and how long it took: a queue as it is."""
    due = schedule(request.load, len(services), request.seed) or []
    free = [0] * connections  # when each connection is free again
    begun, responses = array("q"), array("q")
    for at, service in zip(due, services, strict=True):
        first = min(range(connections), key=free.__getitem__)
        begin = max(at, free[first])
        if begin > request.limit_ns:
            break
        free[first] = begin + service
        begun.append(service)
        responses.append(begin + service - at)
    return begun, responses, max(free)


_RECORDED: Final[dict[str, Any]] = json.loads((Path(__file__).parents[1] / "data" / "identical_sides.json").read_text())
_SEGMENT: Final = 24  # blocks of a gate


def recorded(seed: int, block: int, cell: int, round_: int) -> float:
    """The ln ratio of a slice to its neighbour in a recorded gate of identical sides; the seed says of which one.

    The error that was recorded with it becomes the difference of the block's two rounds: see paired.block_error.
    """
    blocks = _RECORDED["blocks"]
    log_ratio, error = blocks[(seed * _SEGMENT + block) % len(blocks)][cell % len(_RECORDED["rows"])]
    assert round_ in (0, 1), "a recorded block has two rounds"
    return float(log_ratio + (1 - 2 * round_) * error * math.sqrt(2) / math.pi)


def checked(lines: list[str]) -> Checked:
    """What a worker makes of what it found."""
    return Checked(lines, hashlib.sha256("\n".join(lines).encode()).hexdigest())


def travelled(message: messages.Message, kind: type[_REQUEST]) -> _REQUEST:
    """The message as it arrives at the other end of a pipe: what has a wrong type does not."""
    stream = BytesIO()
    messages.send(stream, message)
    if isinstance(message, Request):
        stream.seek(0)
        arrived: messages.Message | None = messages.receive_request(stream)
    else:
        arrived = messages.decode_reply(stream.getvalue()[messages.LENGTH_BYTES :])
    assert isinstance(arrived, kind)
    return arrived
