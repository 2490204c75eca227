"""asyncpg, with its own pool."""

import json as json_
from collections.abc import Callable, Iterable, Mapping, Sequence
from random import Random
from typing import Any
from urllib.parse import urlencode

import asyncpg

from dbbench.address import Address
from dbbench.drivers.explicit import Explicit
from dbbench.drivers.names import schema_and_table
from dbbench.drivers.point_read import QUERY
from dbbench.drivers.settings import JSON, OFF, PYTHON, RESET
from dbbench.plan import Pool as PoolSettings
from dbbench.plan import TxEnd, Value


def connect_arguments(address: Address, settings: Mapping[str, str]) -> dict[str, Any]:
    """Keyword arguments of asyncpg.connect()."""
    arguments: dict[str, Any] = {
        "host": address.host,
        "port": address.port,
        "database": address.database,
        "user": address.user,
        "timeout": 10,
        "server_settings": dict(settings),
    }
    if address.password:
        arguments["password"] = address.password
    if address.sslmode:
        arguments["ssl"] = address.sslmode
    if address.tls:  # asyncpg takes them in a DSN only, and makes an SSLContext of them as libpq would
        arguments["dsn"] = f"postgresql://?{urlencode(address.tls)}"
    return arguments


def facts() -> dict[str, str]:
    """The driver's default behaviour."""
    return {
        "prepared statements": "from the 1st execution, kept",
        "results": "binary",
        "raw pool": "asyncpg.Pool",
        "on release": "sends a reset query, one more round trip, and keeps the connection",
        "idiom": "autocommit",
        "reset": "the pool's reset",
        "adds": "BEGIN and the end of the transaction, which DB-API drivers send by themselves",
    }


async def open_pool(
    arguments: Mapping[str, Any],
    pool: PoolSettings,
    keep: int,
    tx_end: TxEnd,
    settings: Mapping[str, Value],
    opened: Callable[[], None],
) -> "Pool":
    """Open an asyncpg.Pool."""

    async def configure(connection: Any) -> None:
        if settings.get(JSON) == PYTHON:
            await _set_json_codecs(connection)
        opened()

    of_pool: dict[str, Any] = {"min_size": keep, "max_size": pool.capacity, "init": configure}
    if settings.get(RESET) == OFF:
        of_pool["reset"] = _as_it_is
    connections = await asyncpg.create_pool(**arguments, **of_pool)
    return Pool(connections, pool.timeout, tx_end)


async def _as_it_is(_connection: Any) -> None:
    """Keep what a session has set; the pool still rolls an open transaction back."""


async def _set_json_codecs(connection: Any) -> None:
    """Have JSON given and taken as Python objects; in binary format, which COPY needs too. A str is JSON already."""

    def encoded(value: object) -> bytes:
        return (value if isinstance(value, str) else json_.dumps(value)).encode()

    await connection.set_type_codec(
        "json", schema="pg_catalog", format="binary", encoder=encoded, decoder=json_.loads
    )  # fmt: skip
    await connection.set_type_codec(  # jsonb: the same after a byte with its version
        "jsonb", schema="pg_catalog", format="binary",
        encoder=lambda value: b"\1" + encoded(value), decoder=lambda data: json_.loads(data[1:]),
    )  # fmt: skip


async def bare(connection: Any, params: Mapping[str, Any], rng: Random, operations: Iterable[int]) -> None:
    """See Adapter.bare; on one connection."""
    rows = params["rows"]
    for _ in operations:
        row = await connection.fetchrow(QUERY, rng.randint(1, rows))
        json_.loads(row["document"])  # as the scenario does; the other drivers decode it themselves


class Pool:
    """asyncpg.Pool."""

    def __init__(self, connections: Any, timeout: float, tx_end: TxEnd) -> None:
        self._connections = connections
        self._timeout = timeout
        self._tx_end = tx_end

    async def acquire(self) -> "Db":
        """Check a connection out; raises TimeoutError when none comes free in time."""
        try:
            return Db(await self._connections.acquire(timeout=self._timeout), self._tx_end)
        except TimeoutError:
            raise TimeoutError(f"no connection within {self._timeout:g} s") from None  # asyncpg's own has no message

    async def release(self, db: "Db") -> None:
        """Return the connection to the pool."""
        await self._connections.release(db.connection)

    async def close(self) -> None:
        """Close all connections."""
        await self._connections.close()


class Db(Explicit):
    """One connection."""

    __slots__ = ()

    async def _begin(self) -> None:
        if self._transaction is None and not self.connection.is_in_transaction():
            self._transaction = self.connection.transaction()
            await self._transaction.start()

    async def fetch_one(self, sql: str, *args: object) -> Any:
        """See scenario.Db."""
        if self._begins:
            await self._begin()
        return await self.connection.fetchrow(sql, *args)

    async def fetch_all(self, sql: str, *args: object) -> Any:
        """See scenario.Db."""
        if self._begins:
            await self._begin()
        return await self.connection.fetch(sql, *args)

    async def execute(self, sql: str, *args: object) -> None:
        """See scenario.Db."""
        if self._begins:
            await self._begin()
        await self.connection.execute(sql, *args)

    async def execute_many(self, sql: str, rows: Iterable[Sequence[object]]) -> None:
        """Use executemany(), which asyncpg sends in batches."""
        if self._begins:
            await self._begin()
        await self.connection.executemany(sql, rows)

    async def copy_in(self, table: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
        """Use COPY in binary format."""
        if self._begins:
            await self._begin()
        schema, name = schema_and_table(table)
        await self.connection.copy_records_to_table(name, schema_name=schema, columns=columns, records=rows)

    def transaction(self) -> Any:
        """See scenario.Db."""
        return self.connection.transaction()

    async def discard(self) -> None:
        """Close the connection, which may be in any state; the pool then makes another."""
        self._transaction = None
        self.connection.terminate()
