"""Settings against settings: real drivers with real settings, as their users compare them."""

import json
from pathlib import Path
from typing import Any

import pytest
from conftest import REPOSITORY, Cli

from dbbench import result_file
from dbbench.analysis.analysis import analyse
from dbbench.records import Run

QUICK = ("--blocks", "1", "--rounds", "1", "--quiet", "--set", "rows=50")
ISOLATION = """
async def core(connection, params, rng):
    return (await connection.exec_driver_sql("SHOW transaction_isolation")).scalar_one()

async def raw(db, params, rng):
    return (await db.fetch_one("SHOW transaction_isolation"))[0]
"""
FORMAT = """
async def raw(db, params, rng):
    return int(db.connection.cursor().format)
"""
DOCUMENTS = """
from sqlalchemy import Column, Integer, MetaData, Table, select
from sqlalchemy.dialects.postgresql import JSONB

META = MetaData()
NOTES = Table("notes", META, Column("id", Integer, primary_key=True), Column("body", JSONB))

def prepare(connection, params):
    META.create_all(connection)

async def core(connection, params, rng):
    await connection.execute(NOTES.insert(), {"id": 1, "body": {"ward": [3, 4.5, "ä", None], "open": True}})
    return (await connection.execute(select(NOTES.c.body))).scalar_one()
"""


def document(measure: Cli, *arguments: str) -> dict[str, Any]:
    """Run; gives the JSON document."""
    done = measure("run", *arguments, "--format", "json")
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def stored(folder: Path) -> Run:
    (path,) = (folder / "results").glob("*.jsonl")
    return result_file.read(path)


def test_pre_ping_costs_the_round_trips_that_wire_counts(measure: Cli, tmp_path: Path) -> None:
    asked = ("point_reads", "--layer", "core", "--vary", "pool-pre-ping=off,on", "--quiet", "--set", "rows=50")
    found = document(measure, *asked, "--blocks", "1", "--rounds", "1")
    counted = json.loads(measure("wire", *asked, "--operations", "5", "--format", "json").stdout)
    trips = {cell["driver"]: cell["round_trips"] for cell in counted["cells"]}

    assert {cell["driver"]: cell["verdict"] for cell in found["cells"]} == {
        f"{driver}+pool-pre-ping={ping}": "undecided" if ping == "on" else "baseline"
        for driver in ("psycopg", "asyncpg", "psycopg2")
        for ping in ("off", "on")
    }
    run = next(
        one for path in (tmp_path / "results").glob("*.jsonl") if isinstance(one := result_file.read_any(path), Run)
    )
    assert {arm: counts[0] for arm, counts in run.header.round_trips.items()} == trips
    assert all(
        trips[f"{name}+pool-pre-ping=on"] > trips[f"{name}+pool-pre-ping=off"] for name in ("psycopg", "asyncpg")
    )


@pytest.mark.parametrize(
    "arguments",
    [
        ("--layer", "raw,core", "--driver", "psycopg,psycopg-sync", "--vary", "psycopg.binary=off,on"),
        ("--layer", "raw", "--driver", "asyncpg,psycopg2", "--vary", "tx-end=commit,autocommit",
         "--vary", "checkout=request,session"),
        ("--layer", "core", "--driver", "asyncpg,psycopg2", "--vary", "pool=1+1,null", "--sessions", "3"),
        ("--layer", "raw", "--preset", "async", "--vary", "psycopg.prepare_threshold=0,none",
         "--vary", "asyncpg.statement_cache_size=0", "--vary", "asyncpg.reset=on,off"),
        ("--layer", "core", "--driver", "asyncpg", "--vary", "pool-pre-ping=off,on", "--vary", "loop=asyncio,uvloop",
         "--rtt", "1ms"),
        ("--layer", "orm", "--driver", "psycopg2", "--vary", "psycopg2.executemany_mode=values_only,values_plus_batch"),
    ],
)  # fmt: skip
def test_every_setting_can_vary_and_changes_no_result(measure: Cli, arguments: tuple[str, ...]) -> None:
    found = document(measure, "point_reads", *QUICK, *arguments)

    assert found["run"]["problems"] == []
    assert all(cell["operations"] and not cell["errors"] for cell in found["cells"])


def test_the_isolation_level_is_the_servers(measure: Cli, tmp_path: Path) -> None:
    (tmp_path / "level.py").write_text(ISOLATION)
    done = measure(
        "run", "level.py", "--layer", "core,raw", "--preset", "all", "--vary", "isolation=read-committed,serializable",
        "--compare-anyway", "--blocks", "1", "--rounds", "1", "--quiet",
    )  # fmt: skip
    messages = [problem.message for problem in stored(tmp_path).problems]

    assert done.returncode == 0
    assert len(messages) == 2 * 4
    assert all("gave str 'serializable'" in text and "gave str 'read committed'" in text for text in messages)


