"""Ratios are paired, intervals keep their confidence, verdicts are symmetric."""

import math
import random
from statistics import median

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dbbench.statistics import (
    Verdict,
    block_log_ratio,
    blocks_for_interval,
    blocks_for_verdict,
    median_interval,
    verdict,
)

TIMES = st.dictionaries(st.integers(0, 20), st.floats(1, 1e9), max_size=12)


def test_the_ratio_of_a_block_is_free_of_a_drift_that_both_arms_share() -> None:
    baseline = {round_: 100.0 * 2**round_ for round_ in range(5)}
    arm = {round_: 80.0 * 2**round_ for round_ in range(5)}

    assert block_log_ratio(arm, baseline) == pytest.approx(math.log(0.8))


def test_one_disturbed_slice_does_not_move_the_ratio_of_a_block() -> None:
    baseline = dict.fromkeys(range(5), 100.0)

    assert block_log_ratio(baseline | {2: 9_000.0}, baseline) == 0


def test_only_rounds_that_both_arms_have_are_compared() -> None:
    assert block_log_ratio({0: 1.0, 1: 50.0}, {1: 100.0, 2: 7.0}) == pytest.approx(math.log(0.5))


@pytest.mark.parametrize(("arm", "baseline"), [({}, {0: 1.0}), ({0: 1.0}, {1: 1.0}), ({0: 0.0}, {0: 1.0})])
def test_a_block_without_a_pair_has_no_ratio(arm: dict[int, float], baseline: dict[int, float]) -> None:
    assert block_log_ratio(arm, baseline) is None


@given(TIMES, TIMES)
def test_swapping_the_arms_turns_the_sign(arm: dict[int, float], baseline: dict[int, float]) -> None:
    there, back = block_log_ratio(arm, baseline), block_log_ratio(baseline, arm)

    assert (there is None) == (back is None)
    if there is not None and back is not None:
        assert there == pytest.approx(-back, abs=1e-12)


@pytest.mark.parametrize(
    ("n", "expected"),  # Conover's table: 0-based positions of the ends for 95%
    [(6, (0, 5)), (8, (0, 7)), (9, (1, 7)), (12, (2, 9)), (16, (3, 12)), (20, (5, 14)), (25, (7, 17))],
)
def test_the_interval_ends_at_the_tabulated_order_statistics(n: int, expected: tuple[int, int]) -> None:
    values = [float(value) for value in range(n)]
    random.Random(1).shuffle(values)

    assert median_interval(values) == expected


def test_five_blocks_are_too_few_for_95_percent() -> None:
    assert median_interval([1.0, 2.0, 3.0, 4.0, 5.0]) is None
    assert median_interval([]) is None


@pytest.mark.parametrize("confidence", [0.5, 0.8, 0.9, 0.95, 0.99, 0.999])
def test_the_least_number_of_blocks_is_where_intervals_begin(confidence: float) -> None:
    needed = blocks_for_interval(confidence)

    assert median_interval([0.0] * needed, confidence) is not None
    assert median_interval([0.0] * (needed - 1), confidence) is None


def test_the_interval_covers_the_true_median_as_often_as_it_says() -> None:
    rng = random.Random(20261123)
    trials = 2000
    # Skewed on purpose: nothing about the shape is assumed. The median of a lognormal is 1.
    found = [median_interval([rng.lognormvariate(0, 1) for _ in range(12)]) for _ in range(trials)]
    covered = sum(interval is not None and interval[0] <= 1 <= interval[1] for interval in found)

    assert 0.95 <= covered / trials <= 0.975  # 96.1% in theory, standard error 0.4%


@given(st.lists(st.floats(-1, 1), min_size=6, max_size=40))
def test_the_interval_contains_the_median_of_its_values(values: list[float]) -> None:
    interval = median_interval(values)

    assert interval is not None
    assert interval[0] <= median(values) <= interval[1]


@pytest.mark.parametrize(
    ("interval", "expected"),
    [
        ((0.58, 0.60), Verdict.FASTER),
        ((1.05, 1.10), Verdict.SLOWER),
        ((0.98, 1.02), Verdict.TIE),
        ((1.01, 1.02), Verdict.TIE),
        ((0.95, 0.99), Verdict.FASTER),
        ((0.9702, 0.99), Verdict.FASTER),  # the band ends at 1 / 1.03, not at 0.97
        ((0.95, 1.01), Verdict.UNDECIDED),
        ((0.90, 1.20), Verdict.UNDECIDED),
        (None, Verdict.UNDECIDED),
    ],
)
def test_the_verdict_follows_from_the_interval(interval: tuple[float, float] | None, expected: Verdict) -> None:
    assert verdict(interval) is expected


@given(st.floats(0.5, 2), st.floats(1, 1.5))
def test_the_verdict_on_swapped_arms_is_the_opposite(low: float, width: float) -> None:
    opposite = {Verdict.FASTER: Verdict.SLOWER, Verdict.SLOWER: Verdict.FASTER}
    there = verdict((low, low * width))

    assert verdict((1 / (low * width), 1 / low)) is opposite.get(there, there)


def test_more_blocks_are_asked_for_the_wider_the_interval_is() -> None:
    narrow = blocks_for_verdict(8, 1.02, (0.99, 1.05))
    wide = blocks_for_verdict(8, 1.02, (0.90, 1.16))

    assert 8 < narrow < wide


def test_the_blocks_asked_for_would_decide_if_the_interval_shrank_as_expected() -> None:
    ratio, low, high, blocks = 1.05, 0.97, 1.13, 8
    shrink = math.sqrt(blocks / blocks_for_verdict(blocks, ratio, (low, high)))

    assert verdict((ratio * (low / ratio) ** shrink, ratio * (high / ratio) ** shrink)) is Verdict.SLOWER
