"""A user's own server: URL, preflight, schemas of our own. Debian's PostgreSQL, where it is installed."""

import contextlib
import re
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
import pytest
from conftest import PASSWORD, connect, url_of
from hypothesis import given
from hypothesis import strategies as st

from dbbench.address import Address
from dbbench.errors import CannotStartError, RefusedError, UsageError
from dbbench.server import preflight
from dbbench.server.passwords import redacted
from dbbench.server.target import Target, connected, parse_url


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("postgresql://u:p@h:1/d", Address("h", 1, "d", "u", "p")),
        ("postgresql+asyncpg://u:p@h:1/d", Address("h", 1, "d", "u", "p")),
        ("postgresql+psycopg2://u@h/d", Address("h", 5432, "d", "u")),
        ("postgres://u:p%40%2F@h/d", Address("h", 5432, "d", "u", "p@/")),
        ("postgresql://u:p@h/d?sslmode=require", Address("h", 5432, "d", "u", "p", "require")),
        ("postgresql:///d?host=/run/pg&user=u&password=p", Address("/run/pg", 5432, "d", "u", "p")),
        ("postgresql://u@/d?host=/run/pg&port=5433", Address("/run/pg", 5433, "d", "u")),
        ("postgresql://u@%2Frun%2Fpg/d", Address("/run/pg", 5432, "d", "u")),
        ("postgresql://u@[::1]:6/d", Address("::1", 6, "d", "u")),
    ],
)
def test_a_url_of_any_driver_is_understood(url: str, expected: Address) -> None:
    address = parse_url(url, "--url")
    assert (address, address.password) == (expected, expected.password)


