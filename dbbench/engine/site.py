"""The site of a run: where it takes place, and what the engine needs of the workers there."""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from types import TracebackType
from typing import Any, Final, Protocol, TypeVar

import msgspec

from dbbench import messages
from dbbench.child import Home, WorkerFailedError, WorkerLateError, WorkerProcess
from dbbench.engine import clocks, machine
from dbbench.engine.clocks import Reading
from dbbench.errors import DbbenchError, UsageError
from dbbench.messages import Described, Start, Started
from dbbench.plan import Placement
from dbbench.records import Problem
from dbbench.scenario import Description
from dbbench.server.own_pooler import OwnPooler

PATIENCE_S: Final = 60.0  # how long to wait for a reply, besides the time that the settings allow a request
PREPARE_LIMIT_S: Final = 600.0
TABLES_DRIVER: Final = "psycopg-sync"
_REPLY = TypeVar("_REPLY", bound=messages.Message)


class Worker(Protocol):
    """What the engine needs from a worker: see child.WorkerProcess."""

    @property
    def pid(self) -> int:
        """Its process id."""
        ...

    def ask(
        self,
        request: messages.Request,
        kind: type[_REPLY],
        patience: float,
        meanwhile: Callable[[], None] | None = None,
    ) -> _REPLY:
        """Send a request and wait for its reply."""
        ...

    def reply(self, kind: type[_REPLY], patience: float, meanwhile: Callable[[], None] | None = None) -> _REPLY:
        """Wait for the reply to a request that was sent before."""
        ...

    def disturbance(self) -> str:
        """What kept it from running since this was asked last; empty: nothing that was noticed."""
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


class Sentry(Protocol):
    """What the engine needs of server.sentry.Sentry."""

    @property
    def lost(self) -> bool:
        """Whether the server has gone away since wait() returned, even if it is back."""
        ...

    def wait(self, limit_s: float) -> float:
        """Wait until the server is back; returns for how many seconds it was away."""
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
    embedded: bool  # an embedded server may be told to checkpoint, and keeps nothing after the run
    homes: Homes = AT_HOME
    describe_machine: Callable[[Iterable[str]], dict[str, Any]] = machine.describe  # with versions of these packages
    via: OwnPooler | None = None  # between drivers and server, in some cells
    sentry: Sentry | None = None  # where a server that goes away is waited for
    obituary: Callable[[], str] = lambda: ""  # what an embedded server said before it ended
    prepare_limit_s: float = PREPARE_LIMIT_S  # for a prepare(), a reset() or a vacuum
    clock_ns: Callable[[], int] = time.perf_counter_ns  # a clock that all processes of the machine share
    read_clocks: Callable[[], Reading] = clocks.read
    start_worker: Callable[[str, Start, Mapping[str, str], Home], Worker] = WorkerProcess


def start_tables_worker(site: Site, arm: str) -> Worker:
    """Start the worker that loads scenarios, makes their tables and keeps them tidy, in the home of the arm."""
    # Preparing and vacuuming may take as long as they may, which the parent sees to.
    session = {**site.start.session, "statement_timeout": "0"}
    start = msgspec.structs.replace(site.start, driver=TABLES_DRIVER, cpus=None, session=session)
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
        except WorkerLateError:
            raise DbbenchError(f"{path.name} was not loaded within {PATIENCE_S:g} s", "load less on import") from None
        except WorkerFailedError as error:
            if not error.scenario:
                raise UsageError(str(error)) from None  # a value that a parameter cannot take
            problems.append(Problem("scenario", str(error)))
    return described, problems
