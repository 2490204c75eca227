"""Scenario files that `dbbench new` writes: what is read from SQL, and what is refused."""

import random
from pathlib import Path
from typing import Any

import pytest
from conftest import Cli

from dbbench import catalog
from dbbench.commands.new.source import COMMENTED, from_sql
from dbbench.commands.new.sql import parsed
from dbbench.errors import UsageError

SETS_UP = "CREATE TABLE t (a int); INSERT INTO t VALUES (1), (2);"


def arguments(sql: str) -> dict[str, Any]:
    """What the functions of the generated file draw."""
    names: dict[str, Any] = {}
    exec(from_sql(parsed(sql, "q.sql"), "q.sql"), names)  # noqa: S102 - our own text
    drawn: dict[str, Any] = names["arguments"](random.Random(1))
    return drawn


@pytest.mark.parametrize(
    ("statement", "named", "numbered"),
    [
        ("SELECT :a", "SELECT :a", "SELECT $1"),
        ("SELECT :b + :a + :b", "SELECT :b + :a + :b", "SELECT $1 + $2 + $1"),
        ("SELECT $2, $1", "SELECT :p2, :p1", "SELECT $1, $2"),
        ("SELECT %s, %s", "SELECT :p1, :p2", "SELECT $1, $2"),
        ("SELECT %(a)s", "SELECT :a", "SELECT $1"),
        ("SELECT :a::text, '12:30', '%s$1'", r"SELECT :a::text, '12\:30', '%s$1'", "SELECT $1::text, '12:30', '%s$1'"),
        ("SELECT $$:no; $1$$, :a -- ; :b", r"SELECT $$\:no; $1$$, :a -- ; \:b", "SELECT $$:no; $1$$, $1 -- ; :b"),
    ],
)  # fmt: skip
def test_placeholders_of_every_kind_are_understood(statement: str, named: str, numbered: str) -> None:
    ranges = "".join(f"-- {name}: 1..9\n" for name in (":a", ":b", "$1", "$2"))
    found = parsed(f"{SETS_UP}\n{ranges}{statement}\n;\n", "q.sql")
    assert (found.named, found.numbered) == (named, numbered)
    assert found.before == ["CREATE TABLE t (a int)", "INSERT INTO t VALUES (1), (2)"]


@pytest.mark.parametrize(
    ("values", "possible"),
    [
        ("1..3", {1, 2, 3}),
        ("-5..-5", {-5}),
        ("open, closed", {"open", "closed"}),
        ("'a b', 7", {"a b", 7}),
        ("2026-02-28..2026-03-01", {"2026-02-28", "2026-03-01"}),
    ],
)
def test_values_are_drawn_from_what_the_line_says(values: str, possible: set[Any]) -> None:
    names: dict[str, Any] = {}
    exec(from_sql(parsed(f"-- :x: {values}\nSELECT :x", "q.sql"), "q.sql"), names)  # noqa: S102
    rng = random.Random(1)
    drawn = {names["arguments"](rng)["x"] for _ in range(100)}
    assert {value if isinstance(value, int) else str(value) for value in drawn} == possible


def test_a_range_of_fractions_gives_fractions() -> None:
    assert 0.5 <= arguments("-- :x: 0.5..0.75\nSELECT :x")["x"] <= 0.75


@pytest.mark.parametrize(
    ("sql", "message"),
    [
        ("", "q.sql: there is no statement in it"),
        ("-- nothing\n;;", "q.sql: there is no statement in it"),
        ("SELECT :id", "q.sql: nothing says what :id may be; add a line like -- :id: 1..1000"),
        ("-- :idd: 1..2\nSELECT :id", r"nothing says what :id may be \(did you mean idd"),
        ("SELECT $1", r"nothing says what \$1 may be; add a line like -- \$1: 1..1000"),
        ("-- :a: 1..2\nSELECT :a, $1", "it mixes placeholders of several kinds"),
        ("-- :a: 9..2\nSELECT :a", "q.sql: a: 9..2 is empty; write 2..9"),
        ("-- :a: x..y\nSELECT :a", "q.sql: a: x..y is no range; there are 1..1000, 0.5..9.5"),
    ],
)
def test_what_cannot_be_measured_is_refused_with_the_way_out(sql: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        parsed(sql, "q.sql")


@pytest.mark.parametrize("statement", ["INSERT INTO t VALUES (1)", "UPDATE t SET a = 'RETURNING'", "DELETE FROM t"])
def test_a_statement_without_rows_fetches_none(statement: str) -> None:
    assert "fetch_all" not in from_sql(parsed(statement.replace("'RETURNING'", "2"), "q.sql"), "q.sql")
    assert "fetch_all" in from_sql(parsed(f"{statement} RETURNING a", "q.sql"), "q.sql")


def test_the_commented_file_is_a_scenario(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(COMMENTED)
    for sync in (False, True):
        scenario = catalog.load(tmp_path / "mine.py", sync=sync)
        assert list(scenario.operations) == ["core", "raw"]


def test_a_file_is_written_and_none_is_written_over(dbbench: Cli, tmp_path: Path) -> None:
    done = dbbench("new", "mine")
    assert (done.returncode, (tmp_path / "mine.py").read_text()) == (0, COMMENTED)
    assert done.stdout.startswith("wrote mine.py\nNext: ")
    (tmp_path / "mine.py").write_text("my work")
    done = dbbench("new", "mine.py")
    assert (done.returncode, (tmp_path / "mine.py").read_text()) == (2, "my work")
    assert "mine.py is there already; --force writes over it" in done.stderr
    assert dbbench("new", "mine", "--force").returncode == 0
    assert (tmp_path / "mine.py").read_text() == COMMENTED


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["my-query"], "my-query cannot be imported; name it like a module"),
        (["."], ". cannot be imported"),
        (["a/.."], "a/.. cannot be imported"),
        (["q", "--from-sql", "none.sql"], "cannot read none.sql"),
        (["file/q"], "cannot write file/q.py"),
    ],
)
def test_bad_input_gets_one_line(dbbench: Cli, tmp_path: Path, arguments: list[str], message: str) -> None:
    (tmp_path / "file").touch()
    done = dbbench("new", *arguments)
    assert done.returncode == 2
    assert message in done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file"]
