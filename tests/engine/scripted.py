"""A machine without a server and without processes: its workers answer as the scenario's name says.

As hyperfine's tests read "sleep 0.123" out of a command, a scenario is nothing but its name here:

    psycopg 1000us, asyncpg 800us noise 2% fails 40001 10%, sessions 1 4

A clause begins with the name of an arm (in a gate base or head), or of its driver, and says of it:

    800us, 2ms         how long an operation takes on one connection; 1ms where nothing is said
    noise 5%           by how much a slice may be off, at random
    recorded           blocks, of two rounds each, are as noisy as the gates of tests/data/identical_sides.json
    returns 7          what operations return: 1 where nothing is said; `returns nothing` for None
    writes 7           what they leave in the tables
    fails 40001 10%    the SQLSTATE of operations that fail, and how many do: all where nothing is said
    differently        ... with another message in every slice
    leaking            ... with the password in the message
    lost in block 1    when its worker ends; likewise `interrupted in`, by a signal, and `deserted in`, by the server

or is about the whole scenario: `sessions 1 4`, `layers raw orm`, `reset`, `broken`, `unprepared`, `rebuilt` (head makes
other tables). Moments are: check, time, close, block 1, warm-up of block 1; of a search: warm-up, guess, trial 1.

The machine has a clock of its own, which goes on while slices run, so that nothing depends on the real one.
"""

import contextlib
import hashlib
import json
import math
import re
import signal
from array import array
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from random import Random
from types import TracebackType
from typing import Any, Final, Self, TypeVar

import msgspec

from dbbench import messages
from dbbench.address import Address
from dbbench.child import Home, WorkerFailedError, WorkerLostError
from dbbench.drivers import DRIVERS
from dbbench.engine.options import Options
from dbbench.engine.watcher import Watcher
from dbbench.engine.workers import Homes, Site
from dbbench.errors import Interrupted
from dbbench.messages import Checked, Closed, Described, Done, Failed, Ran, Reply, Request, RunSlice, Start, Started
from dbbench.plan import Cell, Layer, Placement
from dbbench.records import Usage
from dbbench.scenario import LAYERS, Description
from dbbench.worker.load import schedule

PASSWORD: Final = "s3cr3t c@nary/%?"
ADDRESS: Final = Address("localhost", 5432, "scratch", "owner", PASSWORD)
START_NS: Final = 200_000_000  # of a worker
TABLES: Final = "the tables"
_SPREAD: Final = (1.0, 0.8, 1.2, 0.9, 1.1)  # of an operation's time around its mean
_REPLY = TypeVar("_REPLY", bound=messages.Message)
_REQUEST = TypeVar("_REQUEST", bound=messages.Message)


@dataclass(frozen=True)
class Part:
    """What a scenario's name says of one arm."""

    operation_ns: float = 1e6
    noise: float = 0.0
    recorded: bool = False
    returns: str = "1"
    writes: str = "1"
    fails: str = ""  # SQLSTATE
    failing: float = 0.0  # share of the operations
    differently: bool = False
    leaking: bool = False
    happens: Mapping[str, str] = field(default_factory=dict)  # moment -> lost, interrupted or deserted

    @classmethod
    def of(cls, words: str) -> Self:
        """Read a clause."""
        time = re.search(r"(\d+)(us|ms)\b", words)
        noise = re.search(r"noise (\d+)%", words)
        fails = re.search(r"fails (\w+)(?: (\d+)%)?", words)
        returns, writes = (re.search(rf"{verb} (\w+)", words) for verb in ("returns", "writes"))
        moments = "check|time|close|guess|trial \\d+|(?:warm-up of )?block \\d+|warm-up"
        return cls(
            operation_ns=int(time[1]) * {"us": 1e3, "ms": 1e6}[time[2]] if time else 1e6,
            noise=int(noise[1]) / 100 if noise else 0.0,
            recorded="recorded" in words,
            returns=returns[1] if returns else "1",
            writes=writes[1] if writes else "1",
            fails=fails[1] if fails else "",
            failing=int(fails[2] or 100) / 100 if fails else 0.0,
            differently="differently" in words,
            leaking="leaking" in words,
            happens={when: what for what, when in re.findall(rf"(lost|interrupted|deserted) in ({moments})", words)},
        )


@dataclass(frozen=True)
class Script:
    """What a scenario's name says."""

    name: str
    parts: Mapping[str, Part]
    words: Mapping[str, list[str]]  # of the whole scenario: word -> what follows it

    @classmethod
    def of(cls, path: str) -> Self:
        """Read the name of a scenario's file."""
        name = Path(path).stem
        clauses = [clause.split() for clause in name.split(", ")]
        whole = ("sessions", "layers", "reset", "broken", "unprepared", "rebuilt")
        return cls(
            name,
            {first: Part.of(" ".join(words)) for first, *words in clauses if first not in whole},
            {first: words for first, *words in clauses if first in whole},
        )

    def part(self, arm: str, driver: str) -> Part:
        """What it says of the arm, or of its driver."""
        return self.parts.get(arm) or self.parts.get(driver) or Part()

    def description(self, overrides: Mapping[str, str]) -> Description:
        """What the worker says of the scenario."""
        layers: list[Layer] = [layer for layer in LAYERS if layer in self.words.get("layers", ["orm"])]
        sessions = [int(word) for word in self.words.get("sessions", ["1"])]
        params = {"rows": int(overrides.get("rows", 50))}
        return Description(self.name, "Scripted.", params, layers, sessions, None, has_reset="reset" in self.words)


