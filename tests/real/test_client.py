"""What a worker opens for a cell, in this process, with a driver that is a row and a file and nothing else."""

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import pytest
from builders import start_with

from dbbench.drivers import DRIVERS
from dbbench.messages import Route, Start
from dbbench.plan import Cell, Checkout
from dbbench.worker.client import Client
from dbbench.worker.load import Work

TOY = """
from dbbench.drivers.psycopg import connect_arguments, facts, open_pool
"""
BARE = """
async def bare(connection, params, rng, operations):
    for _ in operations:
        params["seen"].append(await (await connection.execute("SELECT 7")).fetchone())
"""


async def seven(db: Any, _params: Any, _rng: Random) -> Any:
    return await db.fetch_one("SELECT $1::int", 7)


@pytest.fixture
def runner() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as runner:
        yield runner


@pytest.fixture
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> str:
    """A new driver: its name. `request.param` is its file."""
    module = f"toy_driver_{len(request.param)}"
    (tmp_path / f"{module}.py").write_text(request.param)
    monkeypatch.syspath_prepend(str(tmp_path))
    row = replace(DRIVERS["psycopg"], name="toy", dialect="", layers=("raw",), module=module)
    monkeypatch.setitem(DRIVERS, "toy", row)
    return "toy"


def opened(start: Start, schema: str, runner: asyncio.Runner, sessions: int = 1, **params: Any) -> Client:
    cell = Cell("mine", "raw", sessions, params, "mine.py")
    return Client(start, cell, schema, seven, runner, Route(start.address))


@pytest.mark.parametrize("toy", [TOY], indirect=True)
@pytest.mark.parametrize("checkout", ["request", "session"])
def test_a_driver_needs_no_bare_loop_to_be_measured(
    start: Start, schema: str, runner: asyncio.Runner, toy: str, checkout: Checkout
) -> None:
    client = opened(start_with(start, driver=toy, checkout=checkout), schema, runner, sessions=2)
    try:
        samples = client.generator.run(Work(20, [Random("a"), Random("b")], limit_ns=10**10))
        assert client.run_one(Random("c")) == (7,)
    finally:
        client.close()

    assert len(samples.latencies) == 20
    assert not samples.errors


@pytest.mark.parametrize("toy", [TOY + BARE], indirect=True)
@pytest.mark.parametrize("sessions", [1, 3])
def test_the_bare_loop_is_the_one_of_the_drivers_own_file_for_each_session(
    start: Start, schema: str, runner: asyncio.Runner, toy: str, sessions: int
) -> None:
    seen: list[Any] = []
    bare = start_with(start, driver=toy, checkout="session", tx_end="autocommit", bare=True)
    client = opened(bare, schema, runner, sessions, seen=seen)
    try:
        samples = client.generator.run(Work(30, [Random("a")] * sessions, limit_ns=10**10))
    finally:
        client.close()

    assert seen == [(7,)] * 30, "all sessions together"
    assert len(samples.latencies) == samples.usage.operations == 30
    assert samples.latencies[0] == pytest.approx(sessions * samples.usage.elapsed_ns / 30, rel=1e-3)
