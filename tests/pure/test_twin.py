"""The sync twin of a module."""

import asyncio
import inspect
import pkgutil
import re
import sys
import traceback
from pathlib import Path
from types import ModuleType
from typing import Any, Self

import psycopg
import pytest
from conftest import REPOSITORY
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Session

from dbbench import counterparts
from dbbench.drivers import DEFAULT, DRIVERS
from dbbench.errors import ScenarioError
from dbbench.twin import ASYNC_ONLY, load_module

SOURCE = '''\
"""A module."""
import asyncio

async def gather(db):
    async with db.transaction() as tx:
        rows = [row async for row in db.rows()]
        async for row in db.rows():
            rows.append(row)
        await db.done(tx)
    return rows

async def sleepy():
    await asyncio.sleep(0)
    return "awake"

async def broken():
    value = 1
    return value / 0
'''


class Db:
    """Does in sync what the module awaits."""

    def __init__(self) -> None:
        self.seen: list[str] = []

    def transaction(self) -> "Db":
        return self

    def __enter__(self) -> Self:
        self.seen.append("begin")
        return self

    def __exit__(self, *_: object) -> None:
        self.seen.append("end")

    def rows(self) -> list[int]:
        return [1, 2]

    def done(self, tx: "Db") -> None:
        self.seen.append(f"done {tx is self}")


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "module.py"
    path.write_text(SOURCE)
    return path


def test_an_async_module_is_loaded_as_it_stands(source: Path) -> None:
    module = load_module(source, "test_twin_async", sync=False)
    assert inspect.iscoroutinefunction(module.gather)


def test_the_twin_does_the_same_without_awaiting(source: Path) -> None:
    module = load_module(source, "test_twin_sync", sync=True)
    db = Db()

    assert module.gather(db) == [1, 2, 1, 2]
    assert db.seen == ["begin", "done True", "end"]
    assert module.sleepy() == "awake"


def test_a_traceback_of_the_twin_points_at_the_real_line(source: Path) -> None:
    module = load_module(source, "test_twin_lines", sync=True)
    with pytest.raises(ZeroDivisionError) as caught:
        module.broken()

    last = traceback.extract_tb(caught.value.__traceback__)[-1]
    assert (last.filename, last.lineno) == (str(source), SOURCE.splitlines().index("    return value / 0") + 1)


COUNTERPARTS = """
import asyncio as aio, asyncio.locks, contextlib, psycopg
from asyncio import sleep as nap
from contextlib import asynccontextmanager
from sqlalchemy.ext import asyncio as sa

@asynccontextmanager
async def opened(seen):
    seen.append("opened")
    yield seen
    seen.append("closed")

async def counted(until):
    for number in range(until):
        got = yield number
        if got: yield got

async def works():
    seen = []
    await nap(0); await aio.sleep(-1)
    assert await aio.sleep(0, "slept") == "slept"
    lock, queue, event = aio.locks.Lock(), aio.Queue(1), aio.Event()
    async with lock, aio.Semaphore(2), opened(seen):
        await queue.put(await aio.to_thread(max, 1, 2))
        event.set()
        await event.wait()
    try: queue.put_nowait(1)
    except aio.QueueFull: seen.append("full")
    async with contextlib.AsyncExitStack() as stack:
        await stack.enter_async_context(opened(seen))
        stack.push_async_callback(aio.sleep, 0)
        stack.enter_context(contextlib.nullcontext())
    await stack.aclose()
    numbers = counted(3)
    seen += [await anext(numbers), await numbers.asend("sent")]
    await numbers.aclose()
    try: await anext(numbers)
    except StopAsyncIteration: seen.append("stopped")
    async with contextlib.aclosing(counted(2)) as some:
        seen += [number async for number in some]
    return seen, await queue.get(), await anext(aiter(counted(1)), None)

def kinds() -> sa.AsyncSession:
    return sa.AsyncSession, psycopg.AsyncConnection
"""


