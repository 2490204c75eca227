"""Rounds: more where they are cheap, where a cell is noisy and where a visit costs much, within the time there is."""

import math
from itertools import product
from random import Random
from typing import Any

import builders
import msgspec
import pytest
from builders import slice_of, with_usage
from hypothesis import given
from hypothesis import strategies as st

from dbbench.engine.rounds import (
    LEAST_BETWEEN,
    LEAST_ROUNDS,
    MAX_ROUNDS,
    PILOT_BLOCKS,
    Expected,
    Visit,
    chosen_again,
    early_cells,
    settled,
    spread,
    wanted_blocks,
)
from dbbench.engine.setup import Cost
from dbbench.plan import Effort, Plan
from dbbench.records import Measurement
from dbbench.stats.paired import looks

SECONDS = st.floats(0.01, 2.0)


def variance(cells: dict[int, Expected], rounds: dict[int, int]) -> float:
    return sum(cell.between**2 + cell.within**2 / rounds[index] for index, cell in cells.items())


@given(
    st.dictionaries(
        st.integers(0, 3),
        st.builds(Expected, SECONDS, SECONDS, st.just(1), st.floats(0.001, 0.2), st.floats(LEAST_BETWEEN, 0.05)),
        min_size=1,
    ),
    SECONDS,
    st.floats(0.1, 30.0),
)
def test_rounds_fit_in_the_block_unless_even_the_fewest_do_not(
    cells: dict[int, Expected], starting_s: float, block_s: float
) -> None:
    rounds = spread(cells, starting_s, block_s)
    takes_s = starting_s + sum(cell.opening_s + cell.round_s * rounds[index] for index, cell in cells.items())

    assert rounds.keys() == cells.keys()
    assert all(1 <= number <= MAX_ROUNDS for number in rounds.values())
    assert takes_s <= block_s + 1e-6 or set(rounds.values()) == {1}


def test_no_other_rounds_in_the_same_time_show_more() -> None:
    cells = {
        0: Expected(0.1, 0.05, 1, within=0.04, between=1e-6),
        1: Expected(0.1, 0.5, 1, within=0.04, between=1e-6),
        2: Expected(0.1, 0.1, 1, within=0.08, between=1e-6),
    }
    found = spread(cells, 0.0, 10.0)
    best = min(
        variance(cells, dict(enumerate(rounds)))
        for rounds in product(range(1, 90), range(1, 20), range(1, 90))
        if sum(cells[index].round_s * number for index, number in enumerate(rounds)) <= 10.0 - 0.3
    )

    assert variance(cells, found) == pytest.approx(best, rel=0.05)
    assert found[0] > found[1]
    assert found[2] > found[1]


def test_where_processes_differ_more_blocks_show_more_than_more_rounds() -> None:
    cell = Expected(opening_s=0.8, round_s=0.1, least=1, within=0.04, between=0.02)
    (rounds,) = spread({0: cell}, 0.2, 1_000.0).values()

    def after_a_while(number: int) -> float:
        return (0.2 + cell.opening_s + number * cell.round_s) * variance({0: cell}, {0: number})

    assert rounds < 10, "although there is time for thousands"
    assert after_a_while(rounds) == pytest.approx(min(map(after_a_while, range(1, 200))), rel=0.02)


def free(plan: Plan, budget_s: float | None = 120.0, **effort: Any) -> Plan:
    """The plan with a budget and nothing else said about its effort, but what is given."""
    return msgspec.structs.replace(plan, effort=Effort(budget_s=budget_s, **effort))


def test_a_plan_is_settled_by_what_its_cells_cost() -> None:
    plan = builders.plan([builders.cell(sessions=number) for number in (1, 15, 50)])
    quick, slow = Cost(0.01, 0.05), Cost(0.2, 0.2)

    one, two, none = settled(free(plan), [quick, slow, Cost(0.0, 0.0)]).rounds
    assert one > two > 1
    assert none == 1, "a cell that could not be measured"
    assert settled(free(plan, 2.0), [quick, slow, slow]).rounds == [LEAST_ROUNDS, 1, 1]
    assert (
        settled(free(plan, 900.0, precision=0.01), [quick] * 3).rounds == settled(free(plan, 60.0), [quick] * 3).rounds
    )
    assert settled(free(plan, None, blocks=5), [quick] * 3).rounds == settled(free(plan, 60.0), [quick] * 3).rounds


def test_what_was_asked_for_and_an_open_loop_keep_their_rounds() -> None:
    plan = builders.plan([builders.cell()], rounds=7)
    for kept in (free(plan, rounds=7), free(builders.changed(plan, rate=100.0, slice_s=2.0))):
        assert settled(kept, [Cost(0.01, 0.05)]) is kept
        assert chosen_again(kept, pilot(kept, [0.05], 7), {0: [Visit(0.1, 0.7, 7)] * PILOT_BLOCKS}, (), 0.1, 3.0) == {}
    exactly = free(plan, None, blocks=5)
    assert chosen_again(exactly, pilot(plan, [0.05], 7), {0: [Visit(0.1, 0.7, 7)] * PILOT_BLOCKS}, (), 0.1, 3.0) == {}


