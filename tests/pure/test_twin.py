"""The sync twin of a module."""

import inspect
import re
import traceback
from pathlib import Path
from typing import Any, Self

import pytest

from dbbench.errors import ScenarioError
from dbbench.twin import load_module

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


def test_names_are_replaced_only_in_the_twin(tmp_path: Path) -> None:
    path = tmp_path / "renamed.py"
    path.write_text("from queue import Queue\nimport queue\nkind = Queue\nassert kind is queue.Queue\n")
    plain: Any = load_module(path, "test_twin_plain", sync=False)
    twin: Any = load_module(path, "test_twin_renamed", sync=True, renames={"Queue": "LifoQueue"})

    assert plain.kind.__name__ == "Queue"
    assert twin.kind.__name__ == "LifoQueue"


def test_what_has_no_sync_counterpart_is_named_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "gathers.py"
    path.write_text("import asyncio\nasync def raw(db, params, rng):\n    await asyncio.gather()\n")
    with pytest.raises(ScenarioError, match=re.escape(f"{path}:3: asyncio.gather has no sync counterpart")):
        load_module(path, "test_twin_gathers", sync=True)
