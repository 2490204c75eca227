"""SQLAlchemy's async API in sync twins: every public name of it, and equal results for all drivers."""

import ast
from collections.abc import Iterator
from inspect import ismodule
from pathlib import Path
from typing import Any, Final

import async_api
import pytest
import sqlalchemy.ext.asyncio as sa
from conftest import connect

from dbbench import counterparts, messages
from dbbench.address import Address
from dbbench.child import WorkerProcess
from dbbench.drivers import PRESETS
from dbbench.messages import Checked, Done, Open, Start, Started
from dbbench.plan import Cell, Connections

ALL = PRESETS["all"]

PATIENCE_S: Final = 60.0
OF_RESULTS: Final = "all close closed fetchall fetchmany first one one_or_none partitions unique yield_per"
OF_SESSIONS: Final = (
    "add add_all autoflush begin begin_nested bind bind_mapper bind_table binds close commit connection delete "
    "delete_all deleted dirty execute execution_options expire expire_all expunge expunge_all flush get get_bind "
    "get_nested_transaction get_one get_transaction identity_key identity_map in_nested_transaction in_transaction "
    "info invalidate is_active is_modified merge merge_all new no_autoflush object_session refresh reset rollback "
    "scalar scalars"
)
SAME: Final = {  # the public names that a sync driver's objects have with the same meaning
    "AsyncAttrs": "",
    "AsyncConnection": "begin begin_nested close closed commit connection default_isolation_level dialect engine "
    "exec_driver_sql execute execution_options get_isolation_level get_nested_transaction get_transaction "
    "in_nested_transaction in_transaction info invalidate invalidated rollback scalar scalars",
    "AsyncEngine": "begin clear_compiled_cache connect dialect dispose driver echo engine execution_options "
    "get_execution_options name pool raw_connection update_execution_options url",
    "AsyncTransaction": "close commit connection is_active is_valid rollback",
    "AsyncSessionTransaction": "bound_connection commit connections is_active rollback session",
    "AsyncResult": f"{OF_RESULTS} columns fetchone freeze keys mappings scalar scalar_one scalar_one_or_none scalars t "
    "tuples",
    "AsyncScalarResult": OF_RESULTS,
    "AsyncMappingResult": f"{OF_RESULTS} columns fetchone keys",
    "AsyncTupleResult": OF_RESULTS,
    "AsyncSession": OF_SESSIONS,
    "async_scoped_session": f"{OF_SESSIONS} configure registry remove session_factory",
    "async_sessionmaker": "begin class_ configure",
}
UNTRIED: Final = {  # of those
    "t": "the same as tuples()",
    "tuples": "deprecated; the result itself",
    "dispose": "it would close the connections that are measured",
    "update_execution_options": "it would change the engine that is measured",
    "connection": "of an AsyncConnection: fails for async drivers, and SQLAlchemy says to use get_raw_connection()",
}
OF_SQLALCHEMY: Final = {"dispatch", "memoized_attribute", "memoized_instancemethod"}  # public by name only
REFUSED: Final = {"create_async_engine", "async_engine_from_config", "create_async_pool_from_url"}
FILE: Final = str(Path(async_api.__file__))


@pytest.fixture(scope="module")
def tables(server: Address) -> Iterator[str]:
    """A schema with the tables of the cases."""
    with connect(server) as connection:
        connection.execute("CREATE SCHEMA async_api")
        start = Start("psycopg-sync", server, "dbbench_test", Connections(), None)
        with WorkerProcess("tables", start) as worker:
            worker.reply(Started, PATIENCE_S)
            worker.ask(messages.Prepare(FILE, "async_api", {"case": ""}), Done, PATIENCE_S)
        yield "async_api"
        connection.execute("DROP SCHEMA async_api CASCADE")


@pytest.fixture(scope="module")
def workers(server: Address) -> Iterator[dict[str, WorkerProcess]]:
    """A worker of every driver."""
    made = {name: WorkerProcess(name, Start(name, server, "dbbench_test", Connections(), None)) for name in ALL}
    for worker in made.values():
        worker.reply(Started, PATIENCE_S)
    yield made
    for worker in made.values():
        worker.end()


def results(workers: dict[str, WorkerProcess], tables: str, case: str) -> dict[str, list[str]]:
    """Driver -> what the case's operation returned."""
    layer: Any = "core" if case in async_api.CORE else "orm"
    cell = Cell("async_api", layer, 1, {"case": case}, FILE)
    found = {}
    for name, worker in workers.items():
        worker.ask(Open(cell, tables), Done, PATIENCE_S)
        found[name] = worker.ask(messages.Check(["1"]), Checked, PATIENCE_S).lines
    return found


def public(kind: type) -> set[str]:
    """The public names of a class and of its instances."""
    declared = {name for each in kind.__mro__ for name in vars(each).get("__annotations__", {})}
    return {name for name in {*dir(kind), *declared} if not name.startswith("_")} - OF_SQLALCHEMY


def used() -> set[str]:
    """The attributes that the cases use."""
    tree = ast.parse(Path(FILE).read_text(encoding="utf-8"))
    return {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}


@pytest.mark.parametrize("name", SAME)
def test_every_public_name_is_the_same_or_translated_and_tried(name: str) -> None:
    names = public(getattr(sa, name))
    same = set(SAME[name].split())

    assert not names - same - set(counterparts.ATTRIBUTES), "what are these for a sync driver?"
    assert not same & set(counterparts.ATTRIBUTES) - {"nested"}
    assert not names - used() - set(UNTRIED), "no case tries these"


def test_every_name_of_the_module_has_a_counterpart_or_none() -> None:
    names = {name for name in dir(sa) if not name.startswith("_") and not ismodule(getattr(sa, name))}
    translated = {name.rpartition(".")[2] for name in counterparts.NAMES if name.startswith("sqlalchemy.ext.asyncio.")}

    assert names - translated - REFUSED == set()
    assert not translated & REFUSED
    assert {name for name in names if isinstance(getattr(sa, name), type)} == set(SAME)
    for name in REFUSED:
        with pytest.raises(LookupError, match=name):
            counterparts.counterpart(f"sqlalchemy.ext.asyncio.{name}")


def test_the_attributes_that_are_translated_are_those_that_are_looked_up() -> None:
    assert set(counterparts._attributes()) == set(counterparts.ATTRIBUTES)


@pytest.mark.parametrize("case", [*async_api.CORE, *async_api.ORM])
def test_every_driver_does_the_same(workers: dict[str, WorkerProcess], tables: str, case: str) -> None:
    found = results(workers, tables, case)

    assert found["psycopg2"] == found["asyncpg"] == found["psycopg"] == found["psycopg-sync"]
