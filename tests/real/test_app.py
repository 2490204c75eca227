"""The layer `app`: an ASGI application, called in the worker's process, with async drivers and with threads."""

import json
import threading
from pathlib import Path
from typing import Any

import pytest
from conftest import Cli

from dbbench.drivers import PRESETS

FEW = ("--blocks", "1", "--rounds", "1", "--format", "json", "--quiet")
MINE = """
import threading
from fastapi import FastAPI
from sqlalchemy import text

def app(sessions, params):
    web = FastAPI()

    @web.get("/where")
    async def where():
        async with sessions() as session:
            await session.execute(text("SELECT 1"))
        return threading.current_thread().name.startswith("AnyIO")

    @web.get("/broken")
    async def broken():
        async with sessions() as session:
            await session.execute(text("SELECT * FROM nowhere"))

    return {made}

def request(rng, params):
    return {asked}
"""


def cells(done: Any) -> list[dict[str, Any]]:
    document: dict[str, Any] = json.loads(done.stdout)
    found: list[dict[str, Any]] = document["cells"]
    return found


def test_web_requests_run_with_every_driver(measure: Cli) -> None:
    few = ("--sessions", "1,4", "--set", "rows=100", *FEW)
    done = measure("run", "web_requests", "--preset", "all", *few)
    assert done.returncode == 0, done.stderr  # all of them gave the same answers
    assert {(row["layer"], row["driver"], row["sessions"]) for row in cells(done) if row["operations"]} == {
        ("app", driver, sessions) for driver in PRESETS["all"] for sessions in (1, 4)
    }


@pytest.mark.parametrize("get_db", ["minimal", "commit", "document"])
def test_every_get_db_gives_the_same_answers(measure: Cli, get_db: str) -> None:
    few = ("--sessions", "2", "--set", "rows=100", "--set", f"get_db={get_db}", *FEW)
    done = measure("run", "web_requests", "-d", "psycopg2", *few)
    assert done.returncode == 0, done.stderr
    assert all(row["errors"] == 0 for row in cells(done))


def test_routes_of_sync_drivers_run_in_the_frameworks_threads(measure: Cli, tmp_path: Path) -> None:
    """Which the comparison of answers tells."""
    (tmp_path / "mine.py").write_text(MINE.format(made="web", asked='("GET", "/where")'))
    done = measure("run", "mine.py", "-d", "psycopg2", "--sessions", "2", "--blocks", "1", "--quiet")
    assert done.returncode == 6, done.stderr
    assert "psycopg2 gave str 'true', psycopg gave str 'false'" in " ".join(done.stderr.split())


@pytest.mark.parametrize(
    ("made", "asked", "said"),
    [
        ("web", '("GET", "/nowhere")', 'StatusError: GET /nowhere: 404: {"detail":"Not Found"}'),
        ("web", '("GET", "/broken")', "StatusError: GET /broken: 500: ProgrammingError"),
        ("web", '("POST", "/where", {"a": 1})', "StatusError: POST /where: 405"),
        ("__import__('nowhere')", '("GET", "/where")', "app() imports nowhere, which is not installed; pip install"),
        ("7", '("GET", "/where")', "app() gave a value of type int, which is no ASGI application"),
    ],
)
def test_what_is_no_application_or_answers_badly_is_said_in_one_line(
    measure: Cli, tmp_path: Path, made: str, asked: str, said: str
) -> None:
    (tmp_path / "mine.py").write_text(MINE.format(made=made, asked=asked))
    done = measure("run", "mine.py", "-d", "psycopg", "--blocks", "1", "--rounds", "1")
    assert done.returncode == 3, done.stderr
    assert said in " ".join(done.stderr.split())


def test_failures_are_counted_by_status_and_are_in_no_latency(measure: Cli, tmp_path: Path) -> None:
    half = '("GET", "/where" if rng.random() < 0.5 else "/nowhere")'
    (tmp_path / "mine.py").write_text(MINE.format(made="web", asked=half))
    done = measure("run", "mine.py", "-d", "asyncpg", "--sessions", "4", *FEW)
    document = json.loads(done.stdout)
    assert {line["code"] for line in document["errors"]} == {"HTTP 404"}
    for row in document["cells"]:
        assert row["errors"] > 0
        assert row["operations"] > 0


def test_every_write_is_a_change_and_no_thread_is_left(measure: Cli) -> None:
    """The ORM leaves out an UPDATE that changes nothing, as after another driver has made the same change."""
    before = threading.active_count()
    done = measure("wire", "web_requests", "-d", "psycopg,psycopg2", "--set", "rows=100", "--format", "json")
    assert threading.active_count() == before
    rows = json.loads(done.stdout)["cells"]
    updates = {row["driver"]: row["statements"]["UPDATE"] for row in rows}
    assert updates["psycopg"] == updates["psycopg2"] > 0
    assert not any("--tx-end" in said for row in rows for said in row["explanations"]), "which is refused there"


@pytest.mark.parametrize(("option", "value"), [("--checkout", "session"), ("--tx-end", "commit")])
def test_what_an_application_decides_itself_is_refused(measure: Cli, option: str, value: str) -> None:
    done = measure("run", "web_requests", option, value)
    assert done.returncode == 2
    assert "change nothing at the app layer" in " ".join(done.stderr.split())
