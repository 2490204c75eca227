"""COPY's text format, as the server reads it; tests/real/test_types.py has the server read it."""

import datetime
import decimal
import enum
import ipaddress
import uuid
from typing import NamedTuple

import psycopg2.extras
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dbbench.drivers.copy_text import copy_text
from dbbench.drivers.names import copy_statement


class Colour(str, enum.Enum):  # noqa: UP042 - as models have it
    """An enum whose members are text."""

    RED = "red"


class Pair(NamedTuple):
    """A row with names."""

    left: int
    right: str | None


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, r"\N"),
        ("", ""),
        ("\\N", r"\\N"),
        ("a\tb\nc\rd\\", r"a\tb\nc\rd\\"),
        ("O\"Brien, 'x'", "O\"Brien, 'x'"),
        (True, "t"),
        (False, "f"),
        (7, "7"),
        (0.1, "0.1"),
        (float("-inf"), "-inf"),
        (decimal.Decimal("1E+4"), "1E+4"),
        (b"\x00\xff", r"\\x00ff"),
        (memoryview(b"\x01"), r"\\x01"),
        (datetime.date(26, 1, 2), "0026-01-02"),
        (datetime.datetime(2026, 1, 2, 3, tzinfo=datetime.UTC), "2026-01-02T03:00:00+00:00"),
        (datetime.time(1, 2, 3, 4), "01:02:03.000004"),
        (datetime.timedelta(days=-1, seconds=2, microseconds=3), "-1 days 2.000003 seconds"),
        (uuid.UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        (ipaddress.ip_network("10.0.0.0/8"), "10.0.0.0/8"),
        (Colour.RED, "red"),
        ([], "{}"),
        ([1, None, True], '{"1",NULL,"t"}'),
        (['a"b', "c\\d", "NULL", "", "x\ny"], r'{"a\\"b","c\\\\d","NULL","","x\ny"}'),
        ([[1, 2], [3, None]], '{{"1","2"},{"3",NULL}}'),
        ([b"\x00"], r'{"\\\\x00"}'),
        ((1, None, 'a"b'), '("1",,"a""b")'),
        (Pair(1, None), '("1",)'),
        (psycopg2.extras.NumericRange(1, 5), '["1","5")'),
        (psycopg2.extras.NumericRange(None, 5, "()"), '(,"5")'),
        (psycopg2.extras.NumericRange(empty=True), "empty"),
        (psycopg2.extras.DateRange(datetime.date(2026, 1, 1), None), '["2026-01-01",)'),
    ],
)
def test_a_value_is_written_as_the_server_reads_it(value: object, expected: str) -> None:
    assert copy_text([[value]]) == f"{expected}\n"


def test_rows_are_lines_and_values_are_separated_by_tabs() -> None:
    assert copy_text([(1, "a", None), (2, "", "b")]) == "1\ta\t\\N\n2\t\tb\n"
    assert copy_text([]) == ""


@pytest.mark.parametrize("value", [{"a": 1}, {1}, object(), [{"a": 1}]])
def test_what_has_no_text_is_refused_with_its_type(value: object) -> None:
    with pytest.raises(TypeError, match=r"COPY does not know how to write a (dict|set|object)"):
        copy_text([[value]])


@given(st.lists(st.lists(st.text(st.characters(exclude_characters="\0")), min_size=1, max_size=3), max_size=4))
def test_no_text_is_taken_for_a_separator(rows: list[list[str]]) -> None:
    lines = copy_text(rows).split("\n")[:-1]

    assert [len(line.split("\t")) for line in lines] == [len(row) for row in rows]
    assert not any(field == r"\N" for line in lines for field in line.split("\t"))


@pytest.mark.parametrize(
    ("table", "columns", "expected"),
    [
        ("notes", ["id", "body"], 'COPY "notes" ("id", "body") FROM STDIN'),
        ("Notes", [], 'COPY "Notes" FROM STDIN'),
        ("public.order", ['a"b'], 'COPY "public"."order" ("a""b") FROM STDIN'),
    ],
)
def test_names_are_quoted(table: str, columns: list[str], expected: str) -> None:
    assert copy_statement(table, columns) == expected
