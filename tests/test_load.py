"""The closed loop: tasks and threads do the same."""

import asyncio
import threading
from array import array
from collections.abc import Callable, Iterator
from random import Random
from typing import Any

import pytest

from dbbench.load import Load, Tasks, Threads

LIMIT_NS = 10**10
Make = Callable[[list[Callable[[Random], Any]]], Load]


@pytest.fixture(params=["tasks", "threads"])
def make(request: pytest.FixtureRequest) -> Iterator[Make]:
    """Makes a load of sync functions; for tasks they are wrapped."""
    with asyncio.Runner() as runner:
        loads: list[Load] = []

        def wrapped(request_: Callable[[Random], Any]) -> Any:
            async def coroutine(rng: Random) -> Any:
                await asyncio.sleep(0)
                return request_(rng)

            return coroutine

        def made(requests: list[Callable[[Random], Any]]) -> Load:
            loads.append(
                Tasks(runner, [wrapped(each) for each in requests]) if request.param == "tasks" else Threads(requests)
            )
            return loads[-1]

        yield made
        for load in loads:
            load.close()


def run(load: Load, operations: int, sessions: int, limit_ns: int = LIMIT_NS) -> Any:
    return load.run(operations, [Random(number) for number in range(sessions)], limit_ns)


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
        latencies = array("q", samples.latencies)

        assert len(drawn) == len(latencies) == 120
        assert min(latencies) > 0
        assert samples.errors == []
        assert max(latencies) <= samples.elapsed_ns
        assert samples.cpu_ns > 0


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
    assert len(array("q", samples.latencies)) == 100 - failures


def test_nothing_is_begun_after_the_limit(make: Make) -> None:
    samples = run(make([lambda _: None] * 4), 100_000, 4, limit_ns=1_000_000)
    assert 4 <= len(array("q", samples.latencies)) < 100_000


def test_elapsed_covers_the_operations_of_all_sessions(make: Make) -> None:
    samples = run(make([lambda _: sum(range(1000))] * 2), 200, 2)
    latencies = array("q", samples.latencies)
    assert sum(latencies) / 2 <= samples.elapsed_ns
