"""Runs that end when they know enough."""

import json
from pathlib import Path

from conftest import Cli

from dbbench.statistics import looks

QUICK = "async def raw(db, params, rng): return (await db.fetch_one('SELECT 1'))[0]\n"
SLOW = "async def raw(db, params, rng): return (await db.fetch_one('SELECT 1, pg_sleep(0.02)::text'))[0]\n"
COMMON = ("--driver", "psycopg2", "--baseline", "asyncpg", "--seed", "3", "--format", "json")


def test_a_run_ends_when_every_cell_is_decided_and_shows_the_same_again(dbbench: Cli, tmp_path: Path) -> None:
    # Both wait 20 ms in the server: a tie, whatever the machine does meanwhile, or else decided otherwise.
    (tmp_path / "slow.py").write_text(SLOW)
    done = dbbench("run", "slow.py", *COMMON, "--budget", "120", "-o", "r.jsonl")
    document = json.loads(done.stdout)
    row = document["cells"][1]

    assert done.returncode == 0, done.stderr
    assert "every cell is decided after" in done.stderr
    assert document["run"]["measured_s"] < 100
    assert row["verdict"] in {"tie", "faster", "slower"}
    assert row["ratio_low"] <= row["ratio"] <= row["ratio_high"]
    assert row["blocks"] in {look.blocks for look in looks(1)}, "it ends at a look that was planned"
    assert json.loads(dbbench("show", "r.jsonl", "--format", "json").stdout)["cells"] == document["cells"]


def test_a_precision_decides_when_it_is_reached(dbbench: Cli, tmp_path: Path) -> None:
    (tmp_path / "quick.py").write_text(QUICK)
    done = dbbench("run", "quick.py", *COMMON, "--precision", "90%", "-o", "r.jsonl")
    document = json.loads(done.stdout)
    row = document["cells"][1]

    assert done.returncode == 0, done.stderr
    assert "precise enough after" in done.stderr
    assert max(row["ratio_high"] / row["ratio"] - 1, 1 - row["ratio_low"] / row["ratio"]) <= 0.9
    assert document["run"]["plan"]["precision"] == 0.9


def test_a_precision_out_of_reach_says_so(dbbench: Cli, tmp_path: Path) -> None:
    (tmp_path / "quick.py").write_text(QUICK)
    done = dbbench("run", "quick.py", *COMMON, "--precision", "0.01%", "--budget", "4", "-o", "r.jsonl")

    assert done.returncode == 0, done.stderr
    assert "not every ratio is known to 0.01%" in done.stderr


def test_a_number_of_blocks_is_kept(dbbench: Cli, tmp_path: Path) -> None:
    (tmp_path / "quick.py").write_text(QUICK)
    done = dbbench("run", "quick.py", *COMMON, "--blocks", "9", "-o", "r.jsonl")

    assert json.loads(done.stdout)["cells"][0]["blocks"] == 9
    assert "decided" not in done.stderr


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