def test_binary_results_come_in_binary_format(measure: Cli, tmp_path: Path) -> None:
    (tmp_path / "format.py").write_text(FORMAT)
    measure(
        "run", "format.py", "--layer", "raw", "--driver", "psycopg,psycopg-sync", "--vary", "psycopg.binary=off,on",
        "--vary", "psycopg-sync.binary=off,on", "--compare-anyway", "--blocks", "1", "--rounds", "1", "--quiet",
    )  # fmt: skip
    messages = [problem.message for problem in stored(tmp_path).problems]

    assert len(messages) == 2
    assert all("+binary=on gave int 1, " in text and "+binary=off gave int 0" in text for text in messages)


def test_a_pool_that_does_not_reset_makes_a_round_trip_less(measure: Cli) -> None:
    done = measure(
        "wire", "point_reads", "--layer", "raw", "--driver", "asyncpg", "--vary", "asyncpg.reset=on,off",
        "--set", "rows=50", "--operations", "5", "--quiet", "--format", "json",
    )  # fmt: skip
    on, off = json.loads(done.stdout)["cells"]

    assert (on["driver"], off["driver"]) == ("asyncpg+reset=on", "asyncpg+reset=off")
    assert on["round_trips"] - off["round_trips"] == 1


def test_libraries_for_json_read_and_write_the_same(measure: Cli, tmp_path: Path) -> None:
    (tmp_path / "documents.py").write_text(DOCUMENTS)
    found = document(
        measure, "documents.py", "--vary", "json=stdlib,orjson,msgspec", "--blocks", "1",
        "--rounds", "1", "--quiet",
    )  # fmt: skip

    assert found["run"]["problems"] == []
    assert len(found["cells"]) == 9


def test_parameters_are_compared_within_each_driver(measure: Cli, tmp_path: Path) -> None:
    found = document(
        measure, str(REPOSITORY / "tests/inputs/upsert_forms.py"), "--driver", "psycopg,psycopg2", "--set", "batch=20",
        "--vary", "set.form=values,many", "--blocks", "1", "--rounds", "1", "--quiet",
    )  # fmt: skip
    run = stored(tmp_path)

    assert [(cell["driver"], cell["params"], cell["verdict"]) for cell in found["cells"]] == [
        ("psycopg+form=values", "batch=20", "baseline"),
        ("psycopg+form=many", "batch=20", "undecided"),
        ("psycopg2+form=values", "batch=20", "baseline"),
        ("psycopg2+form=many", "batch=20", "undecided"),
    ]
    assert all(cell["operations"] for cell in found["cells"])
    assert [arm.params for arm in run.header.plan.arms] == [{"form": "values"}, {"form": "many"}] * 2


def test_parameters_decide_which_tables_there_are(measure: Cli, tmp_path: Path) -> None:
    """Arms whose tables differ have tables of their own; the same rows are read from both."""
    done = measure(
        "run", "point_reads", "--driver", "psycopg", "--vary", "set.rows=20,40", "--layer", "raw", "--blocks", "1",
        "--rounds", "1", "--compare-anyway",
    )  # fmt: skip

    assert done.returncode == 0, done.stderr
    assert "psycopg+rows=40 and psycopg+rows=20 have tables of their own" in done.stderr
    assert all(row.operations for row in analyse(stored(tmp_path)).rows)


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ("set.row=1,2", "--vary set.row: no parameter of point_reads; did you mean rows?"),
        ("set.rows=1,many", "--vary set.rows=many: rows takes a value like 10000 (int)"),
    ],
)
def test_a_parameter_that_is_none_is_refused(measure: Cli, written: str, message: str) -> None:
    done = measure("run", "point_reads", "--vary", written)

    assert (done.returncode, done.stdout) == (2, "")
    assert message in " ".join(done.stderr.split())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--layer", "raw", "--vary", "pool-pre-ping=off,on"), "--vary pool-pre-ping changes nothing at the raw layer"),
        (("--layer", "raw", "--vary", "pool=5+10,null"), "NullPool is SQLAlchemy's"),
        (("--layer", "core", "--vary", "asyncpg.reset=on,off"), "it is for --layer raw"),
    ],
)
def test_what_changes_nothing_is_refused(measure: Cli, arguments: tuple[str, ...], message: str) -> None:
    done = measure("run", "point_reads", *arguments)

    assert done.returncode == 2
    assert message in " ".join(done.stderr.split())


