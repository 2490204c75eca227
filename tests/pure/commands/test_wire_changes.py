"""What the exact gate calls a change, and what of it fails."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dbbench.commands.wire.changes import (
    BYTES_RECEIVED,
    BYTES_SENT,
    PREPARES,
    RECEIVED,
    ROUND_TRIPS,
    SENT,
    STATEMENTS,
    Change,
    changes,
)
from dbbench.records import Exchange, WireRow

NOTHING = Exchange(2, {"StartupMessage": 1}, {"Authentication": 1}, 50, 400, {}, 0)
BASE = WireRow(
    arm="asyncpg",
    scenario="point_reads",
    layer="orm",
    params="",
    driver="asyncpg",
    tx_end="rollback",
    operations=100,
    round_trips=3.0,
    sent={"Query": 2.0, "Bind": 1.0, "Execute": 1.0, "Sync": 1.0},
    received={"CommandComplete": 3.0, "ReadyForQuery": 3.0, "BindComplete": 1.0, "DataRow": 1.0},
    bytes_sent=85.0,
    bytes_received=77.0,
    statements={"BEGIN": 1.0, "SELECT": 1.0, "ROLLBACK": 1.0},
    prepares_per_100=0.0,
    spread=(3, 3),
    connect=NOTHING,
    connect_statements=[],
    first=NOTHING,
)


def head(**other: Any) -> WireRow:
    """Make what head has of BASE; dicts are put over BASE's, and 0 takes a name away."""
    given_ = {
        name: {key: number for key, number in {**getattr(BASE, name), **value}.items() if number}
        if isinstance(value, dict)
        else value
        for name, value in other.items()
    }
    return msgspec.structs.replace(BASE, **given_)


def only(found: list[Change]) -> Change:
    (change,) = found
    return change


def test_what_is_the_same_is_no_change() -> None:
    assert changes([BASE], [BASE]) == []
    assert changes([head(round_trips=0.1 + 0.2)], [head(round_trips=0.3)]) == []
    assert changes([BASE], [head(spread=(3, 9), operations=50, tx_end="commit")]) == []


def test_one_added_statement_is_one_change() -> None:
    more = head(
        round_trips=4.0,
        sent={"Query": 3.0},
        received={"CommandComplete": 4.0, "ReadyForQuery": 4.0},
        statements={"SAVEPOINT": 1.0},
        bytes_sent=99.0,
        bytes_received=97.0,
    )
    change = only(changes([BASE], [more]))

    assert change.grew
    assert change.sentence == "point_reads, asyncpg, orm: 3 -> 4 round trips per operation: a SAVEPOINT was added"
    back = only(changes([more], [BASE]))
    assert not back.grew
    assert back.sentence == "point_reads, asyncpg, orm: 4 -> 3 round trips per operation: a SAVEPOINT is gone"


@pytest.mark.parametrize(
    ("other", "what", "because"),
    [
        ({"round_trips": 5.0, "statements": {"SELECT": 3.0}}, ROUND_TRIPS, "SELECT: 1 -> 3"),
        ({"round_trips": 5.0, "statements": {"INSERT": 2.4}}, ROUND_TRIPS, "2.4 INSERT were added"),
        ({"statements": {"UPDATE": 1.0}}, STATEMENTS, "an UPDATE was added"),
        ({"statements": {"DEALLOCATE ALL": 1.0}}, STATEMENTS, "a DEALLOCATE ALL was added"),
        ({"sent": {"Describe": 1.0}}, SENT, "a Describe was added"),
        ({"sent": {"Parse": 1.0}, "prepares_per_100": 100.0}, SENT, "a Parse was added"),
        ({"sent": {"Parse": 1.0, "Query": 1.0}, "prepares_per_100": 100.0}, PREPARES, "a Parse was added"),
        ({"received": {"DataRow": 11.0}}, RECEIVED, "DataRow: 1 -> 11"),
        ({"round_trips": 4.0, "sent": {"Flush": 1.0}}, ROUND_TRIPS, "a Flush was added"),
    ],
)
def test_more_of_anything_but_bytes_has_grown(other: dict[str, Any], what: str, because: str) -> None:
    change = only(changes([BASE], [head(**other)]))

    assert (change.what, change.grew, change.because) == (what, True, because)
    assert not only(changes([head(**other)], [BASE])).grew


