"""A PgBouncer in front of a server: started for one measurement, open to nobody else, gone when that ends.

PgBouncer refuses the start-up parameters that set a search path, so every schema gets an alias: a database of
PgBouncer's whose server connections begin with SET search_path. Each alias has server connections of its own, so what
one driver leaves on them (prepared statements) does not hit another.

It listens on a unix socket in a private directory when the server does too, else on a loopback port, with a random
password: whoever could connect would be on the server as its user. Passwords are in files that only its account can
read, never in arguments. A supervisor process owns it, see pooler_supervisor.py.
"""

import contextlib
import re
import secrets
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

import msgspec

from dbbench.address import Address
from dbbench.errors import CannotStartError
from dbbench.server.supervised import Supervised, candidate_bases, supervised
from dbbench.server.supervisors import pgbouncer
from dbbench.server.supervisors.system import last_words

Mode = Literal["transaction", "session"]
"""When a server connection goes back to the others: at the end of each transaction, or when the client disconnects."""

USER: Final = "dbbench"
"""Whom clients connect as; on the server everybody is the upstream's user."""
SYSTEM_PATHS: Final = ("/usr/sbin", "/usr/local/sbin")
"""Where Debian and others put it: not on the PATH of users."""
PROGRAM_LIMIT_S: Final = 20.0  # for `pgbouncer --version`
CONNECT_LIMIT_S: Final = 10
PREPARED_STATEMENTS_SINCE: Final = (1, 21)

SETTINGS: Final[Mapping[str, str]] = {
    "ignore_startup_parameters": "extra_float_digits",  # as everybody has it, for JDBC's sake
    "max_client_conn": "1000",
    "query_wait_timeout": "30",  # as long as SQLAlchemy's pool waits; the default is 120 s
    "server_login_retry": "1",  # the default, 15 s, makes a wrong password a long wait
    "server_lifetime": "86400",  # the default, an hour, would reconnect in the middle of one driver's slice
    "log_stats": "0",
    # DISCARD ALL, the default, in its parts but without RESET ALL: that would undo the alias's search path.
    "server_reset_query": "CLOSE ALL; SET SESSION AUTHORIZATION DEFAULT; DEALLOCATE ALL; UNLISTEN *;"
    " SELECT pg_advisory_unlock_all(); DISCARD PLANS; DISCARD TEMP; DISCARD SEQUENCES",
}
"""Beyond PgBouncer's defaults."""
QUIET: Final = ("log_connections", "log_disconnections")
"""Turned off when all is well: they tell why a connection fails, but would cost something while it is measured."""

_ALIAS: Final = re.compile(r"(?!pgbouncer$)\w{1,60}", re.ASCII)


@dataclass(frozen=True)
class PoolerSettings:
    """How the pooler pools."""

    mode: Mode
    max_prepared_statements: int | None = None
    """How many it follows per server connection; None: the version's default, 0: none, as before 1.21."""
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
        """Where clients connect to get at the alias's schema."""
        return msgspec.structs.replace(self._client, database=alias)

    def alive(self) -> bool:
        """Whether it is running, as far as its supervisor has said; never waits."""
        return self._supervised.alive()

    def reconnect(self, alias: str) -> None:
        """Have it use new server connections for all that comes; those in use go when they are released."""
        with self.console() as console:
            console.execute(f"RECONNECT {alias}")

    def console(self) -> contextlib.closing[Any]:
        """Connect to PgBouncer's own database, which takes commands, for as long as a `with` block lasts."""
        return _connected(self.address("pgbouncer"))


