"""Load: sessions that run operations, as tasks or as threads -> samples.

A slice has a fixed number of operations, the same for all arms, which its sessions take from one shared supply: in a
closed loop as soon as they are free (after a pause, if there is one), in an open loop when the operation is due.

All sessions are released together and the slice ends when the last operation is done. At its edges fewer sessions are
busy than in its middle. So where several connections, c, share a closed loop, the time per operation is taken in a
window without the edges: from the completion of operation c to that of the last operation but c. The rule is the same
for tasks and threads.
"""

import asyncio
import resource
import threading
import time
from array import array
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from operator import sub
from pathlib import Path
from random import Random
from time import perf_counter_ns
from types import ModuleType
from typing import Any, Final, Protocol

from dbbench.errors import ScenarioError
from dbbench.plan import Load
from dbbench.records import Usage
from dbbench.twin import load_module
from dbbench.worker import bare, request
from dbbench.worker.asgi import Loop
from dbbench.worker.pace import elapsed_ns
from dbbench.worker.request import Tally, session

HEARTBEAT_NS: Final = 1_000_000  # asyncio's timers, rounded up by epoll, are no finer
_TASK_SPIN_NS: Final = 1_000_000  # time to poll before an operation is due: an event loop wakes up to 1 ms late
_THREAD_SPIN_NS: Final = 100_000  # likewise: a thread wakes up to 0.1 ms late


def schedule(load: Load, operations: int, seed: str) -> list[int] | None:
    """When each operation is due, nanoseconds from the start of the slice, ascending; None in a closed loop.

    Poisson arrivals: the gaps are exponential, independent of each other and of the answers.
    """
    if load.rate is None:
        return None
    if load.arrival == "constant":
        return [round(1e9 * number / load.rate) for number in range(operations)]
    rng = Random(seed)
    due, at = [], 0.0
    for _ in range(operations):
        at += rng.expovariate(load.rate)
        due.append(round(1e9 * at))
    return due


@dataclass(frozen=True)
class Work:
    """The work of one slice."""

    operations: int
    rngs: Sequence[Random]  # one for each session
    limit_ns: int  # time from the start after which no operation begins
    pause_s: float = 0.0  # of a session, after each of its operations
    due: Sequence[int] | None = None  # when each operation is due, nanoseconds from the start, ascending
    heartbeat: bool = False  # tasks: measure how late the event loop runs timers; not for slices that count


@dataclass(frozen=True)
class Samples:
    """The results of one slice. Arrays have int64 nanoseconds for each operation that succeeded, in order of issue."""

    latencies: "array[int]"  # open loop: measured from when the operation was due
    waits: "array[int]"  # for a connection; empty where this is not known
    services: "array[int] | None"  # open loop: measured from when the operation began
    began_ns: int  # by the monotonic clock that all processes of the machine share
    usage: Usage
    errors: list[Exception] = field(default_factory=list)
    loop_lags: "array[int]" = field(default_factory=lambda: array("q"))
    ends: "array[int]" = field(default_factory=lambda: array("q"))  # when they completed, by the shared clock


class LoadGenerator(Protocol):
    """Runs slices with a fixed set of sessions."""

    def run(self, work: Work) -> Samples:
        """Run one slice."""
        ...

    def close(self) -> None:
        """End the sessions."""
        ...


class Tasks:
    """Sessions as tasks of one event loop, which runs only during slices."""

    def __init__(
        self,
        runner: asyncio.Runner | Loop,
        sessions: Sequence[Callable[..., Any]],
        connections: int,
        *,
        by_hand: bool = False,
    ) -> None:
        self._runner = runner
        self._sessions = sessions
        self._connections = connections
        self._by_hand = by_hand

    def run(self, work: Work) -> Samples:
        """See LoadGenerator."""
        return self._runner.run(self._slice(work))

    async def _slice(self, work: Work) -> Samples:
        watch = _Watch(ready=work.due is not None)
        tally = _tally(work, self._connections, _task_until)
        run = bare.session if self._by_hand else session
        tasks = [
            asyncio.ensure_future(run(request, rng, tally))
            for request, rng in zip(self._sessions, work.rngs, strict=True)
        ]
        lags = array("q")
        heartbeat = asyncio.ensure_future(_heartbeat(lags)) if work.heartbeat else None
        _release(tally, work)  # tasks start with the next turn of the loop
        times = await asyncio.gather(*tasks)
        if self._by_hand:
            samples = watch.bare(times, work.operations)
        else:
            samples = watch.samples(tally, times, self._connections, lags)
        if heartbeat is not None:
            heartbeat.cancel()
            await asyncio.gather(heartbeat, return_exceptions=True)
        return samples

    def close(self) -> None:
        """Do nothing: tasks end with their slice."""


