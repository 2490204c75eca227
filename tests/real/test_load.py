"""Closed and open loop: tasks and threads do the same."""

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from random import Random
from statistics import mean, median, pstdev, quantiles
from typing import Any

import pytest

from dbbench.plan import Load
from dbbench.worker.load import LoadGenerator, Samples, Tasks, Threads, Work, schedule

LIMIT_NS = 10**10
Make = Callable[[list[Callable[[Random], Any]]], LoadGenerator]


@pytest.fixture(params=["tasks", "threads"])
def make(request: pytest.FixtureRequest) -> Iterator[Make]:
    """Makes a load of sync functions; for tasks they are wrapped."""
    with asyncio.Runner() as runner:
        loads: list[LoadGenerator] = []

        def wrapped(request_: Callable[[Random], Any]) -> Any:
            async def coroutine(rng: Random) -> Any:
                await asyncio.sleep(0)
                return request_(rng)

            return coroutine

        def made(requests: list[Callable[[Random], Any]]) -> LoadGenerator:
            if request.param == "tasks":
                loads.append(Tasks(runner, [wrapped(each) for each in requests], len(requests)))
            else:
                loads.append(Threads(requests, len(requests)))
            return loads[-1]

        yield made
        for load in loads:
            load.close()


def run(load: LoadGenerator, operations: int, sessions: int, limit_ns: int = LIMIT_NS, **more: Any) -> Samples:
    return load.run(Work(operations, [Random(number) for number in range(sessions)], limit_ns, **more))


@pytest.mark.parametrize("sessions", [1, 3, 50])
def test_every_operation_is_run_once(make: Make, sessions: int) -> None:
    drawn: list[float] = []
    lock = threading.Lock()

    def request(rng: Random) -> None:
        with lock:
            drawn.append(rng.random())

    load = make([request] * sessions)
    for _ in range(2):
        drawn.clear()
        samples = run(load, 120, sessions)
        latencies = samples.latencies

        assert len(drawn) == len(latencies) == 120
        assert min(latencies) > 0
        assert samples.errors == []
        assert samples.usage.elapsed_ns > 0
        assert samples.usage.cpu_ns > 0


def test_sessions_draw_from_their_own_generators(make: Make) -> None:
    drawn: list[float] = []
    run(make([lambda rng: drawn.append(rng.random())]), 5, 1)
    expected = Random(0)
    assert drawn == [expected.random() for _ in range(5)]


def test_a_failed_operation_is_counted_and_not_timed(make: Make) -> None:
    def request(rng: Random) -> None:
        if rng.random() < 0.5:
            raise LookupError

    samples = run(make([request]), 100, 1)
    expected = Random(0)
    failures = sum(expected.random() < 0.5 for _ in range(100))

    assert len(samples.errors) == failures
    assert len(samples.latencies) == 100 - failures


def test_nothing_is_begun_after_the_limit(make: Make) -> None:
    samples = run(make([lambda _: time.sleep(0.001)] * 4), 10_000, 4, limit_ns=500_000_000)
    assert 4 <= len(samples.latencies) < 10_000


def test_elapsed_covers_the_operations_of_all_sessions(make: Make) -> None:
    samples = run(make([lambda _: sum(range(1000))] * 2), 200, 2)
    # At the pace of the slice's middle: an operation at an edge may have been held up for longer than all the others.
    typical = quantiles(samples.latencies, n=4)[0]
    assert samples.usage.elapsed_ns >= 200 * typical / 2


def test_a_session_pauses_between_its_operations(make: Make) -> None:
    load = make([lambda _: None])
    samples = run(load, 5, 1, pause_s=0.02)

    assert samples.usage.elapsed_ns >= 4 * 20_000_000
    assert median(samples.latencies) < 20_000_000, "a pause is not part of an operation"


def test_an_operation_of_an_open_loop_begins_when_it_is_due(make: Make) -> None:
    due = [number * 50_000_000 for number in range(10)]
    samples = run(make([lambda _: None] * 2), 10, 2, due=due)

    assert samples.services is not None
    assert samples.usage.elapsed_ns > due[-2]
    assert samples.usage.not_started == 0
    lags = [response - service for response, service in zip(samples.latencies, samples.services, strict=True)]
    assert all(lag >= 0 for lag in lags)
    assert sorted(lags)[5] < due[1], "most operations begin before the next is due"


def test_what_a_stall_holds_up_counts_from_when_it_was_due(make: Make) -> None:
    stalls = iter([0.2])
    due = [number * 5_000_000 for number in range(40)]  # 200 ms: all of it while the first operation stalls
    samples = run(make([lambda _: time.sleep(next(stalls, 0.0))]), 40, 1, due=due)

    assert samples.services is not None
    assert 1 <= sum(service > 100_000_000 for service in samples.services) < 5, "and not of those that waited"
    assert sum(response > 100_000_000 for response in samples.latencies) >= 19


def test_operations_that_were_due_and_never_began_are_counted(make: Make) -> None:
    samples = run(make([lambda _: time.sleep(0.05)]), 20, 1, limit_ns=120_000_000, due=[0] * 20)

    assert samples.usage.not_started == 20 - len(samples.latencies)
    assert 1 <= len(samples.latencies) <= 4


def test_the_heartbeat_sees_what_blocks_the_event_loop() -> None:
    async def block(_: Random) -> None:
        time.sleep(0.02)  # noqa: ASYNC251 - this is the point
        await asyncio.sleep(0.002)

    with asyncio.Runner() as runner:
        samples = run(Tasks(runner, [block], 1), 10, 1, heartbeat=True)
        quiet = run(Tasks(runner, [block], 1), 10, 1)

    assert sum(lag > 15_000_000 for lag in samples.loop_lags) >= 8
    assert len(quiet.loop_lags) == 0


def test_the_edges_of_a_slice_are_not_in_its_pace(make: Make) -> None:
    """Two connections: an operation at each edge takes long, those in the middle do not."""
    lock, calls = threading.Lock(), [0]

    def request(_: Random) -> None:
        with lock:
            calls[0] += 1
            edge = calls[0] in {1, 40}
        time.sleep(0.2 if edge else 0.002)

    samples = run(make([request] * 2), 40, 2)
    assert samples.usage.elapsed_ns < 40 * 0.2 * 1e9 / 4


def test_sessions_that_wait_for_a_connection_take_turns() -> None:
    """Threads that share one lock: none starves, since each gives way after its operation."""
    lock = threading.Lock()
    served: list[int] = []

    def session(number: int) -> Callable[[Random], None]:
        def request(_: Random) -> None:
            with lock:
                served.append(number)
                time.sleep(0.005)

        return request

    load = Threads([session(number) for number in range(4)], connections=1)
    run(load, 80, 4)
    load.close()

    assert min(served.count(number) for number in range(4)) >= 10


def test_poisson_arrivals_have_the_rate_and_the_spread_of_poisson() -> None:
    due = schedule(Load(rate=1000.0), 20_000, "seed")
    assert due is not None
    gaps = [after - before for before, after in pairwise(due)]

    assert due == schedule(Load(rate=1000.0), 20_000, "seed")
    assert due != schedule(Load(rate=1000.0), 20_000, "another seed")
    assert mean(gaps) == pytest.approx(1e6, rel=0.05)
    assert pstdev(gaps) == pytest.approx(1e6, rel=0.05), "exponential: as wide as its mean"


def test_constant_arrivals_are_evenly_spaced() -> None:
    assert schedule(Load(rate=200.0, arrival="constant"), 4, "seed") == [0, 5_000_000, 10_000_000, 15_000_000]
    assert schedule(Load(), 4, "seed") is None
