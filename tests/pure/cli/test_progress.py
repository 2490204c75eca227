"""What is seen of a run: on a terminal a bar and notes of whole words, elsewhere a line now and then."""

import io
import re
from typing import IO, cast

import pytest
from rich.console import Console

from dbbench.cli import progress
from dbbench.cli.progress import Bar, Lines
from dbbench.cli.streams import STDERR

NOTE = "other processes use 1.6 of 2 CPUs: blocks take longer, and more stays undecided; end them, or wait"


def terminal(width: int) -> tuple[Console, io.StringIO]:
    file = io.StringIO()
    return Console(file=file, width=width, force_terminal=True, color_system=None, legacy_windows=False), file


def test_notes_beside_a_bar_break_between_words() -> None:
    console, file = terminal(60)
    with Bar(console) as bar:
        bar.say("block 1")
        bar.note(NOTE)

    assert "more stays" in " ".join(file.getvalue().split())
    assert {"more", "undecided;"} <= set(file.getvalue().split())


def test_a_bar_is_not_drawn_after_every_slice(monkeypatch: pytest.MonkeyPatch) -> None:
    def drawn(redraw_s: float) -> int:
        monkeypatch.setattr(progress, "_REDRAW_S", redraw_s)
        console, file = terminal(80)
        with Bar(console) as bar:
            for done in range(100):
                bar.advance(done / 100, 1.0)
            bar.advance(1.0, 0.0)
        assert "100%" in file.getvalue()
        return len(re.findall("[0-9]+%", file.getvalue()))

    assert drawn(0.0) > 100 > drawn(3600.0)


def test_lines_say_now_and_then_how_far_a_block_is(monkeypatch: pytest.MonkeyPatch) -> None:
    def lines(line_s: float) -> list[str]:
        monkeypatch.setattr(progress, "_LINE_S", line_s)
        file = io.StringIO()
        with Lines(Console(file=file)) as watch:
            watch.say("checking")
            watch.advance(0.0, 60.0)
            watch.say("block 1")
            watch.advance(0.25, 45.0)
            watch.advance(0.5, None)
        return [re.sub(" *[0-9.]+ s  ", "", line) for line in file.getvalue().splitlines()]

    often = ["checking", "block 1 (0% done, 60 s left)"]
    assert lines(0.0) == [*often, "block 1 (25% done, 45 s left)", "block 1 (50% done)"]
    assert lines(3600.0) == often


# --- what a scenario, a server or a file name says -------------------------------------------------------------------

EVIL = "\x1b]0;owned\x07\x9b2J\u202e\n::error::x\r\n" + "::warning::y " * 20


@pytest.mark.parametrize("of", [Bar, Lines])
def test_what_is_said_commands_neither_a_terminal_nor_a_log(
    of: type[Bar | Lines], capsys: pytest.CaptureFixture[str]
) -> None:
    def said(text: str) -> str:
        console = Console(file=cast("IO[str]", STDERR), width=40, force_terminal=of is Bar, color_system=None)
        with of(console) as watch:
            for tell in (watch.say, watch.note, watch.problem):
                tell(text)
        return re.sub("\x1b\\[[0-9;?]*[A-Za-z]|\r", "", capsys.readouterr().err)  # what the bar draws with

    shown = said(EVIL)
    assert "]0;owned2J" in shown
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]", shown)
    assert not any(line.lstrip().startswith("::") for line in shown.splitlines())
    assert "… (5,000,000 characters)" in " ".join(said("x " * 2_500_000).split())
    assert len(said("x " * 2_500_000)) < 10_000
