"""`dbbench wire` as its users run it, and what it counts: real drivers, a real server."""

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest
from conftest import Cli, url_of

from dbbench.address import Address

DRIVERS = ("psycopg", "asyncpg", "psycopg2")
CSV_COLUMNS = [
    "scenario", "layer", "driver", "tx_end", "operations", "round_trips", "messages_sent", "messages_received",
    "bytes_sent", "bytes_received", "prepares_per_100", "connect_round_trips",
]  # fmt: skip
Cell = dict[str, Any]


def wire(measure: Cli, *arguments: str) -> dict[tuple[str, str], Cell]:
    """Run it on point reads; gives the cells by layer and driver."""
    done = measure("wire", "point_reads", "--format", "json", "--operations", "10", "--quiet", *arguments)
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert document["schema"] == 1
    return {(cell["layer"], cell["driver"]): cell for cell in document["cells"]}


@pytest.mark.parametrize(
    ("tx_end", "core", "raw"),
    [
        ("rollback", {"psycopg": 3, "asyncpg": 3, "psycopg2": 3}, {"psycopg": 3, "asyncpg": 4, "psycopg2": 3}),
        ("commit", {"psycopg": 3, "asyncpg": 3, "psycopg2": 3}, {"psycopg": 3, "asyncpg": 4, "psycopg2": 3}),
        ("autocommit", {"psycopg": 1, "asyncpg": 1, "psycopg2": 1}, {"psycopg": 1, "asyncpg": 2, "psycopg2": 1}),
    ],
)
def test_round_trips_of_a_warm_point_read(measure: Cli, tx_end: str, core: dict[str, int], raw: dict[str, int]) -> None:
    """The pool of asyncpg resets each connection that comes back: one more at the raw layer."""
    cells = wire(measure, "--tx-end", tx_end)
    assert set(cells) == {(layer, driver) for layer in ("orm", "core", "raw") for driver in DRIVERS}
    for driver in DRIVERS:
        assert cells["core", driver]["round_trips"] == core[driver]
        assert cells["orm", driver]["round_trips"] == core[driver]
        assert cells["raw", driver]["round_trips"] == raw[driver]
        assert cells["core", driver]["operations"] == 10
        assert cells["core", driver]["connect_round_trips"] > 1, "SQLAlchemy asks when it first connects"
    assert cells["core", "asyncpg"]["prepares_per_100"] == 0
    assert cells["core", "psycopg"]["prepares_per_100"] == (100 if tx_end == "rollback" else 0)
    assert cells["core", "psycopg2"]["sent"] == {"Query": core["psycopg2"]}


def test_counts_are_the_same_every_time(measure: Cli) -> None:
    """Of everything, the scenario with many connections, the pipelines and the bulk inserts included."""
    arguments = ("wire", "--layer", "core,raw", "--format", "json", "--operations", "5", "--quiet")
    documents = [json.loads(measure(*arguments, "--set", "bulk_inserts.batch=200").stdout) for _ in range(2)]
    assert len(documents[0]["cells"]) == 3 * 2 * 3
    for document in documents[1:]:
        for cell, first in zip(document["cells"], documents[0]["cells"], strict=True):
            differing = {key for key in first if cell[key] != first[key]} - {"run", "started"}
            # Values that are read back, like times, differ in their length.
            assert differing <= {"bytes_sent", "bytes_received"}, (first["scenario"], first["layer"], first["driver"])
            for key in differing:
                assert cell[key] == pytest.approx(first[key], rel=0.01)


def test_asyncpg_without_its_caches_prepares_in_round_trips_of_its_own(measure: Cli) -> None:
    without = ("--driver", "asyncpg", "--layer", "core", "--driver-set", "asyncpg.prepared_statement_cache_size=0")
    closes = wire(measure, *without)["core", "asyncpg"]
    assert closes["round_trips"] == 5
    assert closes["sent"]["Close"] == 1
    assert any("Statements are not kept" in said for said in closes["explanations"])

    both = wire(measure, *without, "--driver-set", "asyncpg.statement_cache_size=0")["core", "asyncpg"]
    assert both["round_trips"] == 4
    assert "Close" not in both["sent"]


def test_psycopg_deallocates_what_it_prepared_at_every_rollback(measure: Cli) -> None:
    at_once = ("--driver", "psycopg", "--layer", "core", "--driver-set", "psycopg.prepare_threshold=0")
    cell = wire(measure, *at_once)["core", "psycopg"]
    assert cell["statements"]["DEALLOCATE ALL"] == 1
    assert cell["round_trips"] == 5, "BEGIN, prepare, execute, ROLLBACK, DEALLOCATE ALL"
    assert any("DEALLOCATE ALL" in said for said in cell["explanations"])


def test_a_pre_ping_is_counted(measure: Cli) -> None:
    cells = wire(measure, "--layer", "core", "--pool-pre-ping")
    trips = {driver: cells["core", driver]["round_trips"] for driver in DRIVERS}
    assert trips == {"psycopg": 4, "asyncpg": 6, "psycopg2": 4}
    assert all(any("pre-ping" in said for said in cells["core", driver]["explanations"]) for driver in DRIVERS)


def test_a_session_that_holds_its_connection(measure: Cli) -> None:
    cells = wire(measure, "--layer", "raw", "--checkout", "session", "--driver", "asyncpg")
    assert cells["raw", "asyncpg"]["round_trips"] == 3, "nothing goes back to the pool"


