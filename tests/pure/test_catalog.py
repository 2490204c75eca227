"""Finding and loading scenarios."""

import re
from pathlib import Path

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

    assert list(scenario.operations) == ["orm", "core", "raw"]
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
        ("xyz", "there is bulk_inserts, concurrent_sessions, point_reads"),
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
        ("PARAMS = ['rows']\n" + GOOD, r"mine\.py: PARAMS must be a dict"),
        ("PARAMS = {'rows': [1]}\n" + GOOD, r"mine\.py: PARAMS\['rows'\] must be a bool, int, float or str"),
        ("SESSIONS = (0,)\n" + GOOD, r"mine\.py: SESSIONS must be a tuple of positive whole numbers"),
    ],
)
def test_a_broken_scenario_is_named_with_file_and_line(tmp_path: Path, source: str, message: str) -> None:
    path = tmp_path / "mine.py"
    path.write_text(source)
    with pytest.raises(ScenarioError, match=message):
        catalog.load(path, sync=False)


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
