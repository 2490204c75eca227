"""PostgreSQL's placeholders as %s."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dbbench.drivers.placeholders import Statement


@pytest.mark.parametrize(
    ("sql", "expected", "order"),
    [
        ("SELECT $1", "SELECT %s", None),
        ("SELECT $1, $2", "SELECT %s, %s", None),
        ("SELECT $2, $1, $2", "SELECT %s, %s, %s", [1, 0, 1]),
        ("SELECT $1 WHERE name LIKE 'a%'", "SELECT %s WHERE name LIKE 'a%%'", None),
        ("SELECT 'it''s $1', $1", "SELECT 'it''s $1', %s", None),
        ('SELECT "$1", $1', 'SELECT "$1", %s', None),
        ("SELECT $$ $1 $$, $tag$ $1 $tag$, $1", "SELECT $$ $1 $$, $tag$ $1 $tag$, %s", None),
        ("SELECT $1 -- $2\n", "SELECT %s -- $2\n", None),
        ("SELECT /* $2 */ $1 % 3", "SELECT /* $2 */ %s %% 3", None),
        ("SELECT 5 % 3, 'x%'", "SELECT 5 % 3, 'x%'", []),
    ],
)
def test_placeholders_become_percent_s(sql: str, expected: str, order: list[int] | None) -> None:
    statement = Statement(sql)

    assert statement.sql == expected
    assert statement.order == (order or None)


def test_arguments_follow_their_placeholders() -> None:
    assert Statement("SELECT $2, $1, $2").arguments(("a", "b")) == ["b", "a", "b"]
    assert Statement("SELECT 1").arguments(()) is None


@given(st.lists(st.integers(1, 5), min_size=1, max_size=8))
def test_every_placeholder_gets_its_own_argument(numbers: list[int]) -> None:
    statement = Statement(" ".join(f"${number}" for number in numbers))

    assert statement.sql.count("%s") == len(numbers)
    assert list(statement.arguments(range(1, 6)) or ())[: len(numbers)] == numbers
