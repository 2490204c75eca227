"""What must be so before any load is sent to a user's own server: rights, limits, and nobody who depends on it."""

import contextlib
import re
import socket
from collections.abc import Callable, Sequence
from typing import Any, Final

from dbbench.address import Address
from dbbench.errors import CannotStartError, RefusedError
from dbbench.server.pooler_detection import behind_pooler

Ask = Callable[..., Sequence[Any]]
"""Asks the server a question: (statement, arguments) -> its first row."""

_PRODUCTION: Final = re.compile(r"(^|[^a-z])(prod|prd|production|live|master|primary)([^a-z]|$)", re.IGNORECASE)
_MAX_OTHERS: Final = 5  # client connections to the database that are not dbbench's
_OLDEST_VERSION: Final = 120000  # server_version_num


def check_rights(connection: Any, ask: Ask, address: Address) -> None:
    """Check version and rights, and that this is a server itself; raises CannotStartError or RefusedError."""
    if behind_pooler(connection):
        raise CannotStartError(
            f"a connection pooler stands in front of {address}",
            "--url takes the server itself; dbbench run measures through a pooler with --via (yours) or --pooler",
        )
    version, standby, may_create, database, read_only = ask(
        "SELECT current_setting('server_version_num')::int, pg_is_in_recovery(),"
        " has_database_privilege(current_database(), 'CREATE'), current_database(),"
        " current_setting('default_transaction_read_only')::bool"
    )
    if version < _OLDEST_VERSION:
        raise CannotStartError(f"{address}: PostgreSQL {version // 10000} is older than 12")
    if standby:
        raise RefusedError(
            f"{address} is a read-only standby", "dbbench needs a schema of its own: measure the primary"
        )
    if not may_create:
        raise CannotStartError(
            f"{address} may not create a schema in database {database}",
            f"GRANT CREATE ON DATABASE {database} TO {address.user}",
        )
    if read_only:
        raise CannotStartError(
            f"{address} may only read there: default_transaction_read_only is on",
            f"ALTER ROLE {address.user} IN DATABASE {database} SET default_transaction_read_only = off",
        )


def refuse_production(ask: Ask, address: Address) -> None:
    """Refuse a database that looks as if somebody depended on it; raises RefusedError."""
    way_out = "measure a copy, or say --allow-production"
    for name in (address.database, "" if address.is_socket else address.host):
        if _PRODUCTION.search(name):
            raise RefusedError(f"{name} looks like a production server", way_out)
    (others,) = ask(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
        " AND backend_type = 'client backend' AND application_name NOT LIKE 'dbbench%%' AND pid <> pg_backend_pid()"
    )
    if others > _MAX_OTHERS:
        raise RefusedError(f"{address} is in use by {others} other sessions", way_out)


def refuse_remote(address: Address) -> None:
    """Refuse a server that is not on this machine; raises RefusedError."""
    if not on_this_machine(address):
        raise RefusedError(
            f"{address.host} is not this machine, and a measurement is a load for whoever else uses that server",
            "say --allow-remote if it may be measured",
        )


def on_this_machine(address: Address) -> bool:
    """Whether every address that the host's name stands for is one of this machine's; nothing is sent there."""
    if address.is_local:
        return True
    try:
        found = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_DGRAM)
    except (OSError, UnicodeError):
        return False
    return all(_is_ours(family, place[0]) for family, _, _, _, place in found)


def _is_ours(family: int, host: str | int) -> bool:
    """Whether a socket can have this address as its own."""
    with contextlib.suppress(OSError), socket.socket(family, socket.SOCK_DGRAM) as probe:
        probe.bind((host, 0))
        return True
    return False


def check_connections(ask: Ask, address: Address, connections: int) -> None:
    """Check that so many connections can be opened; raises CannotStartError, which names the numbers and the limit."""
    limit, reserved, used, is_superuser = ask(
        "SELECT current_setting('max_connections')::int, current_setting('superuser_reserved_connections')::int"
        " + coalesce(current_setting('reserved_connections', true)::int, 0),"
        " (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'),"
        " (SELECT rolsuper FROM pg_roles WHERE rolname = current_user)"
    )
    _check(address, connections, "max_connections", limit, reserved, used)
    if is_superuser:  # exempt from the other limits
        return
    of_role, by_role, of_database, in_database = ask(
        "SELECT (SELECT rolconnlimit FROM pg_roles WHERE rolname = current_user),"
        " (SELECT count(*) FROM pg_stat_activity WHERE usename = current_user),"
        " (SELECT datconnlimit FROM pg_database WHERE datname = current_database()),"
        " (SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
        "   AND backend_type = 'client backend')"
    )
    if of_role >= 0:
        _check(address, connections, f"CONNECTION LIMIT of role {address.user}", of_role, 0, by_role)
    if of_database >= 0:
        _check(address, connections, f"CONNECTION LIMIT of database {address.database}", of_database, 0, in_database)


def _check(address: Address, connections: int, name: str, limit: int, reserved: int, used: int) -> None:
    free = limit - reserved - used
    if connections > free:
        kept = f"{reserved} reserved, " if reserved else ""
        raise CannotStartError(
            f"this run opens up to {connections} connections, but {address} has {max(0, free)} free "
            f"({name} {limit}, {kept}{used} in use)",
            "use a smaller --pool-size and --max-overflow (dbbench pool: --most), fewer --sessions, or fewer drivers",
        )
