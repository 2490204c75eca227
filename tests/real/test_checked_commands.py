"""Every command that executes operations makes the same checks first: none passes what it has not measured."""

from pathlib import Path
from typing import Final

import pytest
from conftest import Cli
from pgbouncers import pgbouncer
from repositories import git

HELPER = """
from sqlalchemy import text


async def load(connection):
    return [(await connection.execute(text("SELECT 1"))).scalar_one()]
"""
GROWN = HELPER.replace("return [", "await connection.execute(text('SELECT 2'))\n    return [")
OF_ANOTHER_MODULE = '''"""Awaits a function of another module."""
from neighbour_of_mine import load


async def core(connection, params, rng):
    return await load(connection)
'''
NOT_AWAITED = OF_ANOTHER_MODULE.replace("return await", "return")
SILENT = '''"""Sends nothing."""


async def core(connection, params, rng):
    return 1
'''
SYNC: Final = ("--driver", "psycopg2,psycopg-sync")
SHORT: Final = ("--blocks", "1", "--rounds", "1")
RUN: Final = ("run", "mine.py", "--layer", "core", "--sessions", "1", *SHORT)
GATE: Final = ("gate", "mine.py", "--project", ".", "--base", "HEAD~1", "--layer", "core")
COMMANDS: Final = {
    "run": RUN,
    "run --rtt": (*RUN, "--rtt", "0,1ms"),
    "run --pooler": (*RUN, "--pooler", "session"),
    "capacity": ("capacity", "mine.py", "--layer", "core", "--sessions", "1", "--slo", "p50<50ms"),
    "wire": ("wire", "mine.py", "--operations", "2"),
    "gate": (*GATE, "--budget", "2"),
    "gate --wire": (*GATE, "--wire"),
}
BASELINE: Final = ("run", "run --rtt", "run --pooler")  # have one


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A git project of two commits; the head's neighbour asks once more."""
    git(tmp_path, "init", "-q", "-b", "main")
    for helper in (HELPER, GROWN):
        (tmp_path / "neighbour_of_mine.py").write_text(helper)
        (tmp_path / "mine.py").write_text(OF_ANOTHER_MODULE)
        git(tmp_path, "add", "-A")
        git(tmp_path, "commit", "-qm", "a step")
    return tmp_path


def committed(project: Path, scenario: str) -> None:
    """Have both commits measure this scenario."""
    (project / "mine.py").write_text(scenario)
    git(project, "commit", "-qam", "another scenario")
    git(project, "commit", "-q", "--allow-empty", "-m", "the same")


def arguments(name: str, *drivers: str) -> tuple[str, ...]:
    if name == "run --pooler":
        pgbouncer()
    baseline = ("--baseline", drivers[0]) if name in BASELINE else ()
    return (*COMMANDS[name], "--driver", ",".join(drivers), *baseline)


@pytest.mark.parametrize("name", COMMANDS)
def test_sync_drivers_refuse_what_another_module_awaits(measure: Cli, project: Path, name: str) -> None:
    done = measure(*arguments(name, "psycopg2", "psycopg-sync"), cwd=project)

    assert done.returncode == 3, done.stdout + done.stderr
    said = done.stderr + done.stdout
    assert "mine.py:6: load is not awaited: sync drivers run this file without `await`" in said
    assert "--driver psycopg,asyncpg" in said
    assert "PASS" not in said
    assert "0 and 0 round trips" not in said


@pytest.mark.parametrize("name", COMMANDS)
def test_nobody_takes_an_operation_for_one_that_sends_nothing(measure: Cli, project: Path, name: str) -> None:
    committed(project, SILENT)
    done = measure(*arguments(name, "asyncpg", "psycopg2"), cwd=project)

    assert done.returncode == 3, done.stdout + done.stderr
    assert "mine.py:4: core sends nothing to the server through its connection" in done.stderr
    assert "PASS" not in done.stdout + done.stderr


