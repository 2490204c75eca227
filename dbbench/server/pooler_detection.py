"""Detecting a connection pooler in front of a server, and the settings that drivers need there."""

import contextlib
import re
import select
import time
from dataclasses import dataclass
from typing import Any, Final, Literal
from uuid import uuid4

from dbbench.address import Address
from dbbench.drivers import Driver
from dbbench.drivers.libpq import connect_arguments
from dbbench.errors import CannotStartError

Mode = Literal["transaction", "session", "unknown"]

ANSWER_LIMIT_S: Final = 5.0
"""A pooler makes a query wait for a server connection. A longer wait than this ends only when another client leaves."""
SEQUENCE: Final = "AABABB"
"""The order in which two connections send a query. A pooler may rotate its server connections, and strict alternation
could miss that."""


@dataclass(frozen=True)
class Pooled:
    """A pooler in front of a server."""

    mode: Mode
    evidence: str
    """How it was recognized."""
    prepared: bool | None
    """Whether prepared statements survive the end of a transaction; None: not known."""


def cure(driver: Driver) -> str:
    """The SQLAlchemy code that makes an engine for poolers under which prepared statements do not survive.

    Empty: the driver needs no special settings.
    """
    arguments = ", ".join(f'"{name}": {value}' for name, value in driver.safe.items())
    make = "create_async_engine" if driver.is_async else "create_engine"
    return f"{make}(url, connect_args={{{arguments}}})" if arguments else ""


KNOWN: Final = (  # pattern of host and port -> pooler
    (r".*\.pooler\.supabase\.com:5432", Pooled("session", "port 5432 of Supabase's pooler pools by session", True)),
    (r".*\.pooler\.supabase\.com:.*", Pooled("transaction", "Supabase's pooler pools by transaction", None)),
    (r".*-pooler\..*\.neon\.tech:.*", Pooled("transaction", "Neon's pooler pools by transaction", None)),
    (r".*:6543", Pooled("transaction", "6543 is the port of Supabase's pooler, which pools by transaction", None)),
    (r".*:6432", Pooled("unknown", "6432 is the port of PgBouncer", None)),
)


def guess(address: Address) -> Pooled | None:
    """The pooler that host name and port suggest, or None."""
    if address.is_socket:
        return None
    where = f"{address.host}:{address.port}"
    return next((pooled for pattern, pooled in KNOWN if re.fullmatch(pattern, where)), None)


def behind_pooler(connection: Any) -> bool:
    """Whether this psycopg connection ends anywhere but at the process that executes its statements.

    A cancel request names the process by number, and a pooler has to give every client a number of its own.
    """
    (pid,) = connection.execute("SELECT pg_backend_pid()").fetchone()
    return bool(connection.info.backend_pid != pid)


def detect(address: Address) -> Pooled | None:
    """The pooler that two test connections reveal, or None. Nothing is left behind on the server.

    Raises CannotStartError when it cannot connect.
    """
    import psycopg

    try:
        with contextlib.ExitStack() as stack:
            one, other = (
                stack.enter_context(contextlib.closing(_connect(address, f"dbbench_{name}"))) for name in "AB"
            )
            return _detect(address, one, other)
    except psycopg.Error as error:
        raise CannotStartError(f"cannot look for a pooler at {address}: {' '.join(str(error).split())}") from None


def _connect(address: Address, name: str) -> Any:
    from dbbench.server.impatient import Connection

    arguments = connect_arguments(address, {"application_name": name})
    return Connection.connect(**arguments, autocommit=True, prepare_threshold=None)


def _detect(address: Address, one: Any, other: Any) -> Pooled | None:
    known = guess(address)
    named = behind_pooler(one)
    if not named and known is None:
        return None
    told = "cancel keys that are not the server's" if named else known.evidence if known else ""
    pids: dict[str, set[int]] = {"A": set(), "B": set()}
    for which in SEQUENCE:
        pid = _backend_pid(one if which == "A" else other)
        if pid is None:
            return Pooled("session", f"{told}; a second connection waits for the first to go", prepared=True)
        pids[which].add(pid)
    if len(pids["A"]) > 1 or len(pids["B"]) > 1 or pids["A"] & pids["B"]:
        return Pooled("transaction", f"{told}; two connections share server processes", prepared=_follows(one))
    if named:
        return Pooled("session", f"{told}; each connection keeps its server process", prepared=True)
    return None


def _backend_pid(connection: Any) -> int | None:
    """The process that executes the connection's statements; None when no answer comes in time."""
    pgconn = connection.pgconn
    pgconn.send_query(b"SELECT pg_backend_pid()")
    deadline = time.monotonic() + ANSWER_LIMIT_S
    while pgconn.is_busy():
        if not select.select([pgconn.socket], [], [], max(0.0, deadline - time.monotonic()))[0]:
            return None
        pgconn.consume_input()
    values = []
    while (result := pgconn.get_result()) is not None:
        if not result.ntuples:
            said = " ".join(pgconn.error_message.decode(errors="replace").split())
            raise CannotStartError(f"cannot look for a pooler: {said}")
        values.append(int(result.get_value(0, 0)))
    return values[0]


def _follows(connection: Any) -> bool | None:
    """Whether the pooler tracks prepared statements: if so, they have other names on the server; None: not known.

    All in one transaction, so on one server connection, and rolled back: no other client's statement is touched.
    """
    import psycopg

    name = f"dbbench_{uuid4().hex}"
    try:
        with connection.transaction(force_rollback=True):
            connection.pgconn.prepare(name.encode(), b"SELECT 1")
            query = "SELECT EXISTS (SELECT FROM pg_prepared_statements WHERE name = %s)"
            (as_it_is,) = connection.execute(query, [name]).fetchone()
            if as_it_is:
                connection.execute(f"DEALLOCATE {name}")
    except psycopg.Error:  # a pooler that allows no transactions, for instance
        return None
    return not as_it_is
