"""The user's own server: its URL, the checks before any load, and the schemas that a run works in."""

import contextlib
import os
import re
from collections.abc import Iterator, Sequence
from typing import Any, Final
from urllib.parse import unquote

import msgspec

from dbbench.address import Address
from dbbench.errors import CannotStartError, RefusedError, UsageError
from dbbench.server.pooler_detection import behind_pooler

SETTINGS: Final = (
    "server_version", "server_version_num", "fsync", "synchronous_commit", "full_page_writes", "jit", "autovacuum",
    "shared_buffers", "max_connections", "wal_level", "max_wal_size", "checkpoint_timeout", "TimeZone",
    "default_transaction_isolation", "ssl", "server_encoding", "lc_collate",
)  # fmt: skip
_PREFIX: Final = re.compile(r"^postgres(ql)?(\+\w+)?://")
_IN_THE_URL: Final = ("host", "port", "user", "password", "dbname", "database")
_PRODUCTION: Final = re.compile(r"(^|[^a-z])(prod|production|live)([^a-z]|$)", re.IGNORECASE)
_MAX_OTHERS: Final = 5  # client connections to the database that are not dbbench's
_SHORTEST_SECRET: Final = 4  # characters of a password
_OLDEST_VERSION: Final = 120000  # server_version_num


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
    if not _PREFIX.match(url):
        raise UsageError(f"{name} is not a PostgreSQL URL", f"it looks like {example}")
    try:
        parsed = make_url(_PREFIX.sub("postgresql://", url))
        twice = [key for key, value in parsed.query.items() if not isinstance(value, str)]
        query = {key: value for key, value in parsed.query.items() if isinstance(value, str)}
        user = parsed.username or query.pop("user", "") or "postgres"
        address = Address(
            host=unquote(parsed.host or query.pop("host", "localhost")),
            port=parsed.port or int(query.pop("port", 5432)),
            database=parsed.database or query.pop("dbname", "") or query.pop("database", "") or user,
            user=user,
            password=str(parsed.password) if parsed.password else query.pop("password", ""),
        )
    except Exception:
        raise UsageError(f"{name} is not a valid URL", f"it looks like {example}") from None
    if "@" in address.host:
        raise UsageError(f"{name}: write an @ in a password as %40")
    if any("\0" in part for part in (address.host, address.database, address.user, address.password)):
        raise UsageError(f"{name} is not a valid URL", f"it looks like {example}")
    if "," in address.host:
        raise UsageError(f"{name} names several hosts, and dbbench measures one server", "name the primary")
    if twice := [*twice, *(key for key in _IN_THE_URL if key in query)]:
        raise UsageError(f"{name}: {', '.join(twice)} is given twice", "give each parameter once")
    try:
        sslmode, tls = tls_of(query)
    except UsageError as error:
        raise UsageError(f"{name}: {error.message}", error.remedy) from None
    return msgspec.structs.replace(address, sslmode=sslmode, tls=tls)


def redacted(text: str, secret: str) -> str:
    """`text` with every occurrence of the secret, plain or quoted for a URL, replaced by ***."""
    from urllib.parse import quote, quote_plus

    if len(secret) < _SHORTEST_SECRET:  # redacting every occurrence would show which letters it has
        return text
    for form in {secret, quote(secret), quote(secret, safe=""), quote_plus(secret)} - {""}:
        text = text.replace(form, "***")
    return text


