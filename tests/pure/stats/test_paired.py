"""Ratios are paired, intervals keep their confidence, verdicts are symmetric; tables are judged as a whole."""

import math
import random
from collections.abc import Sequence
from itertools import islice, pairwise
from statistics import median

import chance
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import maxt_signflip, two_sided_by_definition
from scipy import stats
from steady import judge

from dbbench.stats import paired, signflip
from dbbench.stats.centre import Block
from dbbench.stats.paired import (
    CONFIDENCE,
    ERROR,
    Verdict,
    block_log_ratio,
    blocks_for_interval,
    blocks_for_verdict,
    half_width,
    looks,
    median_interval,
    verdict,
)
from dbbench.stats.signflip import EXACT_BLOCKS, RANDOM_FLIPS, adjusted_p_values

TIMES = st.dictionaries(st.integers(0, 20), st.floats(1, 1e9), max_size=12)
DIFFERENT = (Verdict.FASTER, Verdict.SLOWER)


def tables(max_rows: int = 4, max_blocks: int = 9) -> st.SearchStrategy[list[list[float | None]]]:
    """Rows of equally many ln ratios in steps of 0.1%, each row with a value at least."""
    value = st.one_of(st.none(), st.integers(-500, 500).map(lambda thousandths: thousandths / 1000))
    return st.integers(1, max_blocks).flatmap(
        lambda blocks: st.lists(
            st.lists(value, min_size=blocks, max_size=blocks).filter(lambda row: any(one is not None for one in row)),
            min_size=1,
            max_size=max_rows,
        )
    )


def noise(rng: random.Random, rows: int, blocks: int, *, common: float = 1.0) -> list[list[float]]:
    """Identical arms: what each row has of its own, and what all of them share; heavy-tailed (Student's t, 3 d. f.)."""
    shared = [heavy(rng) * common for _ in range(blocks)]
    return [[0.03 * (heavy(rng) + shared[block]) for block in range(blocks)] for _ in range(rows)]


def heavy(rng: random.Random) -> float:
    return rng.gauss(0, 1) / math.sqrt(rng.gammavariate(1.5, 2) / 3)


# --- blocks and intervals --------------------------------------------------------------------------------------------


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


@pytest.mark.parametrize("family", [1, 2, 9, 24, 300])
@pytest.mark.parametrize("error", [0.5, 0.2, ERROR, 0.0125, 0.001])
def test_the_least_number_of_blocks_is_where_intervals_begin(error: float, family: int) -> None:
    needed = blocks_for_interval(error, family)

    assert median_interval([0.0] * needed, 1 - error / family) is not None
    assert median_interval([0.0] * (needed - 1), 1 - error / family) is None


def test_six_blocks_are_enough_for_one_row() -> None:
    assert blocks_for_interval() == 6


@given(st.lists(st.floats(-1, 1), min_size=10, max_size=60, unique=True), st.sampled_from([1, 2, 5]))
def test_the_interval_is_the_one_that_scipy_gives(values: list[float], family: int) -> None:
    confidence = 1 - ERROR / family
    expected = stats.quantile_test(values, p=0.5).confidence_interval(confidence)

    assert median_interval(values, confidence) == (expected.low, expected.high)


@pytest.mark.parametrize("blocks", [6, 9, 12, 25, 48])
def test_an_interval_misses_as_often_as_the_binomial_distribution_says(blocks: int) -> None:
    interval = median_interval([float(value) for value in range(blocks)], CONFIDENCE)

    assert interval is not None
    outside = int(interval[0])  # values beyond either end
    assert stats.binomtest(outside, blocks).pvalue <= ERROR < stats.binomtest(outside + 1, blocks).pvalue


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


@given(st.floats(0.1, 10), st.floats(0.5, 1), st.floats(1, 2))
def test_the_half_width_reaches_to_the_farther_end(ratio: float, down: float, up: float) -> None:
    assert half_width(ratio, (ratio * down, ratio * up)) == pytest.approx(max(1 - down, up - 1))


def test_more_blocks_are_asked_for_the_wider_the_interval_is() -> None:
    narrow = blocks_for_verdict(8, 1.02, (0.99, 1.05))
    wide = blocks_for_verdict(8, 1.02, (0.90, 1.16))

    assert 8 < narrow < wide


def test_the_blocks_asked_for_would_decide_if_the_interval_shrank_as_expected() -> None:
    ratio, low, high, blocks = 1.05, 0.97, 1.13, 8
    shrink = math.sqrt(blocks / blocks_for_verdict(blocks, ratio, (low, high)))

    assert verdict((ratio * (low / ratio) ** shrink, ratio * (high / ratio) ** shrink)) is Verdict.SLOWER


