"""A server that takes no more clients in the middle of a run: counted as that, and not asked again at once."""

import asyncio
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from random import Random

import msgspec
import psycopg
import pytest
from builders import start_with
from conftest import connect

from dbbench.address import Address
from dbbench.drivers import DRIVERS
from dbbench.messages import Route, Start
from dbbench.plan import Cell, Layer, Pool
from dbbench.twin import load_module
from dbbench.worker.client import Client
from dbbench.worker.failures import code_of, refuses
from dbbench.worker.load import Samples, Work
from dbbench.worker.request import Tally

SESSIONS = 8
SECONDS = 3
MOST_PER_S = 20
ROLE = "dbbench_refused"
SCENARIO = """
from sqlalchemy import text

async def raw(db, params, rng):
    return await db.fetch_one("SELECT 1")

async def core(connection, params, rng):
    return (await connection.execute(text("SELECT 1"))).all()
"""
CASES = [
    (driver, layer)
    for driver in DRIVERS
    for layer in ("raw", "core")
    if (layer == "raw" or not DRIVERS[driver].extra)  # what SQLAlchemy does for others is not ours
    and not ((layer == "raw" and driver.startswith("psycopg-")) or (driver, layer) == ("psycopg", "raw"))
]


@pytest.fixture
def runner() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as runner:
        yield runner


@pytest.fixture
def owner(server: Address) -> Iterator[psycopg.Connection]:
    with connect(server) as connection:
        connection.execute(f"CREATE ROLE {ROLE} LOGIN")
        yield connection
        connection.execute(f"DROP OWNED BY {ROLE}; DROP ROLE {ROLE}")


def run(client: Client, operations: int) -> Samples:
    return client.generator.run(
        Work(operations, [Random(number) for number in range(SESSIONS)], limit_ns=SECONDS * 10**9)
    )


def refuse(owner: psycopg.Connection) -> None:
    """Take no more connections of the role, and end those that it has."""
    owner.execute(f"ALTER ROLE {ROLE} CONNECTION LIMIT 0")
    owner.execute("SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE usename = %s", [ROLE])


# psycopg's own pool connects in the background, by itself slower and slower, and its users wait.
@pytest.mark.parametrize(("driver", "layer"), CASES)
def test_too_many_clients_are_counted_and_no_storm(
    start: Start, server: Address, owner: psycopg.Connection, runner: asyncio.Runner, tmp_path: Path,
    driver: str, layer: Layer,
) -> None:  # fmt: skip
    path = tmp_path / "one.py"
    path.write_text(SCENARIO)
    module = load_module(path, f"one_{driver.replace('-', '_')}", sync=not DRIVERS[driver].is_async)
    address = msgspec.structs.replace(server, user=ROLE)
    given = start_with(start, driver=driver, address=address, pool=Pool(SESSIONS, 0, 1.0))
    client = Client(
        given, Cell("one", layer, SESSIONS, {}, str(path)), "public", getattr(module, layer), runner, Route(address)
    )
    try:
        assert not run(client, 100).errors
        refuse(owner)
        refused = run(client, 10_000)
        owner.execute(f"ALTER ROLE {ROLE} CONNECTION LIMIT -1")
        after = run(client, 100)
    finally:
        client.close()

    codes = Counter(code_of(error, DRIVERS[driver].sqlstate) for error in refused.errors)
    lost = sum(number for code, number in codes.items() if code != "53300")
    assert codes["53300"] >= SESSIONS
    if driver != "pg8000":  # which calls some refusals a network error
        assert lost <= SESSIONS, "each session notices once that its connection was ended"
    assert len(refused.errors) <= 2 * SESSIONS + MOST_PER_S * (SECONDS + 2), codes
    assert len(after.latencies) == 100


def test_many_sessions_together_do_not_connect_more_often() -> None:
    for sessions in (1, 15, 50, 500):
        tally = Tally(0, sessions)
        for refusals in (1, 2, 5, 5000):
            waits = [tally.back_off_s(refusals, chance / 100) for chance in range(100)]
            assert sessions / (sum(waits) / len(waits)) <= MOST_PER_S
            assert max(waits) > 2 * min(waits) > 0, "they come back at different times"


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (psycopg.OperationalError("connection failed: FATAL:  sorry, too many clients already"), "53300"),
        (psycopg.OperationalError("FATAL:  remaining connection slots are reserved for roles with ..."), "53300"),
        (psycopg.OperationalError('FATAL:  too many connections for role "me"'), "53300"),
        (psycopg.OperationalError("FATAL:  the database system is starting up"), "57P03"),
        (psycopg.OperationalError("server closed the connection unexpectedly"), "OperationalError"),
        (ConnectionRefusedError(111, "Connection refused"), "ConnectionRefusedError"),
        (psycopg.errors.SerializationFailure("could not serialize access"), "40001"),
        (LookupError("too many clients already"), "LookupError"),
    ],
)
def test_what_libpq_says_has_a_code(error: BaseException, code: str) -> None:
    assert code_of(error, "sqlstate") == code
    assert refuses(error) == (code in ("53300", "57P03", "ConnectionRefusedError"))
