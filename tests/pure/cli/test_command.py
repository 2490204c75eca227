"""How a command ends: with one line and the exit code of errors.py, whatever it raises."""

import signal

import pytest
import typer

from dbbench.cli.command import ends_well
from dbbench.errors import DbbenchError, ExitCode, Interrupted, UsageError


def raising(error: BaseException) -> None:
    @ends_well()
    def command() -> None:
        raise error

    command()


@pytest.mark.parametrize("code", ExitCode)
def test_a_command_chooses_its_exit_code(code: ExitCode, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(typer.Exit) as caught:
        raising(typer.Exit(code))
    assert caught.value.exit_code == code
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (UsageError("no scenario 'x'"), ExitCode.USAGE, "no scenario 'x'"),
        (DbbenchError("the disk is full"), DbbenchError.exit_code, "the disk is full"),
        (Interrupted(signal.SIGTERM), 128 + signal.SIGTERM, "interrupted (SIGTERM) before anything was measured"),
        (OSError(2, "No such file", "a.csv"), ExitCode.DEGRADED, "a.csv cannot be read or written: No such file"),
        (KeyError("x"), ExitCode.BUG, "this is a bug in dbbench: test_command.py:"),
    ],
)
def test_an_error_is_one_line_and_an_exit_code(
    error: BaseException, code: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(typer.Exit) as caught:
        raising(error)
    assert caught.value.exit_code == code
    out, err = capsys.readouterr()
    assert out == ""
    assert said in err
    assert err.count("\n") == 1


def test_a_command_that_returns_ends_well() -> None:
    assert ends_well()(lambda: None)() is None


def test_ctrl_c_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(typer.Exit) as caught:
        raising(KeyboardInterrupt())
    assert caught.value.exit_code == 128 + signal.SIGINT
    assert capsys.readouterr() == ("", "")
