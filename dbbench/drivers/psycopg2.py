"""psycopg2, with its own threaded pool made to wait for a free connection, as the other pools do."""

import io
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from random import Random
from typing import Any, Final

import psycopg2
import psycopg2.extensions
import psycopg2.extras
import psycopg2.pool

from dbbench.drivers.copy_text import copy_text
from dbbench.drivers.dbapi import Transaction, end
from dbbench.drivers.libpq import connect_arguments as connect_arguments
from dbbench.drivers.names import copy_statement
from dbbench.drivers.placeholders import Statements
from dbbench.drivers.point_read import PYFORMAT
from dbbench.drivers.settings import JSON, PYTHON, TEXT
from dbbench.plan import Pool as PoolSettings
from dbbench.plan import TxEnd, Value

_STATEMENTS: Final = Statements()


def facts() -> dict[str, str]:
    """Libraries, and the driver's default behaviour."""
    libpq = psycopg2.__libpq_version__
    return {
        "libpq": f"{libpq // 10000}.{libpq % 10000}",
        "prepared statements": "none",
        "results": "text",
        "raw pool": "psycopg2.pool.ThreadedConnectionPool behind a semaphore",
        "on release": "rolls back when in a transaction; closes the connection when pool_size are idle",
        "idiom": "commit",
        "adds": "register_uuid(); a wait for a free connection; $1 is translated to %s; "
        "execute_many is execute_batch(), since its executemany() waits after every row; copy_in writes COPY's text",
    }


def open_pool(
    arguments: Mapping[str, Any],
    pool: PoolSettings,
    keep: int,
    tx_end: TxEnd,
    settings: Mapping[str, Value],
    opened: Callable[[], None],
) -> "Pool":
    """Open a ThreadedConnectionPool."""

    class Connection(psycopg2.extensions.connection):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            if settings.get(JSON) == TEXT:
                psycopg2.extras.register_default_json(self, loads=str)
                psycopg2.extras.register_default_jsonb(self, loads=str)
            if tx_end == "autocommit":
                self.autocommit = True
            opened()

    psycopg2.extras.register_uuid()  # type: ignore[no-untyped-call]
    if settings.get(JSON) == PYTHON:  # it decodes JSON by itself, and takes no dict
        psycopg2.extensions.register_adapter(dict, psycopg2.extras.Json)
    connections = psycopg2.pool.ThreadedConnectionPool(
        keep,
        pool.capacity,
        **arguments,
        connection_factory=Connection,
    )
    return Pool(connections, pool, tx_end)


def bare(connection: Any, params: Mapping[str, Any], rng: Random, operations: Iterable[int]) -> None:
    """See Adapter.bare; on one connection in autocommit mode."""
    rows = params["rows"]
    for _ in operations:
        with connection.cursor() as cursor:
            cursor.execute(PYFORMAT, (rng.randint(1, rows),))
            cursor.fetchone()


class Pool:
    """ThreadedConnectionPool behind a semaphore that makes it wait: by itself it raises when it is exhausted."""

    def __init__(self, connections: psycopg2.pool.ThreadedConnectionPool, pool: PoolSettings, tx_end: TxEnd) -> None:
        self._connections = connections
        self._free = threading.Semaphore(pool.capacity)
        self._timeout = pool.timeout
        self._tx_end = tx_end

    def acquire(self) -> "Db":
        """Check a connection out; raises PoolError when none comes free in time."""
        if not self._free.acquire(timeout=self._timeout):
            raise psycopg2.pool.PoolError(f"no connection within {self._timeout:g} s")
        try:
            return Db(self._connections.getconn(), self._tx_end)
        except BaseException:
            self._free.release()
            raise

    def release(self, db: "Db") -> None:
        """Return the connection to the pool."""
        try:
            self._connections.putconn(db.connection)
        finally:
            self._free.release()

    def close(self) -> None:
        """Close all connections."""
        self._connections.closeall()


class Db:
    """One connection."""

    __slots__ = ("_tx_end", "connection")

    def __init__(self, connection: Any, tx_end: TxEnd) -> None:
        self.connection = connection
        self._tx_end = tx_end

    def fetch_one(self, sql: str, *args: object) -> Any:
        """See scenario.Db."""
        statement = _STATEMENTS[sql]
        with self.connection.cursor() as cursor:
            cursor.execute(statement.sql, args if statement.plain else statement.arguments(args))
            return cursor.fetchone()

    def fetch_all(self, sql: str, *args: object) -> Any:
        """See scenario.Db."""
        statement = _STATEMENTS[sql]
        with self.connection.cursor() as cursor:
            cursor.execute(statement.sql, args if statement.plain else statement.arguments(args))
            return cursor.fetchall()

    def execute(self, sql: str, *args: object) -> None:
        """See scenario.Db."""
        statement = _STATEMENTS[sql]
        with self.connection.cursor() as cursor:
            cursor.execute(statement.sql, args if statement.plain else statement.arguments(args))

    def execute_many(self, sql: str, rows: Iterable[Sequence[object]]) -> None:
        """Use execute_batch(), since executemany() of psycopg2 waits for the server after every row."""
        statement = _STATEMENTS[sql]
        with self.connection.cursor() as cursor:
            psycopg2.extras.execute_batch(cursor, statement.sql, [statement.arguments(row) for row in rows])

    def copy_in(self, table: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
        """Use COPY FROM STDIN; psycopg2 leaves the formatting to its user, so it is part of the operation."""
        with self.connection.cursor() as cursor:
            cursor.copy_expert(copy_statement(table, columns), io.StringIO(copy_text(rows)))

    def transaction(self) -> Transaction:
        """See scenario.Db."""
        return Transaction(self.connection)

    def end(self) -> None:
        """End the transaction, if there is one."""
        end(self.connection, self._tx_end)

    def discard(self) -> None:
        """Close the connection, which may be in any state; the pool then makes another."""
        self.connection.close()

    def rollback(self) -> None:
        """End the transaction after an error."""
        self.connection.rollback()
