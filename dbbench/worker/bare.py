"""Bare loops: what a person writes by hand to time a driver, to see what dbbench's own loop adds to it.

Nothing is timed here but the whole loop, nothing is counted and nothing is checked. Written once for tasks; threads
run the sync twin. For point reads only (scenarios/point_reads.py), whose query is repeated here on purpose.
"""

from collections.abc import Callable
from random import Random
from typing import Any, Final

from dbbench.scenario import Operation, Params

COLUMNS: Final = "id, external_id, name, birth_date, document, balance, updated_at"
QUERY: Final = f"SELECT {COLUMNS} FROM patients WHERE id = $1"  # noqa: S608 - constants
_PYFORMAT: Final = f"SELECT {COLUMNS} FROM patients WHERE id = %s"  # noqa: S608


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


async def psycopg(connection: Any, params: Params, rng: Random, operations: int) -> None:
    """Use psycopg 3 by itself, on one connection in autocommit mode."""
    rows = params["rows"]
    for _ in range(operations):
        await (await connection.execute(_PYFORMAT, (rng.randint(1, rows),))).fetchone()


async def asyncpg(connection: Any, params: Params, rng: Random, operations: int) -> None:
    """Use asyncpg by itself, on one connection."""
    rows = params["rows"]
    for _ in range(operations):
        await connection.fetchrow(QUERY, rng.randint(1, rows))


def psycopg2(connection: Any, params: Params, rng: Random, operations: int) -> None:
    """Use psycopg2 by itself, on one connection in autocommit mode."""
    rows = params["rows"]
    for _ in range(operations):
        with connection.cursor() as cursor:
            cursor.execute(_PYFORMAT, (rng.randint(1, rows),))
            cursor.fetchone()


RAW: Final[dict[str, Callable[..., Any]]] = {
    "psycopg": psycopg,
    "psycopg-sync": psycopg,  # the twin's
    "asyncpg": asyncpg,
    "psycopg2": psycopg2,
}
