"""The drivers over a table of types: equal values, or a difference that has a name. See types_table.py."""

import asyncio
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from typing import Any

import psycopg
import pytest
from raws import Raw
from sqlalchemy import create_engine, literal_column, select
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import Session
from types_table import COPY, MANY, TYPES, TYPES_OF_OURS, Type, kin, told

from dbbench.address import Address
from dbbench.analysis.differences import differences
from dbbench.drivers import DRIVERS, PRESETS, Driver
from dbbench.plan import Layer
from dbbench.worker.canonical import lines
from dbbench.worker.client import server_settings

ALL = PRESETS["all"]

SCHEMA = "Types of ours"  # has to be quoted
_PATH = f'"{SCHEMA}"'
Run = Callable[[Any, Layer], Any]


@pytest.fixture(scope="module")
def owner(server: Address) -> Iterator[psycopg.Connection]:
    """A schema with a type of each kind, and a connection that is no driver under test."""
    with psycopg.connect(
        host=server.host, port=server.port, dbname=server.database, user=server.user,
        options=f'-c search_path="{SCHEMA.replace(" ", chr(92) + " ")}"', autocommit=True,
    ) as connection:  # fmt: skip
        connection.execute(f'CREATE SCHEMA "{SCHEMA}"')
        for statement in TYPES_OF_OURS:
            connection.execute(statement)
        yield connection
        connection.execute(f'DROP SCHEMA "{SCHEMA}" CASCADE')


@pytest.fixture(scope="module")
def dbs(server: Address, owner: psycopg.Connection) -> Iterator[dict[str, tuple[Raw, Any]]]:
    """Every driver's raw adapter and one connection of it."""
    del owner  # its schema must be there
    with ExitStack() as stack:
        opened = {}
        for name, driver in ((name, DRIVERS[name]) for name in ALL):
            raw = Raw(driver, server, _PATH, "autocommit")
            stack.callback(raw.close)
            opened[name] = raw, stack.enter_context(raw.db())
        yield opened


@pytest.fixture(scope="module")
def engines(server: Address, owner: psycopg.Connection) -> Iterator[dict[str, Run]]:
    """Every driver's engine, as a function that runs a query at a layer and returns its value."""
    del owner
    with ExitStack() as stack:
        runner = stack.enter_context(asyncio.Runner())
        yield {name: _engine(driver, server, runner, stack) for name, driver in ((name, DRIVERS[name]) for name in ALL)}


def _engine(driver: Driver, server: Address, runner: asyncio.Runner, stack: ExitStack) -> Run:
    arguments = driver.adapter().connect_arguments(server, server_settings("dbbench_test", _PATH))
    if not driver.is_async:
        engine = create_engine(f"{driver.dialect}://", connect_args=arguments)
        stack.callback(engine.dispose)

        def run(query: Any, layer: Layer) -> Any:
            with engine.connect() if layer == "core" else Session(engine) as one:
                return one.execute(query).scalar_one()

        return run
    async_engine = create_async_engine(f"{driver.dialect}://", connect_args=arguments)
    stack.callback(lambda: runner.run(async_engine.dispose()))

    async def awaited(query: Any, layer: Layer) -> Any:
        async with async_engine.connect() if layer == "core" else AsyncSession(async_engine) as one:
            return (await one.execute(query)).scalar_one()

    return lambda query, layer: runner.run(awaited(query, layer))


def _expression(each: Type) -> str:
    return f"CAST({each.literal} AS {each.column})" if each.column else each.literal


def _natures(values: dict[str, Any]) -> dict[str, set[str]]:
    """Driver -> how its value differs from that of the first driver, where it does."""
    reference = list(lines(next(iter(values.values()))))
    found = {
        driver: {each.nature.name for each in differences(list(lines(value)), reference)}
        for driver, value in values.items()
    }
    return {driver: natures for driver, natures in found.items() if natures}


def _expected(each: Type, values: dict[str, Any]) -> set[str]:
    """The drivers that give something else than the first one, as the table has it."""
    return {driver for driver in values if each.given(driver) != each.given(next(iter(values)))}


@pytest.mark.parametrize("each", TYPES, ids=str)
def test_drivers_give_the_same_or_differ_by_name(each: Type, dbs: dict[str, tuple[Raw, Any]]) -> None:
    values: dict[str, Any] = {}
    for driver, (raw, db) in dbs.items():
        try:
            (values[driver],) = _read(raw, db, f"SELECT {_expression(each)}")
        except Exception as error:
            assert type(error).__name__ == each.given(driver)  # noqa: PT017 - of which driver, the table says
        else:
            assert each.given(driver) in ("", told(values[driver]))
    found = _natures(values)

    assert set(found) == _expected(each, values)
    assert set().union(*found.values()) <= set(each.nature.split(", "))


