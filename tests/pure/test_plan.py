"""What is measured in which order."""

import msgspec
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


def grouped(seed: int = 1) -> Plan:
    """Two drivers with two settings each, compared within the driver."""
    arms = [
        Arm(f"{driver}+pool-pre-ping={ping}", driver, baseline=f"{driver}+pool-pre-ping=off")
        for driver in ("psycopg", "asyncpg")
        for ping in ("off", "on")
    ]
    return msgspec.structs.replace(plan(seed), arms=arms, baseline=arms[0].name)


def test_arms_are_compared_within_their_group() -> None:
    made = grouped()

    assert made.groups == [
        ["psycopg+pool-pre-ping=off", "psycopg+pool-pre-ping=on"],
        ["asyncpg+pool-pre-ping=off", "asyncpg+pool-pre-ping=on"],
    ]
    assert made.compared == 2
    assert made.baseline_of(0, "asyncpg+pool-pre-ping=on") == "asyncpg+pool-pre-ping=off"
    assert plan(1).groups == [["psycopg", "asyncpg", "psycopg2"]]
    assert plan(1).compared == 2


def test_the_baseline_comes_first_in_its_group() -> None:
    made = grouped()
    arms = [msgspec.structs.replace(arm, baseline=f"{arm.driver}+pool-pre-ping=on") for arm in made.arms]
    turned = msgspec.structs.replace(made, arms=arms, baseline=arms[1].name)

    assert turned.groups[1] == ["asyncpg+pool-pre-ping=on", "asyncpg+pool-pre-ping=off"]


def test_a_baseline_that_cannot_be_measured_is_replaced_in_its_group_alone() -> None:
    made = grouped()
    instead = {"asyncpg+pool-pre-ping=off": "asyncpg+pool-pre-ping=on"}
    cells = [msgspec.structs.replace(made.cells[0], instead=instead), *made.cells[1:]]
    changed = msgspec.structs.replace(made, cells=cells)

    assert changed.baseline_of(0, "asyncpg+pool-pre-ping=off") == "asyncpg+pool-pre-ping=on"
    assert changed.baseline_of(0, "psycopg+pool-pre-ping=on") == "psycopg+pool-pre-ping=off"
    assert changed.baseline_of(1, "asyncpg+pool-pre-ping=on") == "asyncpg+pool-pre-ping=off"
    assert changed.against("psycopg+pool-pre-ping=on").baseline_of(0, "asyncpg+pool-pre-ping=on") == (
        "psycopg+pool-pre-ping=on"
    )


def test_an_arm_has_its_own_parameters() -> None:
    cell = Cell("s", "orm", 1, {"rows": 5}, "s.py")
    made = msgspec.structs.replace(plan(1), arms=[Arm("psycopg+form=many", "psycopg", params={"form": "many"}), *ARMS])

    assert made.of(cell, "psycopg+form=many").params == {"rows": 5, "form": "many"}
    assert made.of(cell, "asyncpg") is cell
