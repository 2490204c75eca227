"""A run that stops early says nothing false more often than one that does not, and says the same when read again."""

import math
import random
from collections.abc import Collection, Mapping, Sequence
from itertools import islice

import chance
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from steady import Row, closed, judge, judgements

from dbbench.stats.paired import ERROR, Judgement, Verdict, half_width, looks
from dbbench.stats.sequential import Key

DIFFERENT = (Verdict.FASTER, Verdict.SLOWER)
ARMS = ("a", "b")


def heavy(rng: random.Random) -> float:
    """Draw from Student's t with 3 degrees of freedom."""
    return rng.gauss(0, 1) / math.sqrt(rng.gammavariate(1.5, 2) / 3)


def table(
    rng: random.Random, effects: Mapping[Key, float], blocks: int, *, sd: float = 0.05
) -> dict[Key, list[float | None]]:
    """Rows with these ln ratios; noise is heavy-tailed, in part that of the machine and of the cell's baseline."""
    made: dict[Key, list[float | None]] = {key: [] for key in effects}
    for _ in range(blocks):
        machine = heavy(rng)
        baselines = {cell: heavy(rng) for cell, _ in effects}
        for key, effect in effects.items():
            made[key].append(effect + sd * (0.5 * machine + 0.5 * baselines[key[0]] + heavy(rng)))
    return made


def constant(values: Mapping[Key, float], blocks: int) -> dict[Key, list[float | None]]:
    return {key: [value] * blocks for key, value in values.items()}


def adaptive(
    of: Mapping[Key, Row], precision: float | None = None, early: Collection[int] = ()
) -> dict[Key, Judgement]:
    return judgements(of, len(of), adaptive=True, precision=precision, early=early)


def verdicts(of: Mapping[Key, Judgement]) -> dict[Key, str]:
    return {key: judgement.verdict.value for key, judgement in of.items()}


# --- what is judged when ---------------------------------------------------------------------------------------------


def test_a_run_with_given_blocks_is_judged_once() -> None:
    made = table(random.Random(1), {(0, "a"): 0.3, (0, "b"): 0.0, (1, "a"): -0.3, (1, "b"): 0.02}, 30)
    expected = judge(list(made.values()), ERROR, 4)

    assert judgements(made, 4, adaptive=False, precision=0.5) == dict(zip(made, expected, strict=True))


def test_before_the_first_look_an_adaptive_run_is_judged_once_too() -> None:
    made = table(random.Random(1), {(0, "a"): 0.9, (0, "b"): 0.0}, 8)

    assert closed(made, 2, precision=None) == set()
    assert adaptive(made) == judgements(made, 2, adaptive=False, precision=None)


def test_a_cell_is_closed_at_the_first_look_at_which_all_its_rows_are_decided() -> None:
    made = constant({(0, "a"): 0.3, (0, "b"): 0.0, (1, "a"): 0.3}, 9)
    made[1, "b"] = [0.2, -0.1, 0.2, -0.4, 0.2, -0.1, 0.2, -0.3, 0.1]
    first = next(looks(4))

    assert first.blocks == 10
    assert closed(made, 4, precision=None) == set()
    longer = {key: [*values, values[0]] for key, values in made.items()}
    assert closed(longer, 4, precision=None) == {0}
    assert verdicts(adaptive(longer)) == {
        (0, "a"): "slower",
        (0, "b"): "tie",
        (1, "a"): "slower",
        (1, "b"): "undecided",
    }


def test_what_a_closed_cell_said_is_final() -> None:
    made = constant({(0, "a"): 0.3, (0, "b"): 0.0}, 9)
    before = adaptive(made)
    later = {key: [*values, *[-5.0] * 20] for key, values in made.items()}

    assert closed(made, 2, precision=None) == closed(later, 2, precision=None) == {0}
    assert adaptive(later) == before


def test_the_end_has_what_the_looks_have_left_of_the_error() -> None:
    made = table(random.Random(3), {(0, "a"): 0.0, (0, "b"): 0.01}, 22)
    left = ERROR - sum(look.error for look in islice(looks(2), 3))

    assert closed(made, 2, precision=None) == set()
    assert left > ERROR / 2
    assert list(adaptive(made).values()) == judge(list(made.values()), left, 2)