@pytest.mark.parametrize("name", COMMANDS)
def test_async_drivers_say_where_an_await_is_missing(measure: Cli, project: Path, name: str) -> None:
    committed(project, NOT_AWAITED)
    done = measure(*arguments(name, "asyncpg"), cwd=project)

    assert done.returncode == 3, done.stdout + done.stderr
    assert "mine.py:6: load is not awaited: an `await` is missing" in done.stderr
    assert "PASS" not in done.stdout + done.stderr


def test_async_drivers_are_gated_on_it_and_the_others_named(measure: Cli, project: Path) -> None:
    """What one driver has counted makes no verdict where another one could not be."""
    alone = measure(*arguments("gate --wire", "asyncpg"), cwd=project)
    both = measure(*arguments("gate --wire", "asyncpg", "psycopg2"), cwd=project)

    assert alone.returncode == 1, alone.stderr
    assert "SELECT: 1 -> 2" in alone.stdout
    assert both.returncode == 3, both.stderr
    assert "there is no verdict" in both.stderr
    assert list((project / "results").iterdir()) != []


def test_a_gate_of_sides_that_return_something_else_says_so(measure: Cli, project: Path) -> None:
    committed(project, SILENT.replace("return 1", "return (await connection.exec_driver_sql('SELECT 1')).scalar()"))
    text = (project / "mine.py").read_text()
    (project / "mine.py").write_text(text.replace("SELECT 1", "SELECT 2"))
    git(project, "commit", "-qam", "something else")
    done = measure(*arguments("gate --wire", "asyncpg"), cwd=project)

    assert done.returncode == 0, done.stderr
    assert "operation 1: head gave int 2, base gave int 1" in done.stderr
    (stored,) = (project / "results").iterdir()
    assert measure("show", str(stored)).stdout == done.stdout


def test_sides_that_run_the_same_files_must_return_the_same(
    measure: Cli, pythons: tuple[Path, Path], tmp_path: Path
) -> None:
    (tmp_path / "mine.py").write_text(
        "import importlib.util\n"
        "async def core(connection, params, rng):\n"
        "    await connection.exec_driver_sql('SELECT 1')\n"
        "    return importlib.util.find_spec('only_in_head') is None\n"
    )
    sides = ("--base-python", str(pythons[0]), "--head-python", str(pythons[1]))
    done = measure("gate", "mine.py", *sides, "--driver", "asyncpg", "--layer", "core", "--wire")

    assert done.returncode == 6, done.stderr
    assert "the two sides do not return the same: there is no verdict" in done.stderr


def test_drivers_that_return_something_else_are_counted_and_it_is_said(measure: Cli, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(
        "async def core(connection, params, rng):\n"
        "    await connection.exec_driver_sql('SELECT 1')\n"
        "    return connection.dialect.driver\n"
    )
    done = measure("wire", "mine.py", "--driver", "asyncpg,psycopg2", "--operations", "2")

    assert done.returncode == 6, done.stderr
    assert "asyncpg" in done.stdout
    assert "psycopg2 gave str 'psycopg2', asyncpg gave str 'asyncpg'" in " ".join(done.stdout.split())
    assert "--compare-anyway" not in done.stdout, "it has no such option"


def test_a_prepare_that_nobody_awaits_is_refused(measure: Cli, project: Path) -> None:
    (project / "mine.py").write_text(OF_ANOTHER_MODULE + "\n\ndef prepare(connection, params):\n    load(connection)\n")
    dropped = measure(*arguments("run", "asyncpg"), cwd=project)
    (project / "mine.py").write_text(OF_ANOTHER_MODULE + "\n\nasync def reset(connection, params):\n    pass\n")
    written = measure(*arguments("run", "asyncpg"), cwd=project)

    assert dropped.returncode == written.returncode == 3
    assert (
        "mine.py:10: load is not awaited: prepare is a plain function, and so must be what it calls" in dropped.stderr
    )
    assert "mine.py:9: reset must be a plain `def`: nobody awaits it" in written.stderr
