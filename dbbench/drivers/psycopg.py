"""psycopg 3, async. psycopg_sync.py is derived from this file: use only what has a sync counterpart."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from random import Random
from typing import Any, Final

import psycopg
from psycopg.types.json import JsonbDumper
from psycopg.types.string import TextLoader
from psycopg_pool import AsyncConnectionPool

from dbbench.drivers.libpq import connect_arguments as connect_arguments
from dbbench.drivers.names import copy_statement
from dbbench.drivers.placeholders import Statements
from dbbench.drivers.point_read import PYFORMAT
from dbbench.drivers.settings import JSON, PYTHON, TEXT
from dbbench.plan import Pool as PoolSettings
from dbbench.plan import TxEnd, Value

_STATEMENTS: Final = Statements()


class BinaryCursor(psycopg.AsyncCursor[Any]):
    """A cursor whose results come in binary format, without `binary=True` in every execute()."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.format = psycopg.pq.Format.BINARY


def facts() -> dict[str, str]:
    """Libraries, and the driver's default behaviour."""
    return {
        "implementation": psycopg.pq.__impl__,
        "libpq": _dotted(psycopg.pq.version()),
        "prepared statements": "from the 6th execution, forgotten at every ROLLBACK",
        "results": "text",
        "raw pool": "psycopg_pool",
        "on release": "rolls back when in a transaction; keeps up to its maximum",
        "idiom": "commit",
        "rollback": "(and DEALLOCATE ALL where it had prepared)",
        "adds": "$1 is translated to %s",
    }


def _dotted(version: int) -> str:
    return f"{version // 10000}.{version % 10000}"


async def open_pool(
    arguments: Mapping[str, Any],
    pool: PoolSettings,
    keep: int,
    tx_end: TxEnd,
    settings: Mapping[str, Value],
    opened: Callable[[], None],
) -> "Pool":
    """Open a psycopg_pool."""

    async def configure(connection: Any) -> None:
        if settings.get(JSON) == PYTHON:  # it decodes JSON by itself, and takes no dict
            connection.adapters.register_dumper(dict, JsonbDumper)
        elif settings.get(JSON) == TEXT:
            for name in ("json", "jsonb"):
                connection.adapters.register_loader(name, TextLoader)
        opened()

    connections = AsyncConnectionPool(
        kwargs={**arguments, "autocommit": tx_end == "autocommit"},
        min_size=keep,
        max_size=pool.capacity,
        timeout=pool.timeout,
        configure=configure,
        open=False,
    )
    await connections.open(wait=True, timeout=pool.timeout)
    return Pool(connections, tx_end)


async def bare(connection: Any, params: Mapping[str, Any], rng: Random, operations: Iterable[int]) -> None:
    """See Adapter.bare; on one connection in autocommit mode."""
    rows = params["rows"]
    for _ in operations:
        await (await connection.execute(PYFORMAT, (rng.randint(1, rows),))).fetchone()


class Pool:
    """psycopg_pool."""

    def __init__(self, connections: Any, tx_end: TxEnd) -> None:
        self._connections = connections
        self._tx_end = tx_end

    async def acquire(self) -> "Db":
        """Check a connection out; raises PoolTimeout when none comes free in time."""
        return Db(await self._connections.getconn(), self._tx_end)

    async def release(self, db: "Db") -> None:
        """Return the connection to the pool."""
        await self._connections.putconn(db.connection)

    async def close(self) -> None:
        """Close all connections."""
        await self._connections.close()


class Db:
    """One connection."""

    __slots__ = ("_tx_end", "connection")

    def __init__(self, connection: Any, tx_end: TxEnd) -> None:
        self.connection = connection
        self._tx_end = tx_end

    async def fetch_one(self, sql: str, *args: object) -> Any:
        """See scenario.Db."""
        statement = _STATEMENTS[sql]
        return await (
            await self.connection.execute(statement.sql, args if statement.plain else statement.arguments(args))
        ).fetchone()

    async def fetch_all(self, sql: str, *args: object) -> Any:
        """See scenario.Db."""
        statement = _STATEMENTS[sql]
        return await (
            await self.connection.execute(statement.sql, args if statement.plain else statement.arguments(args))
        ).fetchall()

    async def execute(self, sql: str, *args: object) -> None:
        """See scenario.Db."""
        statement = _STATEMENTS[sql]
        await self.connection.execute(statement.sql, args if statement.plain else statement.arguments(args))

    async def execute_many(self, sql: str, rows: Iterable[Sequence[object]]) -> None:
        """Use executemany(), which psycopg sends in pipeline mode."""
        statement = _STATEMENTS[sql]
        async with self.connection.cursor() as cursor:
            await cursor.executemany(statement.sql, [statement.arguments(row) for row in rows])

    async def copy_in(self, table: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
        """Use COPY FROM STDIN with write_row()."""
        async with (
            self.connection.cursor() as cursor,
            cursor.copy(copy_statement(table, columns)) as copy,
        ):
            for row in rows:
                await copy.write_row(row)

    def transaction(self) -> Any:
        """See scenario.Db."""
        return self.connection.transaction()

    async def end(self) -> None:
        """End the transaction, if there is one."""
        if self._tx_end == "commit":
            await self.connection.commit()
        elif self._tx_end == "rollback":
            await self.connection.rollback()

    async def discard(self) -> None:
        """Close the connection, which may be in any state; the pool then makes another."""
        await self.connection.close()

    async def rollback(self) -> None:
        """End the transaction after an error."""
        await self.connection.rollback()
