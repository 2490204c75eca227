"""Runs that end when they know enough."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import Cli
from typer.testing import CliRunner

from dbbench import plan
from dbbench.address import Address
from dbbench.cli.app import app
from dbbench.stats.paired import looks

ROUNDS = 3  # in a block: what these tests are about are blocks, and thirty rounds take most of the time of one

QUICK = "async def raw(db, params, rng): return (await db.fetch_one('SELECT 1'))[0]\n"
SLOW = """
async def raw(db, params, rng):
    pause = "0.02" if "asyncpg" in type(db).__module__ else "0.04"
    return (await db.fetch_one(f"SELECT 1, pg_sleep({pause})::text"))[0]
"""
COMMON = ("--driver", "psycopg2", "--baseline", "asyncpg", "--seed", "3", "--format", "json")
InProcess = Callable[..., tuple[int, str, str]]


@pytest.fixture
def measure(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, server: Address) -> InProcess:
    """Run the program in this process, with short blocks and on a server that runs already: exit code, stdout, stderr.

    A small budget makes short blocks, too, but a slow machine then comes to its end before the first look.
    """
    monkeypatch.setattr(plan, "MAX_ROUNDS", ROUNDS)
    monkeypatch.chdir(tmp_path)
    url = f"postgresql://{server.user}@/{server.database}?host={server.host}&port={server.port}"

    def run(scenario: str, *arguments: str) -> tuple[int, str, str]:
        given = ["run", scenario, *COMMON, "--url", url, "--allow-production", "-o", "r.jsonl", *arguments]
        done = CliRunner().invoke(app, given)
        return done.exit_code, done.stdout, done.stderr

    return run


def test_a_run_ends_when_every_cell_is_decided_and_shows_the_same_again(
    measure: InProcess, dbbench: Cli, tmp_path: Path
) -> None:
    # One waits in the server twice as long as the other: decided at a look, whatever the machine does meanwhile.
    (tmp_path / "slow.py").write_text(SLOW)
    exit_code, stdout, stderr = measure("slow.py", "--budget", "500")
    document = json.loads(stdout)
    row = document["cells"][1]

    assert exit_code == 0, stderr
    assert "every cell is decided after" in stderr
    assert document["run"]["measured_s"] < 400
    assert row["verdict"] == "slower"
    assert row["ratio_low"] <= row["ratio"] <= row["ratio_high"]
    assert row["blocks"] in {look.blocks for look in looks(1)}, "it ends at a look that was planned"
    assert json.loads(dbbench("show", "r.jsonl", "--format", "json").stdout)["cells"] == document["cells"]


def test_a_precision_decides_when_it_is_reached(measure: InProcess, tmp_path: Path) -> None:
    (tmp_path / "quick.py").write_text(QUICK)
    exit_code, stdout, stderr = measure("quick.py", "--precision", "90%")
    document = json.loads(stdout)
    row = document["cells"][1]

    assert exit_code == 0, stderr
    assert "precise enough after" in stderr
    assert max(row["ratio_high"] / row["ratio"] - 1, 1 - row["ratio_low"] / row["ratio"]) <= 0.9
    assert document["run"]["plan"]["precision"] == 0.9


def test_a_precision_out_of_reach_says_so(measure: InProcess, tmp_path: Path) -> None:
    (tmp_path / "quick.py").write_text(QUICK)
    exit_code, _, stderr = measure("quick.py", "--precision", "0.01%", "--budget", "4")

    assert exit_code == 0, stderr
    assert "not every ratio is known to 0.01%" in stderr


def test_a_number_of_blocks_is_kept(measure: InProcess, tmp_path: Path) -> None:
    (tmp_path / "quick.py").write_text(QUICK)
    _, stdout, stderr = measure("quick.py", "--blocks", "9")

    assert json.loads(stdout)["cells"][0]["blocks"] == 9, stderr
    assert "decided" not in stderr


def test_what_excludes_each_other_is_said(dbbench: Cli) -> None:
    for arguments, message in {
        ("--blocks", "3", "--precision", "2%"): "--blocks and --precision exclude each other",
        ("--rate", "100", "--think", "5ms"): "--rate and --think exclude each other",
        ("--think", "5"): "--think 5: a time with its unit, like 20ms",
        ("--precision", "much"): "--precision much: a share, like 2% or 0.02",
        ("--rate", "100", "--arrival", "late"): "--arrival late",
    }.items():
        done = dbbench("run", "point_reads", *arguments)
        assert done.returncode == 2
        assert message in done.stderr
