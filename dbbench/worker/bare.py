"""Bare loops for SQLAlchemy, as a person would write them by hand to time it: they show what dbbench's own loop adds.

Only the whole loop is timed, nothing is counted and nothing is checked. Written once for tasks; threads run the sync
twin (see twin.py). Those of the drivers are in the drivers' files.
"""

from random import Random
from typing import Any

from dbbench.scenario import Operation, Params


async def orm(maker: Any, operation: Operation, params: Params, rng: Random, operations: int) -> None:
    """Use a session for every operation, in a for loop."""
    for _ in range(operations):
        async with maker() as session:
            await operation(session, params, rng)


async def core(engine: Any, operation: Operation, params: Params, rng: Random, operations: int) -> None:
    """Use a connection of the engine for every operation, in a for loop."""
    for _ in range(operations):
        async with engine.connect() as connection:
            await operation(connection, params, rng)
