"""What is measured in which order."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dbbench.plan import Arm, Cell, Effort, Placement, Plan

ARMS = [Arm(name, name) for name in ("psycopg", "asyncpg", "psycopg2")]


def plan(seed: int, cells: int = 5) -> Plan:
    made = [Cell(f"s{number}", "orm", 1, {}, "s.py") for number in range(cells)]
    return Plan(ARMS, "psycopg", made, seed, [2] * cells, Effort(60.0), Placement("free"))


def orders(plan: Plan) -> list[object]:
    """Everything that is drawn in four blocks."""
    return [
        (block, cell, [[arm.name for arm in plan.arm_order(block, cell, round_)] for round_ in range(4)])
        for block in range(4)
        for cell in plan.cell_order(block)
    ]


@given(st.integers(0, 2**32))
def test_a_seed_decides_every_order(seed: int) -> None:
    assert orders(plan(seed)) == orders(plan(seed))


def test_another_seed_gives_another_order() -> None:
    assert orders(plan(1)) != orders(plan(2))


def test_every_arm_is_as_often_first_as_the_others() -> None:
    first = [plan(seed).arm_order(0, 0, 0)[0].name for seed in range(600)]
    for arm in ARMS:
        assert 150 < first.count(arm.name) < 250


@pytest.mark.parametrize(("sessions", "connections"), [(1, 1), (15, 15), (50, 15)])
def test_connections_in_use_are_bounded_by_the_pool(sessions: int, connections: int) -> None:
    cell = Cell("s", "orm", sessions, {}, "s.py")
    assert plan(1).connections(cell) == connections