async def _heartbeat(lags: "array[int]") -> None:
    """Record how late the loop runs a timer that is due every millisecond, including those due while it was busy.

    So a loop that is busy for 20 ms yields twenty samples, not one: how late a timer due at any moment would have been.
    """
    due = perf_counter_ns()
    while True:
        due += HEARTBEAT_NS
        await asyncio.sleep(max(0, due - perf_counter_ns()) / 1e9)
        now = perf_counter_ns()
        while due <= now:
            lags.append(now - due)
            due += HEARTBEAT_NS
        due -= HEARTBEAT_NS


async def _task_until(when_ns: int) -> None:
    """Wait until a time: with a timer until shortly before it, then by polling once per turn of the loop."""
    left_ns = when_ns - perf_counter_ns() - _TASK_SPIN_NS
    if left_ns > 0:
        await asyncio.sleep(left_ns / 1e9)
    while perf_counter_ns() < when_ns:  # noqa: ASYNC110 - there is no event: time passes
        await asyncio.sleep(0)


def thread_until(when_ns: int) -> None:
    """Wait until a time: asleep until shortly before it, then by polling, which lets other threads run."""
    left_ns = when_ns - perf_counter_ns() - _THREAD_SPIN_NS
    if left_ns > 0:
        time.sleep(left_ns / 1e9)
    while perf_counter_ns() < when_ns:
        time.sleep(0)


REQUESTS_TWIN: Final[ModuleType] = load_module(Path(request.__file__), f"{__name__}_requests_twin", sync=True)
BARE_TWIN: Final[ModuleType] = load_module(Path(bare.__file__), f"{__name__}_bare_twin", sync=True)


class Threads:
    """Sessions as threads, which wait at a barrier between slices. They run the sync twin of request.py, or bare.py."""

    def __init__(self, sessions: Sequence[Callable[..., Any]], connections: int, *, by_hand: bool = False) -> None:
        self._connections = connections
        self._by_hand = by_hand
        self._start = threading.Barrier(len(sessions) + 1)
        self._done = threading.Barrier(len(sessions) + 1)
        self._rngs: Sequence[Random] = ()
        self._tally: Tally | None = None
        self._times = [(0, 0)] * len(sessions)
        self._failure: BaseException | None = None
        self._threads = [
            threading.Thread(target=self._session, args=(number, request), daemon=True)
            for number, request in enumerate(sessions)
        ]
        for thread in self._threads:
            thread.start()

    def run(self, work: Work) -> Samples:
        """See LoadGenerator."""
        watch = _Watch(ready=work.due is not None)
        self._rngs = work.rngs
        tally = self._tally = _tally(work, self._connections, thread_until)
        _release(tally, work)
        self._start.wait()
        self._done.wait()
        if self._failure is not None:
            raise self._failure
        if self._by_hand:
            return watch.bare(self._times, work.operations)
        return watch.samples(tally, self._times, self._connections)

    def _session(self, number: int, request: Callable[..., Any]) -> None:
        session = (BARE_TWIN if self._by_hand else REQUESTS_TWIN).session
        while True:
            self._start.wait()
            if self._tally is None:
                return
            try:
                self._times[number] = session(request, self._rngs[number], self._tally)
            except BaseException as failure:  # SystemExit, say: the others must not wait for this thread forever
                self._failure = failure
            self._done.wait()

    def close(self) -> None:
        """End the threads."""
        self._tally = None
        self._start.wait()
        for thread in self._threads:
            thread.join()


