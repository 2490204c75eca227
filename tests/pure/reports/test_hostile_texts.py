"""Whatever a file, a scenario or a server says: no report, on a terminal or in a log, obeys it."""

import json
import re
from collections.abc import Iterator, Mapping
from itertools import filterfalse
from pathlib import Path
from typing import Any

import msgspec
import pytest
from conftest import Cli
from found import stored

from dbbench.errors import UnreadableError
from dbbench.reports import exportable, formats
from dbbench.result_file import read_any
from dbbench.result_lines import BODY

EVIL = "\x1b]0;owned\x07\x9b2J\u202e\n::error title=a::b ::warning::c " + " ::notice::d" * 12 + " "
CONTROLS = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")
COMMANDS = {"run": "run", "layered": "run", "open_loop": "run", "capacity": "capacity", "pool": "pool",
            "wire": "wire", "selfcheck": "selfcheck"}  # fmt: skip
PLACES = [(name, format_) for name, command in COMMANDS.items() for format_ in formats(command)]


def texts(value: Any) -> Iterator[str]:
    """All texts in plain data, keys of what has no fixed fields among them."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, item in value.items():
            yield key
            yield from texts(item)
    elif isinstance(value, list):
        for item in value:
            yield from texts(item)


def changed(value: Any, old: str, new: str) -> Any:
    """Plain data with another text in place of one."""
    if isinstance(value, dict):
        return {new if key == old else key: changed(item, old, new) for key, item in value.items()}
    if isinstance(value, list):
        return [changed(item, old, new) for item in value]
    return new if value == old else value


def hostile(path: Path, records: Any) -> Path:
    """A file in which every text is hostile that may be anything."""
    lines = [msgspec.to_builtins(record, str_keys=True) for record in records]
    one_of_each = list({line["type"]: line for line in lines}.values())

    def write(of: list[Any]) -> None:
        path.write_text("".join(json.dumps(line) + "\n" for line in of))

    changes = 0
    for text in filterfalse(str.isdecimal, dict.fromkeys(texts(one_of_each))):  # those are buckets
        new = (EVIL + text)[:100]
        attempt = changed(one_of_each, text, new)
        write(attempt)
        try:
            read_any(path)
        except UnreadableError:
            continue
        one_of_each, lines = attempt, changed(lines, text, new)
        changes += 1
    assert changes > 5, "a hostile file"
    write(lines)
    return path


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Path]:
    """Hostile files, by the command that wrote them."""
    folder = tmp_path_factory.mktemp("hostile")
    return {name: hostile(folder / f"{name}.jsonl", stored()[name]) for name in COMMANDS}


def check(shown: str) -> None:
    assert shown
    assert not CONTROLS.search(shown)
    for line in shown.split("\n"):
        assert not line.lstrip().startswith("::"), line


@pytest.mark.parametrize(("name", "format_"), PLACES)
def test_show_obeys_nothing(files: Mapping[str, Path], dbbench: Cli, name: str, format_: str) -> None:
    details = ["--details"] if COMMANDS[name] == "run" else []
    done = dbbench("show", str(files[name]), "--format", format_, *details)

    assert done.returncode == 0, done.stderr
    check(done.stdout + done.stderr)


@pytest.mark.parametrize("name", COMMANDS)
def test_exports_obey_nothing(files: Mapping[str, Path], dbbench: Cli, tmp_path: Path, name: str) -> None:
    for format_ in exportable(COMMANDS[name] if COMMANDS[name] != "run" else "export"):
        folder = tmp_path / "deep" / format_
        done = dbbench("export", str(files[name]), "--format", format_, "-o", f"{folder}/x.{format_}")
        if done.returncode == 2:
            assert "is for the results of dbbench gate" in done.stderr or "name a folder" in done.stderr
            done = dbbench("export", str(files[name]), "--format", format_, "-o", f"{folder}/")
        check(done.stderr + "\n")
        for path in folder.rglob("*"):
            assert not CONTROLS.search(path.name + path.read_text())
        assert {path.name for path in tmp_path.rglob("*") if path.is_dir()} <= {"deep", *formats("export")}


@pytest.mark.parametrize("format_", ["pyperf", "hgrm"])
def test_no_name_in_a_file_leads_out_of_the_folder(dbbench: Cli, tmp_path: Path, format_: str) -> None:
    lines = [msgspec.to_builtins(record, str_keys=True) for record in stored()["run"]]
    for old, new in (("psycopg", "../../escaped"), ("asyncpg", "a/b"), ("psycopg2", "a\\b")):
        lines = changed(lines, old, new)
    path = tmp_path / "x.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    done = dbbench("export", str(path), "--format", format_, "-o", "deep/er/")

    assert done.returncode == 0, done.stderr
    made = [each for each in tmp_path.rglob("*") if each.is_file() and each != path]
    assert len(made) >= 3
    assert {each.parent for each in made} == {tmp_path / "deep" / "er"}
    assert not (tmp_path.parent / "escaped.json").exists()


def test_history_and_compare_obey_nothing(files: Mapping[str, Path], dbbench: Cli, tmp_path: Path) -> None:
    folder = tmp_path / "runs"
    folder.mkdir()
    for number in range(3):
        (folder / f"{number}\x1b[2J\n::error::.jsonl").write_bytes(files["layered"].read_bytes())
    (folder / "empty\u202e\n::error::x.jsonl").touch()
    for format_ in formats("history"):
        check(dbbench("history", str(folder), "--format", format_).stdout)
    first, *_ = sorted(folder.glob("0*"))
    for format_ in formats("compare"):
        done = dbbench("compare", str(first), str(first), "--format", format_)
        check(done.stdout + done.stderr)


def test_every_kind_of_file_is_tried() -> None:
    assert len(BODY) == len({*COMMANDS.values()})


def test_a_scenarios_words_are_not_obeyed(dbbench: Cli, tmp_path: Path) -> None:
    path = tmp_path / "::error::x\u202e.py"
    path.write_text(
        f'"""{EVIL!r}\\x1b[2J ::error::y."""\nPARAMS = {{"p": {EVIL!r}}}\nasync def raw(db, params, rng): ...\n'
    )
    for format_ in formats("list"):
        done = dbbench("list", "scenarios", str(path), "--format", format_)
        assert done.returncode == 0, done.stderr
        check(done.stdout)


@pytest.mark.parametrize("words", [("show", EVIL), ("run", EVIL), ("compare", EVIL, EVIL), ("doctor", "--url", EVIL)])
def test_what_is_refused_is_not_obeyed(dbbench: Cli, words: tuple[str, ...]) -> None:
    done = dbbench(*words)

    assert done.returncode
    check(done.stdout + done.stderr)