# --- p-values of a whole table ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(("rows", "blocks"), [(1, 1), (1, 6), (4, 9), (9, 12), (3, 13), (2, EXACT_BLOCKS)])
def test_p_values_are_those_of_the_reference(rows: int, blocks: int) -> None:
    rng = random.Random(rows * 100 + blocks)
    table = [[value + 0.01 * row for value in values] for row, values in enumerate(noise(rng, rows, blocks))]

    assert adjusted_p_values(table, alternative="greater") == maxt_signflip(table)


@given(tables())
def test_any_p_values_are_those_of_the_reference(table: list[list[float | None]]) -> None:
    plain = [[value or 0.0 for value in row] for row in table]

    assert adjusted_p_values(table, alternative="greater") == maxt_signflip(plain)


@settings(max_examples=25)
@given(tables(max_rows=3, max_blocks=7))
def test_two_sided_p_values_are_those_of_the_definition(table: list[list[float | None]]) -> None:
    plain = [[value or 0.0 for value in row] for row in table]

    assert adjusted_p_values(table) == two_sided_by_definition(plain)


@pytest.mark.parametrize("alternative", ["two-sided", "greater"])
@pytest.mark.parametrize("blocks", [5, 8, 12])
def test_the_p_value_of_a_single_row_is_the_one_that_scipy_gives(
    blocks: int, alternative: signflip.Alternative
) -> None:
    rng = random.Random(blocks)
    row = [rng.gauss(0.02, 0.03) for _ in range(blocks)]
    expected = stats.permutation_test(
        (row,), sum, permutation_type="samples", n_resamples=math.inf, alternative=alternative, vectorized=False
    )

    assert adjusted_p_values([row], alternative=alternative) == [pytest.approx(expected.pvalue)]


def test_random_flips_come_close_to_all_flips(monkeypatch: pytest.MonkeyPatch) -> None:
    table = [[value + 0.012 * row for value in values] for row, values in enumerate(noise(random.Random(4), 3, 14))]
    exact = adjusted_p_values(table)
    signflip._adjusted_p_values.cache_clear()
    monkeypatch.setattr(signflip, "EXACT_BLOCKS", 13)
    close = adjusted_p_values(table)
    signflip._adjusted_p_values.cache_clear()

    assert close != exact
    assert close == pytest.approx(exact, abs=4 * math.sqrt(0.25 / RANDOM_FLIPS))


def test_many_blocks_do_not_give_a_p_value_of_zero() -> None:
    assert adjusted_p_values([[0.5] * 30, [0.0] * 30]) == [1 / (RANDOM_FLIPS + 1), 1]


@pytest.mark.parametrize("blocks", [0, 1, 8, 20])
@pytest.mark.parametrize("nothing", [0.0, None])
def test_a_row_of_nothing_is_no_evidence(blocks: int, nothing: float | None) -> None:
    table: list[list[float | None]] = [[nothing] * blocks, [0.1] * blocks]

    assert adjusted_p_values(table)[0] == 1
    assert adjusted_p_values(table, alternative="greater")[0] == 1


def test_a_table_without_rows_has_no_p_values() -> None:
    assert adjusted_p_values([]) == []


@given(tables())
def test_p_values_are_probabilities_and_rows_in_the_order_of_their_evidence(table: list[list[float | None]]) -> None:
    found = adjusted_p_values(table)
    evidence = [abs(sum(row)) / (math.hypot(*row) or 1) for row in ([value or 0.0 for value in row] for row in table)]
    by_evidence = [p for _, p in sorted(zip(evidence, found, strict=True), key=lambda pair: (-pair[0], pair[1]))]

    assert all(0 < p <= 1 for p in found)
    assert all(p <= after or p == pytest.approx(after) for p, after in pairwise(by_evidence))


@given(tables())
def test_swapping_the_arms_leaves_p_values(table: list[list[float | None]]) -> None:
    assert adjusted_p_values(negative(table)) == adjusted_p_values(table)


@given(tables(), st.randoms(use_true_random=False))
def test_the_order_of_blocks_does_not_matter(table: list[list[float | None]], rng: random.Random) -> None:
    order = rng.sample(range(len(table[0])), len(table[0]))

    assert adjusted_p_values([[row[block] for block in order] for row in table]) == adjusted_p_values(table)