def moment(seed: str) -> str:
    """Which moment of a run it is, by the seed of what is done then; these texts decide what a seed draws."""
    match seed.split("/")[1:]:
        case ["check" | "time" as name, *_]:
            return name
        case ["capacity", "guess"]:
            return "guess"
        case ["capacity", "warm-up", *_]:
            return "warm-up"
        case ["capacity", number]:
            return f"trial {int(number) + 1}"
        case [block, _cell, "warm-up", *_]:
            return f"warm-up of block {block}"
        case [block, _cell, _round]:
            return f"block {block}"
    raise AssertionError(seed)


@dataclass
class ScriptedMachine:
    """Where scripted workers work: its clock, its server, and all that was asked of the workers, in order."""

    now_ns: int = 10**12
    alive: bool = True
    asked: list[tuple[str, Request]] = field(default_factory=list)  # (name of the worker, request)
    workers: list["ScriptedWorker"] = field(default_factory=list)  # all that were ever started
    connections: int | None = None  # for which rights and limits were checked
    written: dict[str, str] = field(default_factory=dict)  # schema -> what was last written there
    made: dict[str, str] = field(default_factory=dict)  # schema -> how its tables are made

    @contextlib.contextmanager
    def site(self, options: Options, run_id: str, homes: Homes, _watch: Watcher) -> Iterator[Site]:
        """See engine.opening.OpenSite."""

        def check(connections: int) -> None:
            self.connections = connections

        yield Site(
            start=Start("", ADDRESS, "dbbench_scripted", options.connections, None),
            placement=Placement(options.placement or "split", [0], [1]),
            create_schema="schema_{}".format,
            alive=lambda: self.alive,
            check_connections=check,
            describe=lambda: {"version": "PostgreSQL 18.4 on a script", "transport": "none", "tls": False},
            run_id=run_id,
            embedded=False,
            homes=homes,
            start_worker=self._start,
            clock_ns=lambda: self.now_ns,
        )

    def _start(
        self, name: str, start: Start, environment: Mapping[str, str], home: Home
    ) -> "ScriptedWorker":
        self.now_ns += START_NS
        self.workers.append(ScriptedWorker(self, name, travelled(start, Start), environment, home, 4000 + len(self.workers)))
        return self.workers[-1]

    def slices(self, moment_: str = "block") -> list[tuple[str, RunSlice]]:
        """The slices that began in moments of this name, with the names of their workers."""
        return [
            (name, request)
            for name, request in self.asked
            if isinstance(request, RunSlice) and moment(request.seed).startswith(moment_)
        ]


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
    script: Script | None = None  # of the open cell
    cell: Cell | None = None
    schema: str = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.ended = True

    def reply(self, kind: type[_REPLY], patience: float | None) -> _REPLY:
        """Say that it has started."""
        del patience
        return travelled(Started({"results": "scripted"}), kind)

    def ask(self, request: Request, kind: type[_REPLY], patience: float | None) -> _REPLY:
        """Answer."""
        del patience
        assert not self.ended, f"{self.name} is asked for {request} and has ended"
        request = travelled(request, type(request))
        self.machine.asked.append((self.name, request))
        reply = travelled(self._answer(request), messages.Message)
        if isinstance(reply, Failed):
            raise WorkerFailedError(reply)
        assert isinstance(reply, kind), reply
        return reply

    def _answer(self, request: Request) -> Reply:
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
            return Failed(self._failure(seeds[0]), scenario=True)
        self.machine.written[self.schema] = part.writes
        value = "NoneType None" if part.returns == "nothing" else f"int {part.returns}"
        return checked([f"operation {number}: {value}" for number, _ in enumerate(seeds, 1)])

    def _run(self, request: RunSlice) -> Ran:
        part, cell = self._part, self.cell
        assert cell is not None
        self._happen(moment(request.seed))
        connections = min(cell.sessions, self.start.connections.pool.capacity)
        operation_ns = part.operation_ns * self._disturbance(request.seed)
        failed = int(request.operations * part.failing + 1e-9)
        services = array("q", (round(operation_ns * _SPREAD[at % len(_SPREAD)]) for at in range(request.operations)))
        latencies, elapsed_ns = services, round(operation_ns * request.operations / connections)
        if request.load.rate is not None:
            services, latencies, elapsed_ns = queued(request, services, connections)
        not_started = request.operations - len(services)
        services, latencies = services[failed:], latencies[failed:]
        self.machine.now_ns += round(request.lead_in * operation_ns)
        began_ns = self.machine.now_ns
        self.machine.now_ns += elapsed_ns
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
        )

    @property
    def _is_async(self) -> bool:
        assert self.cell is not None
        return DRIVERS[self.start.driver or self.cell.driver].is_async

    def _disturbance(self, seed: str) -> float:
        """By how much a slice takes longer than the script says."""
        part = self._part
        if part.recorded and moment(seed).startswith("block"):
            return math.exp(recorded(*map(int, seed.split("/"))))
        return math.exp(part.noise * Random(f"{seed}/{self.name}").uniform(-1, 1))


def queued(
    request: RunSlice, services: "array[int]", connections: int
) -> tuple["array[int]", "array[int]", int]:
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
