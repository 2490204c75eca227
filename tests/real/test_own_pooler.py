"""A pooler of the user's own, `dbbench run --via`: Debian's or a newer PgBouncer in front of Debian's PostgreSQL."""

import contextlib
import json
import os
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import psycopg
import pytest
from conftest import Cli, connect, url_of
from pgbouncers import pgbouncer

from dbbench.address import Address
from dbbench.server.pgbouncer import supports_prepared_statements, version

FEW = ("--blocks", "1", "--rounds", "1", "--sessions", "4")
KINDS = ("safe", "prepare_threshold=0", "null", "safe+null")
PREPARED = {"26000", "42P05", "08P01"}  # how prepared statements fail that another client made, or did not make
TEXT = """\
from sqlalchemy import text

def prepare(connection, params):
    connection.execute(text("CREATE TABLE counted (id int)"))

async def core(connection, params, rng):
    return (await connection.execute(text("SELECT count(*) FROM counted"))).scalar()
"""


@contextlib.contextmanager
def users_pgbouncer(server: Address, **settings: str) -> Iterator[Address]:
    """A PgBouncer as a user runs it, with PgBouncer's defaults: it knows nothing of dbbench and its schemas."""
    account: dict[str, object] = {"user": 65534, "group": 65534, "extra_groups": []} if os.getuid() == 0 else {}
    with tempfile.TemporaryDirectory(prefix="dbbench-foreign-", dir="/tmp") as folder:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        secret = server.password.replace('"', '""')
        Path(folder, "users").write_text(f'"{server.user}" "{secret}"\n')
        lines = [
            "[databases]", f"* = host={server.host} port={server.port}",
            "[pgbouncer]", "listen_addr = 127.0.0.1", f"listen_port = {port}", "unix_socket_dir =",
            "auth_type = plain", f"auth_file = {folder}/users", "ignore_startup_parameters = extra_float_digits",
            *(f"{name} = {value}" for name, value in settings.items()),
        ]  # fmt: skip
        Path(folder, "ini").write_text("\n".join([*lines, ""]))
        if account:
            for each in (Path(folder), Path(folder, "users"), Path(folder, "ini")):
                os.chown(each, 65534, 65534)
        process = subprocess.Popen([pgbouncer(), f"{folder}/ini"], stderr=subprocess.DEVNULL, **account)  # type: ignore[call-overload]
        address = msgspec.structs.replace(server, port=port)
        try:
            deadline = time.monotonic() + 60
            while True:
                try:
                    connect(address).close()
                    break
                except psycopg.OperationalError:
                    assert time.monotonic() < deadline
                    time.sleep(0.05)
            yield address
        finally:
            process.kill()
            process.wait()


@pytest.fixture(scope="module")
def transaction(foreign: Address) -> Iterator[Address]:
    """Transaction pooling that follows no prepared statements: none did before 1.21."""
    follows = {"max_prepared_statements": "0"} if supports_prepared_statements(version(pgbouncer())) else {}
    with users_pgbouncer(foreign, pool_mode="transaction", default_pool_size="2", **follows) as address:
        yield address


def prepared(transaction: Address) -> list[str]:
    """Statements that drivers have prepared on the pooler's two server connections, held at once."""
    with contextlib.closing(connect(transaction)) as one, contextlib.closing(connect(transaction)) as other:
        found = []
        with one.transaction(), other.transaction():
            for each in (one, other):
                found += each.execute("SELECT name FROM pg_prepared_statements WHERE NOT from_sql").fetchall()
    return [name for (name,) in found]


def through(dbbench: Cli, foreign: Address, via: Address, *arguments: str) -> dict[str, Any]:
    both = ("--url", url_of(foreign), "--via", url_of(via), "--format", "json", "--quiet")
    done = dbbench("run", *arguments, "--layer", "core", *FEW, *both)
    assert done.returncode == 0, done.stderr  # what fails behind a pooler is a result
    document: dict[str, Any] = json.loads(done.stdout)
    return document