def test_with_a_precision_a_cell_is_open_until_its_intervals_are_narrow() -> None:
    noisy = table(random.Random(5), {(0, "a"): 0.7, (0, "b"): 0.7}, 48)
    narrow = constant({(1, "a"): 0.7, (1, "b"): 0.0}, 48)
    made = {**noisy, **narrow}

    assert closed(made, 4, precision=None) == {0, 1}
    assert closed(made, 4, precision=0.001) == {1}
    at = next(share / 100 for share in range(1, 100) if closed(made, 4, precision=share / 100) == {0, 1})
    judged = adaptive(made, at)
    assert all(half_width(one.ratio, one.interval) <= at for one in judged.values() if one.interval)


def test_a_precision_closes_cells_that_are_undecided() -> None:
    made = table(random.Random(5), {(0, "a"): 0.0}, 40)

    assert closed(made, 1, precision=None) == set()
    assert closed(made, 1, precision=0.5) == {0}
    assert verdicts(adaptive(made, 0.5)) == {(0, "a"): "undecided"}


@pytest.mark.parametrize("alive", [0, 3, 7])
def test_a_row_that_lost_its_arm_does_not_keep_its_cell_open(alive: int) -> None:
    made = constant({(0, "a"): 0.3, (0, "b"): 0.2}, 9)
    made[0, "b"] = [*[0.2, -0.2] * 4, 0.2][:alive] + [None] * (9 - alive)

    assert closed(made, 2, precision=None) == {0}
    assert verdicts(adaptive(made)) == {(0, "a"): "slower"} | ({(0, "b"): "undecided"} if alive else {})


def test_a_block_without_a_value_does_not_make_a_row_a_lost_one() -> None:
    made = constant({(0, "a"): 0.3, (0, "b"): 0.2}, 9)
    made[0, "b"] = [0.2, -0.2, 0.2, -0.2, 0.2, -0.2, 0.2, -0.2, None]

    assert closed(made, 2, precision=None) == set()


def test_a_lost_row_may_still_be_decided_at_the_end() -> None:
    made = constant({(cell, arm): 0.3 for cell in range(2) for arm in ARMS}, 10)
    made[0, "b"] = [*[0.3] * 8, None, None]  # enough for an interval at 5%, not at that of the look

    assert closed(made, 4, precision=None) == {0, 1}
    assert verdicts(adaptive(made)) == dict.fromkeys(made, "slower")


def test_a_cell_that_cannot_be_measured_any_more_does_not_hold_up_the_others() -> None:
    made = {**constant({(0, "a"): 0.3}, 3), **constant({(1, "a"): 0.3}, 9)}

    assert closed(made, 2, precision=None) == set()  # perhaps its turn in this block is still to come
    assert closed({**made, (1, "a"): [0.3] * 10}, 2, precision=None) == {0, 1}


def test_nothing_measured_is_nothing_to_judge() -> None:
    assert judgements({}, 0, adaptive=True, precision=None) == {}
    assert judgements({(0, "a"): [None, None]}, 1, adaptive=True, precision=0.1) == {}
    assert closed({}, 0, precision=None) == set()


def test_early_cells_are_decided_before_the_others_have_begun() -> None:
    first = next(iter(looks(4))).blocks
    early = constant({(2, "a"): 0.3, (2, "b"): -0.3}, first)
    both = early | constant({(0, "a"): 0.3, (0, "b"): -0.3}, first - 1)

    assert closed(early, 4, precision=None, early=[2]) == {2}
    assert closed(both, 4, precision=None, early=[2]) == {2}
    assert closed(both, 4, precision=None) == set(), "they would wait for each other"
    assert verdicts(adaptive(both, early=[2])) == {
        (0, "a"): "slower", (0, "b"): "faster", (2, "a"): "slower", (2, "b"): "faster"
    }  # fmt: skip


# --- a run and its file ----------------------------------------------------------------------------------------------