@pytest.mark.parametrize(
    ("other", "what", "said"),
    [
        ({"bytes_sent": 90.0}, BYTES_SENT, "85 -> 90 bytes sent per operation"),
        ({"bytes_received": 7_700.0}, BYTES_RECEIVED, "77 -> 7,700 bytes received per operation"),
        (
            {"bytes_sent": 90.0, "bytes_received": 70.0},
            BYTES_SENT,
            "85 -> 90 bytes sent per operation: 77 -> 70 bytes received per operation",
        ),
    ],
)
def test_bytes_alone_are_named_but_have_not_grown(other: dict[str, Any], what: str, said: str) -> None:
    change = only(changes([BASE], [head(**other)]))

    assert (change.what, change.grew) == (what, False)
    assert change.sentence == f"point_reads, asyncpg, orm: {said}"


def test_one_statement_instead_of_another_is_a_change_that_did_not_grow() -> None:
    change = only(changes([BASE], [head(statements={"ROLLBACK": 0.0, "COMMIT": 1.0})]))

    assert not change.grew
    assert change.sentence == (
        "point_reads, asyncpg, orm: other statements per operation: a COMMIT was added, a ROLLBACK is gone"
    )


def test_fewer_round_trips_do_not_hide_more_of_something_else() -> None:
    other = head(round_trips=2.0, sent={"Parse": 1.0}, prepares_per_100=100.0)
    grown, fewer = changes([BASE], [other])

    assert (grown.what, grown.grew, grown.because) == (SENT, True, "a Parse was added")
    assert (fewer.what, fewer.grew, fewer.difference) == (ROUND_TRIPS, False, "3 -> 2 round trips per operation")


@pytest.mark.parametrize("kind", ["NoticeResponse", "NotificationResponse", "ParameterStatus"])
def test_what_the_server_sends_unasked_is_no_change(kind: str) -> None:
    assert changes([BASE], [head(received={kind: 3.0})]) == []


def test_rows_on_one_side_only_are_named() -> None:
    other = msgspec.structs.replace(BASE, driver="psycopg", params="rows=10")
    gone, new = changes([BASE], [other])

    assert (gone.base, gone.head, gone.grew) == (3.0, None, False)
    assert gone.sentence == "point_reads, asyncpg, orm: counted in base only"
    assert (new.base, new.head, new.grew) == (None, 3.0, False)
    assert new.sentence == "point_reads, psycopg, orm, rows=10: counted in head only"


def test_rows_are_matched_by_scenario_layer_params_and_driver() -> None:
    rows = [
        msgspec.structs.replace(BASE, **{name: value})
        for name in ("scenario", "layer", "params", "driver")
        for value in ("core", "raw")
    ]
    assert changes(rows, rows[::-1]) == []


def test_only_some_reasons_are_named() -> None:
    change = only(changes([BASE], [head(statements={f"S{number}": 1.0 for number in range(20)})]))

    assert change.because.count(" was added") == 6
    assert change.because.endswith(", 14 more")


COUNTS = st.dictionaries(st.sampled_from("ABC"), st.integers(1, 3).map(float), max_size=3)


@given(COUNTS, COUNTS, COUNTS, COUNTS, st.integers(0, 3), st.integers(0, 3))
def test_more_of_any_total_grows_and_what_differs_is_named(
    sent: dict[str, float], sent_after: dict[str, float], said: dict[str, float], said_after: dict[str, float],
    trips: int, trips_after: int,
) -> None:  # fmt: skip
    before = msgspec.structs.replace(BASE, sent=sent, statements=said, round_trips=float(trips))
    after = msgspec.structs.replace(BASE, sent=sent_after, statements=said_after, round_trips=float(trips_after))
    found = changes([before], [after])

    more = trips_after > trips or any(
        sum(after_.values()) > sum(before_.values()) for before_, after_ in ((sent, sent_after), (said, said_after))
    )
    assert any(change.grew for change in found) == more
    assert bool(found) == ((sent, said, trips) != (sent_after, said_after, trips_after))
    assert len(found) <= 2
    if trips != trips_after:
        assert any(change.what == ROUND_TRIPS for change in found)
