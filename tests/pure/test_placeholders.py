"""PostgreSQL's placeholders as %s."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dbbench.drivers.placeholders import Statement, StatementError, check


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
        ("PREPARE p AS SELECT $1 % 2", "PREPARE p AS SELECT $1 % 2", []),
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


RULE = "; write $1, $2, ... for every driver, as PostgreSQL has them"


@pytest.mark.parametrize(
    ("sql", "args", "message"),
    [
        ("SELECT %s", (1,), f"%s is no placeholder{RULE}"),
        ("SELECT * FROM t WHERE id = %(id)s", ({"id": 1},), f"%(id)s is no placeholder{RULE}"),
        ("SELECT * FROM t WHERE id = :id", ({"id": 1},), f":id is no placeholder{RULE}"),
        ("SELECT ?", (1,), f"? is no placeholder{RULE}"),
        ("SELECT '$1', 1::int", (1,), f"1 argument and no placeholder{RULE}"),
        ("SELECT $1", (), "the placeholders are $1, and there are 0 arguments"),
        ("SELECT $1", (1, 2), "the placeholders are $1, and there are 2 arguments"),
        ("SELECT $2", (1,), "the placeholders are $2, and there is 1 argument"),
        ("SELECT $3, $1", (1, 2, 3), "the placeholders are $1, $3, and there are 3 arguments"),
        ("SELECT $1, $2", ((1, 2),), "arguments are given one by one, (sql, a, b), not together in a list or tuple"),
        ("SELECT $1", ((1,),), "arguments are given one by one, (sql, a, b), not together in a list or tuple"),
        (
            "SELECT * FROM t WHERE id IN $1",
            ((1, 2),),
            "IN $1 takes no list in PostgreSQL; write = ANY($1) and give a list",
        ),
        (
            "SELECT * FROM t WHERE a = $1 AND id not in $2",
            (1, [1, 2]),
            "IN $2 takes no list in PostgreSQL; write <> ALL($2) and give a list",
        ),
        ("SELECT * FROM t WHERE id = ANY($1)", ((1,),), "ANY($1) takes a list, not a tuple; list(value) makes one"),
        ("SELECT 1 = ANY ( $1::int[])", ({1},), "ANY ( $1) takes a list, not a set; list(value) makes one"),
    ],
)  # fmt: skip
def test_what_only_some_drivers_take_is_refused_with_the_rule(sql: str, args: tuple[object, ...], message: str) -> None:
    with pytest.raises(StatementError) as caught:
        check(sql, args)

    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("sql", "args"),
    [
        ("SELECT 5 % 3, 'x' || ':y', a -> 'b' ? 'c'", ()),
        ("SELECT $2, $1, $2", (1, 2)),
        ("SELECT $1::int, a[1:2] FROM t WHERE id = ANY($2)", (1, [1, 2])),
        ("SELECT * FROM t WHERE id IN ($1, $2)", (1, 2)),
        ("SELECT * FROM t WHERE a = ANY($1)", ([1],)),
        ("INSERT INTO t VALUES ($1, $2)", (1, (1, "x"))),
        ("PREPARE p AS SELECT $1", ()),
    ],
)
def test_what_every_driver_takes_is_fine(sql: str, args: tuple[object, ...]) -> None:
    check(sql, args)


def test_a_statement_without_placeholders_takes_no_arguments_even_unchecked() -> None:
    with pytest.raises(StatementError, match="%s is no placeholder"):
        Statement("SELECT %s").arguments((1,))
