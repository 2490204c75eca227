"""What is left to compare after the check of a cell."""

import builders
import msgspec
import pytest

from dbbench.engine.checking import AS_ASKED, NOTHING, Comparison, comparison
from dbbench.plan import Gate, Plan, Pooler

THREE = ("psycopg", "asyncpg", "psycopg2")
WHERE = "point_reads, orm, 8 sessions: "


def plan(*arms: str, gate: bool = False, pooler: bool = False) -> Plan:
    cell = builders.cell()
    if pooler:
        cell = msgspec.structs.replace(cell, pooler=Pooler("transaction"))
    made = builders.plan([cell], arms)
    return msgspec.structs.replace(made, gate=Gate({}) if gate else None)


@pytest.mark.parametrize(
    ("passed", "different", "left"),
    [
        (["psycopg", "asyncpg", "psycopg2"], [], AS_ASKED),
        (["psycopg", "asyncpg", "psycopg2"], ["asyncpg"], AS_ASKED),
        (["psycopg", "psycopg2"], [], AS_ASKED),
        ([], [], NOTHING),
        (
            ["asyncpg", "psycopg2"],
            [],
            Comparison(
                True, {"psycopg": "asyncpg"}, "psycopg cannot be measured here: comparing psycopg2 with asyncpg instead"
            ),
        ),
        (
            ["psycopg2"],
            [],
            Comparison(
                False,
                {},
                "psycopg and asyncpg cannot be measured here, so nothing is left to compare psycopg2 with: "
                "not measured; --driver psycopg2 --baseline psycopg2 measures it alone",
            ),
        ),
        (
            ["psycopg", "asyncpg", "psycopg2"],
            ["asyncpg", "psycopg2"],
            Comparison(
                False, {}, "psycopg, asyncpg and psycopg2 do not return the same: nothing to compare, not measured"
            ),
        ),
        (
            ["asyncpg", "psycopg2"],
            ["psycopg2"],
            Comparison(
                False,
                {},
                "psycopg cannot be measured here, and asyncpg and psycopg2 do not return the same: "
                "nothing to compare, not measured",
            ),
        ),
    ],
)
def test_a_cell_is_measured_where_two_arms_can_be_compared(
    passed: list[str], different: list[str], left: Comparison
) -> None:
    found = comparison(plan(*THREE), 0, passed, different)

    assert (found.worth_it, found.instead) == (left.worth_it, left.instead)
    assert found.note == (f"{WHERE}{left.note}" if left.note else "")


def test_four_arms_without_their_baseline_are_compared_with_the_next() -> None:
    found = comparison(plan(*THREE, "psycopg-sync"), 0, ["asyncpg", "psycopg2", "psycopg-sync"], ["psycopg2"])

    assert found.instead == {"psycopg": "asyncpg"}
    assert found.note.endswith("psycopg cannot be measured here: comparing psycopg-sync with asyncpg instead")


def test_a_single_driver_is_measured_for_itself() -> None:
    assert comparison(plan("psycopg"), 0, ["psycopg"], []) == AS_ASKED


def test_behind_a_pooler_what_fails_is_a_result() -> None:
    assert comparison(plan(*THREE, pooler=True), 0, ["asyncpg"], []) == AS_ASKED


def test_one_side_of_a_gate_is_not_advised_to_be_measured_alone() -> None:
    found = comparison(plan("base", "head", gate=True), 0, ["head"], [])

    assert found.note == f"{WHERE}base cannot be measured here, so nothing is left to compare head with: not measured"
