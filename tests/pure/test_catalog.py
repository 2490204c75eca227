"""Finding and loading scenarios."""

import asyncio
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest

from dbbench import catalog
from dbbench.errors import ScenarioError, UsageError

GOOD = "async def raw(db, params, rng): return 1\n"


def test_the_built_in_scenarios_are_found_by_name() -> None:
    assert [path.stem for path in catalog.find([])] == ["point_reads", "bulk_inserts", "concurrent_sessions"]
    assert [path.stem for path in catalog.find(["bulk_inserts"])] == ["bulk_inserts"]


@pytest.mark.parametrize("sync", [False, True])
@pytest.mark.parametrize("path", catalog.builtin().values(), ids=lambda path: path.stem)
def test_every_built_in_scenario_has_all_layers_and_a_summary(path: Path, sync: bool) -> None:
    scenario = catalog.load(path, sync=sync)

    alone = {"web_requests": ["app"], "n_plus_one": ["orm"], "in_lists": ["core", "raw"], "upsert": ["core", "raw"]}
    assert list(scenario.operations) == alone.get(path.stem, ["orm", "core", "raw"])
    assert scenario.summary.endswith(".")
    assert scenario.defaults


def test_a_file_and_a_directory_are_scenarios_too(tmp_path: Path) -> None:
    for name in ("b.py", "a.py", "_shared.py", "notes.txt"):
        (tmp_path / name).write_text(GOOD)

    assert [path.name for path in catalog.find([str(tmp_path)])] == ["a.py", "b.py"]
    assert [path.name for path in catalog.find([str(tmp_path / "b.py"), str(tmp_path)])] == ["b.py", "a.py"]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("point_read", "did you mean point_reads?"),
        ("xyz", "there is bulk_inserts, concurrent_sessions, in_lists, n_plus_one, point_reads, upsert, "),
        ("nowhere/mine.py", "nowhere/mine.py: no such scenario file"),
    ],
)
def test_an_unknown_scenario_is_named_with_what_there_is(name: str, message: str) -> None:
    with pytest.raises(UsageError, match=re.escape(message)):
        catalog.find([name])


def test_an_empty_directory_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no scenario"):
        catalog.find([str(tmp_path)])


def test_two_scenarios_of_one_name_are_refused(tmp_path: Path) -> None:
    (tmp_path / "point_reads.py").write_text(GOOD)
    with pytest.raises(UsageError, match="two scenarios are called point_reads"):
        catalog.find(["point_reads", str(tmp_path / "point_reads.py")])


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("x = (\n", r"mine\.py:1: '\(' was never closed"),
        ("\nimport nowhere_to_be_found\n", r"mine\.py:2: ModuleNotFoundError: No module named"),
        ("def raw(db, params, rng): ...\n", r"mine\.py:1: raw must be an `async def`"),
        ("async def raw(db): ...\n", r"mine\.py:1: raw must take \(connection, params, rng\)"),
        ("def prepare(connection): ...\n" + GOOD, r"mine\.py:1: prepare must take \(connection, params\)"),
        ("# nothing\n", r"mine\.py:1: no operation: define `async def orm"),
        ("PARAMS = ['rows']\n" + GOOD, r"mine\.py:1: PARAMS must be a dict"),
        ("PARAMS = {'rows': [1]}\n" + GOOD, r"mine\.py:1: PARAMS\['rows'\] must be a bool, int, float or str"),
        ("SESSIONS = (0,)\n" + GOOD, r"mine\.py:1: SESSIONS must be a tuple of positive whole numbers"),
        (GOOD + "SESSIONS = 5\n", r"mine\.py:2: SESSIONS must be a tuple of positive whole numbers"),
        (GOOD + "\n\nrows = 100\n", r"mine\.py:4: rows must be a function .*another name if it is not meant"),
        ("class raw: ...\n", r"mine\.py:1: raw must be a function with the arguments \(connection, params, rng\)"),
        ("\nraw = lambda db, params, rng: 1\n", r"mine\.py:2: raw must be an `async def`"),
        ("\nfrom other_ops import raw\n", r"mine\.py:2: raw is imported from other_ops; copy it into this file"),
        ("from other_ops import *\n", r"mine\.py:1: no operation: .*; what `import \*` brings in does not count"),
    ],
)
def test_a_broken_scenario_is_named_with_file_and_line(tmp_path: Path, source: str, message: str) -> None:
    path = tmp_path / "mine.py"
    path.write_text(source)
    (tmp_path / "other_ops.py").write_text("async def raw(db, params, rng): return 1\n")
    try:
        with pytest.raises(ScenarioError, match=message):
            catalog.load(path, sync=False)
    finally:
        sys.modules.pop("other_ops", None)
        sys.path[:] = [each for each in sys.path if each != str(tmp_path)]


SHOP = """
def raw(): return "of the shop"
def prepare(everything): ...
async def aloud(db, params, rng): return "imported"
def decorated(function):
    async def wrapper(*arguments): return await function(*arguments)
    return wrapper
rows = 7
SESSIONS = None
"""