class Target:
    """A server that can be measured: preflight checks, schemas for the run, and the server's description of itself.

    close() drops these schemas and touches nothing else.
    """

    def __init__(self, address: Address, run_id: str) -> None:
        self.address = address
        self._run_id = run_id
        self._made = False  # a schema
        self._connection = _connect(address, application(run_id))

    def preflight(self, connections: int, *, allow_production: bool) -> None:
        """Check version, rights and limits, and that this does not look like a server in production use.

        `connections`: the number that the run will open. Raises CannotStartError or RefusedError.
        """
        if behind_pooler(self._connection):
            raise CannotStartError(
                f"a connection pooler stands in front of {self.address}",
                "measure the server itself, or let dbbench start a pooler with --pooler transaction",
            )
        version, recovery, can_create, database = self._row(
            "SELECT current_setting('server_version_num')::int, pg_is_in_recovery(),"
            " has_database_privilege(current_database(), 'CREATE'), current_database()"
        )
        if version < _OLDEST_VERSION:
            raise CannotStartError(f"{self.address}: PostgreSQL {version // 10000} is older than 12")
        if recovery:
            raise CannotStartError(
                f"{self.address} is a read-only standby", "dbbench needs a schema of its own: measure the primary"
            )
        if not can_create:
            raise CannotStartError(
                f"{self.address} may not create a schema in database {database}",
                f"GRANT CREATE ON DATABASE {database} TO {self.address.user}",
            )
        self._refuse_production(allow_production=allow_production)
        self._check_limit(connections)

    def _refuse_production(self, *, allow_production: bool) -> None:
        if allow_production:
            return
        way_out = "measure a copy, or say --allow-production"
        for name in (self.address.database, self.address.host):
            if _PRODUCTION.search(name) and not self.address.is_socket:
                raise RefusedError(f"{name} looks like a production server", way_out)
        (others,) = self._row(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
            " AND backend_type = 'client backend' AND application_name NOT LIKE 'dbbench%%' AND pid <> pg_backend_pid()"
        )
        if others > _MAX_OTHERS:
            raise RefusedError(f"{self.address} is in use by {others} other sessions", way_out)

    def _check_limit(self, connections: int) -> None:
        limit, reserved, used = self._row(
            "SELECT current_setting('max_connections')::int, current_setting('superuser_reserved_connections')::int"
            " + coalesce(current_setting('reserved_connections', true)::int, 0),"
            " (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend')"
        )
        free = limit - reserved - used
        if connections > free:
            raise CannotStartError(
                f"this run opens up to {connections} connections, but {self.address} has {free} free "
                f"(max_connections {limit}, {reserved} reserved, {used} in use)",
                "use a smaller --pool-size and --max-overflow, fewer --sessions, or fewer drivers",
            )

    def create_schema(self, number: int) -> str:
        """Make a schema, tagged as dbbench's, and return its name."""
        from psycopg import sql

        name = f"{application(self._run_id)}_{number}"
        self._made = True
        with self._connection.transaction():  # never one without its tag
            self._execute(sql.SQL("CREATE SCHEMA {}").format(sql.Identifier(name)))
            self._execute(
                sql.SQL("COMMENT ON SCHEMA {} IS {}").format(sql.Identifier(name), sql.Literal(_tag(self._run_id)))
            )
        return name

    def describe(self) -> dict[str, Any]:
        """The server's version, transport and the settings that matter."""
        rows = self._rows("SELECT name, setting || coalesce(unit, '') FROM pg_settings WHERE name = ANY(%s)", SETTINGS)
        settings = dict(rows)
        (version,) = self._row("SELECT version()")
        transport = (
            "unix socket" if self.address.is_socket else f"tcp, {'loopback' if self.address.is_local else 'network'}"
        )
        (ssl,) = self._row("SELECT coalesce((SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()), false)")
        return {"version": version, "transport": transport, "tls": ssl, "settings": settings}

    def alive(self) -> bool:
        """Whether the server still answers."""
        import psycopg

        try:
            self._row("SELECT 1")
        except psycopg.Error:
            return False
        return True

    def close(self) -> None:
        """Drop our schemas and disconnect."""
        self._connection.close()
        if self._made:
            drop_schemas(self.address, self._run_id)

    def _rows(self, statement: str, *args: Any) -> Sequence[Any]:
        arguments = [list(arg) if isinstance(arg, tuple) else arg for arg in args]
        return self._connection.execute(statement, arguments).fetchall()  # type: ignore[no-any-return]

    def _row(self, statement: str, *args: Any) -> Any:
        return self._rows(statement, *args)[0]

    def _execute(self, statement: Any) -> None:
        self._connection.execute(statement)


@contextlib.contextmanager
def connected(address: Address, run_id: str) -> Iterator[Target]:
    """A target for the length of a `with` block."""
    target = Target(address, run_id)
    try:
        yield target
    finally:
        target.close()


def application(run_id: str) -> str:
    """The application_name of all sessions of a run, which is also the prefix of its schemas' names."""
    return f"dbbench_{run_id}"


def _tag(run_id: str) -> str:
    return f"made by dbbench, run {run_id}; safe to drop when that run is over"


def drop_schemas(address: Address, run_id: str) -> None:
    """Drop the schemas of a run, and only those with its tag, after ending its sessions, which may have locks.

    A server that is gone has nothing to drop: errors are ignored.
    """
    import psycopg
    from psycopg import sql

    with contextlib.suppress(psycopg.Error, CannotStartError), _connect(address, application(run_id)) as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = %s"
            " AND usename = current_user AND pid <> pg_backend_pid()",
            [application(run_id)],
        )
        schemas = connection.execute(
            "SELECT nspname FROM pg_namespace WHERE starts_with(nspname, %s)"
            " AND obj_description(oid, 'pg_namespace') = %s",
            [f"{application(run_id)}_", _tag(run_id)],
        ).fetchall()
        for (name,) in schemas:
            connection.execute(sql.SQL("DROP SCHEMA {} CASCADE").format(sql.Identifier(name)))


def _connect(address: Address, application: str) -> Any:
    """The parent's own connection; raises CannotStartError, which names user, server and reason."""
    import psycopg

    from dbbench.drivers.libpq import connect_arguments

    try:
        return psycopg.connect(
            **connect_arguments(address, {"application_name": application}), autocommit=True, prepare_threshold=None
        )
    except (psycopg.Error, UnicodeError) as error:
        # libpq's messages have host, port, user and database in them, and no password.
        reason = "; ".join(line.strip() for line in str(error).splitlines() if line.strip()) or type(error).__name__
        raise CannotStartError(f"cannot connect to {address}: {reason}") from None
