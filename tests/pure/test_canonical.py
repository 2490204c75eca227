"""What counts as the same result."""

import datetime
import decimal
import uuid
from dataclasses import dataclass
from typing import Any, NamedTuple

import pytest

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
        ({"b": 1, "a": [2]}, {"a": [2], "b": 1}),
        ({3, 1, 2}, frozenset([1, 2, 3])),
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
        (decimal.Decimal("1.5"), decimal.Decimal("1.50")),
        (None, "None"),
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
        "result[0]['a'].left: int 1",
        "result[0]['a'].right: str x",
    ]
