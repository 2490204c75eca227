"""What the drivers built on libpq share."""

from collections.abc import Mapping
from typing import Any

from dbbench.address import Address


def connect_arguments(address: Address, settings: Mapping[str, str]) -> dict[str, Any]:
    """Keyword arguments of psycopg.connect() and psycopg2.connect()."""
    arguments: dict[str, Any] = {
        "host": address.host,
        "port": address.port,
        "dbname": address.database,
        "user": address.user,
        "application_name": settings["application_name"],
        "connect_timeout": 10,
        # asyncpg always uses UTF8. Without this, psycopg returns bytes for text from a database in SQL_ASCII.
        "client_encoding": "UTF8",
        "options": options(settings),
    }
    if address.password:
        arguments["password"] = address.password
    if address.sslmode:
        arguments["sslmode"] = address.sslmode
    return {**arguments, **address.tls}


def options(settings: Mapping[str, str]) -> str:
    """The settings of a session as command-line options of the server, but for application_name."""
    return " ".join(f"-c {name}={_escaped(value)}" for name, value in settings.items() if name != "application_name")


def _escaped(value: str) -> str:
    r"""The value as `options` takes it, where a blank would end it: read\ committed."""
    return value.replace("\\", r"\\").replace(" ", r"\ ")