@pytest.mark.parametrize(
    "url",
    [
        "mysql://u:c4n4ry@h/d",
        "c4n4ry",
        "postgresql://u:c4n4ry@h:port/d",
        "postgresql://u:c4n4ry@[::1/d",
        "postgresql://u:c4n4ry@h/d?sslmode=never",
        "postgresql://u:c4n4ry@h/d?target_session_attrs=any",
        "postgresql://u:half@c4n4ry@h/d",
        "postgresql://u:c4n4ry@h:99999999999999999999/d?port=x",
    ],
)
def test_a_bad_url_is_refused_without_repeating_it(url: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_url(url, "--url")
    assert str(caught.value).startswith("--url")
    assert "c4n4ry" not in str(caught.value)


@given(st.text())
def test_garbage_is_a_usage_error_or_an_address(text: str) -> None:
    for url in (text, f"postgresql://{text}"):
        with contextlib.suppress(UsageError):
            assert parse_url(url, "--url").port >= 0


@pytest.mark.parametrize(
    ("host", "local"),
    [
        ("/tmp/x", True),
        ("localhost", True),
        ("127.0.0.9", True),
        ("::1", True),
        ("10.1.2.3", False),
        ("db.example", False),
    ],
)
def test_local_is_what_shares_our_cpus(host: str, local: bool) -> None:
    assert Address(host, 1, "d", "u").is_local is local


def test_a_secret_is_redacted_in_every_form() -> None:
    assert redacted("x a/b c& y a%2Fb%20c%26 z a%2Fb+c%26", "a/b c&") == "x *** y *** z ***"
    assert redacted("unchanged", "") == redacted("unchanged", "e") == "unchanged"


@pytest.fixture
def target(foreign: Address) -> Iterator[Target]:
    with connected(foreign, "t0t0t0") as opened:
        yield opened


def wait_for_others(target: Target, number: int) -> None:
    """Wait until the server has so many sessions besides the target's."""
    query = "SELECT count(*) - 1 FROM pg_stat_activity WHERE backend_type = 'client backend'"
    while target._row(query) != (number,):
        time.sleep(0.01)


def schemas(address: Address) -> list[str]:
    with connect(address) as connection:
        rows = connection.execute("SELECT nspname FROM pg_namespace WHERE nspname LIKE 'dbbench%' ORDER BY 1")
        return [name for (name,) in rows.fetchall()]


def test_a_fit_server_passes(target: Target) -> None:
    target.preflight(40, allow_production=False)


def test_too_few_connections_are_refused_with_the_numbers(target: Target) -> None:
    with pytest.raises(CannotStartError, match=r"opens up to 500 connections, but .* \(max_connections 100"):
        target.preflight(500, allow_production=False)


def test_a_role_that_may_not_create_a_schema_is_told_so(foreign: Address) -> None:
    with connect(foreign) as owner:
        owner.execute("CREATE ROLE reader LOGIN PASSWORD 'reader'")
        try:
            reader = Address(foreign.host, foreign.port, foreign.database, "reader", "reader")
            with (
                connected(reader, "t0t0t1") as opened,
                pytest.raises(CannotStartError, match="GRANT CREATE ON DATABASE postgres TO reader"),
            ):
                opened.preflight(10, allow_production=False)
        finally:
            owner.execute("DROP ROLE reader")


def test_a_server_in_use_is_refused_unless_allowed(foreign: Address, target: Target) -> None:
    wait_for_others(target, 0)  # sessions of tests before end a little later than their connections
    others = [connect(foreign) for _ in range(6)]
    try:
        with pytest.raises(RefusedError, match=r"in use by 6 other sessions; .*--allow-production"):
            target.preflight(10, allow_production=False)
        target.preflight(10, allow_production=True)
    finally:
        for other in others:
            other.close()


def test_a_database_that_looks_like_production_is_refused(foreign: Address) -> None:
    with connect(foreign) as owner:
        owner.execute("CREATE DATABASE shop_prod")
        try:
            address = Address(foreign.host, foreign.port, "shop_prod", foreign.user, foreign.password)
            with connected(address, "t0t0t2") as opened:
                with pytest.raises(RefusedError, match="shop_prod looks like a production server"):
                    opened.preflight(10, allow_production=False)
                opened.preflight(10, allow_production=True)
        finally:
            owner.execute("DROP DATABASE shop_prod")


@contextmanager
def a_role(owner: psycopg.Connection, name: str, more: str) -> Iterator[None]:
    owner.execute(f"CREATE ROLE {name} LOGIN PASSWORD '{name}'; GRANT CREATE ON DATABASE postgres TO {name}; {more}")
    try:
        yield
    finally:
        owner.execute(f"DROP OWNED BY {name}; DROP ROLE {name}")


def as_role(foreign: Address, name: str) -> Address:
    return Address(foreign.host, foreign.port, foreign.database, name, name)


def test_the_limits_of_role_and_database_are_looked_at(foreign: Address) -> None:
    with connect(foreign) as owner, a_role(owner, "few", "ALTER ROLE few CONNECTION LIMIT 9"):
        with connected(as_role(foreign, "few"), "t0t0t7") as opened:
            with pytest.raises(CannotStartError, match=r"has 8 free \(CONNECTION LIMIT of role few 9, 1 in use\)"):
                opened.preflight(9, allow_production=True)
            opened.preflight(8, allow_production=True)
        owner.execute("ALTER ROLE few CONNECTION LIMIT -1; ALTER DATABASE postgres CONNECTION LIMIT 9")
        try:
            with (
                connected(as_role(foreign, "few"), "t0t0t8") as opened,
                pytest.raises(CannotStartError, match="CONNECTION LIMIT of database postgres 9"),
            ):
                opened.preflight(9, allow_production=True)
        finally:
            owner.execute("ALTER DATABASE postgres CONNECTION LIMIT -1")


def test_who_may_only_read_is_told_so(foreign: Address) -> None:
    more = "ALTER ROLE shy SET default_transaction_read_only = on"
    with (
        connect(foreign) as owner,
        a_role(owner, "shy", more),
        connected(as_role(foreign, "shy"), "t0t0t9") as opened,
        pytest.raises(CannotStartError, match=r"may only read there.*ALTER ROLE shy IN DATABASE postgres SET default"),
    ):
        opened.preflight(1, allow_production=True)


def test_limits_of_the_role_do_not_reach_our_sessions(foreign: Address) -> None:
    """A statement_timeout of 1 ms would fail the parent's own questions."""
    more = "ALTER ROLE hasty SET statement_timeout = 1; ALTER ROLE hasty SET idle_session_timeout = 1"
    with (
        connect(foreign) as owner,
        a_role(owner, "hasty", more),
        connected(as_role(foreign, "hasty"), "t0t0ta") as opened,
    ):
        opened.preflight(1, allow_production=True)
        limits = opened.session_settings(30.0)
    assert limits == {
        "statement_timeout": "30000", "lock_timeout": "30000", "idle_in_transaction_session_timeout": "300000",
        "idle_session_timeout": "0",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("host", "database"),
    [
        ("127.0.0.1", "shop_production"), ("/run/x", "shop_prod"), ("prd-db", "shop"), ("master.example.com", "shop"),
        ("db.live.example.com", "shop"), ("PRIMARY", "shop"),
    ],
)  # fmt: skip
def test_what_is_called_like_production_is_refused_over_any_transport(host: str, database: str) -> None:
    with pytest.raises(RefusedError, match=r"looks like a production server; .*--allow-production"):
        preflight.refuse_production(lambda *_: (0,), Address(host, 5432, database, "u"))


@pytest.mark.parametrize(
    ("host", "database"), [("127.0.0.1", "reproduction"), ("/prod/run", "shop"), ("olive", "deliver")]
)
def test_what_only_sounds_like_it_is_not(host: str, database: str) -> None:
    preflight.refuse_production(lambda *_: (0,), Address(host, 5432, database, "u"))


def test_another_machine_is_refused_and_this_one_by_any_name_is_not() -> None:
    for host in ("127.0.0.1", "::1", "localhost", "/tmp", "127.0.0.2", socket.gethostbyname(socket.gethostname())):
        preflight.refuse_remote(Address(host, 5432, "d", "u"))
    for host in ("192.0.2.1", "db.invalid"):
        with pytest.raises(RefusedError, match=f"{host} is not this machine.*--allow-remote"):
            preflight.refuse_remote(Address(host, 5432, "d", "u"))


def test_a_session_of_ours_that_hangs_does_not_keep_the_schema(foreign: Address) -> None:
    with connected(foreign, "t0t0t4") as opened:
        name = opened.create_schema(0)
        with psycopg.connect(
            host=foreign.host, port=foreign.port, dbname=foreign.database, user=foreign.user,
            password=foreign.password, application_name="dbbench_t0t0t4",
        ) as hanging:  # fmt: skip
            hanging.execute(f"CREATE TABLE {name}.t (id int)")
            opened.close()
            assert schemas(foreign) == []
            with pytest.raises(psycopg.OperationalError):
                hanging.execute("SELECT 1")
            hanging.close()


def test_a_session_that_the_server_ends_for_being_idle_does_not_mean_that_the_server_is_lost(foreign: Address) -> None:
    with connected(foreign, "t0t0t5") as opened, connect(foreign) as owner:
        owner.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'dbbench_t0t0t5'"
        )
        assert opened.alive()
        assert opened.alive()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"password": "wr0ng c4n4ry"}, "password authentication failed"),
        ({"port": 1}, "refused"),
        ({"database": "nowhere"}, "does not exist"),
        ({"host": "/nonexistent"}, "nonexistent"),
    ],
)
def test_who_cannot_connect_is_told_why_without_a_password(
    foreign: Address, change: dict[str, object], message: str
) -> None:
    values = {name: getattr(foreign, name) for name in ("host", "port", "database", "user", "password")}
    address = Address(**{**values, **change})
    with pytest.raises(CannotStartError, match=re.escape(message)) as caught:
        Target(address, "t0t0t6")
    assert "c4n4ry" not in str(caught.value)
    assert PASSWORD not in str(caught.value)


def test_the_server_says_what_it_is(target: Target) -> None:
    described = target.describe()

    assert described["version"].startswith("PostgreSQL ")
    assert described["transport"] == "tcp, loopback"
    assert {"fsync", "synchronous_commit", "jit", "autovacuum", "shared_buffers", "max_connections"} <= set(
        described["settings"]
    )
    assert PASSWORD not in str(described)


def test_a_target_whose_server_answers_is_alive(target: Target) -> None:
    assert target.alive()


def test_the_url_of_the_tests_is_what_they_mean(foreign: Address) -> None:
    assert parse_url(url_of(foreign), "--url").password == PASSWORD
