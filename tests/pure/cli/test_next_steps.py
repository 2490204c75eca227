"""The commands that are named after a run can be typed where it was."""

import os
import shlex
import sys
from pathlib import Path

import pytest

from dbbench.cli.app import parsed
from dbbench.cli.next_steps import program, steps


@pytest.fixture
def script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The script of a virtual environment below the working directory."""
    made = tmp_path / ".venv" / "bin" / "dbbench"
    made.parent.mkdir(parents=True)
    made.write_text("#!/bin/sh\n")
    made.chmod(0o755)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    return made


def test_a_script_that_the_shell_does_not_find_is_named_by_its_path(
    script: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for called in (str(script), ".venv/bin/dbbench"):
        monkeypatch.setattr(sys, "argv", [called, "run"])
        assert program() == ".venv/bin/dbbench"

    (script.parents[2] / "else where").mkdir()
    monkeypatch.chdir(script.parents[2] / "else where")
    monkeypatch.setattr(sys, "argv", [str(script), "run"])
    assert program() == str(script)


def test_a_script_that_the_shell_finds_is_named_as_it_is(script: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", [str(script), "run"])
    monkeypatch.setenv("PATH", str(script.parent), prepend=os.pathsep)

    assert program() == "dbbench"


def test_another_dbbench_on_the_path_is_not_this_one(script: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = script.parents[2] / "dbbench"
    other.write_text("#!/bin/sh\n")
    other.chmod(0o755)
    monkeypatch.setattr(sys, "argv", [str(script), "run"])
    monkeypatch.setenv("PATH", str(other.parent), prepend=os.pathsep)

    assert program() == ".venv/bin/dbbench"


def test_a_module_is_named_with_its_python(script: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["/somewhere/dbbench/__main__.py", "run"])
    monkeypatch.setattr(sys, "executable", str(script.with_name("python")))

    assert program() == ".venv/bin/python -m dbbench"


def test_three_commands_are_named_that_there_are(script: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", [str(script), "run"])
    heading, *lines = steps().splitlines()
    commands = [line.strip().partition("   ")[0] for line in lines]

    assert heading == "Next:"
    assert len(commands) == 3
    for command in commands:
        name, *words = shlex.split(command)
        assert name == ".venv/bin/dbbench"
        assert parsed(words) is not None
    assert max(map(len, lines)) <= 80