@pytest.fixture
def beside(tmp_path: Path) -> Iterator[Path]:
    """A scenario's path, beside a module `a_shop` with names of its own."""
    (tmp_path / "a_shop.py").write_text(SHOP)
    yield tmp_path / "mine.py"
    sys.modules.pop("a_shop", None)
    sys.path[:] = [each for each in sys.path if each != str(tmp_path)]


@pytest.mark.parametrize("sync", [False, True])
def test_what_a_star_brings_in_is_not_the_scenarios(beside: Path, sync: bool) -> None:
    beside.write_text(
        "from a_shop import *\nfrom sqlalchemy import orm\n\nasync def core(connection, params, rng): ...\n"
    )
    scenario = catalog.load(beside, sync=sync)

    assert (list(scenario.operations), scenario.sessions) == (["core"], [1])
    assert (scenario.prepare, scenario.rows) == (None, None)


@pytest.mark.parametrize("sync", [False, True])
@pytest.mark.parametrize(
    "source",
    [
        "async def raw(db, params, rng): return 'here'\n",
        "if True:\n    async def raw(db, params, rng): return 'here'\n",
        "async def work(db, params, rng): return 'here'\nraw = work\n",
        "import functools\nasync def work(what, db, params, rng): return what\nraw = functools.partial(work, 'here')\n",
        "class Work:\n    async def __call__(self, db, params, rng): return 'here'\nraw = Work()\n",
        "def made(what):\n    async def raw(db, params, rng): return what\n    return raw\nraw = made('here')\n",
        (
            "import functools\ndef plain(function):\n    @functools.wraps(function)\n    def wrapper(*arguments):\n"
            "        return function(*arguments)\n    return wrapper\n"
            "@plain\nasync def raw(db, params, rng): return 'here'\n"
        ),
    ],
)
def test_an_operation_may_be_made_in_any_way_in_its_file(beside: Path, source: str, sync: bool) -> None:
    beside.write_text(source)
    operation = catalog.load(beside, sync=sync).operations["raw"]
    result = operation(None, {}, Random())

    assert (result if sync else asyncio.run(result)) == "here"


@pytest.mark.parametrize(
    "source",
    [
        "import a_shop\nraw = a_shop.aloud\n",
        "from a_shop import decorated\n@decorated\nasync def raw(db, params, rng): return 'here'\n",
    ],
)
def test_an_operation_that_another_module_makes_has_no_twin(beside: Path, source: str) -> None:
    beside.write_text(source)

    assert catalog.load(beside, sync=False).operations
    with pytest.raises(ScenarioError, match=r"mine\.py:\d: raw is made by an `async def` of another module; copy it"):
        catalog.load(beside, sync=True)


def test_a_scenario_may_import_its_neighbours(tmp_path: Path) -> None:
    (tmp_path / "neighbour_of_mine.py").write_text("VALUE = 3\n")
    (tmp_path / "mine.py").write_text("from neighbour_of_mine import VALUE\nPARAMS = {'rows': VALUE}\n" + GOOD)

    assert catalog.load(tmp_path / "mine.py", sync=False).defaults == {"rows": 3}


def test_parameters_take_the_type_of_their_default(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text("PARAMS = {'rows': 1, 'share': 0.5, 'fast': True, 'name': 'x'}\n" + GOOD)
    scenario = catalog.load(path, sync=False)

    overrides = {"rows": "1_000", "mine.share": "0.25", "fast": "no", "name": "=1", "other.name": "ignored"}
    assert scenario.params(overrides) == {"rows": 1000, "share": 0.25, "fast": False, "name": "=1"}
    with pytest.raises(UsageError, match=re.escape("--set rows=many: rows takes a value like 1 (int)")):
        scenario.params({"rows": "many"})


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("form", "values,many", ("--set form=values,many: one run takes one value of form; "
         "--vary set.form=values,many compares several; a comma that belongs to it goes in quotes: "
         "--set 'form=\"values,many\"'")),
        ("rows", "1,2", "one run takes one value of rows, like 7; --vary set.rows=1,2 compares several"),
        ("share", "0,5", "one run takes one value of share, like 0.5;"),
        ("fast", "yes,no", "one run takes one value of fast, like True; --vary set.fast=yes,no compares several"),
    ],
)  # fmt: skip
def test_several_values_are_not_one(tmp_path: Path, name: str, text: str, message: str) -> None:
    path = tmp_path / "mine.py"
    path.write_text("PARAMS = {'form': 'many', 'rows': 7, 'share': 0.5, 'fast': True}\n" + GOOD)
    with pytest.raises(UsageError, match=re.escape(message)):
        catalog.load(path, sync=False).params({name: text})


@pytest.mark.parametrize(
    ("text", "value"), [('"a,b"', "a,b"), ("plain", "plain"), ('"plain"', "plain"), ('""', ""), ('"', '"'), ("", "")]
)
def test_quotes_are_no_part_of_a_value(tmp_path: Path, text: str, value: str) -> None:
    path = tmp_path / "mine.py"
    path.write_text("PARAMS = {'form': 'many', 'list': 'x,y'}\n" + GOOD)
    scenario = catalog.load(path, sync=False)

    assert scenario.params({"form": text}) == {"form": value, "list": "x,y"}
    assert scenario.params({"list": "y,z"})["list"] == "y,z"
