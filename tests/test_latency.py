"""What network latency does: the model, where drivers tie, and a real run that is held against both."""

import json
import math
from typing import Any

import msgspec
import pytest
from builders import cell, header, measurement, plan
from conftest import Cli
from hypothesis import assume, given
from hypothesis import strategies as st

from dbbench.latency import break_even_s, effects
from dbbench.records import BreakEven, End, Run
from dbbench.reports.roundtrips import round_trip_tables
from dbbench.statistics import TIE_BAND

COSTS = st.floats(1e-5, 1e-1)
TRIPS = st.floats(1, 100)


@given(COSTS, TRIPS, COSTS, TRIPS)
def test_from_the_break_even_on_neither_takes_longer_by_more_than_the_band(
    cost: float, trips: float, other: float, others: float
) -> None:
    rtt_s = break_even_s(cost, trips, other, others)
    assume(rtt_s is not None)
    assert rtt_s is not None
    for each in (rtt_s, 2 * rtt_s + 1e-6, 1000 * rtt_s + 1):
        ratio = (cost + trips * each) / (other + others * each)
        assert 1 / (1 + TIE_BAND) - 1e-9 <= ratio <= 1 + TIE_BAND + 1e-9
    if rtt_s > 0:
        ratio = (cost + trips * 0.99 * rtt_s) / (other + others * 0.99 * rtt_s)
        assert abs(math.log(ratio)) > math.log(1 + TIE_BAND) - 1e-9, "it is the lowest"


@given(COSTS, TRIPS, COSTS, TRIPS)
def test_the_break_even_is_the_same_from_both_sides(cost: float, trips: float, other: float, others: float) -> None:
    assert break_even_s(cost, trips, other, others) == break_even_s(other, others, cost, trips)


def test_drivers_with_other_round_trips_never_tie() -> None:
    assert break_even_s(0.001, 4, 0.001, 3) is None
    assert break_even_s(0.001, 3, 0.002, 4) is None


def test_equal_drivers_tie_at_once() -> None:
    assert break_even_s(0.001, 3, 0.00102, 3) == 0


def test_the_break_even_of_a_known_pair() -> None:
    assert break_even_s(0.001, 3, 0.0005, 3) == pytest.approx((0.001 - 1.03 * 0.0005) / (3 * 0.03))


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
    (group,) = effects(latency_run(psycopg=1000, asyncpg=500))
    assert [one.driver for one in group] == ["psycopg", "asyncpg"]
    assert [line.rtt_s for line in group[0].lines] == [0.0, 0.001, 0.005]
    for one in group:
        assert one.round_trips == 3
        for line in one.lines:
            assert line.deviation == pytest.approx(0, abs=1e-2), "the builder's mean is a little off"
    assert group[0].tie is None
    assert group[1].tie is not None
    assert group[1].tie.rtt_s == pytest.approx((1000 - 1.03 * 500) / (3 * 0.03) / 1e6, rel=1e-2)
    assert group[1].tie.checked is None


def test_a_check_is_shown_beside_the_break_even() -> None:
    run = latency_run(psycopg=1000, asyncpg=500)
    checked = msgspec.structs.replace(run, break_evens=[BreakEven(0, "asyncpg", 0.0054, 0.971, 0.96, 0.98)])
    (table,) = round_trip_tables(checked)
    assert any("5.4 ms on; measured at 5.4 ms: 0.971 (0.960 to 0.980)" in line for line in table.sentences)
    (unchecked,) = round_trip_tables(run)
    assert any("not checked" in line for line in unchecked.sentences)


def test_a_run_without_latency_has_no_such_table() -> None:
    assert round_trip_tables(Run(header(), [measurement("psycopg", 100)], [], None)) == []


@pytest.mark.parametrize("layer", ["core", "raw"])
def test_latency_adds_up_to_round_trips(dbbench: Cli, layer: str) -> None:
    """Two cells in one run: what a round-trip time of 5 ms adds is what the counted round trips say."""
    done = dbbench(
        "run", "point_reads", "--layer", layer, "--rtt", "0,5ms", "--blocks", "1", "--format", "json", "--quiet"
    )
    assert done.returncode == 0, done.stderr
    made: dict[str, Any] = json.loads(done.stdout)
    assert {row["params"].rpartition(" ")[2] for row in made["cells"]} == {"rtt=0", "rtt=5ms"}
    by_driver = {one["driver"]: one for one in made["latency"]}
    assert set(by_driver) == {"psycopg", "asyncpg", "psycopg2"}
    for one in by_driver.values():
        assert one["round_trips"] >= 3
        slow = one["lines"][1]
        assert slow["measured_us"] >= one["round_trips"] * 5000
        assert slow["measured_us"] < 1.5 * slow["predicted_us"], "nothing waits twice"
