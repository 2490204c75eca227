"""Defaults from pyproject.toml."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from dbbench.cli.app import app, parsed
from dbbench.cli.pyproject import Option, defaults
from dbbench.errors import UsageError

COMMANDS = {
    "run": {
        "url": Option("url", repeatable=False),
        "set": Option("set_", repeatable=True),
        "driver": Option("driver", repeatable=True),
        "format": Option("format_", repeatable=False, words=("table", "csv", "markdown")),
        "budget": Option("budget", repeatable=False),
    },
    "wire": {
        "url": Option("url", repeatable=False),
        "driver": Option("driver", repeatable=True),
        "format": Option("format_", repeatable=False, words=("table", "csv")),
        "trace": Option("trace", repeatable=False, flag=True),
    },
}


def read(folder: Path, text: str, command: str) -> dict[str, object]:
    (folder / "pyproject.toml").write_text(text)
    return defaults(folder, command, COMMANDS)


def test_every_command_takes_what_it_has(tmp_path: Path) -> None:
    text = "[tool.dbbench]\nurl = 'x'\ndriver = 'asyncpg'\nbudget = 30\ntrace = true\nset = {rows = 5, b = 'c'}\n"

    assert read(tmp_path, text, "run") == {
        "url": "x", "driver": ["asyncpg"], "budget": "30", "set_": ["rows=5", "b=c"]
    }  # fmt: skip
    assert read(tmp_path, text, "wire") == {"url": "x", "driver": ["asyncpg"], "trace": True}


def test_a_commands_own_table_goes_before_the_common_one(tmp_path: Path) -> None:
    text = "[tool.dbbench]\nurl = 'x'\ndriver = ['a']\n[tool.dbbench.wire]\ndriver = ['b', 'c']\n"

    assert read(tmp_path, text, "wire") == {"url": "x", "driver": ["b", "c"]}
    assert read(tmp_path, text, "run") == {"url": "x", "driver": ["a"]}


def test_a_word_that_only_another_command_knows_is_ignored(tmp_path: Path) -> None:
    assert read(tmp_path, "[tool.dbbench]\nformat = 'markdown'\n", "wire") == {}
    assert read(tmp_path, "[tool.dbbench]\nformat = 'csv'\n", "wire") == {"format_": "csv"}
    assert read(tmp_path, "[tool.dbbench]\nformat = 'none has it'\n", "wire") == {"format_": "none has it"}
    assert read(tmp_path, "[tool.dbbench.wire]\nformat = 'markdown'\n", "wire") == {"format_": "markdown"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[tool.dbbench]\ntracing = true\n", r"\[tool.dbbench\] has no option 'tracing'; did you mean trace\?"),
        ("[tool.dbbench.wire]\nbudget = 3\n", r"\[tool.dbbench.wire\] has no option 'budget'; there is url, "),
        ("[tool.dbbench.wires]\nurl = 'x'\n", r"\[tool.dbbench\] has no option 'wires'"),
        ("[tool]\ndbbench = 3\n", r"\[tool.dbbench\] must be a table"),
        ("[tool.dbbench\n", "pyproject.toml cannot be read"),
    ],
)
def test_what_no_command_knows_is_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        read(tmp_path, text, "wire")


def test_the_nearest_file_counts(tmp_path: Path) -> None:
    below = tmp_path / "a" / "b"
    below.mkdir(parents=True)
    (tmp_path / "pyproject.toml").write_text("[tool.dbbench]\nurl = 'x'\n")
    assert defaults(below, "run", COMMANDS) == {"url": "x"}
    (tmp_path / "a" / "pyproject.toml").write_text("[project]\n")
    assert defaults(below, "run", COMMANDS) == {}


TABLE = """[tool.dbbench]
pool-size = 7
seed = 9
tx-end = "commit"
sessions = "4"
driver = ["asyncpg"]
set = {rows = 50}
format = "markdown"
"""


@pytest.mark.parametrize(
    "words", [["run"], ["wire"], ["capacity", "--slo", "p99<10ms"], ["gate", "--base", "a==1", "--head", "a==2"]]
)
def test_all_measuring_commands_take_the_common_table(
    words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pyproject.toml").write_text(TABLE)
    request = parsed(words)
    options = request.gate.options if words[0] == "gate" else request.options  # type: ignore[attr-defined]

    assert (options.connections.pool.size, options.connections.tx_end, options.effort.seed) == (7, "commit", 9)
    assert options.load.sessions == (None if words[0] == "wire" else [4])
    assert "asyncpg" in options.drivers
    assert options.params == {"rows": "50"}


@pytest.mark.parametrize("command", ["capacity", "wire", "doctor", "selfcheck", "gate", "run"])
def test_a_mistake_in_the_common_table_is_a_mistake_for_all(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pyproject.toml").write_text("[tool.dbbench]\npool-sizes = 7\n")
    words = [command, *(["--slo", "p99<10ms"] if command == "capacity" else [])]
    done = CliRunner().invoke(app, words)

    assert done.exit_code == 2
    assert "[tool.dbbench] has no option 'pool-sizes'; did you mean pool-size?" in done.output
