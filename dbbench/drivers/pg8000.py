"""pg8000, pure Python; it has no pool, so the raw layer uses SQLAlchemy's."""

import io
import ssl
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from random import Random
from typing import Any, Final

import pg8000.dbapi
from sqlalchemy.pool import PoolProxiedConnection, QueuePool

from dbbench.address import Address
from dbbench.drivers.copy_text import copy_text
from dbbench.drivers.dbapi import Transaction, end
from dbbench.drivers.names import copy_statement
from dbbench.drivers.placeholders import Statements
from dbbench.drivers.point_read import PYFORMAT
from dbbench.errors import CannotStartError
from dbbench.plan import Pool as PoolSettings
from dbbench.plan import TxEnd, Value

_STATEMENTS: Final = Statements()
_VERIFIED: Final = ("verify-ca", "verify-full")


def connect_arguments(address: Address, settings: Mapping[str, str]) -> dict[str, Any]:
    """Keyword arguments of pg8000.connect()."""
    others = {name: value for name, value in settings.items() if name != "application_name"}
    arguments: dict[str, Any] = {
        "database": address.database,
        "user": address.user,
        "timeout": None,  # it would hold for every answer
        "application_name": settings["application_name"],
        "startup_params": others,
    }
    if address.is_socket:
        arguments |= {"unix_sock": str(Path(address.host, f".s.PGSQL.{address.port}")), "ssl_context": False}
    else:
        arguments |= {"host": address.host, "port": address.port, "ssl_context": _tls(address)}
    if address.password:
        arguments["password"] = address.password
    return arguments


def _tls(address: Address) -> ssl.SSLContext | bool | None:
    """Its ssl_context: None prefers TLS, False has none, True requires it unverified."""
    given = dict(address.tls)
    authority, certificate, key = (given.pop(name, None) for name in ("sslrootcert", "sslcert", "sslkey"))
    if given:
        raise CannotStartError(f"pg8000 does not know {', '.join(given)}; leave it out of the URL, or pg8000")
    if address.sslmode in ("", "prefer") and not address.tls:
        return None
    if address.sslmode in ("disable", "allow"):
        return False
    context = ssl.create_default_context(cafile=authority)
    context.check_hostname = address.sslmode == "verify-full"
    if address.sslmode not in _VERIFIED and authority is None:
        context.verify_mode = ssl.CERT_NONE
    if certificate:
        context.load_cert_chain(certificate, key)
    return context


def facts() -> dict[str, str]:
    """The driver's default behaviour."""
    return {
        "prepared statements": "none: an unnamed one for every execution",
        "results": "text",
        "raw pool": "sqlalchemy.pool.QueuePool: pg8000 has none",
        "on release": "rolls back when in a transaction",
        "idiom": "commit",
        "adds": "SQLAlchemy's pool; $1 is translated to %s; copy_in writes COPY's text",
    }


def open_pool(
    arguments: Mapping[str, Any],
    pool: PoolSettings,
    keep: int,
    tx_end: TxEnd,
    _settings: Mapping[str, Value],
    opened: Callable[[], None],
) -> "Pool":
    """Open a QueuePool."""

    def connect() -> Any:
        connection = pg8000.dbapi.connect(**arguments)
        connection.autocommit = tx_end == "autocommit"
        opened()
        return connection

    connections = QueuePool(
        connect, pool_size=pool.size, max_overflow=pool.max_overflow, timeout=pool.timeout, reset_on_return="rollback"
    )
    for one in [connections.connect() for _ in range(keep)]:
        one.close()
    return Pool(connections, tx_end)


def bare(connection: Any, params: Mapping[str, Any], rng: Random, operations: Iterable[int]) -> None:
    """See Adapter.bare; on one connection in autocommit mode."""
    rows = params["rows"]
    for _ in operations:
        cursor = connection.cursor()
        cursor.execute(PYFORMAT, (rng.randint(1, rows),))
        cursor.fetchone()


class Pool:
    """SQLAlchemy's QueuePool of pg8000's connections."""

    def __init__(self, connections: QueuePool, tx_end: TxEnd) -> None:
        self._connections = connections
        self._tx_end = tx_end
        self._out: dict[int, PoolProxiedConnection] = {}  # id of a connection -> how the pool knows it

    def acquire(self) -> "Db":
        """Check a connection out; raises SQLAlchemy's TimeoutError when none comes free in time."""
        checked_out = self._connections.connect()
        connection = checked_out.dbapi_connection
        self._out[id(connection)] = checked_out
        return Db(connection, self._tx_end, self.discard)

    def release(self, db: "Db") -> None:
        """Return the connection to the pool."""
        self._out.pop(id(db.connection)).close()

    def discard(self, connection: Any) -> None:
        """Close a connection in any state; the pool then makes another."""
        self._out[id(connection)].invalidate()

    def close(self) -> None:
        """Close all connections."""
        self._connections.dispose()


class Db:
    """One connection."""

    __slots__ = ("_discard", "_tx_end", "connection")

    def __init__(self, connection: Any, tx_end: TxEnd, discard: Callable[[Any], None]) -> None:
        self.connection = connection
        self._tx_end = tx_end
        self._discard = discard

    def _executed(self, sql: str, args: Sequence[object]) -> Any:
        statement = _STATEMENTS[sql]
        cursor = self.connection.cursor()
        cursor.execute(statement.sql, args if statement.plain else statement.arguments(args) or ())
        return cursor

    def fetch_one(self, sql: str, *args: object) -> Any:
        """See scenario.Db."""
        return self._executed(sql, args).fetchone()

    def fetch_all(self, sql: str, *args: object) -> Any:
        """See scenario.Db."""
        return self._executed(sql, args).fetchall()

    def execute(self, sql: str, *args: object) -> None:
        """See scenario.Db."""
        self._executed(sql, args)

    def execute_many(self, sql: str, rows: Iterable[Sequence[object]]) -> None:
        """Use executemany(), which waits for the server after every row: pg8000 has nothing faster."""
        statement = _STATEMENTS[sql]
        self.connection.cursor().executemany(statement.sql, [statement.arguments(row) or () for row in rows])

    def copy_in(self, table: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
        """Use COPY FROM STDIN; pg8000 leaves the formatting to its user, so it is part of the operation."""
        self.connection.cursor().execute(copy_statement(table, columns), stream=io.StringIO(copy_text(rows)))

    def transaction(self) -> Transaction:
        """See scenario.Db."""
        return Transaction(self.connection)

    def end(self) -> None:
        """End the transaction, if there is one."""
        end(self.connection, self._tx_end)

    def discard(self) -> None:
        """Close the connection, which may be in any state; the pool then makes another."""
        self._discard(self.connection)

    def rollback(self) -> None:
        """End the transaction after an error."""
        self.connection.rollback()
