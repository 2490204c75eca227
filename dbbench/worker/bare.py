"""Bare loops for SQLAlchemy, as a person would write them by hand to time it: they show what dbbench's own loop adds.

Only all loops together are timed, nothing is counted and nothing is checked. Written once for tasks; threads run the
sync twin (see twin.py). Those of the drivers are in the drivers' files.
"""

from collections.abc import Callable, Iterable
from random import Random
from time import perf_counter_ns
from typing import Any

from dbbench.scenario import Operation, Params
from dbbench.worker.request import Tally


async def session(loop: Callable[..., Any], rng: Random, tally: Tally) -> tuple[int, int]:
    """Run a loop until there is no more work; returns when it began and when it ended."""
    began = perf_counter_ns()
    await loop(rng, tally.work)
    return began, perf_counter_ns()


async def orm(maker: Any, operation: Operation, params: Params, rng: Random, operations: Iterable[int]) -> None:
    """Use a session for every operation, in a for loop."""
    for _ in operations:
        async with maker() as session:
            await operation(session, params, rng)


async def core(engine: Any, operation: Operation, params: Params, rng: Random, operations: Iterable[int]) -> None:
    """Use a connection of the engine for every operation, in a for loop."""
    for _ in operations:
        async with engine.connect() as connection:
            await operation(connection, params, rng)
