"""A project's own package: every command that loads scenarios can import it."""

import json
from pathlib import Path
from typing import Final

import pytest
from conftest import Cli

from dbbench.errors import UsageError
from dbbench.project import search_path

SCENARIO: Final = '''"""Read what the shop reads."""
from NAME.queries import QUERY, Row

PARAMS = {"from_the_shop": QUERY}

async def core(connection, params, rng):
    return (await connection.exec_driver_sql(QUERY)).scalar_one()
'''
LOAD: Final = {
    "list": ("list", "scenarios", "{file}", "--format", "json"),
    "run": ("run", "{file}", "--driver", "psycopg2", "--blocks", "1", "--rounds", "1"),
    "wire": ("wire", "{file}", "--driver", "psycopg,asyncpg"),
    "capacity": ("capacity", "{file}", "--layer", "core", "--driver", "psycopg2", "--slo", "p50<50ms", "--trial", "1",
                 "--min-rate", "50", "--max-rate", "50"),
    "gate": ("gate", "{file}", "--wire", "--driver", "psycopg2", "--base-python", "{base}", "--head-python", "{head}"),
}  # fmt: skip


def made(folder: Path, package: str, within: str) -> Path:
    """Make a project with a package and a scenario that imports it, in a folder of its own; gives the scenario's."""
    folder.mkdir(exist_ok=True)
    (folder / "pyproject.toml").write_text("[project]\nname = 'shop'\n")
    (folder / within / package).mkdir(parents=True)
    (folder / within / package / "__init__.py").touch()
    (folder / within / package / "queries.py").write_text("QUERY = 'SELECT 7'\nclass Row: ...\n")
    path = folder / "bench" / "mine.py"
    path.parent.mkdir()
    path.write_text(SCENARIO.replace("NAME", package))
    return path


@pytest.mark.parametrize(
    ("command", "within"),
    [("list", ""), ("list", "src"), ("run", "src"), ("wire", ""), ("capacity", "src"), ("gate", "")],
)
def test_a_scenario_imports_its_projects_package(
    measure: Cli, tmp_path: Path, pythons: tuple[Path, Path], command: str, within: str
) -> None:
    path = made(tmp_path / "its", f"shop_of_{command}_{within}", within)
    words = [word.format(file=path, base=pythons[0], head=pythons[1]) for word in LOAD[command]]
    done = measure(*words)

    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("command", ["list", "run", "wire"])
def test_a_project_can_be_named(measure: Cli, tmp_path: Path, command: str) -> None:
    path = made(tmp_path / "its", f"named_by_{command}", "")
    lonely = tmp_path / "lonely.py"
    lonely.write_text(path.read_text())
    words = [word.format(file=lonely) for word in LOAD[command]]
    without = measure(*words)
    named = measure(*words, "--project", str(tmp_path / "its"))

    assert "--project DIR" in without.stderr
    assert without.returncode in (2, 3)
    assert named.returncode == 0, named.stderr


def test_list_shows_the_parameters_of_ones_own_scenario(dbbench: Cli, tmp_path: Path) -> None:
    path = made(tmp_path, "listed_shop", "src")
    done = dbbench("list", "scenarios", str(path), "--format", "json")
    (row,) = json.loads(done.stdout)

    assert (row["scenario"], row["params"]) == ("mine", {"from_the_shop": "SELECT 7"})
    assert dbbench("list", "drivers", str(path)).returncode == 2


def test_a_package_that_is_measured_is_never_the_projects(tmp_path: Path) -> None:
    path = made(tmp_path, "asyncpg", "")

    assert search_path(None, [path]) == []
    with pytest.raises(UsageError, match="its own asyncpg would hide the installed one"):
        search_path(tmp_path, [path])
    with pytest.raises(UsageError, match="there is no such folder"):
        search_path(tmp_path / "nowhere", [path])
    (tmp_path / "src").mkdir()
    (tmp_path / "asyncpg").rename(tmp_path / "src" / "sqlalchemy")
    with pytest.raises(UsageError, match="its own sqlalchemy would hide"):
        search_path(tmp_path, [path])
