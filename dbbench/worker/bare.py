"""Bare loops for SQLAlchemy: what a person writes by hand to time it, to see what dbbench's own loop adds.

Nothing is timed here but the whole loop, nothing is counted and nothing is checked. Written once for tasks; threads
run the sync twin. The drivers' own are in their files.
"""

from random import Random
from typing import Any

from dbbench.scenario import Operation, Params


async def orm(maker: Any, operation: Operation, params: Params, rng: Random, operations: int) -> None:
    """A session for every operation, in a for loop."""
    for _ in range(operations):
        async with maker() as session:
            await operation(session, params, rng)


async def core(engine: Any, operation: Operation, params: Params, rng: Random, operations: int) -> None:
    """A connection of the engine for every operation, in a for loop."""
    for _ in range(operations):
        async with engine.connect() as connection:
            await operation(connection, params, rng)
