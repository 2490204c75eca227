"""What dbbench made on a server goes, and nothing of the user's with it."""

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
import pytest
from conftest import connect
from programs import debian_postgres

from dbbench.address import Address
from dbbench.errors import LeftBehindError
from dbbench.server import schemas
from dbbench.server.janitor import Janitor
from dbbench.server.schemas import Kept, drop, drop_all, find
from dbbench.server.target import connected

RUN = "d0d0d0"
TABLES = """
    CREATE TYPE {s}.mood AS ENUM ('good', 'bad');
    CREATE TABLE {s}.orders (id serial PRIMARY KEY, mood {s}.mood, note text);
    CREATE TABLE {s}.lines (id int REFERENCES {s}.orders);
    CREATE VIEW {s}.latest AS SELECT max(id) FROM {s}.lines;
    CREATE FUNCTION {s}.one() RETURNS int LANGUAGE sql AS 'SELECT 1'
"""


@pytest.fixture
def owner(foreign: Address) -> Iterator[psycopg.Connection]:
    with connect(foreign) as connection:
        yield connection


@pytest.fixture
def schema(owner: psycopg.Connection) -> Iterator[str]:
    """A schema of ours with two tables that depend on each other, a view, a sequence, a type and a long value."""
    name = schemas.create(owner, RUN, 0)
    owner.execute(TABLES.format(s=name))
    yield name
    owner.execute(f"DROP SCHEMA IF EXISTS {name} CASCADE")


def names(connection: psycopg.Connection) -> list[str]:
    return [one.name for one in find(connection)]


def test_a_schema_goes_with_all_that_is_in_it(owner: psycopg.Connection, schema: str) -> None:
    assert drop(owner, schema) is None
    assert names(owner) == []


def test_what_has_our_name_without_our_tag_is_not_ours(owner: psycopg.Connection, schema: str) -> None:
    owner.execute("CREATE SCHEMA dbbench_d0d0d0_9; CREATE SCHEMA other")
    owner.execute(f"COMMENT ON SCHEMA other IS '{schemas.tag(RUN)}'")
    try:
        assert names(owner) == [schema]
    finally:
        owner.execute("DROP SCHEMA dbbench_d0d0d0_9; DROP SCHEMA other")


@pytest.mark.parametrize(
    ("made", "named"),
    [
        ("CREATE VIEW public.mine AS SELECT id FROM {s}.orders", "view mine"),
        ("CREATE MATERIALIZED VIEW public.mine AS SELECT id FROM {s}.orders", "materialized view mine"),
        ("CREATE TABLE public.mine (id int REFERENCES {s}.orders)", "constraint mine_id_fkey on table mine"),
        ("CREATE TABLE public.mine (mood {s}.mood)", "column mood of table mine"),
        ("CREATE TABLE public.mine (id int DEFAULT {s}.one())", "default value for column id of table mine"),
        ("CREATE TABLE public.mine () INHERITS ({s}.orders)", "table mine"),
        ("CREATE FUNCTION public.mine({s}.mood) RETURNS int LANGUAGE sql AS 'SELECT 1'", "function mine"),
    ],
)
def test_what_is_the_users_keeps_a_schema_from_being_dropped(
    owner: psycopg.Connection, schema: str, made: str, named: str
) -> None:
    owner.execute(made.format(s=schema))
    before = dump(owner)
    kept = drop(owner, schema)

    assert kept is not None
    assert kept.schema == schema
    assert named in kept.reason
    assert kept.reason.endswith("which is not ours, depends on it")
    assert dump(owner) == before
    owner.execute(
        "DROP TABLE IF EXISTS public.mine" if "TABLE public.mine" in made else f"DROP {_kind(made)} public.mine"
    )
    assert drop(owner, schema) is None


def _kind(made: str) -> str:
    return made.removeprefix("CREATE ").partition(" public.mine")[0]