@given(tables(), st.floats(1e-6, 1e6))
def test_the_scale_of_a_row_does_not_matter(table: list[list[float | None]], factor: float) -> None:
    scaled = [[None if value is None else value * factor for value in table[0]], *table[1:]]

    assert adjusted_p_values(scaled) == adjusted_p_values(table)


@given(tables(), st.data())
def test_another_row_never_lowers_a_p_value(table: list[list[float | None]], data: st.DataObject) -> None:
    another = data.draw(st.lists(st.integers(-500, 500).map(float), min_size=len(table[0]), max_size=len(table[0])))
    more = adjusted_p_values([*table, another])

    assert all(now >= before for now, before in zip(more, adjusted_p_values(table), strict=False))


def negative(table: Sequence[Sequence[float | None]]) -> list[list[float | None]]:
    return [[None if value is None else -value for value in row] for row in table]


# --- judging a whole table -------------------------------------------------------------------------------------------


def test_rows_are_judged_in_their_order() -> None:
    table = [[shift + 0.001 * (block % 5) for block in range(12)] for shift in (0.0, -0.5, 0.3)]
    table.append([0.2 * (-1) ** block for block in range(12)])
    judged = judge(table, ERROR, family=4)

    assert [one.verdict for one in judged] == ["tie", "faster", "slower", "undecided"]
    assert judged[1].ratio == pytest.approx(math.exp(-0.498), abs=0.001)
    assert judged[1].interval == pytest.approx((math.exp(-0.4994), math.exp(-0.4966)), abs=5e-4)


def test_the_interval_is_wider_the_more_rows_there_are() -> None:
    row = [0.001 * block for block in range(16)]
    alone, among_many = (judge([row], ERROR, family)[0].interval for family in (1, 100))

    assert alone is not None
    assert among_many is not None
    assert among_many[0] < alone[0] < alone[1] < among_many[1]


def test_too_few_blocks_for_an_interval_are_left_to_the_test() -> None:
    clear, unclear = judge([[-0.5, -0.6, -0.4, -0.5, -0.5, -0.6], [0.1, 0.1, -0.2, 0.1, 0.1, 0.1]], ERROR, family=2)

    assert (clear.verdict, clear.interval) == (Verdict.FASTER, None)
    assert (unclear.verdict, unclear.interval) == (Verdict.UNDECIDED, None)
    assert judge([[0.0] * 5], ERROR, family=1)[0].verdict is Verdict.UNDECIDED
    assert judge([[0.5] * 5], ERROR, family=1)[0].verdict is Verdict.UNDECIDED  # 2 of 32 patterns


def test_a_row_with_few_values_in_a_table_with_many_needs_its_interval() -> None:
    lost = [*[0.5] * 7, *[None] * 5]
    judged = judge([lost, [0.5] * 12], ERROR, family=10)

    assert adjusted_p_values([lost, [0.5] * 12])[0] <= ERROR
    assert (judged[0].verdict, judged[0].interval) == (Verdict.UNDECIDED, None)
    assert judged[1].verdict is Verdict.SLOWER
    assert judge([lost], ERROR, family=10)[0].verdict is Verdict.UNDECIDED


def test_one_block_that_says_the_opposite_counts_by_its_size() -> None:
    row = [*[0.05] * 8, -3.0]
    (found,) = judge([row], 0.1, family=1)

    assert found.interval is not None
    assert found.interval[0] < 1 < found.interval[1]
    assert found.verdict is Verdict.UNDECIDED


def test_a_block_that_was_not_steady_counts_less() -> None:
    steady = [Block(0.05 + 0.001 * at) for at in range(8)]
    (found,) = paired.judge([[*steady, Block(-0.5, error=1.0)]], 0.1, family=1)

    assert found.verdict is Verdict.SLOWER
    assert found.ratio == pytest.approx(math.exp(0.05), rel=0.01)


@given(tables(max_rows=1, max_blocks=12))
def test_interval_and_test_agree_where_one_row_is_judged(table: list[list[float | None]]) -> None:
    (found,) = judge(table, 0.1, family=1)
    (p_value,) = adjusted_p_values(table)

    if found.interval is not None and not found.interval[0] <= 1 <= found.interval[1]:
        assert p_value <= 0.1 + 1e-9


def test_p_values_are_left_out_where_nothing_could_differ(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signflip, "adjusted_p_values", pytest.fail)

    assert [one.verdict for one in judge([[0.0] * 12, [0.5, -0.5] * 6], ERROR, 2)] == ["tie", "undecided"]