@settings(max_examples=25)
@given(
    st.integers(0, 10_000),
    st.dictionaries(
        st.tuples(st.integers(0, 3), st.sampled_from(ARMS)), st.sampled_from([0.0, 0.04, 0.3, -0.6]), min_size=1
    ),
    st.sampled_from([None, 0.02, 0.1]),
    st.integers(1, 34),
    st.sets(st.integers(0, 3)),
)
def test_a_finished_run_is_judged_as_it_was_while_it_went_on(
    seed: int, effects: dict[Key, float], precision: float | None, blocks: int, early: set[int]
) -> None:
    rng = random.Random(seed)
    whole = table(rng, effects, blocks, sd=0.01)
    family = len(effects) + rng.randrange(3)
    lost_at = {key: rng.randrange(2 * blocks) if rng.random() < 0.2 else blocks for key in effects}
    measured: dict[Key, list[float | None]] = {key: [] for key in effects}
    shut: dict[int, dict[Key, Judgement]] = {}
    unfinished: set[int] = set()  # cells whose turn in the last block did not come: the run was interrupted
    interrupted = rng.random() < 0.3
    for block in range(blocks):
        for key in effects:
            if key[0] not in shut:
                measured[key].append(whole[key][block] if block < lost_at[key] else None)
        if interrupted and block == blocks - 1:  # so nobody looked after it
            unfinished = set(rng.sample([cell for cell, _ in effects if cell not in shut], 1))
            break
        for cell in closed(measured, family, precision=precision, early=early) - shut.keys():
            now = judgements(measured, family, adaptive=True, precision=precision, early=early)
            shut[cell] = {key: judgement for key, judgement in now.items() if key[0] == cell}
        if all(cell in shut for cell, _ in effects):
            break
    in_the_file = {key: values[: -1 if key[0] in unfinished else None] for key, values in measured.items()}
    read = judgements(in_the_file, family, adaptive=True, precision=precision, early=early)

    assert shut.keys() >= closed(in_the_file, family, precision=precision, early=early)
    if not unfinished:
        assert shut.keys() == closed(in_the_file, family, precision=precision, early=early)
    for cell, judged in shut.items():
        still = {key: judgement for key, judgement in read.items() if key[0] == cell}
        assert still.keys() == judged.keys()
        for key, judgement in judged.items():
            # A lost row that was not settled is judged at the end, at an error that depends on the looks after it.
            assert still[key] == judgement or lost_at[key] < blocks


# --- identical arms --------------------------------------------------------------------------------------------------


def alarms(runs: int, early: Collection[int] = ()) -> int:
    """How many of so many runs of identical arms, which may stop early, call one faster or slower."""
    rng = random.Random(20261123)
    rows = {(cell, arm): 0.0 for cell in range(4) for arm in ARMS}
    found = 0
    for _ in range(runs):
        judged = adaptive(table(rng, rows, rng.choice([8, 12, 20, 40])), early=early)
        found += any(one.verdict in DIFFERENT for one in judged.values())
    return found


def alarms_of_one_row(runs: int) -> tuple[int, int]:
    """How many of so many runs raise an alarm: looked at after every block without correction, and as we look."""
    rng = random.Random(20261123)
    uncorrected = corrected = 0
    for _ in range(runs):
        values = table(rng, {(0, "a"): 0.0}, 40)[0, "a"]
        uncorrected += any(is_alarm(values[:blocks]) for blocks in range(6, 41))
        corrected += any(one.verdict in DIFFERENT for one in adaptive({(0, "a"): values}).values())
    return uncorrected, corrected


@pytest.mark.trials
def test_runs_of_identical_arms_raise_few_alarms_although_they_are_looked_at_early() -> None:
    assert chance.at_most(ERROR, alarms(30), 30)
    assert chance.at_most(ERROR, alarms(30, early=[1, 3]), 30)


@pytest.mark.trials
def test_looking_after_every_block_without_correction_would_raise_more() -> None:
    uncorrected, corrected = alarms_of_one_row(40)

    assert chance.at_most(ERROR, corrected, 40)
    assert not chance.at_most(ERROR, uncorrected, 40)


def is_alarm(values: Sequence[float | None]) -> bool:
    interval = judge([values], ERROR, 1)[0].interval
    return interval is not None and not interval[0] <= 1 <= interval[1]


def runs_that_find_all(runs: int) -> int:
    """How many of so many runs find every difference and the tie, and end early."""
    rng = random.Random(20261123)
    found = 0
    for _ in range(runs):
        made = table(rng, {(0, "a"): math.log(1.05), (0, "b"): 0.0, (1, "a"): 0.3, (1, "b"): -0.3}, 40, sd=0.006)
        right = {(0, "a"): "slower", (0, "b"): "tie", (1, "a"): "slower", (1, "b"): "faster"}
        found += verdicts(adaptive(made)) == right and closed(made, 4, precision=None) == {0, 1}
    return found


def test_differences_are_found_and_end_the_run() -> None:
    assert chance.at_least(0.9, runs_that_find_all(5), 5)
