"""Tables in terminals of any width: whole words, no number cut, and nothing but text in a line.

UPDATE_GOLDEN=1 pytest tests/pure/reports/test_widths.py writes tests/golden/narrow anew; look at the difference.
"""

import io
import os
import re
from pathlib import Path
from typing import Final

import pytest
from found import found
from rich.cells import cell_len
from rich.console import Console

from dbbench.reports import FORMATS, renderer
from dbbench.reports.console import as_text

GOLDEN: Final = Path(__file__).parents[2] / "golden" / "narrow"
FOUND: Final = found()


def printed(name: str, width: int, *, terminal: bool = False) -> str:
    command, of, options = FOUND[name]
    render = renderer(command)
    assert render is not None
    console = Console(
        file=io.TextIOWrapper(io.BytesIO(), encoding="utf-8"), width=width, force_terminal=terminal,
        legacy_windows=False,
    )  # fmt: skip
    return as_text(render, of, console=console, **options)


def words(text: str) -> set[str]:
    return {word for word in text.split() if not re.fullmatch("[─-]+", word)}


def test_every_command_that_has_a_table_is_here() -> None:
    tables = {command for (command, format_), to in FORMATS.items() if format_ == "table" and to.endswith(":render")}

    assert {command for command, _, _ in FOUND.values()} == tables


@pytest.mark.parametrize("width", [60, 80, 100])
@pytest.mark.parametrize("name", FOUND)
def test_words_and_numbers_stay_whole(name: str, width: int) -> None:
    narrow, wide = printed(name, width), printed(name, 1000)

    assert words(narrow) == words(wide)
    assert max(cell_len(line) for line in narrow.splitlines()) <= width


@pytest.mark.parametrize("terminal", [False, True])
@pytest.mark.parametrize("name", FOUND)
def test_no_line_ends_in_blanks(name: str, terminal: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    shown = printed(name, 80, terminal=terminal)

    assert ("\x1b[" in shown) == terminal
    for line in shown.splitlines():
        assert not re.sub("\x1b\\[[0-9;]*m", "", line).endswith(" ")


@pytest.mark.parametrize("name", FOUND)
def test_the_narrow_table_is_the_golden_one(name: str) -> None:
    path, shown = GOLDEN / f"{name}.txt", printed(name, 60)
    if os.environ.get("UPDATE_GOLDEN"):
        path.parent.mkdir(exist_ok=True)
        path.write_text(shown, encoding="utf-8")

    assert shown == path.read_text(encoding="utf-8")