def test_the_quickest_cells_that_fit_come_early() -> None:
    quick, slow = Expected(0.1, 0.05, 3), Expected(0.5, 0.5, 1)
    cells = {0: slow, 1: quick, 2: quick, 3: quick}

    assert early_cells([[0], [1], [2], [3]], cells, 0.5, 2.0) == [1, 2, 3]
    assert early_cells([[0], [1], [2], [3]], cells, 0.5, 1.5) == [1, 2]
    assert early_cells([[0, 1], [2], [3]], cells, 0.5, 2.0) == [2, 3]
    assert early_cells([[0], [1], [2], [3]], cells, 0.5, 0.9) == [], "too little time"
    assert early_cells([[1], [2], [3]], dict.fromkeys((1, 2, 3), quick), 0.5, 20.0) == [], "there would be no others"
    assert early_cells([], {}, 0.5, 20.0) == []


@pytest.mark.parametrize("cells", [1, 5, 40])
def test_enough_blocks_for_the_first_look_are_wanted(cells: int) -> None:
    plan = free(builders.plan([builders.cell(sessions=1 + number) for number in range(cells)]))

    assert wanted_blocks(plan) > next(iter(looks(cells * (len(plan.arms) - 1)))).blocks


def pilot(plan: Plan, scatter: list[float], rounds: int, blocks: int = PILOT_BLOCKS) -> list[Measurement]:
    """The first blocks, in which slices of each cell scatter so much."""
    rng = Random(5)
    return [
        Measurement(
            block, cell, arm.name,
            [slice_of(0, at, 10, 0, round(1e7 * math.exp(rng.gauss(0, scatter[cell]))), 0) for at in range(rounds)],
            {}, 0, 0, {},
        )
        for block in range(blocks)
        for cell in range(len(plan.cells))
        for arm in plan.arms
    ]  # fmt: skip


@pytest.mark.parametrize("rounds", [1, 2, 8])
def test_what_the_first_blocks_show_decides_from_then_on(rounds: int) -> None:
    plan = free(builders.plan([builders.cell(sessions=number) for number in (15, 50)], rounds=rounds))
    visits = {cell: [Visit(0.2, 0.1 * rounds, rounds)] * PILOT_BLOCKS for cell in (0, 1)}
    chosen = chosen_again(plan, pilot(plan, [0.01, 0.2], rounds), visits, (), 0.3, 20.0)
    block_s = 100.0 / (wanted_blocks(plan) - PILOT_BLOCKS)

    assert chosen[1] > 2 * chosen[0]
    assert 0.3 + 2 * 0.2 + 0.1 * sum(chosen.values()) <= block_s


def test_a_cell_that_has_shown_nothing_is_left_out() -> None:
    plan = free(builders.plan([builders.cell(sessions=number) for number in (15, 50)], rounds=4))
    visits = {0: [Visit(0.2, 0.4, 4)] * PILOT_BLOCKS, 1: [Visit(0.2, 0.4, 4)]}
    measured = [one for one in pilot(plan, [0.02, 0.02], 4) if one.cell == 0 or one.block == 0]
    chosen = chosen_again(plan, measured, visits, (), 0.3, 20.0)

    assert chosen.keys() == {0}
    assert chosen[0] > 4
    assert chosen_again(plan, [], {}, (), 0.3, 20.0) == {}


def test_nothing_is_chosen_before_the_fourth_block_nor_once_there_are_enough() -> None:
    plan = free(builders.plan([builders.cell()], rounds=4))
    measured = pilot(plan, [0.02], 4)
    chosen = {
        blocks: chosen_again(plan, measured, {0: [Visit(0.2, 0.4, 4)] * blocks}, (), 0.3, 20.0)
        for blocks in range(1, wanted_blocks(plan) + 3)
    }

    assert [blocks for blocks, rounds in chosen.items() if rounds] == [*range(PILOT_BLOCKS, wanted_blocks(plan))]


@pytest.mark.parametrize("blocks", [PILOT_BLOCKS, 9])
def test_one_disturbed_block_does_not_decide(blocks: int) -> None:
    plan = free(builders.plan([builders.cell()], rounds=8))
    visits = {0: [Visit(0.2, 0.8, 8)] * blocks}
    measured = pilot(plan, [0.03], 8, blocks=blocks)
    slow = [slower(one, 1.5) if (one.block, one.arm) == (1, plan.baseline) else one for one in measured]

    calm, disturbed = (chosen_again(plan, each, visits, (), 0.3, 20.0)[0] for each in (measured, slow))
    assert disturbed > calm / 4


def slower(one: Measurement, times: float) -> Measurement:
    """The measurement of an arm that took so many times as long."""
    slices = [with_usage(each, elapsed_ns=round(times * each.usage.elapsed_ns)) for each in one.slices]
    return msgspec.structs.replace(one, slices=slices)


def test_which_arm_is_faster_changes_nothing() -> None:
    plan = free(builders.plan([builders.cell()], ("one", "other"), rounds=8))
    visits, measured = {0: [Visit(0.2, 0.8, 8)] * PILOT_BLOCKS}, pilot(plan, [0.05], 8)
    other_way = [msgspec.structs.replace(one, arm="other" if one.arm == "one" else "one") for one in measured]

    assert chosen_again(plan, measured, visits, (), 0.3, 20.0) == chosen_again(plan, other_way, visits, (), 0.3, 20.0)
