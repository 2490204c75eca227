"""The user's own server: its URL, the checks before any load, and the schemas that a run works in."""

import contextlib
import os
import re
import select
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final
from urllib.parse import unquote

import msgspec

from dbbench.address import Address
from dbbench.errors import CannotStartError, DbbenchError, LeftBehindError, ServerLostError, UsageError
from dbbench.server import preflight, schemas
from dbbench.server.janitor import FINISH_LIMIT_S, HASTE_S, Janitor, sentence
from dbbench.server.passwords import stored_password
from dbbench.wording import not_text

SETTINGS: Final = (
    "server_version", "server_version_num", "fsync", "synchronous_commit", "full_page_writes", "jit", "autovacuum",
    "shared_buffers", "max_connections", "wal_level", "max_wal_size", "checkpoint_timeout", "TimeZone",
    "default_transaction_isolation", "ssl", "server_encoding", "lc_collate",
)  # fmt: skip
_PREFIX: Final = re.compile(r"^postgres(ql)?(\+\w+)?://")
_PORTS: Final = 65_536
_IN_THE_URL: Final = ("host", "port", "user", "password", "dbname", "database")
IDLE_LIMIT_S: Final = 300.0  # in a transaction, for a session of a run
QUESTION_LIMIT_S: Final = 20.0  # for any other question of the parent's
ANSWER_LIMIT_S: Final = 5.0  # for `SELECT 1`, after which a server counts as lost


def chosen_address(url: str | None, *, env_url: bool) -> Address | None:
    """The server that the options --url and --env-url mean, None for the embedded one.

    Raises UsageError for both at once, and for what is no URL.
    """
    if env_url:
        if url is not None:
            raise UsageError("--url and --env-url exclude each other")
        if not os.environ.get("DATABASE_URL"):
            raise UsageError("--env-url: DATABASE_URL is not set")
        return parse_url(os.environ["DATABASE_URL"], "DATABASE_URL")
    return None if url is None else parse_url(url, "--url")


def parse_url(url: str, name: str) -> Address:
    """The address in a URL; any driver prefix (postgresql+asyncpg://) is accepted.

    Raises UsageError, which names the option or variable and never repeats the URL: it may contain a password.
    """
    from sqlalchemy.engine import make_url

    from dbbench.server.parameters import tls_of

    example = "postgresql://user:password@host:5432/database"
    if not _PREFIX.match(url) or not_text(url):
        raise UsageError(f"{name} is not a PostgreSQL URL", f"it looks like {example}")
    try:
        parsed = make_url(_PREFIX.sub("postgresql://", url))
        twice = [key for key, value in parsed.query.items() if not isinstance(value, str)]
        query = {key: value for key, value in parsed.query.items() if isinstance(value, str)}
        user = parsed.username or query.pop("user", "") or "postgres"
        port = int(query.pop("port", 5432)) if parsed.port is None else parsed.port
        address = Address(
            host=unquote(parsed.host or query.pop("host", "localhost")),
            port=port,
            database=parsed.database or query.pop("dbname", "") or query.pop("database", "") or user,
            user=user,
            password=str(parsed.password) if parsed.password else query.pop("password", ""),
        )
    except Exception:
        raise UsageError(f"{name} is not a valid URL", f"it looks like {example}") from None
    # Anything else, and a part of the password would be taken for the host or the database, and be shown as such.
    most = 0 if parsed.username is None and parsed.password is None else 1
    if url.count("@") > most or "@" in address.host:
        raise UsageError(f"{name}: write an @ in a user or password as %40, and a / as %2F")
    if any(not_text(part) for part in (address.host, address.database, address.user, address.password)):
        raise UsageError(f"{name} is not a valid URL", f"it looks like {example}")
    if not 0 < address.port < _PORTS:
        raise UsageError(f"{name}: a port is a number from 1 to {_PORTS - 1}")
    if "," in address.host:
        raise UsageError(f"{name} names several hosts, and dbbench measures one server", "name the primary")
    if twice := [*twice, *(key for key in _IN_THE_URL if key in query)]:
        raise UsageError(f"{name}: {', '.join(twice)} is given twice", "give each parameter once")
    try:
        sslmode, tls = tls_of(query)
    except UsageError as error:
        raise UsageError(f"{name}: {error.message}", error.remedy) from None
    password = address.password or stored_password(address.host, address.port, address.database, address.user)
    return msgspec.structs.replace(address, password=password, sslmode=sslmode, tls=tls)


