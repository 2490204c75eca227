"""A run that ends when it knows enough, by the real clock; tests/engine has all the ways to end."""

import json
from pathlib import Path

import pytest
from conftest import Cli

from dbbench import result_file
from dbbench.address import Address
from dbbench.analysis.analysis import analyse
from dbbench.cli.output import show_stored
from dbbench.commands.run import execute
from dbbench.engine.options import Options
from dbbench.plan import Effort
from dbbench.stats.paired import looks

SLOW = """
async def raw(db, params, rng):
    pause = "0.02" if "asyncpg" in type(db).__module__ else "0.04"
    return (await db.fetch_one(f"SELECT 1, pg_sleep({pause})::text"))[0]
"""


class Notes:
    """A watcher that keeps what is worth keeping."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def say(self, what: str) -> None: ...

    def advance(self, fraction: float, left_s: float | None) -> None: ...

    def note(self, text: str) -> None:
        self.texts.append(text)

    problem = note


def test_a_run_ends_when_every_cell_is_decided_and_shows_the_same_again(
    server: Address, dbbench: Cli, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # One waits in the server twice as long as the other: decided at a look, whatever the machine does meanwhile.
    scenario, notes = tmp_path / "slow.py", Notes()
    scenario.write_text(SLOW)
    options = Options(
        scenarios=[scenario],
        drivers=["asyncpg", "psycopg2"],
        baseline="asyncpg",
        address=server,
        allow_production=True,
        effort=Effort(budget_s=500.0, rounds=3, seed=3),
        output=tmp_path / "r.jsonl",
    )
    ended = execute(options, notes)
    run = result_file.read(ended.path)
    row = analyse(run).rows[1]

    assert ended.exit_code == 0, notes.texts
    assert any(text.startswith("every cell is decided after") for text in notes.texts)
    assert run.end is not None
    assert run.end.measured_s < 400
    assert row.verdict == "slower"
    assert row.ratio is not None
    assert row.ratio_low is not None
    assert row.ratio_high is not None
    assert row.ratio_low <= row.ratio <= row.ratio_high
    assert row.blocks in {look.blocks for look in looks(1)}, "it ends at a look that was planned"
    show_stored(run, "json", ended.path, details=False)
    document = json.loads(capsys.readouterr().out)
    assert json.loads(dbbench("show", "r.jsonl", "--format", "json").stdout)["cells"] == document["cells"]


def test_what_excludes_each_other_is_said(dbbench: Cli) -> None:
    for arguments, message in {
        ("--blocks", "3", "--precision", "2%"): "--blocks and --precision exclude each other",
        ("--rate", "100", "--think", "5ms"): "--rate and --think exclude each other",
        ("--think", "5"): "--think 5: a time with its unit, like 20ms",
        ("--precision", "much"): "--precision much: a share, like 2% or 0.02",
    }.items():
        done = dbbench("run", "point_reads", *arguments)
        assert done.returncode == 2
        assert message in done.stderr
