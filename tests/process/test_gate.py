"""The gate as its users run it: real environments, real revisions, real verdicts; tests/slow has a whole one."""

import html
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import Cli
from gates import LAYOUT, STEADY, interpreters, leftovers
from repositories import git

from dbbench.commands.gate.judging import MIN_LOSS

MODELS = """
from sqlalchemy import ForeignKey
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship


class Base(DeclarativeBase):
    pass


class Customer(Base):
    __tablename__ = "customers"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    orders: Mapped[list["Order"]] = relationship(lazy="LOADING")


class Order(Base):
    __tablename__ = "orders"
    id: Mapped[int] = mapped_column(primary_key=True)
    customer_id: Mapped[int] = mapped_column(ForeignKey("customers.id"), index=True)
    total: Mapped[int]
"""
SESSIONS = """
from sqlalchemy import select
from shop.models import Customer


def customers():
    return select(Customer).order_by(Customer.id)
"""
TOTALS = '''"""What customers have ordered."""

from shop.models import Base, Order
from shop.queries import customers
from sqlalchemy import select

PARAMS = {"customers": 8}


def prepare(connection, params):
    Base.metadata.create_all(connection)
    count = params["customers"]
    connection.exec_driver_sql(f"INSERT INTO customers SELECT n, 'c' || n FROM generate_series(1, {count}) n")
    connection.exec_driver_sql(
        f"INSERT INTO orders SELECT n, 1 + mod(n, {count}), n FROM generate_series(1, 40) n"
    )


async def orm(session, params, rng):
    found = (await session.scalars(customers())).all()
    return [(each.name, sum(order.total for order in each.orders)) for each in found]
'''
N_PLUS_1 = """
async def orm(session, params, rng):
    totals = []
    for each in (await session.scalars(customers())).all():
        orders = (await session.scalars(select(Order).where(Order.customer_id == each.id))).all()
        totals.append((each.name, sum(order.total for order in orders)))
    return totals
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A git project with models, queries and a scenario that imports them; HEAD asks for each customer's orders."""
    folder = tmp_path / "my shop"
    (folder / "src" / "shop").mkdir(parents=True)
    (folder / "bench").mkdir()
    (folder / "src" / "shop" / "__init__.py").touch()
    (folder / "src" / "shop" / "models.py").write_text(MODELS.replace("LOADING", "selectin"))
    (folder / "src" / "shop" / "queries.py").write_text(SESSIONS)
    (folder / "bench" / "totals.py").write_text(TOTALS)
    git(folder, "init", "-q", "-b", "main")
    git(folder, "add", "-A")
    git(folder, "commit", "-qm", "one")
    git(folder, "tag", "before")
    (folder / "src" / "shop" / "models.py").write_text(MODELS.replace("LOADING", "select"))
    (folder / "bench" / "totals.py").write_text(TOTALS.partition("\nasync def")[0] + N_PLUS_1)
    (folder / "bench" / "added.py").write_text("async def orm(session, params, rng): return 1\n")
    git(folder, "add", "-A")
    git(folder, "commit", "-qm", "two")
    return folder


def test_an_n_plus_1_in_head_fails_with_its_name_loss_and_interval(measure: Cli, project: Path, tmp_path: Path) -> None:
    before = leftovers()
    (project / "src" / "shop" / "queries.py").write_text("not committed, and not valid Python\n")
    status = git(project, "status", "--porcelain", "--ignored")
    worktrees = git(project, "worktree", "list")
    done = measure(
        "gate", "bench", "--project", ".", "--base", "before", "-d", "asyncpg", "--budget", "80", "--rounds", "5",
        "--seed", "3",
        "-o", str(tmp_path / "g.jsonl"), "--format", "markdown", cwd=project,
    )  # fmt: skip

    assert done.returncode == 1, done.stderr
    assert "FAIL" in done.stdout
    document = json.loads(measure("show", str(tmp_path / "g.jsonl"), "--format", "json").stdout)
    (cell,) = document["cells"]
    assert (cell["scenario"], cell["driver"], cell["verdict"]) == ("totals", "asyncpg", "fail")
    assert cell["loss_low"] > MIN_LOSS
    for part in ("totals", "asyncpg", f"{100 * cell['loss']:.1f}%", f"{100 * cell['loss_low']:.1f}"):
        assert part in done.stdout
    assert "on the wire: totals, asyncpg, orm, customers=8: 4 -> 11 round trips per operation" in done.stderr
    assert "SELECT: 2 -> 9" in html.unescape(done.stdout)
    assert document["details"][0]["wire"].startswith("4 -> 11 round trips per operation: SELECT: 2 -> 9")
    assert "added.py is not in base: nothing to compare it with, left out" in done.stderr
    assert "uncommitted" in done.stderr
    assert git(project, "status", "--porcelain", "--ignored") == status
    assert git(project, "worktree", "list") == worktrees
    assert leftovers() <= before