def _tally(work: Work, connections: int, until: Callable[[int], Any]) -> Tally:
    """The shared state of the sessions, except for the start of the slice, which _release() sets.

    Where sessions outnumber connections, each yields after an operation. Otherwise a thread that returns a connection
    would take it again before the thread waiting for it has woken up, and a few threads would do all the work while the
    others starve. In real use, a client does not send its next request in the same instant.
    """
    tally = Tally(work.operations, len(work.rngs))
    tally.pause_s = work.pause_s or (0.0 if len(work.rngs) > connections else None)
    tally.until = until
    if work.due is not None:
        tally.due = array("q", work.due)
    return tally


def _release(tally: Tally, work: Work) -> None:
    """Set the start of the slice to now."""
    begin = perf_counter_ns()
    tally.limit_ns = begin + work.limit_ns
    if tally.due is not None:
        tally.due = array("q", [begin + due for due in tally.due])


class _Watch:
    """Measures what a slice costs the process, from when the object is made."""

    def __init__(self, *, ready: bool = False) -> None:
        self._ready_ns = _ready_ns() if ready else None
        self._cpu_ns = time.process_time_ns()
        self._system_ns = _system_ns()

    def samples(
        self,
        tally: Tally,
        times: Sequence[tuple[int, int]],
        connections: int,
        loop_lags: "array[int] | None" = None,
    ) -> Samples:
        """Make samples from what the sessions recorded; everything costly here comes after the clocks are read.

        The slice lasts from when its first session began: the time that it takes to wake up counts for no arm.
        """
        cpu_ns, system_ns = self._spent()
        ready_ns = 0 if self._ready_ns is None else max(0, _ready_ns() - self._ready_ns)
        begin, end = min(began for began, _ in times), max(ended for _, ended in times)
        not_started = sum(not each for each in tally.begins) if tally.due is not None else 0
        begins, ends, waits, due = tally.begins, tally.ends, tally.waits, tally.due
        if not all(ends):
            done = [position for position, each in enumerate(ends) if each]
            begins, ends, waits = (array("q", [each[at] for at in done]) for each in (begins, ends, waits))
            due = due and array("q", [due[at] for at in done])
        services = array("q", map(sub, ends, begins))
        latencies = services if due is None else array("q", map(sub, ends, due))
        usage = Usage(
            operations=len(latencies),
            errors=len(tally.errors),
            elapsed_ns=end - begin if due or tally.pause_s else elapsed_ns(ends, begin, end, connections),
            cpu_ns=cpu_ns,
            system_ns=system_ns,
            latency_ns=sum(latencies),
            not_started=not_started,
            ready_ns=ready_ns,
        )
        return Samples(
            latencies=latencies,
            waits=waits,
            services=None if due is None else services,
            began_ns=begin,
            usage=usage,
            errors=tally.errors,
            loop_lags=array("q") if loop_lags is None else loop_lags,
            ends=ends,
        )

    def bare(self, times: Sequence[tuple[int, int]], operations: int) -> Samples:
        """Make samples for loops that record nothing themselves: every operation took the mean of all."""
        cpu_ns, system_ns = self._spent()
        begin, end = min(began for began, _ in times), max(ended for _, ended in times)
        latencies = array("q", [len(times) * (end - begin) // operations]) * operations
        usage = Usage(operations, 0, end - begin, cpu_ns, system_ns, latency_ns=sum(latencies))
        return Samples(latencies, waits=array("q"), services=None, began_ns=begin, usage=usage)

    def _spent(self) -> tuple[int, int]:
        """CPU time since this was made, and the kernel's part of it, nanoseconds; the clocks differ in resolution.

        Raises ScenarioError where the clock went backwards: no number could be trusted.
        """
        cpu_ns = time.process_time_ns() - self._cpu_ns
        if cpu_ns < 0:
            raise ScenarioError("the CPU time of the process went backwards: does the scenario replace its clock?")
        return cpu_ns, max(0, min(cpu_ns, _system_ns() - self._system_ns))


def _ready_ns() -> int:
    """Nanoseconds that this process's threads could have run and had no CPU; 0 where the system does not count that."""
    found = 0
    for path in Path("/proc/self/task").glob("*/schedstat"):
        with suppress(OSError, ValueError, IndexError):
            found += int(path.read_text().split()[1])
    return found


def _system_ns() -> int:
    return int(resource.getrusage(resource.RUSAGE_SELF).ru_stime * 1e9)
