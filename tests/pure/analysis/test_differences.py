"""How two results differ, in words, and what makes them comparable."""

import datetime
import decimal
import ipaddress
import uuid
from typing import Any

import asyncpg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dbbench.analysis.differences import differences, read, sentences
from dbbench.analysis.natures import NATURES
from dbbench.worker.canonical import lines

NUMBER = "12345678-1234-4234-8234-123456789abc"
MOMENT = datetime.datetime(2026, 1, 2, 3, 4)  # noqa: DTZ001
LAST = datetime.datetime.max  # noqa: DTZ901
CASES: list[tuple[str, object, object]] = [
    ("float4", 0.10000000149011612, 0.1),
    ("float4", 123456.7890625, 123456.79),
    ("last digits", 0.1 + 0.2, 0.3),
    ("infinity", LAST, LAST.replace(tzinfo=datetime.UTC)),
    ("time zone", MOMENT, MOMENT.replace(tzinfo=datetime.UTC)),
    ("time zone", datetime.time(1), datetime.time(1, tzinfo=datetime.UTC)),
    ("number type", 1.5, decimal.Decimal("1.5")),
    ("number type", 0.1, decimal.Decimal("0.1")),
    ("number type", 1, decimal.Decimal("1.00")),
    ("number type", True, 1),
    ("number type", float("nan"), decimal.Decimal("NaN")),
    ("json text", '{"a": [1, null]}', {"a": [1, None]}),
    ("json text", "[1, 2]", [1, 2]),
    ("json string", '"x"', "x"),
    ("json string", '"é\\""', 'é"'),
    ("json text", "null", None),
    ("json text", '{"notes": "' + "x" * 5000 + '"}', {"notes": "x" * 5000}),
    ("array text", "{a,b}", ["a", "b"]),
    ("row text", "(1,x)", (1, "x")),
    ("row text", "(1,2)", asyncpg.Point(1, 2)),
    ("other text", "1 2", [1, 2]),
    ("uuid text", NUMBER, uuid.UUID(NUMBER)),
    ("range text", "[1,5)", asyncpg.Range(1, 5)),
    ("range text", "[2026-01-01,)", asyncpg.Range(datetime.date(2026, 1, 1), None)),
    ("bit text", "101", asyncpg.BitString("101")),
    ("address text", "10.0.0.0/8", ipaddress.ip_network("10.0.0.0/8")),
    ("time text", "2026-01-02", datetime.date(2026, 1, 2)),
    ("char", "x", b"x"),
    ("number text", "1.50", decimal.Decimal("1.5")),
    ("log position", "0/16B3740", 23803712),
    ("none", None, ""),
    ("none", None, []),
    ("type", "abc", uuid.UUID(NUMBER)),
    ("type", "abc", b"x"),
    ("type", "[1,5)", asyncpg.Range(1, 6)),
    ("type", None, 5),
    ("length", [1], [1, 2]),
    ("value", 1, 2),
    ("value", 0.1, 0.2),
    ("value", decimal.Decimal(1), decimal.Decimal(2)),
    ("order", [1, 2, 3], [3, 1, 2]),
    ("order", [(1, "a"), (2, "b")], [(2, "b"), (1, "a")]),
    ("missing", {"a": 1}, {"b": 1}),
]


def names(one: Any, other: Any) -> list[str]:
    found = differences(list(lines(one, "operation 1")), list(lines(other, "operation 1")))
    return [each.nature.name for each in found]


@pytest.mark.parametrize(("name", "one", "other"), CASES)
def test_a_difference_is_called_by_its_name_in_both_directions(name: str, one: object, other: object) -> None:
    assert names(one, other)[:1] == [name]
    assert names(other, one)[:1] == [name]


def test_every_nature_has_a_case() -> None:
    raised = {"raised"}  # is no value

    assert {each.name for each in NATURES} - raised <= {name for name, _, _ in CASES}


def test_a_sentence_says_where_who_what_why_and_the_way_out() -> None:
    mine, theirs = [(1, 0.10000000149011612), (2, 0.5)], [(1, 0.1), (2, 0.5)]

    (told,) = sentences("asyncpg", list(lines(mine, "operation 1")), "psycopg", list(lines(theirs, "operation 1")))

    assert told == (
        "operation 1[0][1]: asyncpg gave float 0.10000000149011612, psycopg gave float 0.1: a float4 (real), "
        "as its exact value and in its fewest digits; select it as column::float8, or round it to 6 digits"
    )


def test_each_nature_is_told_once_with_the_number_of_its_places() -> None:
    mine = [(number, 0.10000000149011612, NUMBER) for number in range(40)]
    theirs = [(number, 0.1, uuid.UUID(NUMBER)) for number in range(40)]
    found = differences(list(lines(mine)), list(lines(theirs)))

    assert [(each.nature.name, each.path, each.more) for each in found] == [
        ("float4", "result[0][1]", 39),
        ("uuid text", "result[0][2]", 39),
    ]


def test_beneath_a_difference_nothing_is_told() -> None:
    assert names([[1, 2], "x"], ["{1,2}", "x"]) == ["array text"]
    assert names("{1,2}", [1, 2]) == ["array text"]


def test_what_only_one_has_may_have_been_cut_off() -> None:
    mine, theirs = list(lines([1, 2, 3])), list(lines([1, 2, 3, 4]))[1:]

    assert differences(mine[1:], theirs, complete=False) == []
    assert sentences("asyncpg", mine[1:], "psycopg", theirs, complete=False) == [
        "asyncpg and psycopg differ beyond the first 3 values; return fewer to see where"
    ]


def test_an_operation_that_fails_for_one_driver_is_named() -> None:
    (found,) = differences(["operation 1: raised"], ["operation 1: int 1"])

    assert found.sentence("psycopg", "asyncpg").startswith("operation 1: psycopg gave raised, asyncpg gave int 1: ")


def test_tables_are_told_by_their_names() -> None:
    (sentence,) = sentences("asyncpg", ["table t: 2 rows, digest a"], "psycopg", ["table t: 1 rows, digest b"])

    assert sentence == (
        "table t: asyncpg gave 2 rows, digest a, psycopg gave 1 rows, digest b: "
        "the table is different after the operations"
    )


KEYS = st.text(max_size=5) | st.integers() | st.decimals(allow_nan=False)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.decimals() | st.text() | st.binary() | st.datetimes(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=6,
)


@given(VALUES)
def test_every_line_can_be_read_again(value: object) -> None:
    written = list(lines(value, "operation 1"))

    assert len(dict(map(read, written))) == len(written)
    assert all(line.startswith(f"{path}: ") and part.kind for line in written for path, part in [read(line)])


@given(VALUES, VALUES)
def test_there_is_a_difference_where_the_lines_differ(one: object, other: object) -> None:
    mine, theirs = list(lines(one)), list(lines(other))

    assert bool(differences(mine, theirs)) == (mine != theirs)