@contextmanager
def pooler(
    upstream: Address,
    settings: PoolerSettings,
    databases: Mapping[str, str],
    cpus: Sequence[int] | None = None,
) -> Iterator[RunningPooler]:
    """Run a PgBouncer in front of `upstream` for the length of a `with` block.

    `databases`: alias -> schema, the search path there. With `cpus`, it stays on these CPUs (where the platform can pin
    processes). It has connected to the server for each alias before the block begins.
    Raise CannotStartError when there is none, when it cannot do what is wanted, or cannot connect to the server.
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
        databases=[_database(alias, upstream, schema) for alias, schema in databases.items()],
        settings=_settings(settings, upstream, found),
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
    """Find the program; CannotStartError when there is none."""
    for path in (None, *SYSTEM_PATHS):
        if found := shutil.which("pgbouncer", path=path):
            return Path(found)
    raise CannotStartError(
        "PgBouncer is not installed: apt-get install pgbouncer, brew install pgbouncer, or have it in a directory "
        "of PATH"
    )


def version(program: Path) -> tuple[int, int]:
    """Major and minor version, as the program says; CannotStartError when it says nothing of the kind."""
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
    return parse_version(said)


def parse_version(said: str) -> tuple[int, int]:
    """Read what `pgbouncer --version` prints."""
    match = re.search(r"pgbouncer\D*(\d+)\.(\d+)", said.partition("\n")[0], re.IGNORECASE)
    if match is None:
        raise _cannot_start(f"its version cannot be read from {said.partition(chr(10))[0]!r}")
    return int(match[1]), int(match[2])


def supports_prepared_statements(version: tuple[int, int]) -> bool:
    """Whether it can follow a protocol-level prepared statement from one server connection to another."""
    return version >= PREPARED_STATEMENTS_SINCE


def _settings(settings: PoolerSettings, upstream: Address, found: tuple[int, int]) -> dict[str, str]:
    made = {**SETTINGS, "pool_mode": settings.mode, "default_pool_size": str(settings.pool_size), "admin_users": USER}
    if settings.max_prepared_statements is not None and supports_prepared_statements(found):
        made["max_prepared_statements"] = str(settings.max_prepared_statements)
    if not upstream.is_socket:
        if upstream.sslmode in {"verify-ca", "verify-full"}:
            raise _cannot_start(f"it would need the certificates of sslmode={upstream.sslmode}; use sslmode=require")
        made["server_tls_sslmode"] = upstream.sslmode or "prefer"  # libpq's default; PgBouncer's own has changed
    return made


def _database(alias: str, upstream: Address, schema: str) -> str:
    """One line of [databases]."""
    if not _ALIAS.fullmatch(alias):
        raise ValueError(f"no alias can be named {alias!r}")
    identifier = schema.replace('"', '""')
    parts = {
        "host": upstream.host,
        "port": str(upstream.port),
        "dbname": upstream.database,
        "user": upstream.user,
        "password": upstream.password,
        "connect_query": f'SET search_path TO "{identifier}"',
    }
    quoted = {name: value.replace("'", "''") for name, value in parts.items() if value}
    if any(character in value for value in quoted.values() for character in "\r\n\0"):
        raise _cannot_start("its configuration cannot hold a line break, and the server's address has one")
    return " ".join([alias, "=", *(f"{name}='{value}'" for name, value in quoted.items())])


def _try(running: RunningPooler, alias: str) -> None:
    """Connect once: a wrong password or a server out of reach is to be known now."""
    import psycopg

    try:
        with _connected(running.address(alias)) as connection:
            connection.execute("SELECT 1")
    except psycopg.Error as error:
        said = " ".join(str(error).split())
        log = last_words((running.directory / "log").read_bytes())
        raise _cannot_start(f"the server does not answer through it: {said}; its log: {log}") from None


def _connected(address: Address) -> contextlib.closing[Any]:
    """Connect for as long as a `with` block lasts; in the simple protocol, which is all that the console knows."""
    import psycopg

    return contextlib.closing(
        psycopg.connect(
            host=address.host, port=address.port, dbname=address.database, user=address.user,
            password=address.password, sslmode=address.sslmode or "prefer", connect_timeout=CONNECT_LIMIT_S,
            autocommit=True, prepare_threshold=None,
        )
    )  # fmt: skip


def _dotted(version: tuple[int, int]) -> str:
    return ".".join(map(str, version))


def _cannot_start(reason: str) -> CannotStartError:
    return CannotStartError(f"cannot start PgBouncer: {reason}")