def dump(connection: psycopg.Connection) -> str:
    """Everything in the database, as pg_dump writes it."""
    programs = debian_postgres()
    assert programs is not None
    info = connection.info
    done = subprocess.run(
        [programs / "pg_dump", "--restrict-key=x"] if (programs / "pg_dump").exists() else ["pg_dump"],
        env={
            **os.environ, "PGHOST": info.host, "PGPORT": str(info.port), "PGDATABASE": info.dbname,
            "PGUSER": info.user, "PGPASSWORD": info.password,
        },
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return done.stdout


def test_a_lock_of_somebody_else_is_waited_for_a_limited_time_and_named(
    owner: psycopg.Connection, schema: str, foreign: Address, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(schemas, "LOCK_LIMIT_S", 0.2)
    with connect(foreign) as other, other.transaction():
        other.execute(f"SELECT FROM {schema}.orders")
        kept = drop(owner, schema)

    assert kept == Kept(schema, "another session keeps a lock on what is in it for more than 0.2 s")
    assert drop(owner, schema) is None


def test_more_tables_than_a_transaction_can_lock_go_all_the_same(owner: psycopg.Connection, schema: str) -> None:
    for number in range(0, 1200, 100):
        owner.execute(";".join(f"CREATE TABLE {schema}.t{n} (id int)" for n in range(number, number + 100)))
    assert drop(owner, schema) is None
    assert names(owner) == []


def test_a_server_that_is_gone_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schemas, "_RETRY_S", 0.01)
    (kept,) = drop_all(Address("127.0.0.1", 1, "d", "u"), RUN, limit_s=0.05)

    assert kept.schema == "dbbench_d0d0d0_*"
    assert "u@127.0.0.1:1/d" in kept.reason


@pytest.mark.usefixtures("schema")
def test_only_the_runs_own_schemas_go(owner: psycopg.Connection, foreign: Address) -> None:
    other = schemas.create(owner, "e0e0e0", 0)
    try:
        assert drop_all(foreign, RUN) == []
        assert names(owner) == [other]
    finally:
        drop(owner, other)


def test_a_run_with_a_session_is_in_use(owner: psycopg.Connection, foreign: Address, schema: str) -> None:
    assert [one.in_use for one in find(owner)] == [False]
    with schemas.connected(foreign, schemas.application(RUN)):
        assert [(one.name, one.run, one.in_use) for one in find(owner)] == [(schema, RUN, True)]


# --- the janitor -----------------------------------------------------------------------------------------------------


def test_the_end_of_a_run_drops_its_schemas(owner: psycopg.Connection, foreign: Address) -> None:
    with connected(foreign, RUN) as target:
        name = target.create_schema(0)
        owner.execute(f"CREATE TABLE {name}.t (id int)")
        assert names(owner) == [name]
    assert names(owner) == []


def test_what_stays_is_said_and_is_no_success(owner: psycopg.Connection, foreign: Address) -> None:
    expected = r"dbbench_d0d0d0_0: view mine, which is not ours.*`dbbench clean --url URL`"
    with pytest.raises(LeftBehindError, match=expected), connected(foreign, RUN) as target:  # noqa: PT012
        name = target.create_schema(0)
        owner.execute(f"CREATE TABLE {name}.t (id int); CREATE VIEW public.mine AS TABLE {name}.t")
    said: list[str] = []
    with pytest.raises(ZeroDivisionError), connected(foreign, RUN, said.append) as target:  # noqa: PT012
        target.create_schema(1)
        raise ZeroDivisionError
    owner.execute("DROP VIEW public.mine")
    assert len(said) == 1
    assert names(owner) == ["dbbench_d0d0d0_0"]
    assert drop_all(foreign, RUN) == []


@contextmanager
def stopped(process: int) -> Iterator[None]:
    os.kill(process, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(process, signal.SIGCONT)


@pytest.mark.usefixtures("schema")
def test_a_janitor_works_on_when_the_parent_is_gone(owner: psycopg.Connection, foreign: Address) -> None:
    janitor = Janitor(foreign, RUN)
    process = janitor._process
    with stopped(process.pid):  # the parent ends before anything else happens
        for signum in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
            process.send_signal(signum)
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.close()
        process.stdout.close()
    deadline = time.monotonic() + 60
    while names(owner) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert names(owner) == []
    assert process.wait(60) == 0
