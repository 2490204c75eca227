"""A client that has no CPU time left is named in the table, and by a search for the capacity."""

from pathlib import Path

import pytest
from conftest import Cli

SPINS = '''"""Ten milliseconds of Python for each operation."""
import time


async def raw(db, params, rng):
    row = await db.fetch_one("SELECT 1")
    until = time.perf_counter() + 0.01
    while time.perf_counter() < until:
        pass
    return row[0]
'''
SLEEPS = '''"""Twenty milliseconds of the server's for each operation."""


async def raw(db, params, rng):
    return (await db.fetch_one("SELECT 1 FROM pg_sleep(0.02)"))[0]
'''


@pytest.mark.alone
@pytest.mark.parametrize(
    ("source", "saturated", "driver"),
    [(SPINS, True, "asyncpg"), (SPINS, True, "psycopg2"), (SLEEPS, False, "psycopg2")],
    ids=["client, tasks", "client, threads", "server"],
)
def test_a_saturated_client_is_named(measure: Cli, tmp_path: Path, source: str, saturated: bool, driver: str) -> None:
    """Twice as many operations are due as client, or server, can do."""
    (tmp_path / "mine.py").write_text(source)
    rate, sessions = ("200", "4") if saturated else ("100", "1")
    done = measure(
        "run", "mine.py", "-d", driver, "--baseline", driver, "--rate", rate, "--sessions", sessions, "--blocks", "1",
        "--rounds", "1",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert ("the client itself was saturated" in " ".join(done.stdout.split())) == saturated