def test_arms_have_names_in_pyproject(measure: Cli, tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text(
        '[tool.dbbench.arms]\nproduction = {driver = "psycopg2", pool = "5+10"}\n'
        'candidate = {driver = "psycopg", pool = "2+0", pool-pre-ping = true, psycopg = {prepare_threshold = 0},'
        " set = {document_bytes = 200}}\n"
    )
    found = document(measure, "point_reads", *QUICK, "--arm", "production", "--arm", "candidate")

    assert [(cell["driver"], cell["verdict"]) for cell in found["cells"]] == [
        ("production", "baseline"),
        ("candidate", "undecided"),
    ]
    assert all(cell["operations"] and cell["driver_version"] for cell in found["cells"])


INSERT = """
from sqlalchemy import text

PARAMS = {{"batch": 20{more}}}

def prepare(connection, params):
    connection.execute(text("CREATE TABLE facts (id int, note text)"))

def reset(connection, params):
    connection.execute(text("TRUNCATE facts"))

async def raw(db, params, rng):
    async with db.transaction():
        {call}
"""
MANY = 'await db.execute_many("INSERT INTO facts VALUES ($1, $2)", [(n, "x") for n in range(params["batch"])])'
COPY = 'await db.copy_in("facts", ("id", "note"), [(n, params["note"]) for n in range(params["batch"])])'


def test_two_ways_to_do_one_thing_get_a_ratio_within_each_driver(measure: Cli, tmp_path: Path) -> None:
    (tmp_path / "many.py").write_text(INSERT.format(more="", call=MANY))
    (tmp_path / "copied.py").write_text(INSERT.format(more=', "note": "x"', call=COPY))
    found = document(
        measure, "many.py", "copied.py", "--between", "scenarios", "--set", "batch=30", "--driver", "psycopg,asyncpg",
        "--blocks", "1", "--rounds", "1", "--quiet",
    )  # fmt: skip
    run = stored(tmp_path)

    assert found["run"]["problems"] == [], "both leave the same rows"
    assert [(cell["scenario"], cell["driver"], cell["params"], cell["verdict"]) for cell in found["cells"]] == [
        ("many,copied", "psycopg+scenario=many", "batch=30", "baseline"),
        ("many,copied", "psycopg+scenario=copied", "batch=30", "undecided"),
        ("many,copied", "asyncpg+scenario=many", "batch=30", "baseline"),
        ("many,copied", "asyncpg+scenario=copied", "batch=30", "undecided"),
    ]
    assert [arm.path for arm in run.header.plan.arms] == ["many.py", "copied.py"] * 2
    assert all(cell["operations"] and not cell["errors"] for cell in found["cells"])


def test_scenarios_that_leave_other_rows_are_not_compared(measure: Cli, tmp_path: Path) -> None:
    (tmp_path / "many.py").write_text(INSERT.format(more="", call=MANY))
    (tmp_path / "copied.py").write_text(INSERT.format(more=', "note": "y"', call=COPY))
    done = measure("run", "many.py", "copied.py", "--between", "scenarios", "--driver", "psycopg", "--blocks", "1")

    assert done.returncode == 6
    assert "psycopg+scenario=copied gave" in " ".join(done.stdout.split())


def test_scenarios_are_compared_two_at_least(measure: Cli, tmp_path: Path) -> None:
    (tmp_path / "many.py").write_text(INSERT.format(more="", call=MANY))
    (tmp_path / "broken.py").write_text("import nothing_there\n")
    one = measure("run", "many.py", "--between", "scenarios")
    broken = measure("run", "many.py", "broken.py", "--between", "scenarios")
    layers = measure("run", "many.py", "point_reads", "--between", "scenarios", "--layer", "orm")

    assert (one.returncode, broken.returncode, layers.returncode) == (2, 2, 2)
    assert "--between scenarios compares two scenarios or more; name their files" in " ".join(one.stderr.split())
    assert "No module named 'nothing_there'" in " ".join(broken.stderr.split())
    assert "no scenario has the layer orm" in " ".join(layers.stderr.split())


def test_a_setting_can_be_gated(measure: Cli, tmp_path: Path) -> None:
    asked = ("gate", "point_reads", "--layer", "core", "--wire", "--set", "rows=50", "--format", "json")
    more = measure(*asked, "--base", "pool-pre-ping=off", "--head", "pool-pre-ping=on")
    fewer = measure(*asked, "--base", "tx-end=rollback", "--head", "tx-end=autocommit", "--driver", "asyncpg")
    (tmp_path / "pyproject.toml").write_text(
        '[tool.dbbench.arms]\nnow = {driver = "psycopg"}\nnext = {driver = "psycopg", psycopg.prepare_threshold = 0}\n'
    )
    named = measure(*asked, "--base-arm", "now", "--head-arm", "next")

    assert (more.returncode, fewer.returncode) == (1, 0), more.stderr + fewer.stderr
    assert "base: pool-pre-ping=off; head: pool-pre-ping=on" in more.stderr
    grown = {change["driver"] for change in json.loads(more.stdout)["changes"] if change["grew"]}
    assert {"psycopg", "asyncpg"} <= grown
    assert {change["driver"] for change in json.loads(fewer.stdout)["changes"]} == {"asyncpg"}
    assert named.returncode in (0, 1), named.stderr
    assert "base: now; head: next" in named.stderr
    assert {change["driver"] for change in json.loads(named.stdout)["changes"]} <= {"psycopg"}