def test_what_is_async_has_its_counterpart_in_the_twin(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text(COUNTERPARTS)
    plain: Any = load_module(path, "test_twin_plain", sync=False)
    twin: Any = load_module(path, "test_twin_counterparts", sync=True)
    seen, *rest = twin.works()

    assert asyncio.run(plain.works()) == (seen, *rest)
    assert seen == ["opened", "closed", "full", "opened", "closed", 0, "sent", "stopped", 0, 1]
    assert twin.kinds() == (Session, psycopg.Connection)
    assert plain.kinds() == (AsyncSession, psycopg.AsyncConnection)


def test_every_name_has_a_counterpart_that_exists() -> None:
    for name in counterparts.NAMES:
        assert counterparts.counterpart(name) is not None, name
        assert name.startswith("anyio") or pkgutil.resolve_name(name) is not None


REFUSED = {
    "import asyncio\nasync def raw(db, params, rng):\n    await asyncio.gather()\n": "3: asyncio.gather",
    "import asyncio\nasync def raw(db, params, rng):\n    return asyncio.create_task(None)\n": "3: asyncio.create_task",
    "import asyncio as a\nasync def raw(*_):\n    async with a.timeout(1): pass\n": "3: asyncio.timeout",
    "from asyncio import TaskGroup as G\nasync def raw(*_):\n    async with G(): pass\n": "3: asyncio.TaskGroup",
    "from asyncio import *\nasync def raw(*_):\n\n    await wait_for(1, 2)\n": "4: asyncio.wait_for",
    "import asyncio.tasks\nasync def raw(*_): await asyncio.tasks.wait([])\n": "2: asyncio.wait",
    "import anyio\nasync def raw(*_): await anyio.create_task_group()\n": "2: anyio.create_task_group",
    "from sqlalchemy.ext.asyncio import create_async_engine as c\nasync def raw(*_): c()\n": (
        "2: sqlalchemy.ext.asyncio.create_async_engine"
    ),
    "async def raw(*_): m(sync_session_class=1)\n": "1: a sync_session_class",
    "class A:\n    def __await__(self): pass\nasync def raw(*_): await A()\n": "2: __await__",
    "import asyncio\nasync def far(): asyncio.run(1)\nasync def near(): await far()\nraw = near\n": "2: asyncio.run",
    "import asyncio\nloop = asyncio.get_event_loop()\nasync def raw(*_): loop\n": "2: asyncio.get_event_loop",
    "import asyncio\nif True:\n    asyncio.set_event_loop(None)\n": "3: asyncio.set_event_loop",
}


@pytest.mark.parametrize("source", REFUSED)
def test_what_has_no_sync_counterpart_is_named_with_its_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str
) -> None:
    monkeypatch.setitem(sys.modules, "anyio", ModuleType("anyio"))
    path = tmp_path / "gathers.py"
    path.write_text(source)
    message = re.escape(f"{path}:{REFUSED[source]} has no sync counterpart")
    with pytest.raises(ScenarioError, match=f"{message}.*measure async drivers only: --driver psycopg,asyncpg"):
        load_module(path, "test_twin_gathers", sync=True, needed=("raw",))


def test_the_async_drivers_that_are_named_are_those_of_the_table() -> None:
    names = [name for name in DEFAULT if DRIVERS[name].is_async]

    assert ASYNC_ONLY.endswith(f"--driver {','.join(names)}")


UNREACHED = """
import asyncio
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine

engine = create_async_engine("postgresql+asyncpg://")
Session = async_sessionmaker(engine)

async def raw(db, params, rng): return "raw"

async def main():
    async with asyncio.TaskGroup() as group:
        group.create_task(raw(Session(), {}, None))

if __name__ == "__main__":
    asyncio.run(main())
"""


def test_what_an_operation_does_not_reach_needs_no_counterpart(tmp_path: Path) -> None:
    path = tmp_path / "whole.py"
    path.write_text(UNREACHED)
    twin: Any = load_module(path, "test_twin_unreached", sync=True, needed=("raw",))

    assert twin.raw(None, {}, None) == "raw"
    with pytest.raises(ScenarioError, match="create_async_engine"):
        load_module(path, "test_twin_reached", sync=True)


def test_the_documents_say_what_is_translated() -> None:
    text = (REPOSITORY / "docs" / "scenarios.md").read_text(encoding="utf-8")
    section = text[text.index("## How sync drivers run it") :]
    names = [name.rpartition(".")[2] for name in (*counterparts.NAMES, *counterparts.ATTRIBUTES, *counterparts.METHODS)]

    assert [name for name in names if not re.search(rf"\b{name}\b", section)] == []
