"""What a worker opens for one cell: engine or pool, sessions, and the generator that drives them.

Engines are made as users of SQLAlchemy make them, with the same settings for every driver.
"""

import asyncio
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from types import ModuleType
from typing import Any, Final

from dbbench.drivers import DRIVERS, Driver
from dbbench.drivers.settings import JSON
from dbbench.errors import ScenarioError
from dbbench.messages import Route, Start
from dbbench.plan import Cell, Connections, Layer
from dbbench.scenario import App, Operation
from dbbench.worker import bare, json_libraries, request
from dbbench.worker.asgi import InProcess, Loop
from dbbench.worker.checked_db import checked
from dbbench.worker.load import BARE_TWIN, REQUESTS_TWIN, LoadGenerator, Tasks, Threads
from dbbench.worker.pool_wait import timed
from dbbench.worker.request import Request

INSTALL_APP: Final = "pip install 'dbbench[app]' has FastAPI"
Maker = Callable[[Operation], Request]
"""Makes the requests of a session out of the operation."""


def server_settings(application: str, schema: str, limits: Mapping[str, str] | None = None) -> dict[str, str]:
    """Settings of every session, sent when it connects, so they cost no extra round trip.

    The search path contains only the run's own schema, so an unqualified name cannot reach anything else.
    """
    return {"application_name": application, "search_path": schema, **(limits or {})}


def _isolation(connections: Connections) -> dict[str, str]:
    """The isolation level of transactions as a setting of the session, which costs no statement."""
    if connections.isolation is None:
        return {}
    return {"default_transaction_isolation": connections.isolation.replace("-", " ")}