class Target:
    """A server that can be measured: preflight checks, schemas for the run, and the server's description of itself.

    close() has these schemas dropped and touches nothing else; on a server that is `thrown_away` they need not be.
    """

    def __init__(self, address: Address, run_id: str, *, thrown_away: bool = False) -> None:
        self.address = address
        self._run_id = run_id
        self._thrown_away = thrown_away
        self._janitor: Janitor | None = None
        self._connection = self._connected()

    @property
    def backend_pid(self) -> int:
        """The process that serves this connection, as the server numbers it."""
        return int(self._connection.info.backend_pid)

    def preflight(self, connections: int, *, allow_production: bool, allow_remote: bool = False) -> None:
        """Check that this server can and may be measured with so many connections (see preflight.py).

        Raises CannotStartError or RefusedError.
        """
        with self._answering(CannotStartError):
            self._preflight(connections, allow_production=allow_production, allow_remote=allow_remote)

    def _preflight(self, connections: int, *, allow_production: bool, allow_remote: bool) -> None:
        preflight.check_rights(self._connection, self._row, self.address)
        if not allow_remote:
            preflight.refuse_remote(self.address)
        if not allow_production:
            preflight.refuse_production(self._row, self.address)
        preflight.check_connections(self._row, self.address, connections)

    def session_settings(self, statement_limit_s: float) -> dict[str, str]:
        """Limits for the sessions of a run, in place of those of role and database; only such as the server knows."""
        milliseconds = f"{round(statement_limit_s * 1000)}"
        wanted = {
            "statement_timeout": milliseconds,
            "lock_timeout": milliseconds,
            "idle_in_transaction_session_timeout": f"{round(IDLE_LIMIT_S * 1000)}",
            "idle_session_timeout": "0",  # a session of the run waits while others have their turn
            "transaction_timeout": "0",
        }
        with self._answering(CannotStartError):
            rows = self._rows("SELECT name FROM pg_settings WHERE name = ANY(%s)", tuple(wanted))
        known = {name for (name,) in rows}
        return {name: value for name, value in wanted.items() if name in known}

    def create_schema(self, number: int) -> str:
        """Make a schema, tagged as dbbench's, and return its name; from the first on, a janitor will drop them."""
        if self._janitor is None and not self._thrown_away:
            self._janitor = Janitor(self.address, self._run_id)
        with self._answering(ServerLostError):
            return schemas.create(self._connection, self._run_id, number)

    def left_behind(self) -> int:
        """The number of schemas in the database that killed runs have left behind."""
        with self._answering(CannotStartError):
            return sum(not one.in_use for one in schemas.find(self._connection))

    def describe(self) -> dict[str, Any]:
        """The server's version, transport and the settings that matter."""
        with self._answering(ServerLostError):
            return self._described()

    def _described(self) -> dict[str, Any]:
        rows = self._rows("SELECT name, setting || coalesce(unit, '') FROM pg_settings WHERE name = ANY(%s)", SETTINGS)
        settings = dict(rows)
        (version,) = self._row("SELECT version()")
        transport = (
            "unix socket" if self.address.is_socket else f"tcp, {'loopback' if self.address.is_local else 'network'}"
        )
        (ssl,) = self._row("SELECT coalesce((SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()), false)")
        return {"version": version, "transport": transport, "tls": ssl, "settings": settings}

    def alive(self) -> bool:
        """Whether the server still answers, within ANSWER_LIMIT_S.

        Where this connection alone was ended, by an idle_session_timeout say, another takes its place.
        """
        if _answers(self._connection):
            return True
        self._connection.close()
        try:
            self._connection = self._connected()
        except CannotStartError:
            return False
        return True

    def _connected(self) -> Any:
        connection = schemas.connect(self.address, schemas.application(self._run_id))
        connection.answer_limit_s = QUESTION_LIMIT_S
        return connection

    @contextlib.contextmanager
    def _answering(self, kind: type[DbbenchError]) -> Iterator[None]:
        """Raise an error of this kind where the server is lost meanwhile, or does not answer in time."""
        import psycopg

        try:
            yield
        except psycopg.OperationalError as error:
            said = " ".join(str(error).split())
            raise kind(f"{self.address} stopped answering: {said}") from None

    def close(self, limit_s: float = FINISH_LIMIT_S) -> str:
        """Disconnect, and have our schemas dropped; gives a sentence about those that stay, if any do.

        After `limit_s` seconds they are still being dropped, and nobody waits for that.
        """
        self._connection.close()
        janitor, self._janitor = self._janitor, None
        kept = [] if janitor is None else janitor.finish(limit_s)
        return sentence(self.address, kept) if kept else ""

    def _rows(self, statement: str, *args: Any) -> Sequence[Any]:
        arguments = [list(arg) if isinstance(arg, tuple) else arg for arg in args]
        return self._connection.execute(statement, arguments).fetchall()  # type: ignore[no-any-return]

    def _row(self, statement: str, *args: Any) -> Any:
        return self._rows(statement, *args)[0]


@contextlib.contextmanager
def connected(
    address: Address, run_id: str, say: Callable[[str], None] = lambda _: None, *, thrown_away: bool = False
) -> Iterator[Target]:
    """A target for the length of a `with` block.

    Raises LeftBehindError where a schema had to stay; if something else ends the block, `say` is told instead.
    """
    target = Target(address, run_id, thrown_away=thrown_away)
    try:
        yield target
    except BaseException as error:
        # Whoever presses Ctrl-C does not want to wait.
        if left := target.close(HASTE_S if isinstance(error, KeyboardInterrupt) else FINISH_LIMIT_S):
            say(left)
        raise
    if left := target.close():
        raise LeftBehindError(left)


def _answers(connection: Any) -> bool:
    """Whether the server answers on this connection within ANSWER_LIMIT_S; psycopg itself would wait for ever."""
    import psycopg

    deadline = time.monotonic() + ANSWER_LIMIT_S
    libpq = connection.pgconn
    try:
        libpq.send_query(b"SELECT 1")
        while True:
            while libpq.is_busy():
                if not select.select([libpq.socket], [], [], max(0.0, deadline - time.monotonic()))[0]:
                    return False
                libpq.consume_input()
            result = libpq.get_result()
            if result is None:
                return True
            if result.status == psycopg.pq.ExecStatus.FATAL_ERROR:
                return False
    except psycopg.Error:
        return False
