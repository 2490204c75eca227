"""A PgBouncer in front of a server: started for one measurement, private to it, gone when that ends.

PgBouncer refuses the start-up parameters that set a search path, so every schema gets an alias: a database name of
PgBouncer's whose server connections begin with SET search_path. Each alias has its own server connections, so what one
driver leaves behind on them (prepared statements) does not affect another.

It listens on a unix socket in a private directory when the server does too, else on a loopback port, with a random
password: anyone who could connect would be logged in to the server as the upstream's user. Passwords are in files that
only PgBouncer's account can read, never in arguments. A supervisor process owns it, see supervisors/pgbouncer.py.
"""

import contextlib
import re
import secrets
import shutil
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

import msgspec

from dbbench.address import Address
from dbbench.errors import CannotStartError, ServerLostError
from dbbench.server.supervised import Supervised, candidate_bases, supervised
from dbbench.server.supervisors import pgbouncer
from dbbench.server.supervisors.system import last_words

Mode = Literal["transaction", "session"]
"""When a server connection returns to the pool: at the end of each transaction, or when the client disconnects."""

USER: Final = "dbbench"
"""The user name that clients connect with; on the server, all of them are the upstream's user."""
SYSTEM_PATHS: Final = ("/usr/sbin", "/usr/local/sbin")
"""Where Debian and others install it, outside the PATH of ordinary users."""
PROGRAM_LIMIT_S: Final = 20.0  # for `pgbouncer --version`
CONNECT_LIMIT_S: Final = 10
PREPARED_STATEMENTS_SINCE: Final = (1, 21)
FOLLOWERS: Final = f"PgBouncer {'.'.join(map(str, PREPARED_STATEMENTS_SINCE))} and newer"  # of prepared statements

SETTINGS: Final[Mapping[str, str]] = {
    "ignore_startup_parameters": "extra_float_digits",  # the common setting, which JDBC needs
    "max_client_conn": "1000",
    "query_wait_timeout": "30",  # as long as SQLAlchemy's pool waits; the default is 120 s
    "server_login_retry": "1",  # with the default, 15 s, a wrong password takes long to show
    "server_lifetime": "86400",  # the default, an hour, would reconnect in the middle of one driver's slice
    "log_stats": "0",
    # The parts of DISCARD ALL, the default, without RESET ALL, which would undo the alias's search path.
    "server_reset_query": "CLOSE ALL; SET SESSION AUTHORIZATION DEFAULT; DEALLOCATE ALL; UNLISTEN *;"
    " SELECT pg_advisory_unlock_all(); DISCARD PLANS; DISCARD TEMP; DISCARD SEQUENCES",
}
"""Settings that differ from PgBouncer's defaults."""
QUIET: Final = ("log_connections", "log_disconnections")
"""Turned off once everything is connected: they show why a connection fails, but cost time during the measurement."""

_END_S: Final = 2.0  # within which its supervisor notices its end; what was connected notices before that
_LOOK_S: Final = 0.02
_ALIAS: Final = re.compile(r"(?!pgbouncer$)\w{1,60}", re.ASCII)


@dataclass(frozen=True)
class PoolerSettings:
    """The pooler's mode and limits."""

    mode: Mode
    max_prepared_statements: int | None = None
    """Prepared statements tracked per server connection; None: the version's default, 0: none, as before 1.21."""
    pool_size: int = 20
    """Server connections per alias, at most."""