def test_the_exact_gate_names_what_a_revision_adds(measure: Cli, project: Path, tmp_path: Path) -> None:
    arguments = ("gate", "bench/totals.py", "--project", ".", "--wire", "-d", "psycopg2")
    (project / "file").touch()
    grown = measure(
        *arguments, "-d", "asyncpg", "--base", "before", "--head", "HEAD", "--format", "json", "--report",
        "json=file/wire.json", "--report", "markdown=wire.md", cwd=project,
        GITHUB_STEP_SUMMARY=str(tmp_path / "summary.md"),
        GITHUB_ACTIONS="true",
    )  # fmt: skip
    assert grown.returncode == 1, grown.stderr
    assert "dbbench: file/wire.json cannot be written" in grown.stderr
    assert "::error title=dbbench gate --wire%3A FAIL in totals%2C psycopg2::" in grown.stderr
    document = json.loads(grown.stdout)
    assert document["verdict"] == "fail"
    assert [(change["driver"], change["base"], change["head"]) for change in document["changes"]] == [
        ("psycopg2", 4, 11),  # BEGIN, customers, their orders, ROLLBACK; then the orders of eight customers
        ("asyncpg", 4, 11),
    ]
    assert "SELECT: 2 -> 9" in document["changes"][0]["because"]
    assert "11 round trips per operation" in (project / "wire.md").read_text()
    assert "FAIL" in (tmp_path / "summary.md").read_text()
    (stored,) = (project / "results").iterdir()
    assert measure("show", str(stored), "--format", "json").stdout == grown.stdout

    fewer = measure(*arguments, "--base", "HEAD", "--head", "before", cwd=project)
    assert fewer.returncode == 0, fewer.stderr
    assert "11 -> 4 round trips per operation" in fewer.stdout

    same = measure(*arguments, "--base", "HEAD", "--head", "HEAD", "--format", "json", cwd=project)
    assert same.returncode == 0, same.stderr
    assert json.loads(same.stdout)["changes"] == []


def test_the_exact_gate_takes_no_verdict_from_half_a_count(measure: Cli, project: Path) -> None:
    broken = "\n\nasync def orm(session, params, rng):\n    raise LookupError('broken')\n"
    (project / "bench" / "totals.py").write_text(TOTALS.partition("\nasync def")[0] + broken)
    git(project, "commit", "-qam", "three")
    arguments = ("gate", "bench/totals.py", "--project", ".", "--wire", "-d", "psycopg2", "--base", "before")
    half = measure(*arguments, cwd=project)
    assert half.returncode == 3
    assert "broken" in half.stderr
    assert "there is no verdict" in half.stderr
    (kept,) = (project / "results").iterdir()  # it holds what was counted
    shown = measure("show", str(kept))
    assert (shown.returncode, shown.stdout) == (3, ""), "half a count is none"
    assert "there is no verdict" in shown.stderr

    unknown = measure(*arguments, "--report", "junit=gate.xml", cwd=project)
    assert unknown.returncode == 2
    assert "junit" in unknown.stderr