@pytest.mark.old_pgbouncer
def test_the_load_goes_through_the_users_pooler_and_leaves_nothing_in_it(
    dbbench: Cli, foreign: Address, transaction: Address
) -> None:
    arguments = ("point_reads", "--set", "rows=50", "--tx-end", "commit", "-d", "psycopg", "--baseline", "psycopg")
    document = through(dbbench, foreign, transaction, *arguments)
    rows = {(row["driver"], "via" in row["params"]): row for row in document["cells"]}
    failed = {line["driver"]: line["code"] for line in document["errors"]}
    assert all("via" in line["params"] for line in document["errors"]), "nothing fails on the server itself"
    assert {driver for driver, _ in rows} == {"psycopg", *(f"psycopg+{kind}" for kind in KINDS)}
    assert failed["psycopg+prepare_threshold=0"] in PREPARED, "which is not off"
    assert not [driver for driver in failed if "+safe" in driver]
    assert all(rows["psycopg+safe", via]["operations"] for via in (False, True))
    assert "prepared statements are lost" in document["run"]["server"]["pooler"]
    assert foreign.password not in json.dumps(document)
    assert prepared(transaction) == []
    with connect(foreign) as connection:
        left = connection.execute("SELECT nspname FROM pg_namespace WHERE starts_with(nspname, 'dbbench')").fetchall()
    assert left == []


def test_a_way_without_a_pooler_is_measured_as_well(dbbench: Cli, foreign: Address) -> None:
    """A proxy, say, that hands on what it gets."""
    document = through(dbbench, foreign, foreign, "point_reads", "-d", "psycopg2", "--baseline", "psycopg2")
    assert {row["params"].partition("pooler=")[2] for row in document["cells"]} == {"", "session,via"}
    assert document["errors"] == []


def test_statements_as_text_are_told_apart_from_the_users_own_tables(
    dbbench: Cli, foreign: Address, transaction: Address, tmp_path: Path
) -> None:
    """They have no schema in them, so they find none of our tables there, and must find none of the user's."""
    (tmp_path / "counts.py").write_text(TEXT)
    arguments = ("run", "counts.py", "--layer", "core", *FEW, "-d", "psycopg2", "--baseline", "psycopg2",
                 "--url", url_of(foreign), "--via", url_of(transaction))  # fmt: skip
    done = dbbench(*arguments)
    assert done.returncode == 3, done.stderr
    assert "finds dbbench's tables only where SQLAlchemy writes it" in " ".join(done.stderr.split())
    with connect(foreign) as connection:
        connection.execute("CREATE TABLE counted (id int)")
        try:
            done = dbbench(*arguments)
        finally:
            connection.execute("DROP TABLE counted")
    assert done.returncode == 4
    assert "counted there are tables of your own" in " ".join(done.stderr.split())


def test_what_leads_elsewhere_is_refused(dbbench: Cli, foreign: Address, server: Address, transaction: Address) -> None:
    with connect(foreign) as connection:
        connection.execute("CREATE DATABASE elsewhere")
        connection.execute(f"CREATE ROLE another LOGIN SUPERUSER PASSWORD '{foreign.password}'")
    try:
        for via, said in (
            (server, "leads to another server or database"),
            (msgspec.structs.replace(transaction, database="elsewhere"), "leads to another server or database"),
            (msgspec.structs.replace(foreign, user="another"), "works as another, --url"),
            (msgspec.structs.replace(foreign, port=1), "--via owner@127.0.0.1:1/postgres: "),
        ):
            done = dbbench("run", "point_reads", "--url", url_of(foreign), "--via", url_of(via))
            assert (done.returncode, said in " ".join(done.stderr.split())) == (4, True), done.stderr
            assert foreign.password not in done.stderr
    finally:
        with connect(foreign) as connection:
            connection.execute("DROP DATABASE elsewhere WITH (FORCE)")
            connection.execute("DROP ROLE another")