@dataclass(frozen=True)
class RunningPooler:
    """A running PgBouncer."""

    version: tuple[int, int]
    directory: Path
    """The private directory: socket, configuration and log."""
    _client: Address = field(repr=False)
    _supervised: Supervised = field(repr=False, compare=False)

    def address(self, alias: str) -> Address:
        """Where clients connect to reach the alias's schema."""
        return msgspec.structs.replace(self._client, database=alias)

    def alive(self) -> bool:
        """Whether it is running, according to its supervisor; never waits."""
        return self._supervised.alive()

    def reconnect(self, alias: str) -> None:
        """Have it use new server connections from now on; those in use are closed when they are released.

        Raises ServerLostError where it is gone.
        """
        import psycopg

        try:
            with self.console() as console:
                console.execute(f"RECONNECT {alias}")
        except psycopg.Error as error:
            self.check(_END_S)
            raise ServerLostError(f"PgBouncer does not answer: {' '.join(str(error).split())}") from None

    def check(self, patience_s: float = 0.0) -> None:
        """Raise ServerLostError where it has ended, or is found to have ended within so many seconds."""
        until = time.monotonic() + patience_s
        while self.alive():
            if time.monotonic() >= until:
                return
            time.sleep(_LOOK_S)
        raise ServerLostError("PgBouncer went away")

    def console(self) -> contextlib.closing[Any]:
        """A connection to PgBouncer's admin console, which takes commands, for the length of a `with` block."""
        return _connected(self.address("pgbouncer"))


@contextmanager
def pooler(
    upstream: Address,
    settings: PoolerSettings,
    databases: Mapping[str, str],
    cpus: Sequence[int] | None = None,
    session: Mapping[str, str] | None = None,
) -> Iterator[RunningPooler]:
    """Run a PgBouncer in front of `upstream` for the length of a `with` block.

    `databases`: alias -> schema, which is its search path; `session`: other settings of its server sessions. With
    `cpus`, it stays on these CPUs (where the platform can pin processes). It has connected to the server for each alias
    before the block begins.
    Raises CannotStartError when PgBouncer is not installed, lacks a requested feature, or cannot reach the server.
    """
    program = find()
    found = version(program)
    if settings.max_prepared_statements and not supports_prepared_statements(found):
        raise CannotStartError(
            f"{program} is version {_dotted(found)}, but max_prepared_statements needs PgBouncer "
            f"{_dotted(PREPARED_STATEMENTS_SINCE)} or newer",
            "install one, or leave max_prepared_statements out",
        )
    password = "" if upstream.is_socket else secrets.token_hex(16)
    order = pgbouncer.Order(
        program=str(program),
        bases=candidate_bases(),
        cpus=None if cpus is None else list(cpus),
        databases=[
            _database(alias, upstream, {"search_path": _quoted(schema), **(session or {})})
            for alias, schema in databases.items()
        ],
        settings=_settings(settings, upstream, found),
        socket=upstream.host if upstream.is_socket else "",
        users=f'"{USER}" "{password}"\n' if password else "",
    )
    with supervised(pgbouncer.__file__, failure=_cannot_start) as running:
        running.tell(order._asdict())
        directory = running.expect_directory()
        port = running.expect("ready")["port"]
        host = "127.0.0.1" if password else str(directory)
        client = Address(host, port, "", USER, password, "disable" if password else "")
        made = RunningPooler(found, directory, client, running)
        for alias in databases:
            _try(made, alias)
        with made.console() as console:
            for name in QUIET:
                console.execute(f"SET {name} = 0")
        yield made


def find() -> Path:
    """The path of the program; raises CannotStartError when it is not installed."""
    for path in (None, *SYSTEM_PATHS):
        if found := shutil.which("pgbouncer", path=path):
            return Path(found)
    raise CannotStartError(
        "PgBouncer is not installed: apt-get install pgbouncer, brew install pgbouncer, or have it in a directory "
        "of PATH"
    )


def version(program: Path) -> tuple[int, int]:
    """Major and minor version, as the program prints them; raises CannotStartError when they cannot be read."""
    return parse_version(describe(program))


def describe(program: Path) -> str:
    """What the program calls itself: PgBouncer 1.24.1; raises CannotStartError where it does not run."""
    try:
        said = subprocess.run(
            [program, "--version"],
            capture_output=True,
            text=True,
            errors="replace",
            timeout=PROGRAM_LIMIT_S,
            check=True,
        ).stdout
    except (OSError, subprocess.SubprocessError) as error:
        raise _cannot_start(f"{program} does not run: {error}") from error
    return said.partition("\n")[0].strip()


