"""psqlpy, written in Rust, with its own pool."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from random import Random
from typing import Any, Final

import psqlpy
import psqlpy.exceptions

from dbbench.address import Address
from dbbench.drivers.explicit import Explicit
from dbbench.drivers.libpq import options
from dbbench.drivers.names import schema_and_table
from dbbench.drivers.point_read import QUERY
from dbbench.errors import CannotStartError
from dbbench.plan import Pool as PoolSettings
from dbbench.plan import TxEnd, Value

_LEAST: Final = 2  # connections that its pool insists on being allowed
_SSL_MODES: Final = {
    "disable": psqlpy.SslMode.Disable,
    "allow": psqlpy.SslMode.Allow,
    "prefer": psqlpy.SslMode.Prefer,
    "require": psqlpy.SslMode.Require,
    "verify-ca": psqlpy.SslMode.VerifyCa,
    "verify-full": psqlpy.SslMode.VerifyFull,
}


def connect_arguments(address: Address, settings: Mapping[str, str]) -> dict[str, Any]:
    """Keyword arguments of psqlpy.ConnectionPool, which alone connects."""
    arguments: dict[str, Any] = {
        "host": address.host,
        "port": address.port,
        "db_name": address.database,
        "username": address.user,
        "connect_timeout_sec": 10,
        "application_name": settings["application_name"],
        "options": options(settings),
    }
    if address.password:
        arguments["password"] = address.password
    if address.sslmode and not address.is_socket:
        arguments["ssl_mode"] = _SSL_MODES[address.sslmode]
    given = dict(address.tls)
    if "sslrootcert" in given:
        arguments["ca_file"] = given.pop("sslrootcert")
    if given:
        raise CannotStartError(f"psqlpy does not know {', '.join(given)}; leave it out of the URL, or psqlpy")
    return arguments


def facts() -> dict[str, str]:
    """The driver's default behaviour."""
    return {
        "prepared statements": "from the 1st execution, kept",
        "results": "binary",
        "raw pool": "psqlpy.ConnectionPool",
        "on release": "keeps the connection",
        "idiom": "autocommit",
        "adds": "BEGIN and the end of the transaction, which DB-API drivers send by themselves; a limit for the wait "
        "for a connection; rows become tuples",
    }


async def open_pool(
    arguments: Mapping[str, Any],
    pool: PoolSettings,
    keep: int,
    tx_end: TxEnd,
    _settings: Mapping[str, Value],
    opened: Callable[[], None],
) -> "Pool":
    """Open a ConnectionPool, which connects when a connection is first needed."""
    made = Pool(psqlpy.ConnectionPool(**arguments, max_db_pool_size=max(_LEAST, pool.capacity)), pool, tx_end, opened)
    for db in [await made.acquire() for _ in range(keep)]:
        await made.release(db)
    return made


async def bare(connection: Any, params: Mapping[str, Any], rng: Random, operations: Iterable[int]) -> None:
    """See Adapter.bare; on one connection."""
    rows = params["rows"]
    for _ in operations:
        await connection.fetch_row(QUERY, [rng.randint(1, rows)])


class Pool:
    """psqlpy.ConnectionPool, made to give up waiting, as the other pools do."""

    def __init__(self, connections: Any, pool: PoolSettings, tx_end: TxEnd, opened: Callable[[], None]) -> None:
        self._connections = connections
        self._free = asyncio.Semaphore(pool.capacity)
        self._timeout = pool.timeout
        self._tx_end = tx_end
        self._opened = opened
        self._size = 0  # seen so far: it tells nobody when it connects

    async def acquire(self) -> "Db":
        """Check a connection out; raises TimeoutError when none comes free in time."""
        try:
            async with asyncio.timeout(self._timeout):
                await self._free.acquire()
        except TimeoutError:
            raise TimeoutError(f"no connection within {self._timeout:g} s") from None
        try:
            connection = await self._connections.connection()
        except BaseException:
            self._free.release()
            raise
        size = self._connections.status().size
        for _ in range(size - self._size):
            self._opened()
        self._size = max(size, self._size)
        return Db(connection, self._tx_end)

    async def release(self, db: "Db") -> None:
        """Return the connection to the pool."""
        db.connection.close()
        self._free.release()

    async def close(self) -> None:
        """Close all connections."""
        self._connections.close()


class Db(Explicit):
    """One connection."""

    __slots__ = ()

    async def _begin(self) -> None:
        if self._transaction is None:
            self._transaction = self.connection.transaction()
            await self._transaction.begin()

    async def fetch_one(self, sql: str, *args: object) -> Any:
        """See scenario.Db; its own fetch_row() takes the want of a row for an error."""
        rows = await self.fetch_all(sql, *args)
        return rows[0] if rows else None

    async def fetch_all(self, sql: str, *args: object) -> Any:
        """See scenario.Db."""
        if self._begins:
            await self._begin()
        return (await self.connection.fetch(sql, args)).result(as_tuple=True)

    async def execute(self, sql: str, *args: object) -> None:
        """See scenario.Db."""
        if self._begins:
            await self._begin()
        await self.connection.execute(sql, args)

    async def execute_many(self, sql: str, rows: Iterable[Sequence[object]]) -> None:
        """Use psqlpy's own."""
        if self._begins:
            await self._begin()
        await self.connection.execute_many(sql, list(map(list, rows)))

    async def copy_in(self, table: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
        """Use COPY in binary format."""
        if self._begins:
            await self._begin()
        schema, name = schema_and_table(table)
        await self.connection.copy_records_to_table(name, rows, columns=columns, schema_name=schema)

    @contextlib.asynccontextmanager
    async def transaction(self) -> AsyncIterator[None]:
        """See scenario.Db."""
        began, self._begins = self._begins, False
        try:
            async with self.connection.transaction():
                yield
        finally:
            self._begins = began

    async def discard(self) -> None:
        """Roll back: nobody can close a connection of the pool, which drops those that it finds broken."""
        self._transaction = None
        with contextlib.suppress(psqlpy.exceptions.Error):
            await self.connection.execute_batch("ROLLBACK")
