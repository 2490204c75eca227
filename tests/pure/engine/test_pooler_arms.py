"""Drivers behind a pooler, as `dbbench run --pooler` measures them."""

import json
from pathlib import Path
from typing import Any

import pytest
from builders import cell
from conftest import Cli, connect, url_of
from pgbouncers import pgbouncer
from typer.testing import CliRunner

from dbbench.address import Address
from dbbench.cli.app import app
from dbbench.drivers import DRIVERS
from dbbench.engine.pooler_arms import behind, matrix, variants
from dbbench.plan import Connections, Pooler

pytestmark = pytest.mark.timeout(600)  # a machine may be several times slower than usual for minutes
ASYNCPG_ALONE = ("-d", "asyncpg", "--baseline", "asyncpg")
PREPARED = {"26000", "42P05", "08P01"}  # how prepared statements fail that another client made, or did not make


def test_every_driver_is_measured_with_its_defaults_and_what_is_documented_for_poolers() -> None:
    arms = matrix(["psycopg", "asyncpg", "psycopg2"], Connections())
    assert [arm.name for arm in arms] == [
        "psycopg", "psycopg+safe", "psycopg+null", "psycopg+safe+null",
        "asyncpg", "asyncpg+safe", "asyncpg+null", "asyncpg+safe+null",
        "psycopg2", "psycopg2+null",
    ]  # fmt: skip
    for arm in arms:
        assert arm.connections.settings.get(arm.driver, {}) == (DRIVERS[arm.driver].safe if "+safe" in arm.name else {})
        assert arm.connections.null_pool == arm.name.endswith("+null")


def test_the_raw_layer_is_refused(dbbench: Cli) -> None:
    pgbouncer()
    done = dbbench("run", "point_reads", "--layer", "raw", "--pooler", "session")
    assert done.returncode == 2
    assert "--pooler measures SQLAlchemy's layers" in done.stderr


def test_what_is_documented_are_settings_that_drivers_have() -> None:
    for driver in DRIVERS.values():
        assert set(driver.safe) <= set(driver.settings)


def test_cells_are_measured_without_the_poolers_too() -> None:
    poolers = variants("transaction", follows_prepared_statements=True)
    assert poolers == [Pooler("transaction", 0), Pooler("transaction", 200)]
    assert [each.pooler for each in behind([cell()], poolers)] == [None, *poolers]
    assert variants("transaction", follows_prepared_statements=False) == [Pooler("transaction")]
    assert variants("session", follows_prepared_statements=True) == [Pooler("session")]


def measured(dbbench: Cli, *arguments: str) -> dict[str, Any]:
    done = dbbench("run", "point_reads", "--tx-end", "commit", "--format", "json", "--quiet", *arguments)
    assert done.returncode == 0, done.stderr  # what fails behind a pooler is a result
    document: dict[str, Any] = json.loads(done.stdout)
    return document


def failures(document: dict[str, Any], way: str) -> dict[str, dict[str, int]]:
    """Failed operations by arm and code, of the cells that are reached this way."""
    found: dict[str, dict[str, int]] = {row["driver"]: {} for row in document["cells"] if row["params"].endswith(way)}
    for line in document["errors"]:
        if line["params"].endswith(way):
            found[line["driver"]][line["code"]] = line["operations"]
    return found


def test_defaults_fail_in_transaction_mode_and_the_documented_settings_do_not(dbbench: Cli) -> None:
    """A ROLLBACK makes psycopg forget its statements, so it takes commits to see it fail."""
    pgbouncer()
    document = measured(dbbench, "--pooler", "transaction", "--layer", "core", "--blocks", "2", "-d", "asyncpg")
    ways = {row["params"].partition("pooler=")[2] for row in document["cells"]}
    (bare,) = ways & {"transaction", "transaction,max_prepared_statements=0"}
    found = failures(document, f"pooler={bare}")
    assert found["asyncpg"]
    assert found["psycopg"]
    assert {code for codes in found.values() for code in codes} <= PREPARED
    for arm in ("psycopg+safe", "psycopg+safe+null", "asyncpg+safe", "asyncpg+safe+null"):
        assert found[arm] == {}, "not one"
        rows = [row for row in document["cells"] if row["driver"] == arm and row["params"].endswith(bare)]
        assert rows[0]["operations"] > 0
    assert not any(failures(document, "document_bytes=200").values()), "nothing fails without a pooler"
    assert not any(failures(document, "max_prepared_statements=200").values()), "one that follows them needs nothing"


def test_nothing_fails_in_session_mode(dbbench: Cli) -> None:
    pgbouncer()
    document = measured(dbbench, "--pooler", "session", "--layer", "core", "--blocks", "1", *ASYNCPG_ALONE)
    assert not any(failures(document, "pooler=session").values())
    assert {row["sessions"] for row in document["cells"]} == {15}, "as many as the pool has connections"


def test_a_pooler_in_front_of_the_users_own_server(dbbench: Cli, foreign: Address) -> None:
    pgbouncer()
    arguments = ("--pooler", "session", "--url", url_of(foreign), "--layer", "core", "--blocks", "1", "--sessions", "2")
    document = measured(dbbench, *arguments, "-d", "psycopg2", "--baseline", "psycopg2")
    assert not any(failures(document, "pooler=session").values())
    assert foreign.password not in json.dumps(document)
    assert {row["driver"] for row in document["cells"]} == {"psycopg2", "psycopg2+null"}
    with connect(foreign) as connection:
        left = connection.execute("SELECT nspname FROM pg_namespace WHERE starts_with(nspname, 'dbbench')").fetchall()
    assert left == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--pooler", "statement"], "--pooler statement: there is transaction, session"),
        (["--pooler", "session", "--rtt", "1ms"], "exclude each other"),
        (["--rate", "10", "--rtt", "1ms"], "exclude each other"),
        (["--rtt", "1"], "a time with its unit"),
        (["--rtt", "2s"], "at most 1 s"),
    ],
)
def test_bad_options_get_one_line(dbbench: Cli, arguments: list[str], message: str) -> None:
    done = dbbench("run", "point_reads", *arguments)
    assert done.returncode == 2
    assert message in done.stderr


def test_without_pgbouncer_it_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("dbbench.server.pooler.SYSTEM_PATHS", ())
    monkeypatch.setenv("PATH", "/nonexistent")
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(app, ["run", "point_reads", "--pooler", "transaction", "--quiet"])
    assert done.exit_code == 4
    assert "apt-get install pgbouncer" in done.stderr
