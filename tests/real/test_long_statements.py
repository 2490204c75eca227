"""A statement that never ends is ended by the server, and counted as that: for all drivers, layers, and a pooler."""

import json
from itertools import product
from pathlib import Path

import pytest
from builders import changed, plan, start_with
from conftest import Cli
from pgbouncers import pgbouncer

from dbbench.child import WorkerProcess
from dbbench.drivers import DRIVERS, PRESETS
from dbbench.engine.planning import check_limit_s
from dbbench.messages import Done, Open, Ran, RunSlice, Start, Started
from dbbench.plan import Cell, Layer

ALL = PRESETS["all"]

PATIENCE_S = 60.0
SLEEPS = """
import traceback
from sqlalchemy import text

PARAMS = {"every": 1}
calls = 0


def seconds(params):
    global calls
    calls += 1
    checked = any("checking" in frame.filename for frame in traceback.extract_stack())
    return 600 if calls % params["every"] == 0 and not checked else 0

async def raw(db, params, rng):
    return (await db.fetch_one(f"SELECT 1 FROM pg_sleep({seconds(params)})"))[0]

async def core(connection, params, rng):
    return (await connection.execute(text(f"SELECT 1 FROM pg_sleep({seconds(params)})"))).scalar()

async def orm(session, params, rng):
    return (await session.execute(text(f"SELECT 1 FROM pg_sleep({seconds(params)})"))).scalar()
"""
CASES = [(driver, layer) for driver, layer in product(ALL, ("raw", "core", "orm")) if layer in DRIVERS[driver].layers]


@pytest.fixture
def scenario(tmp_path: Path) -> Path:
    path = tmp_path / "sleeps.py"
    path.write_text(SLEEPS)
    return path


@pytest.mark.parametrize(("driver", "layer"), CASES)
def test_it_is_counted_by_its_sqlstate(start: Start, schema: str, scenario: Path, driver: str, layer: Layer) -> None:
    limited = start_with(start, driver=driver, session={"statement_timeout": "200"})
    with WorkerProcess(driver, limited) as worker:
        worker.reply(Started, PATIENCE_S)
        worker.ask(Open(Cell("sleeps", layer, 2, {"every": 1}, str(scenario)), schema), Done, PATIENCE_S)
        ran = worker.ask(RunSlice(4, "s", 10**10), Ran, PATIENCE_S)
    assert ran.failures == {"57014": 4}
    assert ran.usage.errors == 4


@pytest.mark.parametrize(
    ("pooler", "every"), [((), 2), (("--pooler", "transaction"), 25)], ids=["directly", "through PgBouncer"]
)
def test_a_run_goes_on_and_counts_it(measure: Cli, scenario: Path, pooler: tuple[str, ...], every: int) -> None:
    """Some operations of a process, but none of those that are checked; behind a pooler there are eight arms."""
    if pooler:
        pgbouncer()
    done = measure(
        "run", str(scenario), *pooler, "--layer", "core", "-d", "psycopg", "--baseline", "psycopg", "--sessions", "1",
        "--statement-timeout", "0.4s", "--set", f"every={every}", "--blocks", "1", "--rounds", "2", "--format", "json",
    )  # fmt: skip
    document = json.loads(done.stdout)
    codes = {line["code"] for line in document["errors"]}

    assert done.returncode == (0 if pooler else 3), done.stderr
    assert codes == {"57014"}
    assert all(row["operations"] > 0 for row in document["cells"])


def test_a_check_waits_longer_than_the_server_does() -> None:
    """Else an operation that never ends would be a worker that gave no answer."""
    for limit_s in (1.0, 30.0, 100.0):
        made = changed(plan(), statement_limit_s=limit_s)
        limit = check_limit_s(made)
        assert limit is not None
        assert limit > limit_s
