"""The documents' scenarios, and those of their commands that no other test runs."""

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from builders import run, store
from conftest import REPOSITORY, Cli
from documents import blocks, documented_commands
from repositories import git


def test_documented_python_is_a_scenario_that_runs(measure: Cli, tmp_path: Path) -> None:
    sources = [source for _, source in blocks("python")]
    assert len(sources) >= 2
    for number, source in enumerate(sources):
        path = tmp_path / f"documented_{number}.py"
        path.write_text(source)
        done = measure(
            "run", path.name, "--layer", "orm,core,raw,app", "--budget", "0.5", "--rounds", "1", "--sessions", "1",
            "--format", "json",
        )  # fmt: skip
        cells = json.loads(done.stdout)["cells"]

        assert done.returncode == 0, done.stderr
        assert len(cells) in {3, 6, 9}
        assert all(cell["operations"] > 0 and cell["verdict"] != "not comparable" for cell in cells)


GATE_OF_A_BRANCH = (
    "dbbench gate my_scenario.py --project . --base origin/main --tolerance 3% --tolerance cpu=5% "
    "--report junit=gate.xml"
)
ONLY_HERE = (
    'dbbench gate --base "asyncpg==0.30.0" --head "asyncpg==0.31.0"',
    GATE_OF_A_BRANCH,
    "dbbench compare base.jsonl head.jsonl --control psycopg2 --fail-over 10%",
    "dbbench history nightly/ --control psycopg2 --format csv > trends.csv",
    "dbbench run point_reads --rate 200 --sessions 15",
    "dbbench run concurrent_sessions --think 20ms --details",
)


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the documents' commands can run, quickly."""
    folder = tmp_path_factory.mktemp("workplace")
    # A budget that one block exceeds, and not `blocks = 1`: it gives that block as few rounds as can be.
    (folder / "pyproject.toml").write_text(
        "[tool.dbbench]\nbudget = 0.5\ndriver = 'psycopg2'\n"
        'set = {"bulk_inserts.batch" = 20, "point_reads.rows" = 100, "concurrent_sessions.rows" = 100}\n\n'
        '[tool.dbbench.gate]\nbudget = 0.5\nset = {"bulk_inserts.batch" = 20}\n'
    )
    (folder / "my_scenario.py").write_text(
        "from sqlalchemy import text\n"
        "async def orm(session, params, rng): return (await session.execute(text('SELECT 1'))).scalar()\n"
    )
    for name in ("base.jsonl", "head.jsonl", "nightly/one.jsonl"):
        store(run(), folder / name)
    for command in ("init -q -b main", "add my_scenario.py", "commit -qm one"):
        git(folder, *command.split())
    git(folder, "update-ref", "refs/remotes/origin/main", "HEAD")
    return folder


@pytest.mark.parametrize("command", ONLY_HERE)
def test_documented_commands_work(command: str, measure: Cli, workplace: Path) -> None:
    assert command in documented_commands()
    words = shlex.split(command.partition(" > ")[0])[1:]
    done = measure(*words, cwd=workplace)

    # So few blocks are too few for a verdict of a gate.
    assert done.returncode == (6 if words[0] == "gate" else 0), done.stderr
    assert done.stdout


def test_nothing_names_a_package_index_or_this_machine() -> None:
    tracked = subprocess.run(
        ["git", "ls-files", "-z"], cwd=REPOSITORY, capture_output=True, text=True, check=False
    ).stdout.split("\0")
    for name in filter(None, tracked):
        text = (REPOSITORY / name).read_text(errors="replace")
        assert not re.search(r"(index-url|find-links)[ =]+(http|file)", text), name
        assert f"{sys.prefix}/" not in text, name
