"""Histograms merge exactly and report percentiles within 1%."""

import math
import random
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dbbench.stats.histogram import MAX_BUCKET, Histogram, bucket_of, value_of

LATENCIES = st.integers(min_value=0, max_value=2**63 - 1)
SAMPLES = st.lists(LATENCIES, max_size=200)


def histogram(values: list[int]) -> Histogram:
    made = Histogram()
    made.record_all(values)
    return made


def merged(*parts: Histogram) -> dict[int, int]:
    total = Histogram()
    for part in parts:
        total.merge(part)
    return total.counts


@given(LATENCIES)
def test_a_bucket_reports_its_midpoint_within_one_256th(value: int) -> None:
    assert abs(value_of(bucket_of(value)) - value) * 256 <= value


@given(st.integers(min_value=0, max_value=MAX_BUCKET))
def test_the_midpoint_of_a_bucket_lies_in_it(bucket: int) -> None:
    assert bucket_of(value_of(bucket)) == bucket


@given(LATENCIES, LATENCIES)
def test_buckets_are_in_the_order_of_their_values(one: int, other: int) -> None:
    low, high = sorted((one, other))
    assert bucket_of(low) <= bucket_of(high)


def test_small_values_are_exact() -> None:
    assert [value_of(bucket_of(value)) for value in range(256)] == list(range(256))


@given(SAMPLES)
def test_recording_many_is_recording_each_in_its_bucket(values: list[int]) -> None:
    expected: dict[int, int] = {}
    for value in values:
        expected[bucket_of(value)] = expected.get(bucket_of(value), 0) + 1

    assert histogram(values).counts == expected


@given(SAMPLES, SAMPLES)
def test_merging_is_recording_all_in_one(one: list[int], other: list[int]) -> None:
    assert merged(histogram(one), histogram(other)) == histogram(one + other).counts


@given(SAMPLES, SAMPLES, SAMPLES)
def test_merging_is_associative_and_commutative(one: list[int], two: list[int], three: list[int]) -> None:
    a, b, c = histogram(one), histogram(two), histogram(three)

    assert merged(a, Histogram(merged(b, c))) == merged(Histogram(merged(a, b)), c) == merged(c, b, a)


def test_merging_leaves_the_other_histogram_alone() -> None:
    whole, part = histogram([5]), histogram([7])
    whole.merge(part)
    whole.record_all([7])

    assert part.counts == {7: 1}


@given(st.lists(LATENCIES, min_size=60, max_size=400), st.sampled_from([0.5, 0.9, 0.95]))
def test_a_percentile_is_within_one_percent_of_the_sorted_values(values: list[int], q: float) -> None:
    exact = sorted(values)[math.ceil(Fraction(str(q)) * len(values)) - 1]
    reported = histogram(values).percentile(q)

    assert reported is not None
    assert abs(reported - exact) * 100 <= exact


@settings(max_examples=30)  # of thousands of samples each, because p99.9 takes 3000
@given(st.integers(), st.integers(min_value=1, max_value=12), st.sampled_from([0.5, 0.9, 0.95, 0.99, 0.999]))
def test_merged_blocks_report_percentiles_within_one_percent_of_all_their_samples(
    seed: int, blocks: int, q: float
) -> None:
    rng = random.Random(seed)
    # Latencies of about a microsecond to a minute, most of them close together and some far out.
    typical = 10 ** rng.uniform(3, 10)
    values = [int(rng.lognormvariate(math.log(typical), rng.choice((0.01, 0.3, 2.0)))) for _ in range(4000)]
    total = merged(*(histogram(values[block::blocks]) for block in range(blocks)))
    exact = sorted(values)[math.ceil(Fraction(str(q)) * len(values)) - 1]
    reported = Histogram(total).percentile(q)

    assert total == histogram(values).counts
    assert reported is not None
    assert abs(reported - exact) * 100 <= exact


@pytest.mark.parametrize(("q", "needed"), [(0.5, 6), (0.9, 30), (0.95, 60), (0.99, 300), (0.999, 3000)])
def test_a_percentile_is_left_empty_when_fewer_than_three_samples_are_expected_beyond_it(q: float, needed: int) -> None:
    assert histogram([1000] * (needed - 1)).percentile(q) is None
    assert histogram([1000] * needed).percentile(q) == value_of(bucket_of(1000))


def test_an_empty_histogram_has_no_percentile() -> None:
    assert Histogram().total == 0
    assert Histogram().percentile(0.5) is None
