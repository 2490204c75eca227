"""Connections that the server ends in the middle of a transaction, again and again: none of them is used again."""

import asyncio
import threading
from collections.abc import Iterator
from itertools import product
from random import Random
from typing import Any

import psycopg
import pytest
from builders import start_with
from conftest import connect

from dbbench.address import Address
from dbbench.drivers import DRIVERS
from dbbench.messages import Route, Start
from dbbench.plan import Cell, Checkout, Layer, TxEnd
from dbbench.twin import load_module
from dbbench.worker.client import Client
from dbbench.worker.load import Samples, Work

SESSIONS = 3
APPLICATION = "dbbench_broken"
# Two statements, so that a transaction is open between them.
SCENARIO = """
from sqlalchemy import text

async def raw(db, params, rng):
    await db.fetch_one("SELECT 1")
    return await db.fetch_one("SELECT 1 FROM pg_sleep(0.004)")

async def core(connection, params, rng):
    await connection.execute(text("SELECT 1"))
    return (await connection.execute(text("SELECT 1 FROM pg_sleep(0.004)"))).all()

orm = core
"""


@pytest.fixture
def runner() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as runner:
        yield runner


def ended(owner: psycopg.Connection) -> int:
    """End the sessions of the test, and give their number."""
    return len(
        owner.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = %s", [APPLICATION]
        ).fetchall()
    )


def run(client: Client, operations: int) -> Samples:
    rngs = [Random(number) for number in range(SESSIONS)]
    return client.generator.run(Work(operations, rngs, limit_ns=10**10))


CASES = [
    (driver, layer, checkout, tx_end)
    for driver, layer, (checkout, tx_end) in product(
        DRIVERS,
        ("raw", "core", "orm"),
        [("request", "rollback"), ("request", "commit"), ("session", "rollback"), ("session", "autocommit")],
    )
    if layer == "raw" or (layer in DRIVERS[driver].layers and not DRIVERS[driver].extra)  # the rest is SQLAlchemy's
]


@pytest.mark.parametrize(("driver", "layer", "checkout", "tx_end"), CASES)
def test_a_connection_that_is_ended_in_a_transaction_is_not_used_again(
    start: Start, server: Address, schema: str, runner: asyncio.Runner, tmp_path: Any,
    driver: str, layer: Layer, checkout: Checkout, tx_end: TxEnd,
) -> None:  # fmt: skip
    path = tmp_path / "two.py"
    path.write_text(SCENARIO)
    module = load_module(path, f"two_{driver.replace('-', '_')}", sync=not DRIVERS[driver].is_async)
    start = start_with(start, driver=driver, application=APPLICATION, checkout=checkout, tx_end=tx_end)
    cell = Cell("two", layer, SESSIONS, {}, str(path))
    client = Client(start, cell, schema, getattr(module, layer), runner, Route(start.address))
    over, number = threading.Event(), 0

    def end_sessions() -> None:
        nonlocal number
        with connect(server) as owner:
            while not over.wait(0.03):
                number += ended(owner)

    killer = threading.Thread(target=end_sessions)
    try:
        run(client, SESSIONS)
        killer.start()
        disturbed = run(client, 150)
        over.set()
        killer.join()
        found = run(client, 30)  # connections that were ended while nobody used them are replaced
        after = run(client, 30)
        busy = sum(engine.pool.checkedout() for engine in client.engines)
    finally:
        over.set()
        client.close()

    assert number >= SESSIONS
    assert 1 <= len(disturbed.errors) + len(found.errors) <= number, "a connection costs one operation at most"
    assert [str(error) for error in after.errors] == []
    assert busy == (SESSIONS if checkout == "session" and layer != "raw" else 0)
    assert sum(engine.pool.checkedout() for engine in client.engines) == 0
