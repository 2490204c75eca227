"""What network latency does: the model, and where drivers tie."""

import msgspec
import pytest
from builders import cell, header, measurement, plan
from hypothesis import given
from hypothesis import strategies as st

from dbbench.analysis.analysis import analyse
from dbbench.analysis.latency import GRID, Time, break_even_s, time_s
from dbbench.records import BreakEven, End, Run
from dbbench.reports.run.roundtrips import round_trip_tables
from dbbench.stats.paired import TIE_BAND

COSTS = st.floats(1e-5, 1e-1)
TRIPS = st.floats(1, 100)


def time_of(cost: float, trips: float) -> Time:
    return lambda rtt_s: cost + trips * rtt_s


@given(COSTS, TRIPS, COSTS, TRIPS)
def test_from_the_break_even_on_neither_takes_longer_by_more_than_the_band(
    cost: float, trips: float, other: float, others: float
) -> None:
    rtt_s = break_even_s(time_of(cost, trips), time_of(other, others))
    ratios = [(cost + trips * each) / (other + others * each) for each in GRID]
    tied = [1 / (1 + TIE_BAND) <= ratio <= 1 + TIE_BAND for ratio in ratios]
    if rtt_s is None:
        assert not tied[-1]
    elif rtt_s == 0:
        assert all(tied)
    else:
        first = GRID.index(rtt_s)
        assert all(tied[first:])
        assert not tied[first - 1], "it is the lowest"


@given(COSTS, TRIPS, COSTS, TRIPS)
def test_the_break_even_is_the_same_from_both_sides(cost: float, trips: float, other: float, others: float) -> None:
    one, two = time_of(cost, trips), time_of(other, others)
    there, back = break_even_s(one, two), break_even_s(two, one)
    assert (there is None) == (back is None)
    if there is not None and back is not None:
        assert back == pytest.approx(there, rel=0.04), "a ratio of exactly 1.03 may be rounded"


def test_drivers_with_other_round_trips_never_tie() -> None:
    assert break_even_s(time_of(0.001, 4), time_of(0.001, 3)) is None
    assert break_even_s(time_of(0.001, 3), time_of(0.002, 4)) is None


def test_equal_drivers_tie_at_once() -> None:
    assert break_even_s(time_of(0.001, 3), time_of(0.00102, 3)) == 0


def test_the_break_even_of_a_known_pair() -> None:
    expected = (0.001 - 1.03 * 0.0005) / (3 * 0.03)
    assert break_even_s(time_of(0.001, 3), time_of(0.0005, 3)) == pytest.approx(expected, rel=0.03)


def test_the_cost_between_two_latencies_is_interpolated() -> None:
    costs = [(0.001, 0.004), (0.003, 0.006)]
    assert time_s(costs, 2, 0.002) == pytest.approx(0.005 + 2 * 0.002)
    assert time_s(costs, 2, 0.0) == pytest.approx(0.004)
    assert time_s(costs, 2, 0.01) == pytest.approx(0.006 + 2 * 0.01)


def latency_run(**times: float) -> Run:
    """Two drivers with three round trips each: at 0, 1 and 5 ms."""
    cells = [msgspec.structs.replace(cell(sessions=1), rtt_s=rtt_s) for rtt_s in (0.0, 0.001, 0.005)]
    made = plan(cells, ("psycopg", "asyncpg"), blocks=6)
    top = msgspec.structs.replace(header(made), round_trips={"psycopg": [3.0] * 3, "asyncpg": [3.0] * 3})
    measurements = [
        measurement(arm, cost_us + 3e6 * (each.rtt_s or 0), block=block, cell=index)
        for block in range(6)
        for index, each in enumerate(cells)
        for arm, cost_us in times.items()
    ]
    return Run(top, measurements, [], End("complete", "2026-11-23T03:16:00+00:00", 60.0))


def test_what_is_measured_is_held_against_the_model() -> None:
    (group,) = analyse(latency_run(psycopg=1000, asyncpg=500)).effects
    assert [one.driver for one in group] == ["psycopg", "asyncpg"]
    assert [line.rtt_s for line in group[0].lines] == [0.0, 0.001, 0.005]
    for one in group:
        assert one.round_trips == 3
        for line in one.lines:
            assert line.deviation == pytest.approx(0, abs=1e-2), "the builder's mean is a little off"
    assert group[0].tie is None
    assert group[1].tie is not None
    assert group[1].tie.rtt_s == pytest.approx((1000 - 1.03 * 500) / (3 * 0.03) / 1e6, rel=0.04)
    assert group[1].tie.checked is None


def test_a_check_is_shown_beside_the_break_even() -> None:
    run = latency_run(psycopg=1000, asyncpg=500)
    checked = msgspec.structs.replace(run, break_evens=[BreakEven(0, "asyncpg", 0.0054, 0.971, 0.96, 0.98)])
    (table,) = round_trip_tables(analyse(checked))
    assert any("5.4 ms on; measured at 5.4 ms: 0.971 (0.960 to 0.980)" in line for line in table.sentences)
    (unchecked,) = round_trip_tables(analyse(run))
    assert any("not checked" in line for line in unchecked.sentences)


def test_a_run_without_latency_has_no_such_table() -> None:
    assert round_trip_tables(analyse(Run(header(), [measurement("psycopg", 100)], [], None))) == []
