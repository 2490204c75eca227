"""What the child process does for each request from the parent; between requests it does nothing."""

import asyncio
import gc
import hashlib
import os
import sys
import threading
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack, closing, suppress
from pathlib import Path
from random import Random
from typing import Final

import msgspec

from dbbench import messages
from dbbench.catalog import is_installed, load, shown_path
from dbbench.drivers import DRIVERS
from dbbench.errors import DbbenchError, ScenarioError, UnfitError
from dbbench.scenario import Scenario
from dbbench.worker import gil, memory
from dbbench.worker.asgi import Loop
from dbbench.worker.checking import Check, explained, synchronous
from dbbench.worker.client import Client
from dbbench.worker.failures import code_of
from dbbench.worker.load import Work, schedule, thread_until
from dbbench.worker.tables import Tables

_MAX_LINES: Final = 2000  # of an operation's result that are sent to the parent; the digest covers the rest


class Worker:
    """The worker of one arm in one block, or the worker for the tables."""

    def __init__(self, start: messages.Start) -> None:
        self._start = start
        self._driver = DRIVERS.get(start.driver)
        self._runner = asyncio.Runner(loop_factory=_loop_factory(start.connections.loop))
        self._scenarios: dict[tuple[str, bool], Scenario] = {}
        self._client: Client | None = None
        self._of_cell = ExitStack()  # what ends with the open cell
        self._tables = Tables(start)
        self._shown = ""  # the scenario's file, as tracebacks name it

    def attempt(self, action: Callable[[], messages.Reply]) -> messages.Reply:
        """The reply of an action; whatever the action raises becomes Failed."""
        try:
            return action()
        except DbbenchError as error:
            return messages.Failed(str(error), isinstance(error, ScenarioError), unfit=isinstance(error, UnfitError))
        except BaseException as error:  # a scenario may raise anything, SystemExit included
            return messages.Failed(self._explained(error), scenario=True, code=self._code_of(error))

    def _explained(self, error: BaseException) -> str:
        return explained(error, self._shown, sync=self._driver is not None and not self._driver.is_async)

    def _code_of(self, error: BaseException) -> str:
        return code_of(error, self._driver.sqlstate if self._driver else "sqlstate")

    def started(self) -> messages.Started:
        """Import the driver and the scenarios, and return the driver's facts."""
        facts = {} if self._driver is None else self._driver.adapter().facts()
        sys.path[:0] = self._start.search_path
        for path in self._start.scenarios:
            with suppress(ScenarioError):  # whoever opens a cell of it is told
                self._scenario(path, sync=self._driver is not None and not self._driver.is_async)
        return messages.Started({**facts, **({gil.FACT: now} if self._driver and (now := gil.state()) else {})})

    def handle(self, request: messages.Request) -> messages.Reply:  # noqa: C901, PLR0911 - one case for each request
        """Carry out a request."""
        match request:
            case messages.RunSlice():
                return self._run(request)
            case messages.Check():
                return _checked(Check(self._opened(), self._shown).run(request.seeds))
            case messages.Open():
                return self._open(request)
            case messages.Close():
                return self._close()
            case messages.Connect():
                self._opened().connect()
                return messages.Done()
            case messages.Reset():
                self._tables.run(self._scenario(request.path).reset, request.schema, request.params)
                return messages.Done()
            case messages.Prepare():
                prepare = self._scenario(request.path).prepare
                with synchronous(prepare, self._shown):
                    self._tables.run(prepare, request.schema, request.params)
                return messages.Done()
            case messages.Tidy():
                self._tables.tidy(request.schemas, checkpoint=request.checkpoint)
                return messages.Done()
            case messages.Fingerprint():
                return _checked(self._tables.fingerprint(request.schema, structure=request.structure))
            case messages.Describe():
                return messages.Described(self._scenario(request.path).describe(request.overrides))
            case messages.Start():
                raise AssertionError("already started")

    def _scenario(self, path: str, *, sync: bool = False) -> Scenario:
        """The scenario as written, or its sync twin, which is only needed to run operations."""
        self._shown = shown_path(Path(path))
        if (path, sync) not in self._scenarios:
            self._scenarios[path, sync] = load(Path(path), sync=sync)
            self._check_imports()
        return self._scenarios[path, sync]

    def _check_imports(self) -> None:
        """Refuse a scenario that imported a module from another revision than the one that is measured."""
        if not self._start.off_limits:
            return
        for name, module in list(sys.modules.items()):
            file = getattr(module, "__file__", None)
            if name.partition(".")[0] in ("dbbench", "__main__") or not file or is_installed(file):
                continue
            if Path(file).resolve().is_relative_to(self._start.off_limits):
                raise ScenarioError(
                    f"{self._shown}: {name} was imported from {file}, not from the revision that is measured; "
                    "is an absolute path in sys.path, or does an editable install of the project go first?"
                )

    def _open(self, request: messages.Open) -> messages.Done:
        self._close()  # a cell that failed may still be open
        name = request.cell.driver or self._start.driver
        self._driver = DRIVERS[name]
        scenario = self._scenario(request.cell.path, sync=not self._driver.is_async)
        if self._start.cpus is not None:  # not earlier, so that imports may use all CPUs
            _pin_threads(self._start.cpus)
        memory.reset_peak()
        connections = self._start.connections
        if request.pool is not None:
            connections = msgspec.structs.replace(connections, pool=request.pool)
        start = msgspec.structs.replace(self._start, driver=name, connections=connections)
        operation = scenario.operations[request.cell.layer]
        route = request.route or messages.Route(start.address)
        runner: asyncio.Runner | Loop = self._runner
        if request.cell.layer == "app":
            runner = self._of_cell.enter_context(closing(Loop(_loop_factory(connections.loop))))
        self._client = Client(start, request.cell, request.schema, operation, runner, route)
        gc.freeze()  # or every full collection of the warm-up would go through all that has been imported
        return messages.Done()

    def _opened(self) -> Client:
        assert self._client is not None, "no cell is open"
        return self._client

    def _close(self) -> messages.Closed:
        client, self._client = self._client, None
        peak = memory.peak_bytes()
        if client is not None:
            client.close()
            gc.unfreeze()
        self._of_cell.close()
        return messages.Closed(peak, gil.state())

    def _run(self, request: messages.RunSlice) -> messages.Ran:
        client = self._opened()
        if request.lead_in:
            seed = f"{request.seed}/lead-in"
            client.generator.run(Work(request.lead_in, _generators(client, seed), request.limit_ns))
        connects = client.connects
        if request.start_ns:
            thread_until(request.start_ns)
        samples = client.generator.run(
            Work(
                operations=request.operations,
                rngs=_generators(client, request.seed),
                limit_ns=request.limit_ns,
                pause_s=request.load.think_s,
                due=schedule(request.load, request.operations, f"{request.seed}/arrivals"),
                heartbeat=request.heartbeat,
            )
        )
        if request.freeze:
            gc.collect()
            gc.freeze()
        errors = Counter(map(self._explained, samples.errors))
        return messages.Ran(
            latencies=samples.latencies.tobytes(),
            waits=b"" if self._start.connections.checkout == "session" else samples.waits.tobytes(),
            services=None if samples.services is None else samples.services.tobytes(),
            loop_lags=samples.loop_lags.tobytes(),
            began_ns=samples.began_ns,
            usage=msgspec.structs.replace(samples.usage, connects=client.connects - connects),
            failures=dict(Counter(map(self._code_of, samples.errors))),
            errors=[message for message, _ in errors.most_common(messages.MAX_ERRORS)],
            ends=samples.ends.tobytes() if request.start_ns or request.load.rate else b"",
        )


def _generators(client: Client, seed: str) -> list[Random]:
    return [Random(f"{seed}/{session}") for session in range(client.sessions)]


def _checked(found: list[str]) -> messages.Checked:
    digest = hashlib.sha256("\n".join(found).encode()).hexdigest()
    return messages.Checked(found[:_MAX_LINES], digest, max(0, len(found) - _MAX_LINES))


def _loop_factory(loop: str) -> Callable[[], asyncio.AbstractEventLoop] | None:
    if loop == "uvloop":
        import uvloop

        return uvloop.new_event_loop
    return None


def _pin_threads(cpus: list[int]) -> None:
    """Pin all existing threads, which on Linux is done one by one; new threads inherit it."""
    for thread in threading.enumerate():
        if thread.native_id is not None:
            os.sched_setaffinity(thread.native_id, cpus)
