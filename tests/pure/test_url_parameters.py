"""The parameters of URLs: every one that a driver or SQLAlchemy knows is taken, or answered."""

import inspect
import re
from collections.abc import Mapping

import asyncpg
import psycopg
import pytest
from asyncpg import connect_utils
from sqlalchemy import create_engine
from sqlalchemy.dialects.postgresql.asyncpg import PGDialect_asyncpg

from dbbench.errors import UsageError
from dbbench.server.parameters import TLS, tls_of
from dbbench.server.target import parse_url

BY_THE_URL = {"host", "port", "user", "password", "dbname", "database"}
NOT_IN_URLS = {"self", "kwargs", "dsn", "creator", "connect_args", "loop"}


def known() -> set[str]:
    """What the installed drivers and SQLAlchemy know."""
    of_libpq = {option.keyword.decode() for option in psycopg.pq.Conninfo.get_defaults()}
    in_dsns = set(re.findall(r"'(\w+)' in query", inspect.getsource(connect_utils)))
    of_asyncpg = set(inspect.signature(asyncpg.connect).parameters)
    documented = set(re.findall(r":param (\w+):", inspect.getdoc(create_engine) or ""))
    of_dialect = set(inspect.signature(PGDialect_asyncpg.__init__).parameters)
    return (of_libpq | in_dsns | of_asyncpg | documented | of_dialect) - NOT_IN_URLS - BY_THE_URL


def answer(query: Mapping[str, str]) -> str:
    with pytest.raises(UsageError) as caught:
        tls_of(query)
    return caught.value.remedy


def test_every_parameter_that_somebody_knows_is_taken_or_answered() -> None:
    names = known()

    assert len(names) > 60
    for name in names - {"ssl", "sslmode", *TLS}:
        assert re.fullmatch(
            rf"{name}: (give --.* instead|leave it out: (?!dbbench does not know it).*)", answer({name: "1"})
        )


def test_what_all_drivers_know_is_taken() -> None:
    files = {"sslrootcert": "ca.crt", "sslcert": "me.crt", "sslkey": "me.key"}

    assert tls_of({"ssl": "require"}) == ("require", {})
    assert tls_of({"ssl": "verify-full", "sslmode": "verify-full", **files}) == ("verify-full", files)
    assert tls_of({"sslmode": ""}) == ("", {})


def test_all_that_is_wrong_is_named_at_once() -> None:
    url = (
        "postgresql+asyncpg://u:c4n4ry@h/d?ssl=true&prepared_statement_cache_size=0&statement_cache_size=c4n4ry"
        "&pool_size=5&channel_binding=require&options=-c%20c4n4ry&mine=c4n4ry&sslrootcert=system"
    )
    with pytest.raises(UsageError) as caught:
        parse_url(url, "--url")

    assert caught.value.remedy.split("; ") == [
        "prepared_statement_cache_size: give --driver-set asyncpg.prepared_statement_cache_size=0 instead",
        "statement_cache_size: give --driver-set asyncpg.statement_cache_size=VALUE instead",
        "pool_size: give --pool-size 5 instead",
        "channel_binding: leave it out: asyncpg does not have it",
        "options: leave it out: ALTER ROLE ... SET sets what it does for every driver",
        "mine: leave it out: dbbench does not know it",
        "ssl: give sslmode=disable, allow, prefer, require, verify-ca or verify-full",
        "sslrootcert: give the file: asyncpg does not know where the system has its certificates",
    ]


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("sslmode=require&sslmode=disable", "sslmode is given twice"),
        ("host=other", "host is given twice"),
        ("ssl=require&sslmode=disable", "ssl: leave it out: sslmode is given, too"),
    ],
)
def test_a_parameter_is_given_once(query: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        parse_url(f"postgresql://u@h/d?{query}", "--url")


def test_one_server_is_measured() -> None:
    with pytest.raises(UsageError, match="several hosts"):
        parse_url("postgresql://u@one,two/d", "--url")
    assert parse_url("postgresql://h?dbname=d&user=u", "--url").database == "d"
