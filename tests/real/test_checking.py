"""The check of an operation: real workers find what is not awaited and what sends nothing, and accuse nobody else."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest
from builders import start_with
from conftest import connect

from dbbench import messages
from dbbench.address import Address
from dbbench.child import WorkerFailedError, WorkerProcess
from dbbench.drivers import DRIVERS, PRESETS
from dbbench.messages import Checked, Done, Failed, Open, Start, Started
from dbbench.plan import Cell, Layer

ALL = PRESETS["all"]

PATIENCE_S = 60.0
HELPER = """
from contextlib import asynccontextmanager
from sqlalchemy import text

def early(connection):
    return None

async def load(connection):
    return (await connection.execute(text("SELECT 1"))).scalar_one()

async def each(connection):
    for row in await connection.execute(text("SELECT 1")):
        yield row[0]

@asynccontextmanager
async def scope(connection):
    yield connection

async def forgets(connection):
    connection.execute(text("SELECT 1"))
"""
TOP = """
from sqlalchemy import select, text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from helper_of_checks import each, early, forgets, load, scope

class Base(DeclarativeBase):
    pass

class Thing(Base):
    __tablename__ = "things"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]

class Counted:
    times = 0

CACHE = {}
"""
OPERATION: Final = {
    "orm": "async def orm(session, params, rng):",
    "core": "async def core(connection, params, rng):",
    "raw": "async def raw(db, params, rng):",
}
LINE: Final = TOP.count("\n") + 2  # of the first statement of an operation
AWAIT = "an `await` is missing"
FOR = "an `async for` is missing"
WITH = "an `async with` is missing"
ELSEWHERE = "sync drivers run this file without `await`, so what it awaits must be in this file"
NOTHING = "sends nothing to the server through its"


@pytest.fixture(scope="module")
def tables(server: Address) -> Iterator[str]:
    """A schema with a few things."""
    with connect(server) as connection:
        connection.execute("CREATE SCHEMA things_of_tests")
        connection.execute(
            "CREATE TABLE things_of_tests.things AS SELECT n AS id, 'x' AS name FROM generate_series(1, 9) n"
        )
        yield "things_of_tests"
        connection.execute("DROP SCHEMA things_of_tests CASCADE")


def ready(start: Start, driver: str, **changes: object) -> WorkerProcess:
    """A worker that has started."""
    worker = WorkerProcess(driver, start_with(start, driver=driver, **changes))
    worker.reply(Started, PATIENCE_S)
    return worker


def checked(worker: WorkerProcess, folder: Path, schema: str, layer: Layer, body: str) -> Checked | Failed:
    """The check of an operation whose lines these are."""
    (folder / "helper_of_checks.py").write_text(HELPER)
    path = folder / f"mine_{len(list(folder.iterdir()))}.py"
    path.write_text(f"{TOP}{OPERATION[layer]}\n    {body}\n")
    try:
        worker.ask(Open(Cell(path.stem, layer, 1, {}, str(path)), schema), Done, PATIENCE_S)
        return worker.ask(messages.Check(["1", "2", "3"]), Checked, PATIENCE_S)
    except WorkerFailedError as error:
        return Failed(str(error), error.scenario, error.unfit, error.code)


NOT_AWAITED: Final[list[tuple[Layer, str, str]]] = [  # what async drivers say of them
    (
        "core",
        'return connection.execute(text("SELECT 1"))',
        f":{LINE}: AsyncConnection.execute is not awaited: {AWAIT}",
    ),
    ("core", 'connection.execute(text("SELECT 1"))', f":{LINE}: AsyncConnection.execute is not awaited: {AWAIT}"),
    (
        "core",
        'return [connection.scalar(text("SELECT 1"))]',
        f":{LINE}: AsyncConnection.scalar is not awaited: {AWAIT}",
    ),
    ("orm", "return [thing.id for thing in session.scalars(select(Thing))]", f":{LINE}: AsyncSession.scalars is not"),
    ("orm", "return session.get(Thing, 1).name", f":{LINE}: AsyncSession.get is not awaited: {AWAIT}"),
    ("orm", "thing, other = session.scalars(select(Thing))", f":{LINE}: AsyncSession.scalars is not awaited: {AWAIT}"),
    ("orm", "return session.scalars(select(Thing))[0]", f":{LINE}: AsyncSession.scalars is not awaited: {AWAIT}"),
    ("orm", "return len(session.scalars(select(Thing)))", f":{LINE}: AsyncSession.scalars is not awaited: {AWAIT}"),
    (
        "orm",
        "one = session.scalar(select(Thing.id).where(Thing.id == 1))\n    return await session.get(Thing, one)",
        f": {AWAIT}",  # the driver's error, which keeps the coroutine, has the line
    ),
    (
        "orm",
        "return [row async for row in session.stream(select(Thing.id))]",
        f":{LINE}: AsyncSession.stream is not awaited: {AWAIT}",
    ),
    ("orm", "return [row for row in await session.stream(select(Thing.id))]", FOR),
    ("orm", "with session.begin_nested(): return await session.get(Thing, 1)", WITH),
    ("raw", "return db.fetch_one('SELECT 1')", f":{LINE}: Db.fetch_one is not awaited: {AWAIT}"),
    ("raw", "return db.fetch_one('SELECT 1')[0]", f":{LINE}: Db.fetch_one is not awaited: {AWAIT}"),
]
OF_ANOTHER_MODULE: Final[list[tuple[Layer, str, str]]] = [  # async drivers run all of them, and accuse some
    ("core", "return await load(connection)", ""),
    ("core", "return 1 + await load(connection)", ""),
    ("core", "return [one async for one in each(connection)]", ""),
    ("core", "async with scope(connection) as same: return (await same.execute(text('SELECT 1'))).scalar_one()", ""),
    ("core", "return each(connection)", f"core returns an async generator: {FOR}"),
    ("core", "return [one for one in each(connection)]", FOR),
    ("core", "return await forgets(connection)", "helper_of_checks.py:20: AsyncConnection.execute is not awaited"),
]
SENDS_NOTHING: Final[list[tuple[Layer, str]]] = [
    ("orm", "return 1"),
    ("orm", "return early(session)"),
    ("orm", "session.add(Thing(id=99, name='new'))"),
    ("orm", "thing = Thing(id=1, name='old'); session.add(thing); return thing.name"),
    ("orm", "await session.rollback()"),
    ("orm", "await session.commit()"),
    ("orm", "await session.connection()"),
    (
        "orm",
        "if not CACHE:\n        CACHE[1] = (await session.scalars(select(Thing.name))).first()\n    return CACHE[1]",
    ),
    ("core", "return early(connection)"),
    ("core", "await connection.commit()"),
    ("core", "select(Thing.id)"),
    ("raw", "return 1"),
    ("raw", "return early(db)"),
]
SENDS: Final[list[tuple[Layer, str]]] = [
    ("orm", "return (await session.get(Thing, 1)).name"),
    ("orm", "return (await (await session.connection()).exec_driver_sql('SELECT 1')).scalar()"),
    ("orm", "return await session.run_sync(lambda session: session.get(Thing, 1).name)"),
    ("orm", "session.add(Thing(id=99, name='new')); await session.flush()"),
    ("orm", "return (await (await session.connection()).get_raw_connection()).driver_connection is None"),
    ("core", "return (await connection.get_raw_connection()).driver_connection is None"),
    ("core", "return await connection.run_sync(lambda sync: sync.connection.cursor().execute('SELECT 1') and None)"),
    ("core", "async with connection.begin_nested(): pass"),
    ("core", "return await connection.get_isolation_level()"),
    ("core", "raw = await connection.engine.raw_connection(); raw.close()"),
    ("core", "async with connection.stream(text('SELECT 1')) as found: return [row[0] async for row in found]"),
    (
        "core",
        "Counted.times += 1\n    if Counted.times % 10 == 0: await connection.execute(text('SELECT 1'))\n    return 1",
    ),
    ("raw", "return await db.fetch_one('SELECT 1') is None"),
    ("raw", "return db.connection is None"),
]


@pytest.mark.parametrize("driver", ["psycopg", "asyncpg"])
def test_async_drivers_say_where_an_await_is_missing(start: Start, tables: str, tmp_path: Path, driver: str) -> None:
    with ready(start, driver) as worker:
        found = [(body, checked(worker, tmp_path, tables, layer, body)) for layer, body, _ in NOT_AWAITED]

    for (body, failed), (_, _, said) in zip(found, NOT_AWAITED, strict=True):
        assert isinstance(failed, Failed), body
        assert failed.unfit, body
        assert said in failed.message, body
        assert re.match(rf"mine_\d+\.py:({LINE}|{LINE + 1}): ", failed.message), body


@pytest.mark.parametrize("driver", ALL)
def test_what_another_module_awaits_is_refused_by_sync_drivers_alone(
    start: Start, tables: str, tmp_path: Path, driver: str
) -> None:
    with ready(start, driver) as worker:
        found = [(body, checked(worker, tmp_path, tables, layer, body)) for layer, body, _ in OF_ANOTHER_MODULE]

    for (body, answer), (_, _, of_async) in zip(found, OF_ANOTHER_MODULE, strict=True):
        said = of_async if DRIVERS[driver].is_async else ELSEWHERE
        if not said:
            assert isinstance(answer, Checked), (body, answer)
            continue
        assert isinstance(answer, Failed), body
        assert answer.unfit, body
        assert said in answer.message, body
        if not DRIVERS[driver].is_async:
            assert answer.message.startswith("mine_"), answer.message
            assert f".py:{LINE - ('returns' in answer.message)}: " in answer.message, body
            assert answer.message.endswith("or measure async drivers only: --driver psycopg,asyncpg")


@pytest.mark.parametrize("checkout", ["request", "session"])
@pytest.mark.parametrize("driver", ALL)
def test_an_operation_that_sends_nothing_is_no_measurement(
    start: Start, tables: str, tmp_path: Path, driver: str, checkout: str
) -> None:
    with ready(start, driver, checkout=checkout) as worker:
        found = [(body, layer, checked(worker, tmp_path, tables, layer, body)) for layer, body in SENDS_NOTHING]

    for body, layer, failed in found:
        assert isinstance(failed, Failed), body
        assert failed.unfit, body
        assert f".py:{LINE - 1}: {layer} {NOTHING}" in failed.message, body
        assert ("after the first operation" in failed.message) == ("CACHE" in body), body


@pytest.mark.parametrize("checkout", ["request", "session"])
@pytest.mark.parametrize("driver", ALL)
def test_nobody_is_accused_who_sends_something_or_may(
    start: Start, tables: str, tmp_path: Path, driver: str, checkout: str
) -> None:
    with ready(start, driver, checkout=checkout) as worker:
        found = [(body, checked(worker, tmp_path, tables, layer, body)) for layer, body in SENDS]

    for body, answer in found:
        assert isinstance(answer, Checked), (body, answer)