def _decoded(value: Any) -> Any:
    return json.loads(value) if isinstance(value, str) else value


def _each(way: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda value: list(map(way, value)) if isinstance(value, list) else way(value)


TEXT = "CAST({} AS text)"
# Nature of a difference -> the ways out that its message names: SQL around the value, and what the operation does.
WAYS_OUT: dict[str, list[tuple[str, Callable[[Any], Any]]]] = {
    "float4": [("CAST({} AS float8)", lambda value: value), ("{}", lambda value: round(value, 6))],
    "char": [(TEXT, str)],
    "infinity": [("NULLIF({}, 'infinity')", lambda value: value), (TEXT, str)],
    "json text": [("{}", _each(_decoded))],
    "json string": [(TEXT, json.loads)],
    "address text": [("{}", _each(str))],
    "none": [("{}", lambda value: value or None)],
    "": [(TEXT, str)],
}


@pytest.mark.parametrize("each", [each for each in TYPES if each.gives is not None], ids=str)
def test_the_way_out_makes_them_the_same(each: Type, dbs: dict[str, tuple[Raw, Any]]) -> None:
    ways = WAYS_OUT.get(each.nature, [(TEXT, str)])
    if each.nature == "array text" and each.column.endswith("[]"):
        ways = [*ways, ("CAST({} AS text[])", list)]
    for sql, way in ways:
        found = {
            tuple(lines(way(_read(raw, db, f"SELECT {sql.format(_expression(each))}")[0]))) for raw, db in dbs.values()
        }
        assert len(found) == 1


@pytest.mark.parametrize("layer", ["core", "orm"])
@pytest.mark.parametrize("each", [each for each in TYPES if each.typed is not None], ids=str)
def test_with_sqlalchemys_type_they_do_too(each: Type, layer: Layer, engines: dict[str, Run]) -> None:
    query = select(literal_column(_expression(each), each.typed))
    values: dict[str, Any] = {}
    for driver, run in engines.items():
        try:
            values[driver] = run(query, layer)
        except Exception as error:
            assert type(getattr(error, "orig", error)).__name__ == each.given(driver)  # noqa: PT017
    found = _natures(values)

    assert set(found) == (set() if each.levelled else _expected(each, values))
    assert set().union(*found.values()) <= set(each.nature.split(", "))


@pytest.mark.parametrize("each", [each for each in TYPES if each.value is not None], ids=str)
def test_arguments_arrive_as_they_are(each: Type, dbs: dict[str, tuple[Raw, Any]], owner: psycopg.Connection) -> None:
    """Also names that have to be quoted, NULL, and two rows."""
    table = f"Table of {TYPES.index(each)}"
    owner.execute(f'CREATE TABLE "{table}" ("Who" text, "order" text, "the ""value""" {each.column})')
    expected: list[tuple[object, ...]] = []
    (usual,) = owner.execute(f"SELECT CAST({_expression(each)} AS text)").fetchone() or (None,)
    for driver, (raw, db) in dbs.items():
        for way in (MANY, COPY):
            rows = [(driver, way, each.value), (driver, way, None)]
            key = kin(driver), way
            if key in each.refused:
                with pytest.raises(Exception, match=r".") as caught:
                    _write(raw, db, way, table, rows)
                assert type(caught.value).__name__ == each.refused[key]
            else:
                _write(raw, db, way, table, rows)
                expected += [(driver, way, each.stored.get(key, usual)), (driver, way, None)]

    found = owner.execute(f'SELECT "Who", "order", "the ""value"""::text FROM "{table}"').fetchall()  # noqa: S608
    assert sorted(found, key=str) == sorted(expected, key=str)


def _read(raw: Raw, db: Any, sql: str) -> Any:
    return raw.do(lambda: db.fetch_one(sql))


def _write(raw: Raw, db: Any, way: str, table: str, rows: Sequence[Sequence[object]]) -> None:
    if way == MANY:
        raw.do(lambda: db.execute_many(f'INSERT INTO "{table}" VALUES ($1, $2, $3)', iter(rows)))  # noqa: S608
    else:
        raw.do(lambda: db.copy_in(f"{SCHEMA}.{table}", ["Who", "order", 'the "value"'], iter(rows)))
