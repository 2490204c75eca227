"""`dbbench pool` as its users run it: what it names holds in a run of its own, and the next smaller one does not."""

import json
from pathlib import Path

from conftest import Cli

# Operations hold their connection for as long as the server sleeps, whatever the CPUs do meanwhile.
HOLDING = """
async def core(connection, params, rng):
    return (await connection.exec_driver_sql("SELECT 1, pg_sleep(0.04)::text")).one()[0]
"""
LOAD = ("--rate", "100", "--processes", "2", "--driver", "asyncpg")


def test_the_smallest_pool_is_found_kept_and_shown_again(measure: Cli, tmp_path: Path) -> None:
    """2 connections of each process are busy on average: fewer than 3 never hold, and 40 surely do."""
    (tmp_path / "holding.py").write_text(HOLDING)
    done = measure("pool", "holding.py", *LOAD, "--trial", "1", "--most", "40", "--seed", "1", "--format", "json")
    document = json.loads(done.stdout)
    (found,) = document["drivers"]
    (path,) = (tmp_path / "results").glob("*.jsonl")

    assert done.returncode == 0, done.stderr
    assert found["outcome"] == "found"
    assert 3 <= found["size"] <= 40
    assert found["failed_size"] == found["size"] - 1
    assert found["backends"] == 2 * found["size"]
    assert 1.5 < found["busy"] < 4
    assert all(trial["operations"] >= 300 for trial in found["trials"] if trial["held"])
    assert measure("show", str(path), "--format", "json").stdout == done.stdout
    assert measure("show", str(path)).stdout.startswith("holding · core · 160 sessions · wait p99 < 5 ms")
    assert measure("export", str(path), "--format", "csv").stdout.count("\n") == 2
