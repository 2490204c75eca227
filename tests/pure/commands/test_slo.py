"""Objectives: what is read, what it takes to see them, what holds."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dbbench.commands.capacity.slo import BUILD_UP, MAX_TRIAL_S, lowest_rate, operations_at, parse
from dbbench.errors import UsageError
from dbbench.stats.histogram import NEEDED_BEYOND

MEASURES = ("p50", "p90", "p95", "p99", "p99.9", "max", "mean")


@pytest.mark.parametrize(
    ("text", "measure", "limit_ns", "inclusive", "shown"),
    [
        ("p99<10ms", "p99", 10_000_000, False, "p99 < 10 ms"),
        (" p99.9 <= 1.5 ms ", "p99.9", 1_500_000, True, "p99.9 <= 1.5 ms"),
        ("P50<250us", "p50", 250_000, False, "p50 < 250 µs"),
        ("mean < 250 \N{GREEK SMALL LETTER MU}s", "mean", 250_000, False, "mean < 250 µs"),
        ("mean < 250 µs", "mean", 250_000, False, "mean < 250 µs"),
        ("max<3s", "max", 3_000_000_000, False, "max < 3 s"),
    ],
)
def test_an_objective_is_read_as_it_is_meant(
    text: str, measure: str, limit_ns: float, inclusive: bool, shown: str
) -> None:
    objective = parse(text)

    assert (objective.measure, objective.limit_ns, objective.inclusive) == (measure, limit_ns, inclusive)
    assert objective.text == shown
    assert parse(objective.text) == objective


@pytest.mark.parametrize(
    "text", ["", "p99", "p99<10", "p98<10ms", "p99>10ms", "p99<-1ms", "p99<10m", "10ms", "p99<1e3us"]
)
def test_anything_else_is_a_usage_error_that_says_how_to_write_it(text: str) -> None:
    with pytest.raises(UsageError, match=r"write it like p99<10ms, with one of p50, .*, max, mean"):
        parse(text)


@pytest.mark.parametrize("text", ["p99<0ms", "p99<3.1s", "max<60s"])
def test_a_limit_that_no_trial_could_show_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="above 0 and at most 3 s"):
        parse(text)


def test_values_are_those_of_the_latencies() -> None:
    latencies = [*range(1, 1001)]

    assert parse("max<1s").value_ns(latencies) == 1000
    assert parse("mean<1s").value_ns(latencies) == 500.5
    assert parse("p50<1s").value_ns(latencies) == pytest.approx(500, rel=0.005)
    assert parse("p99<1s").value_ns(latencies) == pytest.approx(990, rel=0.005)
    assert parse("p99.9<1s").value_ns(latencies) is None  # too few


@pytest.mark.parametrize("measure", MEASURES)
def test_nothing_is_known_of_no_latencies(measure: str) -> None:
    objective = parse(f"{measure}<1s")

    assert objective.value_ns([]) is None
    assert objective.holds(None, operations=0, errors=0, not_started=0) is None


def test_the_limit_itself_holds_only_where_it_is_included() -> None:
    counts = {"operations": 1000, "errors": 0, "not_started": 0}

    assert parse("max<1us").holds(999, **counts) is True
    assert parse("max<1us").holds(1000, **counts) is False
    assert parse("max<=1us").holds(1000, **counts) is True
    assert parse("max<=1us").holds(1001, **counts) is False


def test_one_operation_that_never_began_is_too_many() -> None:
    assert parse("p50<1s").holds(1, operations=10_000, errors=0, not_started=1) is False


def test_one_failure_in_a_thousand_is_allowed_and_no_more() -> None:
    objective = parse("p50<1s")

    assert objective.holds(1, operations=999, errors=1, not_started=0) is True
    assert objective.holds(1, operations=998, errors=1, not_started=0) is False
    assert objective.holds(1, operations=0, errors=5, not_started=0) is False


@pytest.mark.parametrize(("measure", "needed"), [*zip(MEASURES, (10, 50, 100, 500, 5000, 30, 30), strict=True)])
def test_a_trial_has_enough_operations_for_the_percentile(measure: str, needed: int) -> None:
    objective = parse(f"{measure}<1ms")

    assert objective.needed == needed
    assert objective.value_ns([1] * math.ceil(needed * NEEDED_BEYOND / 5)) == 1  # though two in five are missing


@given(
    measure=st.sampled_from(MEASURES),
    limit_ms=st.integers(1, 3000),
    trial_s=st.floats(0.1, 300),
    times=st.floats(1, 9999),
)
def test_a_trial_is_long_enough_and_above_the_lowest_rate_never_too_long(
    measure: str, limit_ms: int, trial_s: float, times: float
) -> None:
    objective = parse(f"{measure}<{limit_ms}ms")
    rate = lowest_rate(objective, trial_s) * times
    operations = operations_at(objective, rate, trial_s)

    assert operations >= objective.needed
    assert operations / rate >= max(trial_s, BUILD_UP * limit_ms / 1000) * 0.999
    assert (operations - 1) / rate <= max(trial_s, MAX_TRIAL_S) * 1.001