def test_a_side_that_changes_the_tables_has_tables_of_its_own(measure: Cli, project: Path, tmp_path: Path) -> None:
    models = (project / "src" / "shop" / "models.py").read_text()
    added = "total: Mapped[int]\n    note: Mapped[str | None]"
    (project / "src" / "shop" / "models.py").write_text(models.replace("total: Mapped[int]", added))
    git(project, "commit", "-qam", "a column")
    done = measure(
        "gate", "bench/totals.py", "--project", ".", "--base", "HEAD~1", "-d", "psycopg2", "--budget", "3",
        "-o", str(tmp_path / "g.jsonl"), "--format", "json", cwd=project,
    )  # fmt: skip

    assert done.returncode == 6, done.stderr
    assert "tables of their own" in done.stderr
    assert json.loads(done.stdout)["cells"][0]["loss"] is not None


def test_a_revision_that_returns_something_else_is_compared_and_it_is_said(
    measure: Cli, project: Path, tmp_path: Path
) -> None:
    path = project / "bench" / "totals.py"
    path.write_text(path.read_text().replace("order.total", "2 * order.total"))
    git(project, "commit", "-qam", "twice")
    done = measure(
        "gate", "bench/totals.py", "--project", ".", "--base", "HEAD~1", "-d", "psycopg2", "--budget", "3",
        "-o", str(tmp_path / "g.jsonl"), "--format", "json", cwd=project,
    )  # fmt: skip
    document = json.loads(done.stdout)

    assert done.returncode == 6, done.stderr
    assert document["cells"][0]["loss"] is not None
    assert "returns something else" in document["problems"][0]


def test_interpreters_that_return_something_else_are_not_compared(
    measure: Cli, pythons: tuple[Path, Path], tmp_path: Path
) -> None:
    (tmp_path / "other.py").write_text(
        "import importlib.util\n"
        "async def raw(db, params, rng):\n"
        "    await db.execute('SELECT 1')\n"
        "    return importlib.util.find_spec('only_in_head') is None\n"
    )
    done = measure(
        "gate", "other.py", *interpreters(pythons), *LAYOUT, "-d", "psycopg2", "--budget", "2", "--format", "json"
    )
    document = json.loads(done.stdout)

    assert done.returncode == 6, done.stderr
    assert document["verdict"] == "inconclusive"
    assert document["cells"][0]["loss"] is None
    assert "not comparable" in document["details"][0]["reason"]


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ((), 2, "two environments are needed"),
        (("--base", "asyncpg==0.31.0"), 2, "requirements are needed on both sides"),
        (("--project", ".", "--base", "nowhere"), 2, "nowhere"),
        (("--project", "/", "--base", "main"), 2, "git"),
        (("--base", "not a requirement", "--head", "asyncpg==0.31.0"), 2, "not a requirement"),
        (("--base", "asyncpg==0.0.1", "--head", "asyncpg==0.31.0"), 4, "asyncpg==0.0.1"),
        (("--base-python", "/bin/true", "--head-python", sys.executable), 4, "/bin/true"),
        (("--base-python", sys.executable, "--head-python", sys.executable, "--tolerance", "much"), 2, "a share"),
        (("--base-python", sys.executable, "--head-python", sys.executable, "--tolerance", "p50=5%"), 2, "p50"),
        (("--base-python", sys.executable, "--head-python", sys.executable, "--report", "xml=x"), 2, "xml"),
        (("--base-python", sys.executable, "--head-python", sys.executable, "--report", "junit"), 2, "FORMAT=FILE"),
        (("--base-python", sys.executable, "--head-python", sys.executable, "--inconclusive", "maybe"), 2, "maybe"),
    ],
)
def test_what_cannot_be_gated_is_said_and_never_looks_like_a_regression(
    arguments: tuple[str, ...], code: int, message: str, dbbench: Cli, project: Path
) -> None:
    done = dbbench("gate", *arguments, cwd=project)

    assert done.returncode == code, done.stderr
    assert message in done.stderr
    assert not done.stdout
    assert not (project / "results").exists() or not list((project / "results").iterdir())


