"""What counts as the same result."""

import datetime
import decimal
import enum
import ipaddress
import uuid
from dataclasses import dataclass
from typing import Any, NamedTuple

import asyncpg
import psycopg2.extras
import pytest
from psycopg.types.multirange import Multirange
from psycopg.types.range import Range
from sqlalchemy.dialects.postgresql import Range as RangeOfSqlalchemy

from dbbench.errors import ScenarioError
from dbbench.worker.canonical import lines


class OwnUuid(uuid.UUID):
    """As asyncpg has it."""


class Point(NamedTuple):
    """A row with names."""

    x: int
    y: int


@dataclass
class Pair:
    """A user's own type."""

    left: Any
    right: Any


class Colour(str, enum.Enum):  # noqa: UP042 - as models have it
    """An enum whose members equal text."""

    RED = "red"


class Shade(enum.Enum):
    """One whose members do not."""

    DARK = "dark"
    LIGHT = "light"


class Basket:
    """An object whose text is its address."""

    def __init__(self, price: object) -> None:
        self.price = price
        self._cache = object()


EAST = datetime.timezone(datetime.timedelta(hours=2))
NUMBER = "12345678-1234-4234-8234-123456789abc"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ((1, "a"), [1, "a"]),
        (Point(1, 2), (1, 2)),
        (uuid.UUID(NUMBER), OwnUuid(NUMBER)),
        (
            datetime.datetime(2026, 1, 1, 2, tzinfo=EAST),
            datetime.datetime(2026, 1, 1, 0, tzinfo=datetime.UTC),
        ),
        (b"x", memoryview(b"x")),
        (b"x", bytearray(b"x")),
        ({"b": 1, "a": [2]}, {"a": [2], "b": 1}),
        ({decimal.Decimal("1.0"): 1}, {decimal.Decimal(1): 1}),
        ({3, 1, 2}, frozenset([1, 2, 3])),
        ({(1, decimal.Decimal("1.0"))}, {(1, decimal.Decimal(1))}),
        (decimal.Decimal("1E+4"), decimal.Decimal(10_000)),
        (decimal.Decimal("1.5"), decimal.Decimal("1.50")),
        (decimal.Decimal("0E-8"), decimal.Decimal("-0.00")),
        (decimal.Decimal("NaN"), decimal.Decimal("NaN")),
        (-0.0, 0.0),
        (float("nan"), float("nan")),
        (Colour.RED, "red"),
        (datetime.time(1, tzinfo=EAST), datetime.time(2, tzinfo=datetime.timezone(datetime.timedelta(hours=3)))),
        (
            datetime.datetime.max.replace(tzinfo=datetime.timezone(datetime.timedelta(hours=-5))),
            datetime.datetime.max.replace(tzinfo=datetime.UTC),
        ),
        (asyncpg.Range(1, 5), Range(1, 5)),
        (asyncpg.Range(1, 5), psycopg2.extras.NumericRange(1, 5)),
        (asyncpg.Range(1, 5), RangeOfSqlalchemy(1, 5)),
        (asyncpg.Range(None, 5), Range(None, 5, "()")),
        (asyncpg.Range(empty=True), Range(empty=True)),
        (asyncpg.Range(decimal.Decimal("1.0"), None), Range(decimal.Decimal("1.00"), None)),
        ([asyncpg.Range(1, 3)], Multirange([Range(1, 3)])),
        (asyncpg.Point(1, 2), (1.0, 2.0)),
        (asyncpg.Path((0, 0), (1, 1)), [(0.0, 0.0), (1.0, 1.0)]),
        (asyncpg.BitString("1010 1"), asyncpg.BitString("10101")),
        (Basket(decimal.Decimal("1.0")), Basket(decimal.Decimal("1.00"))),
        (Pair(1, None), Pair(1, None)),
    ],
)
def test_equal_values_give_equal_lines(one: object, other: object) -> None:
    assert list(lines(one)) == list(lines(other))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (1, "1"),
        (1, True),
        (1, 1.0),
        (1, decimal.Decimal(1)),
        (decimal.Decimal("1.5"), decimal.Decimal("1.51")),
        (decimal.Decimal("1." + "0" * 40 + "1"), decimal.Decimal(1)),
        (decimal.Decimal("NaN"), decimal.Decimal("Infinity")),
        (0.1, 0.10000000149011612),
        (None, "None"),
        (None, ""),
        ({}, []),
        ({}, None),
        ([], None),
        ({1: 1}, {"1": 1}),
        ("a\nresult[1]: str 'b'", "a"),
        ("x" * 2000 + "a", "x" * 2000 + "b"),
        (Shade.DARK, Shade.LIGHT),
        (Shade.DARK, "DARK"),
        (asyncpg.Range(1, 5), asyncpg.Range(1, 5, upper_inc=True)),
        (asyncpg.Range(1, 5), "[1,5)"),
        (asyncpg.BitString("101"), "101"),
        (ipaddress.ip_address("10.0.0.1"), "10.0.0.1"),
        (Basket(1), Basket(2)),
        (datetime.time(1), datetime.time(1, tzinfo=datetime.UTC)),
        ([1], [1, None]),
        (datetime.datetime(2026, 1, 1), datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)),  # noqa: DTZ001
        (datetime.date(2026, 1, 1), datetime.datetime(2026, 1, 1)),  # noqa: DTZ001
        (NUMBER, uuid.UUID(NUMBER)),
        ({"a": 1}, {"a": 2}),
        (Pair(1, 2), Pair(1, 3)),
    ],
)
def test_different_values_or_types_give_different_lines(one: object, other: object) -> None:
    assert list(lines(one)) != list(lines(other))


def test_a_line_says_where_the_value_is() -> None:
    assert list(lines([{"a": Pair(1, "x")}])) == [
        "result: 1 values",
        "result[0]: 1 keys",
        "result[0]['a'].left: int 1",
        "result[0]['a'].right: str 'x'",
    ]


def test_a_long_value_is_cut_and_told_from_others_by_its_digest() -> None:
    (line,) = lines("x" * 5000)

    assert len(line) < 1200
    assert "(5002 characters, digest " in line


def test_what_contains_itself_ends() -> None:
    basket = Basket(None)
    basket.price = [basket]

    assert list(lines(basket)) == [
        "result: Basket",
        "result.price: 1 values",
        "result.price[0]: an object that contains itself",
    ]


@pytest.mark.parametrize("unread", [iter([1]), (number for number in [1])])
def test_what_nobody_has_read_is_refused(unread: object) -> None:
    with pytest.raises(ScenarioError, match=r"returned a \w+ that nobody has read; return what it gives"):
        list(lines({"rows": unread}))
