"""Closed-loop load: sessions that run operations one after another, as tasks or as threads -> samples.

A slice has a fixed number of operations, the same for all arms, which its sessions take from one heap as they come.
All sessions are released together and the slice ends when the last operation is done: `elapsed` is the time between.
At its edges fewer sessions are busy than in its middle, so a slice of several sessions is made long enough (plan.py)
for that not to matter. The rule is the same for tasks and threads.
"""

import asyncio
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from types import ModuleType
from typing import Any, Final, Protocol

from dbbench import requests
from dbbench.requests import Request, Tally
from dbbench.twin import load_module


@dataclass(frozen=True)
class Samples:
    """What one slice did."""

    latencies: bytes  # int64 nanoseconds each, of the operations that succeeded
    elapsed_ns: int
    cpu_ns: int  # of this process: user and system
    errors: list[Exception] = field(default_factory=list)


class Load(Protocol):
    """Runs slices with the sessions it was made with."""

    def run(self, operations: int, rngs: Sequence[Random], limit_ns: int) -> Samples:
        """Run one slice of `operations`, one generator a session; begin nothing after `limit_ns` nanoseconds."""
        ...

    def close(self) -> None:
        """End the sessions."""
        ...


class Tasks:
    """Sessions as tasks of one event loop, which runs only during slices."""

    def __init__(self, runner: asyncio.Runner, sessions: Sequence[Request]) -> None:
        self._runner = runner
        self._requests = sessions

    def run(self, operations: int, rngs: Sequence[Random], limit_ns: int) -> Samples:
        """See Load."""
        return self._runner.run(self._slice(operations, rngs, limit_ns))

    async def _slice(self, operations: int, rngs: Sequence[Random], limit_ns: int) -> Samples:
        cpu = time.process_time_ns()
        begin = time.perf_counter_ns()
        tally = Tally(operations, begin + limit_ns)
        tasks = [
            asyncio.ensure_future(requests.session(request, rng, tally))
            for request, rng in zip(self._requests, rngs, strict=True)
        ]
        begin = time.perf_counter_ns()  # tasks start with the next turn of the loop: now they are released
        ends = await asyncio.gather(*tasks)
        return _samples(tally, max(ends) - begin, time.process_time_ns() - cpu)

    def close(self) -> None:
        """Nothing to end: tasks live as long as a slice."""


REQUESTS_TWIN: Final[ModuleType] = load_module(Path(requests.__file__), f"{__name__}_requests_twin", sync=True)


class Threads:
    """Sessions as threads, which wait at a barrier between slices."""

    def __init__(self, sessions: Sequence[Callable[[Random], Any]]) -> None:
        self._start = threading.Barrier(len(sessions) + 1)
        self._done = threading.Barrier(len(sessions) + 1)
        self._rngs: Sequence[Random] = ()
        self._tally: Tally | None = None
        self._ends = [0] * len(sessions)
        self._failure: BaseException | None = None
        self._threads = [
            threading.Thread(target=self._session, args=(number, request), daemon=True)
            for number, request in enumerate(sessions)
        ]
        for thread in self._threads:
            thread.start()

    def run(self, operations: int, rngs: Sequence[Random], limit_ns: int) -> Samples:
        """See Load."""
        cpu = time.process_time_ns()
        self._rngs = rngs
        tally = self._tally = Tally(operations, time.perf_counter_ns() + limit_ns)
        begin = time.perf_counter_ns()
        self._start.wait()
        self._done.wait()
        if self._failure is not None:
            raise self._failure
        return _samples(tally, max(self._ends) - begin, time.process_time_ns() - cpu)

    def _session(self, number: int, request: Callable[[Random], Any]) -> None:
        session = REQUESTS_TWIN.session
        while True:
            self._start.wait()
            if self._tally is None:
                return
            try:
                self._ends[number] = session(request, self._rngs[number], self._tally)
            except BaseException as failure:  # SystemExit, say: the others must not wait for this thread for ever
                self._failure = failure
            self._done.wait()

    def close(self) -> None:
        """End the threads."""
        self._tally = None
        self._start.wait()
        for thread in self._threads:
            thread.join()


def _samples(tally: Tally, elapsed_ns: int, cpu_ns: int) -> Samples:
    if tally.errors or not all(tally.latencies):
        latencies = tally.latencies[:0]
        latencies.extend(latency for latency in tally.latencies if latency)
    else:
        latencies = tally.latencies
    return Samples(latencies.tobytes(), elapsed_ns, cpu_ns, tally.errors)
