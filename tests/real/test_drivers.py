"""The drivers' raw adapters, on a real server: the same calls give the same values."""

import datetime
import decimal
import json
import ssl
import threading
import uuid
from collections.abc import Callable, Iterator
from typing import Any, get_args

import psqlpy
import psycopg
import pytest
from raws import Raw

from dbbench.address import Address
from dbbench.drivers import DRIVERS, Driver
from dbbench.drivers.settings import JSON
from dbbench.errors import CannotStartError
from dbbench.plan import Pool, TxEnd
from dbbench.worker.canonical import lines
from dbbench.worker.client import server_settings

ROW: tuple[Any, ...] = (
    7,
    uuid.UUID("12345678-1234-4234-8234-123456789abc"),
    "Ada % $1 'x'",
    datetime.date(1815, 12, 10),
    '{"ward": 3}',
    decimal.Decimal("12.50"),
    datetime.datetime(2026, 1, 2, 3, 4, 5, 678, tzinfo=datetime.UTC),
)
CREATE = "CREATE TABLE t (id int, u uuid, n text, b date, j jsonb, d numeric(8,2), z timestamptz)"
COLUMNS = ("id", "u", "n", "b", "j", "d", "z")
INSERT = "INSERT INTO t VALUES ($1, $2, $3, $4, $5, $6, $7)"


Open = Callable[..., Raw]


@pytest.fixture(params=list(DRIVERS))
def driver(request: pytest.FixtureRequest) -> Driver:
    return DRIVERS[request.param]


@pytest.fixture
def row(driver: Driver) -> tuple[Any, ...]:
    """The row as arguments of the driver: one of them takes no JSON as text."""
    return (*ROW[:4], json.loads(ROW[4]) if driver.json else ROW[4], *ROW[5:])


@pytest.fixture
def opened(driver: Driver, server: Address, schema: str) -> Iterator[Open]:
    """Opens pools of the driver; they are closed at the end."""
    raws: list[Raw] = []

    def open_raw(tx_end: TxEnd = "rollback", pool: Pool = Pool(), json: str = "") -> Raw:  # noqa: B008 - frozen
        raws.append(Raw(driver, server, schema, tx_end, pool, json))
        return raws[-1]

    yield open_raw
    for raw in raws:
        raw.close()


@pytest.fixture
def table(server: Address, schema: str) -> Iterator[psycopg.Connection]:
    """An empty table, and a connection that sees what is committed."""
    with psycopg.connect(
        host=server.host, port=server.port, dbname=server.database, user=server.user,
        options=f"-c search_path={schema}", autocommit=True,
    ) as connection:  # fmt: skip
        connection.execute(CREATE)
        yield connection


def count(connection: psycopg.Connection) -> int:
    (number,) = connection.execute("SELECT count(*) FROM t").fetchone() or (0,)
    return int(number)


def test_values_come_back_as_they_went_in(
    driver: Driver, opened: Open, table: psycopg.Connection, row: tuple[Any, ...]
) -> None:
    raw = opened("commit")
    with raw.db() as db:
        raw.do(lambda: db.execute(INSERT, *row))
        one = raw.do(lambda: db.fetch_one("SELECT * FROM t WHERE id = $1", 7))
        every = raw.do(lambda: db.fetch_all("SELECT * FROM t WHERE n LIKE 'Ada %' AND id = $1", 7))
        none = raw.do(lambda: db.fetch_one("SELECT * FROM t WHERE id = $1", 8))

    document = ROW[4] if driver.name == "asyncpg" else {"ward": 3}
    identity = str(ROW[1]) if driver.name == "psqlpy" else ROW[1]
    expected = (ROW[0], identity, *ROW[2:4], document, *ROW[5:])
    assert list(lines(one)) == list(lines(expected))
    assert list(lines(every)) == list(lines([expected]))
    assert none is None
    assert count(table) == 1


@pytest.mark.parametrize("way", ["execute_many", "copy_in"])
def test_many_rows_arrive(opened: Open, table: psycopg.Connection, way: str, row: tuple[Any, ...]) -> None:
    rows = [(number, *row[1:]) for number in range(250)]
    raw = opened("commit")
    with raw.db() as db:
        if way == "execute_many":
            raw.do(lambda: db.execute_many(INSERT, rows))
        else:
            raw.do(lambda: db.copy_in("t", COLUMNS, rows))

    found = table.execute("SELECT count(*), sum(id), min(n), min(d), min(j->>'ward') FROM t").fetchone()
    assert found == (250, sum(range(250)), ROW[2], ROW[5], "3")


@pytest.mark.parametrize(("tx_end", "kept"), [("rollback", 0), ("commit", 1), ("autocommit", 1)])
def test_the_transaction_ends_as_asked(
    opened: Open, table: psycopg.Connection, tx_end: TxEnd, kept: int, row: tuple[Any, ...]
) -> None:
    raw = opened(tx_end)
    for _ in range(2):  # the connection must come back in order
        with raw.db() as db:
            raw.do(lambda: db.execute(INSERT, *row))
            state = raw.do(lambda: db.fetch_one("SELECT now() = statement_timestamp() AND count(*) > 0 FROM t"))
            assert count(table) == (kept if tx_end == "autocommit" else 0)
        assert state is not None
        assert count(table) == kept
        table.execute("TRUNCATE t")