def test_a_head_that_cannot_import_the_scenario_is_no_regression(measure: Cli, project: Path) -> None:
    (project / "src" / "shop" / "queries.py").write_text("import nothing_of_that_name\n")
    git(project, "commit", "-qam", "broken")
    done = measure("gate", "bench/totals.py", "--project", ".", "--base", "HEAD~1", cwd=project)

    assert done.returncode == 2, done.stderr
    assert "head: " in done.stderr
    assert "nothing_of_that_name" in done.stderr


def test_code_of_the_checkout_is_never_measured_as_a_revision(measure: Cli, project: Path) -> None:
    path = project / "bench" / "totals.py"
    path.write_text(f"import sys; sys.path.insert(0, {str(project / 'src')!r})\n" + path.read_text())
    git(project, "commit", "-qam", "a path")
    git(project, "tag", "-f", "before")
    done = measure("gate", "bench/totals.py", "--project", ".", "--base", "before", cwd=project)

    assert done.returncode == 2, done.stderr
    assert "not from the revision that is measured" in done.stderr


def test_parameters_that_differ_are_no_comparison(measure: Cli, project: Path) -> None:
    path = project / "bench" / "totals.py"
    path.write_text(path.read_text().replace('"customers": 8', '"customers": 80'))
    git(project, "commit", "-qam", "more")
    done = measure("gate", "bench/totals.py", "--project", ".", "--base", "HEAD~1", cwd=project)

    assert done.returncode == 2, done.stderr
    assert "customers is 8 in base and 80 in head" in done.stderr


def test_options_from_pyproject_and_an_inconclusive_gate_that_passes(
    measure: Cli, pythons: tuple[Path, Path], tmp_path: Path
) -> None:
    (tmp_path / "steady.py").write_text(STEADY)
    (tmp_path / "pyproject.toml").write_text(
        "[tool.dbbench]\nbudget = 90\n\n[tool.dbbench.gate]\nbudget = 3\ninconclusive = 'pass'\nlayer = 'raw'\n"
        "driver = ['psycopg2', 'asyncpg']\ntolerance = {time = '3%', cpu = '8%', 'steady.p99' = '20%'}\n"
    )
    done = measure("gate", "steady.py", *interpreters(pythons), "--format", "json")
    document = json.loads(done.stdout)
    rows = list(zip(document["cells"], document["details"], strict=True))

    assert done.returncode == 0, done.stderr
    assert document["verdict"] == "inconclusive"
    assert {(cell["driver"], cell["metric"], details["tolerance"]) for cell, details in rows} == {
        (driver, metric, tolerance)
        for driver in ("psycopg2", "asyncpg")
        for metric, tolerance in (("time", 0.03), ("cpu", 0.08), ("p99", 0.2))
    }
    assert {cell["verdict"] for cell, _ in rows if cell["metric"] == "p99"} == {"advisory"}
    assert measure("gate", "steady.py", *interpreters(pythons), "--inconclusive", "fail").returncode == 1

    (tmp_path / "pyproject.toml").write_text("[tool.dbbench.gate]\nbudgets = 3\n")
    wrong = measure("gate", "steady.py", *interpreters(pythons))
    assert wrong.returncode == 2
    assert "[tool.dbbench.gate] has no option 'budgets'" in wrong.stderr


def test_an_interrupted_gate_keeps_what_it_has(pythons: tuple[Path, Path], tmp_path: Path) -> None:
    (tmp_path / "steady.py").write_text(STEADY)
    before = leftovers()
    process = subprocess.Popen(
        [
            sys.executable, "-P", "-m", "dbbench", "gate", "steady.py", *interpreters(pythons), *LAYOUT,
            "-d", "psycopg2", "--format", "json", "-o", "g.jsonl",
        ],
        cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, "COLUMNS": "80"},
    )  # fmt: skip
    assert process.stderr is not None
    for line in process.stderr:
        if "after 2 blocks" in line:
            break
    time.sleep(0.1)
    process.send_signal(signal.SIGTERM)
    stdout, stderr = process.communicate(timeout=120)
    document = json.loads(stdout)

    assert process.returncode == 143, stderr
    assert document["run"]["status"] == "interrupted"
    assert document["blocks"] >= 2
    assert document["verdict"] == "inconclusive"
    assert leftovers() <= before