def parse_version(said: str) -> tuple[int, int]:
    """Major and minor version in the output of `pgbouncer --version`; raises CannotStartError without them."""
    match = re.search(r"pgbouncer\D*(\d+)\.(\d+)", said.partition("\n")[0], re.IGNORECASE)
    if match is None:
        raise _cannot_start(f"its version cannot be read from {said.partition(chr(10))[0]!r}")
    return int(match[1]), int(match[2])


def supports_prepared_statements(version: tuple[int, int]) -> bool:
    """Whether protocol-level prepared statements keep working when the server connection changes."""
    return version >= PREPARED_STATEMENTS_SINCE


def _settings(settings: PoolerSettings, upstream: Address, found: tuple[int, int]) -> dict[str, str]:
    made = {**SETTINGS, "pool_mode": settings.mode, "default_pool_size": str(settings.pool_size), "admin_users": USER}
    if settings.max_prepared_statements is not None and supports_prepared_statements(found):
        made["max_prepared_statements"] = str(settings.max_prepared_statements)
    if not upstream.is_socket:
        if upstream.sslmode in {"verify-ca", "verify-full"}:
            raise _cannot_start(f"it would need the certificates of sslmode={upstream.sslmode}; use sslmode=require")
        if upstream.tls:
            raise _cannot_start(f"it would need the files of {', '.join(upstream.tls)}; leave them out of the URL")
        made["server_tls_sslmode"] = upstream.sslmode or "prefer"  # libpq's default; PgBouncer's differs by version
    return made


def _quoted(identifier: str) -> str:
    return '"{}"'.format(identifier.replace('"', '""'))


def _database(alias: str, upstream: Address, session: Mapping[str, str]) -> str:
    """One line of [databases]."""
    if not _ALIAS.fullmatch(alias):
        raise ValueError(f"no alias can be named {alias!r}")
    parts = {
        "host": upstream.host,
        "port": str(upstream.port),
        "dbname": upstream.database,
        "user": upstream.user,
        "password": upstream.password,
        "connect_query": "; ".join(f"SET {name} TO {value}" for name, value in session.items()),
    }
    quoted = {name: value.replace("'", "''") for name, value in parts.items() if value}
    if any(character in value for value in quoted.values() for character in "\r\n\0"):
        raise _cannot_start("its configuration cannot hold a line break, and the server's address has one")
    return " ".join([alias, "=", *(f"{name}='{value}'" for name, value in quoted.items())])


def _try(running: RunningPooler, alias: str) -> None:
    """Connect once, so that a wrong password or an unreachable server shows now."""
    import psycopg

    try:
        with _connected(running.address(alias)) as connection:
            connection.execute("SELECT 1")
    except psycopg.Error as error:
        said = " ".join(str(error).split())
        log = last_words((running.directory / "log").read_bytes())
        raise _cannot_start(f"the server does not answer through it: {said}; its log: {log}") from None


def _connected(address: Address) -> contextlib.closing[Any]:
    """A connection for the length of a `with` block, in the simple protocol, the only one that the console supports."""
    from dbbench.server.impatient import Connection

    return contextlib.closing(
        Connection.connect(
            host=address.host, port=address.port, dbname=address.database, user=address.user,
            password=address.password, sslmode=address.sslmode or "prefer", connect_timeout=CONNECT_LIMIT_S,
            autocommit=True, prepare_threshold=None,
        )
    )  # fmt: skip


def _dotted(version: tuple[int, int]) -> str:
    return ".".join(map(str, version))


def _cannot_start(reason: str) -> CannotStartError:
    return CannotStartError(f"cannot start PgBouncer: {reason}")