@given(tables(max_rows=3, max_blocks=12))
def test_swapping_the_arms_turns_the_verdicts_around(table: list[list[float | None]]) -> None:
    opposite = {Verdict.FASTER: Verdict.SLOWER, Verdict.SLOWER: Verdict.FASTER}
    there, back = judge(table, 0.2, 2), judge(negative(table), 0.2, 2)

    assert [one.verdict for one in back] == [opposite.get(one.verdict, one.verdict) for one in there]
    assert [one.ratio for one in back] == pytest.approx([1 / one.ratio for one in there])


@given(tables(max_rows=3, max_blocks=12), st.randoms(use_true_random=False))
def test_judgements_do_not_depend_on_the_order_of_blocks(table: list[list[float | None]], rng: random.Random) -> None:
    order = rng.sample(range(len(table[0])), len(table[0]))

    assert judge([[row[block] for block in order] for row in table], 0.2, 2) == judge(table, 0.2, 2)


def tables_whose_intervals_hold(tables: int) -> tuple[int, int]:
    """In how many of so many tables all intervals hold 1, the truth: made for all rows at once, and one by one."""
    rng = random.Random(20261123)
    rows = 6
    at_once = one_by_one = 0
    for _ in range(tables):
        table = noise(rng, rows, 12, common=0.5)
        at_once += all(holds_1(one.interval) for one in judge(table, ERROR, rows))
        one_by_one += all(holds_1(one.interval) for one in judge(table, ERROR, 1))
    return at_once, one_by_one


def test_all_intervals_of_a_table_hold_at_once_as_often_as_they_say() -> None:
    at_once, one_by_one = tables_whose_intervals_hold(250)

    assert chance.at_least(1 - ERROR, at_once, 250)
    assert not chance.at_least(1 - ERROR, one_by_one, 250)  # so that this test can fail


def holds_1(interval: tuple[float, float] | None) -> bool:
    return interval is not None and interval[0] <= 1 <= interval[1]


def alarms(blocks: int, tables: int) -> int:
    """How many of so many tables of identical arms call one faster or slower."""
    rng = random.Random(blocks)
    rows = 8
    made = (judge(noise(rng, rows, blocks), ERROR, rows) for _ in range(tables))
    return sum(any(one.verdict in DIFFERENT for one in judged) for judged in made)


def alarms_of_skewed_noise(cells: int, arms: int, blocks: int, tables: int) -> int:
    """How many of so many tables raise an alarm whose arms share a baseline with skewed noise."""
    rng = random.Random(cells + arms)
    found = 0
    for _ in range(tables):
        baselines = [[rng.lognormvariate(0, 2) for _ in range(blocks)] for _ in range(cells)]
        table = [[rng.lognormvariate(0, 2) - time for time in baseline] for baseline in baselines for _ in range(arms)]
        found += min(adjusted_p_values(table)) <= ERROR
    return found


IDENTICAL = [7, 12]  # blocks of a table: without and with intervals
SKEWED = [(1, 2, 7), (1, 6, 8), (3, 3, 8)]  # cells, arms of each, blocks


@pytest.mark.parametrize("blocks", IDENTICAL)
def test_tables_of_identical_arms_raise_few_alarms(blocks: int) -> None:
    assert chance.at_most(ERROR, alarms(blocks, 100), 100)


@pytest.mark.parametrize(("cells", "arms", "blocks"), SKEWED)
def test_a_baseline_with_skewed_noise_that_many_arms_share_raises_few_alarms(
    cells: int, arms: int, blocks: int
) -> None:
    assert chance.at_most(ERROR, alarms_of_skewed_noise(cells, arms, blocks, 100), 100)


# --- looking early ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("family", [1, 2, 9, 24, 1000])
def test_half_of_the_error_is_kept_for_the_end(family: int) -> None:
    made = list(looks(family))

    assert [look.error for look in made[:3]] == [ERROR / 4, ERROR / 8, ERROR / 16]
    assert sum(look.error for look in made) <= ERROR / 2
    assert made[-1].blocks > 10**9


@pytest.mark.parametrize("family", [1, 2, 9, 24, 1000])
def test_looks_begin_where_intervals_do_and_become_rarer(family: int) -> None:
    made = list(islice(looks(family), 8))

    assert made[0].blocks == blocks_for_interval(ERROR / 4, family)
    assert all(after.blocks >= 1.5 * before.blocks for before, after in pairwise(made))
    assert all(look.blocks >= blocks_for_interval(look.error, family) for look in made)


def test_the_looks_of_two_rows() -> None:
    assert [look.blocks for look in islice(looks(2), 5)] == [9, 14, 21, 32, 48]
