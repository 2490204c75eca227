"""Real searches of the `capacity` command, short ones."""

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import Cli, url_of

from dbbench.address import Address
from dbbench.commands.capacity.slo import parse

SLOW = '''
"""Sleep for 10 ms on the server."""
from sqlalchemy import text
async def orm(session, params, rng): return (await session.execute(text("SELECT pg_sleep(0.01)::text"))).scalar()
'''
QUICK = ("--trial", "1s", "--precision", "50%", "--seed", "1")
TWO = ("--sessions", "2", "--pool-size", "2", "--max-overflow", "0")  # at 10 ms each: about 200 a second
PROGRAM = (sys.executable, "-P", "-m", "dbbench")
OBJECTIVE = parse("p99<10ms")


@pytest.fixture(scope="module")
def slow(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("scenarios") / "slow.py"
    path.write_text(SLOW)
    return path


# --- real searches ---------------------------------------------------------------------------------------------------


@pytest.mark.alone
def test_the_capacity_of_a_known_operation_is_found(measure: Cli, slow: Path, tmp_path: Path) -> None:
    done = measure(
        "capacity", str(slow), "--slo", "p50<50ms", "--driver", "psycopg2,asyncpg",  # 50 ms: trials of 1 s
        *TWO, *QUICK, "--format", "json",
    )  # fmt: skip
    document = json.loads(done.stdout)

    assert done.returncode == 0, done.stderr
    assert list(document)[:10] == [
        "schema", "run", "started", "dbbench", "server_version",
        "objective", "precision", "scenario", "layer", "sessions",
    ]  # fmt: skip
    assert (document["schema"], document["objective"], document["sessions"]) == (1, "p50 < 50 ms", 2)
    assert [driver["driver"] for driver in document["drivers"]] == ["psycopg2", "asyncpg"]
    for driver in document["drivers"]:
        assert list(driver) == [
            "driver", "outcome", "rate", "value_us", "failed_rate", "failed_value_us", "trials", "driver_version"
        ]  # fmt: skip
        assert driver["outcome"] == "found", done.stderr
        assert 60 <= driver["rate"] <= 250  # for a second the median bears a little more than 200
        assert driver["rate"] < driver["failed_rate"] <= 1.5 * driver["rate"]
        assert 10_000 <= driver["value_us"] < 50_000
        rates = [trial["rate"] for trial in driver["trials"]]
        assert len(rates) > len(set(rates))  # both ends were tried again
        assert list(driver["trials"][0]) == ["rate", "held", "value_us", "operations", "errors", "not_started"]
    (stored,) = (tmp_path / "results").iterdir()
    assert measure("show", str(stored), "--format", "json").stdout == done.stdout
    # The drivers took turns.
    said = re.findall(r"^trial (\d+), (\w+):", done.stderr, re.MULTILINE)
    assert sorted(said[:4]) == [(number, driver) for number in "12" for driver in ("asyncpg", "psycopg2")]


@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_signal_ends_a_search_with_what_is_known(tmp_path: Path, server: Address, moment: str) -> None:
    with subprocess.Popen(
        [*PROGRAM, "capacity", "--slo", "p50<50ms", "--driver", "psycopg2", "--set", "rows=50", "--trial", "3s",
         "--url", url_of(server), "--allow-production"],
        cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, "COLUMNS": "80"},
    ) as process:  # fmt: skip
        assert process.stderr is not None
        mark = "warming psycopg2" if moment == "before" else "trial 1, psycopg2: "
        after = "(p50" if moment == "after" else ""
        for line in process.stderr:
            if mark in line and after in line:
                break
        process.send_signal(signal.SIGINT)
        stdout, stderr = process.communicate(timeout=120)

    assert process.returncode == 130
    assert "Traceback" not in stderr
    files = list((tmp_path / "results").iterdir())
    if moment == "before":
        assert stdout == ""
        assert files == []
        assert "interrupted (SIGINT) before anything was measured" in stderr
    else:
        assert re.search(r"psycopg2 .* +1 +unfinished", stdout)
        assert "interrupted  SIGINT" in stdout
        assert files[0].name in stdout


def test_a_password_is_not_said(dbbench: Cli, foreign: Address) -> None:
    done = dbbench(
        "capacity", "--slo", "p50<50ms", "--driver", "psycopg2", "--set", "rows=50", "--max-rate", "20", *QUICK,
        "--url", url_of(foreign), "--format", "json",
    )  # fmt: skip

    assert done.returncode == 0, done.stderr
    assert foreign.password not in done.stdout + done.stderr
