"""Clients in several processes, as they are deployed: real processes, real pools, a real server."""

import json
import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from conftest import Cli
from processes import command_line, descendants

from dbbench import result_file
from dbbench.analysis.analysis import analyse

# Its pool decides how many wait in the server at once, whatever the CPUs do meanwhile.
WAITING = """
async def core(connection, params, rng):
    return (await connection.exec_driver_sql("SELECT 1, pg_sleep(0.05)::text")).one()[0]
"""
ONE_BLOCK = ("--blocks", "1", "--rounds", "2", "--quiet")


def document(measure: Cli, *arguments: str) -> dict[str, Any]:
    done = measure("run", *arguments, "--format", "json")
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize("driver", ["asyncpg", "psycopg2"])
def test_two_processes_have_two_pools_and_twice_the_throughput(measure: Cli, tmp_path: Path, driver: str) -> None:
    (tmp_path / "waiting.py").write_text(WAITING)
    found = document(
        measure, "waiting.py", "--driver", driver, "--processes", "1,2", "--pool-size", "1", "--max-overflow", "0",
        "--sessions", "4", "--blocks", "1", "--rounds", "1", "--quiet",
    )  # fmt: skip
    one, two = found["cells"]

    assert (one["driver"], two["driver"]) == (f"{driver}+processes=1", f"{driver}+processes=2")
    assert 0.4 < two["ratio"] < 0.65, "0.50 on a quiet machine"
    assert [arm["processes"] for arm in found["run"]["plan"]["arms"]] == [1, 2]


def test_sessions_are_spread_over_processes_and_pools(measure: Cli) -> None:
    """Four sessions in three processes: each has connections of its own, and all of them work."""
    found = document(
        measure, "point_reads", "--driver", "psycopg,psycopg2", "--layer", "raw", "--processes", "3", "--sessions", "4",
        "--set", "rows=50", "--details", *ONE_BLOCK,
    )  # fmt: skip

    assert [(cell["driver"], cell["errors"]) for cell in found["cells"]] == [
        ("psycopg", 0),
        ("psycopg2", 0),
    ]
    assert all(cell["operations"] >= 40 for cell in found["cells"])
    assert all(row["peak_mb"] > 100 for row in found["breakdown"]), "of three processes; one has about 50"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--processes", "4", "--sessions", "2"), "4 processes need a session each, and 2 were asked for"),
        (("--processes", "0"), "--processes 0: whole numbers from 1"),
        (("--processes", "2,x"), "--processes 2,x: whole numbers from 1"),
    ],
)
def test_what_cannot_be_spread_is_refused(measure: Cli, arguments: tuple[str, ...], message: str) -> None:
    done = measure("run", "point_reads", *arguments)

    assert done.returncode == 2
    assert message in " ".join(done.stderr.split())


def test_more_connections_than_the_server_has_are_refused_with_the_numbers(measure: Cli) -> None:
    done = measure("run", "point_reads", "--processes", "40", "--sessions", "600", "--driver", "asyncpg")

    said = " ".join(done.stderr.split())

    assert done.returncode == 4
    assert "connections" in said
    assert "max_connections" in said


def test_a_rate_is_spread_over_processes_and_seen_second_by_second(measure: Cli, tmp_path: Path) -> None:
    found = document(
        measure, "point_reads", "--driver", "asyncpg", "--baseline", "asyncpg", "--layer", "core", "--processes", "2",
        "--sessions", "4", "--rate", "40", "--set", "rows=50", "--blocks", "1", "--quiet",
    )  # fmt: skip
    (cell,) = found["cells"]
    (path,) = (tmp_path / "results").glob("*.jsonl")
    ((part,),) = [one.slices for one in result_file.read(path).measurements]
    exported = measure("export", str(path), "--format", "csv", "--table", "series")

    assert cell["operations"] + cell["errors"] == round(40 * found["run"]["plan"]["slice_s"])
    assert sum(second.operations for second in part.seconds) == part.usage.operations == cell["operations"]
    assert len(part.seconds) >= found["run"]["plan"]["slice_s"] - 1
    assert len(exported.stdout.splitlines()) == 1 + len(part.seconds)


@contextmanager
def killing(what: str, results: Path) -> Iterator[list[int]]:
    """Kill a process with these words in its arguments that was started after something has been measured."""
    killed: list[int] = []
    before: set[int] = set()
    stop = threading.Event()

    def watch() -> None:
        while not stop.is_set() and not killed:
            found = {pid for pid in descendants(os.getpid()) if what in command_line(pid)}
            if not any('"measurement"' in path.read_text() for path in results.glob("*.jsonl")):
                before.update(found)
            elif later := found - before:
                os.kill(max(later), signal.SIGKILL)
                killed.append(max(later))
            time.sleep(0.02)

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield killed
    finally:
        stop.set()
        thread.join()


def test_a_killed_process_loses_its_arm_and_nothing_else(measure: Cli, tmp_path: Path) -> None:
    (tmp_path / "waiting.py").write_text(WAITING)
    with killing("dbbench.worker", tmp_path / "results") as killed:
        done = measure(
            "run", "waiting.py", "--driver", "asyncpg", "--processes", "1,2", "--sessions", "2", "--blocks", "3",
            "--rounds", "4", "--quiet",
        )  # fmt: skip
    (path,) = (tmp_path / "results").glob("*.jsonl")
    run = result_file.read(path)
    problems = [problem for problem in run.problems if problem.kind == "worker lost"]

    assert killed
    assert done.returncode == 3, done.stderr
    assert len(problems) == 1
    assert "exit status -9" in problems[0].message
    assert any(row.operations for row in analyse(run).rows)
