"""Result files of schema 1, which dbbench 0.1.0 wrote, print as they did then.

tests/data/schema1 holds them with what 0.1.0 printed: 80 columns, no terminal. They are never written anew, except that
ratios and intervals of runs have been estimated another way since (stats/centre.py): in settings.*. Columns and keys
have been added to CSV and JSON; those that there were have the same values.
"""

import csv
import json
import re
from collections import defaultdict
from typing import Any, Final

import pytest
from conftest import REPOSITORY
from typer.testing import CliRunner

from dbbench import result_file
from dbbench.cli.app import app

FOLDER: Final = REPOSITORY / "tests" / "data" / "schema1"
FILES: Final = sorted(path.stem for path in FOLDER.glob("*.jsonl"))
PRINTED: Final = {
    "txt": ("show",),
    "details.txt": ("show", "--details"),
    "csv": ("export", "--format", "csv"),
    "json": ("export", "--format", "json"),
    "md": ("export", "--format", "markdown"),
}


@pytest.mark.parametrize("suffix", PRINTED)
@pytest.mark.parametrize("name", FILES)
def test_it_prints_what_it_always_did(name: str, suffix: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(FOLDER)
    monkeypatch.setenv("COLUMNS", "80")
    command, *options = PRINTED[suffix]
    done = CliRunner().invoke(app, [command, f"{name}.jsonl", *options])

    assert done.exit_code == 0, done.stderr
    now, then = done.stdout, (FOLDER / f"{name}.{suffix}").read_text(encoding="utf-8")
    match suffix:
        case "csv":
            assert contains(list(csv.DictReader(now.splitlines())), list(csv.DictReader(then.splitlines())))
        case "json":
            assert contains(json.loads(now), json.loads(then))
        case "md":
            assert now == then
        case _:  # 0.1.0 filled the lines of tables up with blanks
            assert now == re.sub(" +$", "", then, flags=re.MULTILINE)


def contains(now: Any, then: Any) -> bool:
    """Whether a document has everything that it had, in the same order, and perhaps more keys."""
    if isinstance(then, dict):
        return [key for key in now if key in then] == list(then) and all(contains(now[key], then[key]) for key in then)
    if isinstance(then, list):
        return len(now) == len(then) and all(map(contains, now, then))
    return bool(now == then)


@pytest.mark.parametrize("name", FILES)
def test_a_seed_still_draws_the_same_order(name: str) -> None:
    """The order of cells, arms and slices in the file is the one that its plan draws from its seed today."""
    run = result_file.read(FOLDER / f"{name}.jsonl")
    plan = run.header.plan
    cells: dict[int, list[int]] = defaultdict(list)
    arms: dict[tuple[int, int, int], list[tuple[int, str]]] = defaultdict(list)
    for measured in run.measurements:
        if measured.cell not in cells[measured.block]:
            cells[measured.block].append(measured.cell)
        for slice_ in measured.slices:
            arms[measured.block, measured.cell, slice_.round].append((slice_.position, measured.arm))

    assert cells
    for block, found in cells.items():
        assert found == [cell for cell in plan.cell_order(block) if cell in found]
    for (block, cell, round_), positions in arms.items():
        drawn = [arm.name for arm in plan.arm_order(block, cell, round_)]
        there = [arm for _, arm in sorted(positions)]
        assert there == [name for name in drawn if name in there]
