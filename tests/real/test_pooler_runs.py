"""Drivers behind a pooler, as `dbbench run --pooler` measures them."""

import json
from typing import Any

from conftest import Cli, connect, url_of
from pgbouncers import pgbouncer

from dbbench.address import Address

ASYNCPG_ALONE = ("-d", "asyncpg", "--baseline", "asyncpg")
PREPARED = {"26000", "42P05", "08P01"}  # how prepared statements fail that another client made, or did not make


def test_the_raw_layer_is_refused(dbbench: Cli) -> None:
    pgbouncer()
    done = dbbench("run", "point_reads", "--layer", "raw", "--pooler", "session")
    assert done.returncode == 2
    assert "--pooler and --via measure SQLAlchemy's layers" in done.stderr


def measured(measure: Cli, *arguments: str) -> dict[str, Any]:
    done = measure("run", "point_reads", "--tx-end", "commit", "--format", "json", "--quiet", *arguments)
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


def test_defaults_fail_in_transaction_mode_and_the_documented_settings_do_not(measure: Cli) -> None:
    """A ROLLBACK makes psycopg forget its statements, so it takes commits to see it fail."""
    pgbouncer()
    document = measured(measure, "--pooler", "transaction", "--layer", "core", "--blocks", "2", "-d", "asyncpg")
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


def test_nothing_fails_in_session_mode(measure: Cli) -> None:
    pgbouncer()
    document = measured(measure, "--pooler", "session", "--layer", "core", "--blocks", "1", *ASYNCPG_ALONE)
    assert not any(failures(document, "pooler=session").values())
    assert {row["sessions"] for row in document["cells"]} == {15}, "as many as the pool has connections"
    assert document["run"]["server"]["pooler"].startswith("PgBouncer 1.")


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
