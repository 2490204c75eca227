"""Errors carry their way out, and nobody takes a message apart to find it."""

from pathlib import Path

import pytest

from dbbench.commands import doctor
from dbbench.errors import CannotStartError, DbbenchError, UnreadableError, UsageError
from dbbench.result_file import read


def test_what_is_wrong_and_the_way_out_are_one_line() -> None:
    error = CannotStartError("no server", "start one")

    assert (error.message, error.remedy) == ("no server", "start one")
    assert str(error) == "no server; start one"


def test_an_error_may_have_no_way_out() -> None:
    assert str(UsageError("no; nothing")) == "no; nothing"
    assert DbbenchError("no").remedy == ""


@pytest.mark.parametrize(
    ("error", "detail", "remedy"),
    [
        (
            CannotStartError("initdb failed: out of disk; nothing was kept"),
            "initdb failed: out of disk; nothing was kept",
            "",
        ),
        (
            CannotStartError("no rights", "GRANT CREATE; or measure a copy"),
            "no rights",
            "GRANT CREATE; or measure a copy",
        ),
        (CannotStartError("two\nlines", "way\nout"), "two lines", "way out"),
    ],
)
def test_doctor_takes_the_way_out_from_the_error(error: CannotStartError, detail: str, remedy: str) -> None:
    """A semicolon may stand in somebody else's words, and in a way out."""
    check = doctor._failed("server", "problem", error)

    assert (check.detail, check.remedy) == (detail, remedy)


def test_why_a_file_is_unreadable_is_known_without_its_name(tmp_path: Path) -> None:
    path = tmp_path / "a: b.jsonl"
    path.touch()

    with pytest.raises(UnreadableError) as raised:
        read(path)

    assert raised.value.reason == "is empty"
    assert str(raised.value) == f"{path}: is empty"