class Client:
    """One cell, opened for one arm."""

    def __init__(
        self, start: Start, cell: Cell, schema: str, operation: Operation, runner: asyncio.Runner | Loop, route: Route
    ) -> None:
        self._start = start
        self._connections = start.connections
        self.driver: Driver = DRIVERS[start.driver]
        self._runner = runner
        self._in_loop = self.driver.is_async or cell.layer == "app"  # an application runs in a loop with any driver
        self._requests: ModuleType = request if self._in_loop else REQUESTS_TWIN
        self._loops: ModuleType = bare if self.driver.is_async else BARE_TWIN
        self._closers: list[Callable[[], Any]] = []
        application = route.application or start.application
        settings = (
            {"application_name": application}
            if route.pooled
            else server_settings(application, schema, {**start.session, **_isolation(start.connections)})
        )
        of_driver = start.connections.settings.get(start.driver, {})
        self._arguments = {
            **self.driver.adapter().connect_arguments(route.address, settings),
            **self.driver.arguments(of_driver, raw=cell.layer == "raw"),
        }
        self._of_engine = self.driver.taken(of_driver, "engine", raw=False)
        if route.qualified:
            self._of_engine["execution_options"] = {"schema_translate_map": {None: schema}}
        self._of_pool = self.driver.taken(of_driver, "pool", raw=True)
        self._cell = cell
        self.operation = self._requests.slowed(operation, start.busy_ns) if start.busy_ns else operation
        self.connects = 0  # connections opened so far
        self.engines: list[Any] = []  # of SQLAlchemy, sync ones
        self._bare: list[Callable[..., Any]] = []  # loops to run instead of dbbench's, one for each session
        self.connect: Callable[[], Any] = lambda: None  # opens the pool's first connection; raw pools have theirs
        open_layer = {"orm": self._open_orm, "core": self._open_core, "raw": self._open_raw, "app": self._open_app}[
            cell.layer
        ]
        try:
            self._makers = list(open_layer())
            self._sessions = [make(self.operation) for make in self._makers]
            self.generator: LoadGenerator = self._generator()
        except BaseException:
            self._close_connections()
            raise

    def _generator(self) -> LoadGenerator:
        """The generator that drives the sessions."""
        connections = self._connections.in_process(self._cell.sessions)
        sessions, by_hand = (self._bare, True) if self._bare else (self._sessions, False)
        if self._in_loop:
            return Tasks(self._runner, sessions, connections, by_hand=by_hand)
        return Threads(sessions, connections, by_hand=by_hand)

    @property
    def sessions(self) -> int:
        """The number of sessions."""
        return len(self._sessions)

    @property
    def layer(self) -> Layer:
        """The layer of the open cell."""
        return self._cell.layer

    def run_one(self, rng: Any, around: Callable[[Operation], Operation] = lambda operation: operation) -> Any:
        """Run one request, outside the load and by the rules, and return what the operation returned.

        `around` wraps the operation.
        """
        operation = (
            checked(self.operation, str(self._of_pool.get(JSON, self.driver.json)))
            if self.layer == "raw"
            else self.operation
        )
        request = self._makers[0](around(operation))
        return self._in_the_loop(lambda: request(rng)) if self._in_loop else request(rng)

    def close(self) -> None:
        """End the sessions and close all connections."""
        self.generator.close()
        self._close_connections()

    def _close_connections(self) -> None:
        while self._closers:
            self._wait(self._closers.pop())

    def _wait(self, call: Callable[[], Any]) -> Any:
        """Call a function of the driver or of SQLAlchemy, and await its result for async drivers."""
        return self._in_the_loop(call) if self.driver.is_async else call()

    def _in_the_loop(self, call: Callable[[], Any]) -> Any:
        async def awaited() -> Any:
            return await call()

        return self._runner.run(awaited())

    def _opened(self, *_: object) -> None:
        """Count a connection that the pool has opened."""
        self.connects += 1

    def _add_bare(self, loop: Callable[..., Any], *arguments: Any, sessions: int = 1) -> None:
        """Make the bare loops of sessions for what the layer works with, if this arm runs some."""
        if self._start.bare:
            self._bare += [partial(loop, *arguments, self._cell.params)] * sessions

    @property
    def _holds(self) -> bool:
        return self._connections.checkout == "session"

    def _engine(self) -> Any:
        """An engine as a user would make it; create_async_engine for async drivers."""
        from sqlalchemy import AsyncAdaptedQueuePool, NullPool, QueuePool, create_engine, event
        from sqlalchemy.ext.asyncio import create_async_engine

        pool = self._connections.pool
        pool_class: type[Any] = AsyncAdaptedQueuePool if self.driver.is_async else QueuePool
        arguments: dict[str, Any] = {
            "pool_size": pool.size,
            "max_overflow": pool.max_overflow,
            "pool_timeout": pool.timeout,
            "pool_pre_ping": self._connections.pre_ping,
        }
        if self._connections.null_pool:
            pool_class, arguments = NullPool, {}
        arguments |= {
            "poolclass": pool_class if self._start.bare else timed(pool_class),
            "hide_parameters": True,  # an error must not show a statement's parameters, which are the user's data
            "connect_args": self._arguments,
            **self._of_engine,
            **json_libraries.arguments(self._connections.json),
        }
        if self._connections.tx_end == "autocommit":
            arguments["isolation_level"] = "AUTOCOMMIT"
        make = create_async_engine if self.driver.is_async else create_engine
        engine: Any = make(f"{self.driver.dialect}://", **arguments)
        self.engines.append(engine.sync_engine if self.driver.is_async else engine)
        event.listen(self.engines[-1], "connect", self._opened)
        self._closers.append(engine.dispose)
        self.connect = partial(self._connect, engine)
        return engine

    def _connect(self, engine: Any) -> None:
        """Check a connection out, which opens the first one, and return it."""
        connection = engine.connect()
        if self.driver.is_async:
            self._wait(connection.start)
        self._wait(connection.close)

    def _held_connections(self) -> Iterator[Any]:
        """A connection of the engine for every session, checked out for as long as the cell is open."""
        engine = self._engine()
        for _ in range(self._cell.sessions):
            connection = engine.connect()
            if self.driver.is_async:
                self._wait(connection.start)
            self._closers.append(connection.close)
            yield connection

    def _open_app(self) -> Iterator[Maker]:
        from sqlalchemy.ext.asyncio import async_sessionmaker
        from sqlalchemy.orm import sessionmaker

        assert isinstance(self.operation, App)
        make: Any = async_sessionmaker if self.driver.is_async else sessionmaker
        try:
            application = self.operation.make(make(self._engine(), expire_on_commit=False), self._cell.params)
        except ModuleNotFoundError as error:
            raise ScenarioError(f"app() imports {error.name}, which is not installed", INSTALL_APP) from None
        client = InProcess(application)
        yield from [partial(self._requests.app_request, client, params=self._cell.params)] * self._cell.sessions

    def _open_orm(self) -> Iterator[Maker]:
        from sqlalchemy.ext.asyncio import async_sessionmaker
        from sqlalchemy.orm import sessionmaker

        make: Any = async_sessionmaker if self.driver.is_async else sessionmaker
        binds = self._held_connections() if self._holds else iter([self._engine()] * self._cell.sessions)
        for bind in binds:
            maker = make(bind, expire_on_commit=False)
            self._add_bare(self._loops.orm, maker, self.operation)
            yield partial(self._requests.orm_request, maker, params=self._cell.params, tx_end=self._connections.tx_end)

    def _open_core(self) -> Iterator[Maker]:
        settings = {"params": self._cell.params, "tx_end": self._connections.tx_end}
        if self._holds:
            for connection in self._held_connections():
                yield partial(self._requests.held_core_request, connection, **settings)
        else:
            engine = self._engine()
            self._add_bare(self._loops.core, engine, self.operation, sessions=self._cell.sessions)
            yield from [partial(self._requests.core_request, engine, **settings)] * self._cell.sessions

    def _open_raw(self) -> Iterator[Maker]:
        pool_settings, tx_end = self._connections.pool, self._connections.tx_end
        # SQLAlchemy opens a connection when it first needs it. The drivers' pools open some at once: the number that
        # the sessions will use, so that all layers work with equally many connections.
        keep = min(pool_settings.size, self._cell.sessions)
        adapter = self.driver.adapter()
        pool = self._wait(
            lambda: adapter.open_pool(self._arguments, pool_settings, keep, tx_end, self._of_pool, self._opened)
        )
        self._closers.append(pool.close)
        if self._holds:
            for _ in range(self._cell.sessions):
                db = self._wait(pool.acquire)
                self._closers.append(partial(self._requests.given_back, pool, db))
                if self._start.bare:
                    self._add_bare(adapter.bare, db.connection)
                yield partial(self._requests.held_raw_request, pool, db, params=self._cell.params, tx_end=tx_end)
        else:
            yield from [partial(self._requests.raw_request, pool, params=self._cell.params)] * self._cell.sessions