def test_the_csv_and_the_trace(measure: Cli, tmp_path: Path) -> None:
    done = measure("wire", "point_reads", "--layer", "core", "--operations", "1", "--format", "csv", "--quiet")
    assert done.returncode == 0, done.stderr
    rows = list(csv.DictReader(io.StringIO(done.stdout)))
    assert [row["driver"] for row in rows] == list(DRIVERS)
    assert list(rows[0])[: len(CSV_COLUMNS)] == CSV_COLUMNS
    assert rows[0]["round_trips"] == "3"
    (stored,) = (tmp_path / "results").iterdir()
    assert measure("export", str(stored)).stdout == done.stdout

    shown = measure(
        "wire", "point_reads", "--layer", "core", "--driver", "asyncpg", "--operations", "1", "--trace", "-o", "t.jsonl"
    )
    assert shown.returncode == 0, shown.stderr
    assert measure("show", "t.jsonl").stdout == shown.stdout
    assert "-> Bind" in shown.stdout
    assert "round trip 3" in shown.stdout
    assert max(map(len, shown.stdout.splitlines())) <= 80
    assert "counting point_reads, core" in shown.stderr


def test_the_other_options(measure: Cli) -> None:
    done = measure(
        "wire", "point_reads", "--driver", "asyncpg", "--layer", "core", "--set", "rows=50", "--seed", "3",
        "--loop", "uvloop", "--pool-size", "1", "--max-overflow", "0", "--pool-timeout", "5", "--operations", "2",
        "--driver-set", "asyncpg.prepared_statement_name_func=uuid", "--format", "markdown",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "rows=50" in done.stdout
    assert "| asyncpg | 3 |" in done.stdout


def test_a_users_own_server_and_scenario(dbbench: Cli, foreign: Address, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(
        "async def raw(db, params, rng):\n"
        "    await db.execute('SELECT 1')\n"
        "    return await db.fetch_one('SELECT $1::int', 2)\n"
    )
    done = dbbench("wire", "mine.py", "--url", url_of(foreign), "--format", "json", "--quiet")
    assert done.returncode == 0, done.stderr
    assert foreign.password not in done.stdout + done.stderr
    trips = {cell["driver"]: cell["round_trips"] for cell in json.loads(done.stdout)["cells"]}
    assert trips == {"psycopg": 4, "asyncpg": 5, "psycopg2": 4}


def test_what_cannot_be_counted_is_said_and_the_rest_is_kept(measure: Cli, tmp_path: Path) -> None:
    (tmp_path / "half.py").write_text(
        "import inspect\n"
        "async def raw(db, params, rng):\n"
        "    if 'asyncpg' in type(db).__module__: raise LookupError('not with this one')\n"
        "    return await db.fetch_one('SELECT 1')\n"
    )
    done = measure("wire", "half.py", "--format", "json")
    document = json.loads(done.stdout)
    assert done.returncode == 3
    assert {cell["driver"] for cell in document["cells"]} == {"psycopg", "psycopg2"}
    assert "not with this one" in done.stderr

    (tmp_path / "none.py").write_text("async def raw(db, params, rng): raise LookupError('never')\n")
    none = measure("wire", "none.py", "--quiet")
    assert none.returncode == 3
    assert none.stdout == ""
    assert len(list((tmp_path / "results").iterdir())) == 1, "of the first"
    assert none.stderr.strip().splitlines()[-1] == "dbbench: nothing could be counted"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--url", "postgresql://me@localhost/x?sslmode=require"], "through TLS"),
        (["--driver-set", "asyncpg.statement_cache_size"], "write it as DRIVER.NAME=VALUE"),
        (["--driver-set", "statement_cache_size=0"], "write it as DRIVER.NAME=VALUE"),
        (["--driver-set", "asyncpgg.statement_cache_size=0"], "no driver 'asyncpgg'"),
        (["--driver-set", "asyncpg.statement_cache=0"], "did you mean statement_cache_size"),
        (["--driver-set", "asyncpg.statement_cache_size=few"], "is a number"),
        (["--driver-set", "psycopg.prepare_threshold=-1"], "is a number or none"),
        (
            ["--driver-set", "psycopg2.prepare_threshold=1"],
            "no setting 'prepare_threshold' of psycopg2; there is executemany_mode, json",
        ),
        (["--driver-set", "asyncpg.prepared_statement_name_func=me"], "is uuid"),
        (["--driver", "nothing"], "no driver 'nothing'"),
        (["--driver", "asyncpg", "--driver-set", "psycopg.prepare_threshold=0"], "psycopg is not measured"),
        (["--trace", "--format", "json"], "--trace goes with --format table"),
        (["--layer", "nothing"], "--layer nothing"),
    ],
)
def test_bad_options_get_one_line(dbbench: Cli, arguments: list[str], message: str) -> None:
    done = dbbench("wire", "point_reads", *arguments)
    assert done.returncode in (2, 4), done.stderr
    assert message in done.stderr
    assert done.stdout == ""


def test_without_a_pool_every_operation_connects(measure: Cli) -> None:
    """One round trip more on a unix socket without a password, and what every driver asks of a new connection."""
    cells = wire(measure, "--layer", "core", "--null-pool")
    assert {driver: cells["core", driver]["round_trips"] for driver in DRIVERS} == {
        "psycopg": 4, "asyncpg": 5, "psycopg2": 4,
    }  # fmt: skip
    shown = measure("wire", "point_reads", "--layer", "core", "--driver", "psycopg2", "--null-pool", "--quiet").stdout
    assert "NullPool" in shown
    assert "with the connection that it opens" in " ".join(shown.split())
    refused = measure("wire", "point_reads", "--null-pool")
    assert refused.returncode == 2
    assert "NullPool is SQLAlchemy's, of the layers core and orm" in refused.stderr
