"""Texts from outside: one line, nothing that commands a terminal or a log, no longer than they may be."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dbbench.texts import MAX_SAID, clean, cut, encodable, inert, said

EVIL = "\x1b]0;owned\x07\x9b2J\u202egnp.exe\u2066\r\n::error::x\n\t##[error]\x00\ud800"


@given(st.text(st.characters(exclude_categories=[])))
def test_what_is_said_is_one_line_that_can_be_encoded(text: str) -> None:
    line = said(text)

    assert len(line.splitlines()) <= 1
    assert line.encode().decode() == line == said(line)
    assert len(line) <= MAX_SAID


def test_halves_of_characters_are_question_marks() -> None:
    assert clean("caf\udce9") == "caf?"
    assert clean(EVIL) == "]0;owned2Jgnp.exe ::error::x ##[error]?"


@pytest.mark.parametrize(
    ("length", "mark"), [(50, ""), (51, "… (51 characters)"), (5_000_000, "… (5,000,000 characters)")]
)
def test_what_is_cut_says_how_long_it_was(length: int, mark: str) -> None:
    short = cut("x" * length, 50)

    assert len(short) == 50
    assert short == "x" * (50 - len(mark)) + mark


@given(st.text(), st.sampled_from(["", "  ", "\t", "\x1b[2m", " \x1b[1;31m "]))
def test_no_line_of_an_output_is_a_command(text: str, before: str) -> None:
    shown = inert(f"{text}\n{before}::error::{text}")

    assert not any(line.lstrip().startswith("::") for line in shown.split("\n"))
    assert inert(shown) == shown


def test_a_cast_within_a_line_stays() -> None:
    assert inert("SELECT id::text, '::'\n  a :: b") == "SELECT id::text, '::'\n  a :: b"


@pytest.mark.parametrize(
    ("encoding", "shown"), [("utf-8", "7 µs … ü"), ("latin-1", "7 us ... ü"), ("ascii", "7 us ... ?")]
)
def test_an_encoding_gets_what_it_has(encoding: str, shown: str) -> None:
    assert encodable("7 µs … ü", encoding) == shown
