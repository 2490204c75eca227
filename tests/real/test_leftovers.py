"""What killed runs have left behind is found, said, and removed when somebody agrees; nothing else is."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import Cli, connect, url_of

from dbbench import folders
from dbbench.address import Address
from dbbench.server import leftovers, schemas

CLAIM = (
    "import sys; from pathlib import Path; from dbbench import folders; print(folders.make('dbbench-', sys.argv[1]))"
)
HOLD = f"{CLAIM}; sys.stdout.flush(); sys.stdin.read()"


def made_by(script: str, base: Path) -> tuple[Path, subprocess.Popen[str]]:
    """A folder that a process of its own has claimed, and that process."""
    process = subprocess.Popen(
        [sys.executable, "-c", script, base], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    return Path(process.stdout.readline().strip()), process


@pytest.fixture
def bases(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only place where folders of ours are looked for."""
    monkeypatch.setattr(leftovers, "candidate_bases", lambda: [str(tmp_path / "bases")])
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "bases").mkdir()
    return tmp_path / "bases"


@pytest.fixture
def left(bases: Path) -> Path:
    """A folder whose process was killed."""
    folder, process = made_by(HOLD, bases)
    (folder / "data").mkdir()
    process.kill()
    process.communicate()
    return folder


def test_a_folder_is_abandoned_when_its_process_is_gone(bases: Path) -> None:
    folder, process = made_by(HOLD, bases)
    assert folders.abandoned([bases]) == []
    process.kill()
    process.communicate()
    assert folders.abandoned([bases]) == [folder]


def test_what_only_has_the_name_of_ours_is_not_touched(bases: Path, dbbench: Cli) -> None:
    (bases / "dbbench-notes").mkdir()
    (bases / "dbbench-notes" / "mine").touch()
    (bases / "dbbench-link").symlink_to(bases)
    (bases / "dbbench-file").touch()
    done = dbbench("clean", "--yes")

    assert (done.returncode, done.stdout) == (0, "nothing to remove: no killed run has left anything behind\n")
    assert (bases / "dbbench-notes" / "mine").exists()


def test_nothing_goes_unless_somebody_agrees(left: Path, dbbench: Cli) -> None:
    asked = dbbench("clean")
    assert asked.returncode == 2
    assert f"folder  {left}\n" in asked.stdout
    assert "--yes removes it" in asked.stderr
    assert left.exists()

    assert dbbench("clean", "--yes").returncode == 0
    assert not left.exists()


@pytest.fixture
def schema(foreign: Address) -> Iterator[str]:
    with connect(foreign) as owner:
        name = schemas.create(owner, "c1c1c1", 0)
        owner.execute(f"CREATE TABLE {name}.t (id int)")
        yield name
        owner.execute(f"DROP VIEW IF EXISTS public.mine; DROP SCHEMA IF EXISTS {name} CASCADE")


@pytest.mark.usefixtures("bases")
def test_schemas_of_runs_that_are_over_go_and_those_of_others_stay(foreign: Address, schema: str, dbbench: Cli) -> None:
    with schemas.connected(foreign, schemas.application("c1c1c1")):
        going_on = dbbench("clean", "--yes", "--url", url_of(foreign))
    over = dbbench("clean", "--yes", "--env-url", DATABASE_URL=url_of(foreign))

    assert going_on.returncode == 0
    assert "not touched: 1 schema of runs that are going on" in going_on.stdout
    assert over.returncode == 0
    assert f"schema  {schema}, of run c1c1c1" in over.stdout
    with connect(foreign) as owner:
        assert schemas.find(owner) == []


@pytest.mark.usefixtures("bases")
def test_what_cannot_go_is_said(foreign: Address, schema: str, dbbench: Cli) -> None:
    with connect(foreign) as owner:
        owner.execute(f"CREATE VIEW public.mine AS TABLE {schema}.t")
    done = dbbench("clean", "--yes", "--url", url_of(foreign))

    assert done.returncode == 3
    assert f"dbbench: not removed: schema {schema}: view mine, which is not ours, depends on it" in done.stderr


def test_a_run_mentions_what_it_finds(left: Path, foreign: Address, schema: str, dbbench: Cli) -> None:
    done = dbbench(
        "run", "point_reads", "-d", "psycopg2", "--baseline", "psycopg2", "--set", "rows=10", "--blocks", "1",
        "--rounds", "1", "--url", url_of(foreign),
    )  # fmt: skip
    said = "killed runs have left 1 folder and 1 schema behind: dbbench clean --url URL removes that"

    assert done.returncode == 0
    assert said in " ".join(done.stderr.split())
    assert left.exists()
    with connect(foreign) as owner:
        assert [one.name for one in schemas.find(owner)] == [schema]