@pytest.mark.parametrize("tx_end", ["rollback", "commit", "autocommit"])
def test_an_explicit_transaction_commits_or_rolls_back_by_itself(
    opened: Open, table: psycopg.Connection, tx_end: TxEnd, row: tuple[Any, ...]
) -> None:
    raw = opened(tx_end)
    insert = (INSERT, *row)

    def work(db: Any, *, fail: bool) -> Any:
        if not raw.driver.is_async:
            with db.transaction():
                db.execute(*insert)
                db.execute(*insert)
                if fail:
                    raise LookupError
            return None

        async def awaited() -> None:
            async with db.transaction():
                await db.execute(*insert)
                await db.execute(*insert)
                if fail:
                    raise LookupError

        return awaited()

    with raw.db() as db:
        raw.do(lambda: work(db, fail=False))
    assert count(table) == 2
    with raw.db() as db, pytest.raises(LookupError):
        raw.do(lambda: work(db, fail=True))
    assert count(table) == 2


def test_after_an_error_the_connection_can_be_used_again(
    opened: Open, table: psycopg.Connection, row: tuple[Any, ...]
) -> None:
    raw = opened("commit", Pool(size=1, max_overflow=0))
    with pytest.raises(Exception, match="nowhere"), raw.db() as db:
        raw.do(lambda: db.execute("SELECT * FROM nowhere"))
    with raw.db() as db:
        raw.do(lambda: db.execute(INSERT, *row))
    assert count(table) == 1


def test_the_pool_gives_up_in_time(opened: Open) -> None:
    raw = opened("rollback", Pool(size=1, max_overflow=1, timeout=2.0))  # enough to make the second
    with raw.db() as first, raw.db() as second:
        assert first.connection is not second.connection
        with pytest.raises(Exception, match=r"(?i)connection") as caught, raw.db():
            pass
        assert type(caught.value).__name__ in {"TimeoutError", "PoolTimeout", "PoolError"}


@pytest.mark.parametrize("driver", [name for name in DRIVERS if not DRIVERS[name].is_async], indirect=True)
def test_the_sync_pools_wait_until_another_thread_gives_back(opened: Open) -> None:
    raw = opened("rollback", Pool(size=1, max_overflow=0, timeout=20))
    held = raw.pool.acquire()
    release = threading.Timer(0.05, raw.pool.release, [held])
    release.start()
    with raw.db() as db:
        assert db.connection is held.connection
    release.join()


def test_it_says_what_it_is(driver: Driver) -> None:
    facts = driver.adapter().facts()
    assert {"prepared statements", "results", "raw pool", "on release", "idiom", "adds"} <= set(facts)
    assert facts["idiom"] in get_args(TxEnd)


@pytest.mark.parametrize("driver", [name for name in DRIVERS if JSON in DRIVERS[name].settings], indirect=True)
@pytest.mark.usefixtures("table")
def test_json_goes_in_and_comes_out_as_text_where_that_is_asked_for(opened: Open) -> None:
    raw = opened("commit", json="text")
    with raw.db() as db:
        raw.do(lambda: db.execute("INSERT INTO t (j) VALUES ($1)", '{"ward": [3]}'))
        (found, other) = raw.do(lambda: db.fetch_one("SELECT j, j::json FROM t"))

    assert (found, other) == ('{"ward": [3]}', '{"ward": [3]}')


@pytest.mark.parametrize("driver", [name for name in DRIVERS if JSON in DRIVERS[name].settings], indirect=True)
@pytest.mark.usefixtures("table")
def test_json_goes_in_and_comes_out_as_python_where_that_is_asked_for(opened: Open) -> None:
    raw = opened("commit", json="python")
    with raw.db() as db:
        raw.do(lambda: db.execute("INSERT INTO t (j) VALUES ($1), ($2)", {"ward": [3]}, '{"ward": [3]}'))
        rows = raw.do(lambda: db.fetch_all("SELECT j, j::json FROM t"))

    assert [tuple(row) for row in rows] == [({"ward": [3]}, {"ward": [3]})] * 2


def test_passwords_and_tls_reach_the_driver(driver: Driver) -> None:
    address = Address("db.example", 5433, "d", "u", "secret", "require")
    arguments = driver.adapter().connect_arguments(address, server_settings("app", "s"))

    assert arguments["password"] == "secret"
    if driver.name == "pg8000":
        assert (arguments["ssl_context"].verify_mode, arguments["ssl_context"].check_hostname) == (ssl.CERT_NONE, False)
    else:
        assert str(arguments.get("sslmode", arguments.get("ssl", arguments.get("ssl_mode")))).endswith("equire")
    assert "secret" not in repr(address) + str(address)


@pytest.mark.parametrize("name", [name for name in DRIVERS if DRIVERS[name].extra])
def test_what_a_driver_of_an_extra_does_not_know_about_tls_is_said(name: str) -> None:
    adapter, settings = DRIVERS[name].adapter(), server_settings("app", "s")
    where = Address("db.example", 5433, "d", "u", "", "verify-full", {"sslcrl": "crl.pem"})
    with pytest.raises(CannotStartError, match=f"{name} does not know sslcrl; leave it out of the URL, or {name}"):
        adapter.connect_arguments(where, settings)
    plain = Address("db.example", 5433, "d", "u", "", "disable")
    arguments = adapter.connect_arguments(plain, settings)
    assert arguments.get("ssl_context", arguments.get("ssl_mode")) in (False, psqlpy.SslMode.Disable)
