"""Breakdown, ledger and layers follow from records: what is summed, what is merged, and what cannot be given."""

from pathlib import Path

import builders
import msgspec
import pytest
from builders import (
    cell,
    changed,
    due,
    explained,
    layered_run,
    many_sided_run,
    measurement,
    measurements,
    open_loop_run,
    plan,
    run,
    slice_of,
)

from dbbench.analysis.analysis import analyse
from dbbench.analysis.breakdown import Breakdown, Failure, LayerTax
from dbbench.analysis.rows import CellRow
from dbbench.plan import Cell, Plan
from dbbench.records import Measurement, Problem, Run, Slice
from dbbench.reports.exported import exported
from dbbench.reports.run.remarks import failed


def alone(*measured: Measurement, of: Plan | None = None) -> Breakdown:
    """Break down a run of psycopg alone."""
    return analyse(run(of or plan(arms=["psycopg"]), measured)).breakdowns[0]


def identity(row: CellRow | Breakdown | Failure) -> tuple[str, str, int, str, str]:
    """What tells a row from others, and is the same in all tables: its cell and its arm."""
    return row.scenario, row.layer, row.sessions, row.params, row.driver


def one(*slices: Slice, **more: object) -> Measurement:
    return msgspec.structs.replace(Measurement(0, 0, "psycopg", list(slices), {}, 0, 0), **more)


# --- where the time goes ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("made", [many_sided_run(), layered_run(), open_loop_run(), run(measured=[])])
def test_there_is_one_for_every_row_in_the_same_order(made: Run) -> None:
    found = analyse(made).breakdowns

    assert [identity(row) for row in analyse(made).rows] == [identity(one) for one in found]
    assert [(row.operations, row.errors) for row in analyse(made).rows] == [
        (one.operations, one.errors) for one in found
    ]


def test_attempts_succeeded_or_failed_and_what_never_began_is_none() -> None:
    found = alone(one(slice_of(0, 0, 40, 2, 1, 1, not_started=5), slice_of(1, 1, 60, 1, 1, 1, not_started=6)))

    assert (found.attempts, found.operations, found.errors, found.not_started) == (103, 100, 3, 11)


def test_percentiles_are_of_all_blocks_together() -> None:
    blocks = [one(block=0, wait={100: 300}, query={120: 300}), one(block=1, wait={50: 301}, query={110: 301})]
    found = alone(*blocks)

    assert (found.wait_p50_us, found.wait_p99_us) == (0.05, 0.1)
    assert (found.query_p50_us, found.query_p99_us) == (0.11, 0.12)


def test_sessions_that_hold_their_connection_have_no_wait_and_no_connects() -> None:
    held = changed(plan(arms=["psycopg"]), checkout="session")
    found = alone(one(slice_of(0, 0, 50, 0, 1, 1, connects=5), query={100: 50}, peak_bytes=1), of=held)

    assert (found.wait_p50_us, found.wait_p99_us, found.connects_per_1000) == (None, None, None)
    assert found.query_p50_us == 0.1


def test_connects_are_counted_by_checkouts_that_failed_too() -> None:
    assert alone(one(slice_of(0, 0, 150, 50, 1, 1, connects=10), peak_bytes=1)).connects_per_1000 == 50
    assert alone(one(slice_of(0, 0, 0, 0, 1, 1), peak_bytes=1)).connects_per_1000 is None


def test_cpu_time_is_split_into_user_and_system() -> None:
    found = alone(one(slice_of(0, 0, 10, 0, 1, 50_000, 20_000), slice_of(1, 1, 10, 0, 1, 70_000, 20_000), peak_bytes=1))

    assert (found.user_us_per_op, found.system_us_per_op) == (4, 2)


def test_user_time_is_never_negative() -> None:
    found = alone(one(slice_of(0, 0, 10, 0, 1, cpu_ns=9_000, system_ns=10_000), peak_bytes=1))

    assert (found.user_us_per_op, found.system_us_per_op) == (0, 1)


def test_an_open_loop_has_service_and_lag_and_no_cpu_time() -> None:
    found = analyse(open_loop_run()).breakdowns[2]

    assert found.service_p50_us == pytest.approx(362, rel=0.01)
    assert found.service_p99_us == pytest.approx(362 * 1.4, rel=0.02)
    assert found.service_p999_us == pytest.approx(362 * 1.4, rel=0.02)
    assert found.service_max_us == pytest.approx(362 * 1.4, rel=0.004)
    assert found.lag_p50_us == pytest.approx(40_000, rel=0.01)
    assert found.lag_p99_us == pytest.approx(56_000, rel=0.02)
    assert found.not_started == 7 * 8 * 12
    assert (found.user_us_per_op, found.system_us_per_op) == (None, None)


def test_a_closed_loop_has_neither_service_nor_lag() -> None:
    found = analyse(layered_run()).breakdowns[0]

    assert {found.service_p50_us, found.service_p999_us, found.service_max_us, found.lag_p50_us} == {None}
    assert found.not_started == 0


def test_loop_lag_is_in_milliseconds_and_of_async_drivers_only() -> None:
    psycopg, _, psycopg2 = analyse(layered_run()).breakdowns[:3]

    assert psycopg.loop_lag_p99_ms == pytest.approx(12 * 1.4, rel=0.02)
    assert psycopg2.loop_lag_p99_ms is None


def test_peak_memory_is_that_of_the_largest_block() -> None:
    found = alone(*(one(block=block, peak_bytes=size) for block, size in enumerate([60_000_000, 72_500_000, 1])))

    assert found.peak_mb == 72.5


def test_a_file_that_does_not_know_gives_nothing_rather_than_zero() -> None:
    found = alone(measurement("psycopg", 300.0))

    assert found.operations == 320
    values = {
        name: getattr(found, name) for name in Breakdown.__struct_fields__ if name.endswith(("_us", "_ms", "_mb"))
    }
    assert set(values.values()) == {None}
    assert (found.connects_per_1000, found.user_us_per_op, found.system_us_per_op) == (None, None, None)


# --- what failed -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("made", [many_sided_run(), run(measured=measurements({"psycopg": 300.0}, errors=2))])
def test_the_ledger_adds_up_to_the_errors_of_the_row(made: Run) -> None:
    sums = {identity(row): 0 for row in analyse(made).rows}
    for line in analyse(made).failures:
        sums[identity(line)] += line.operations

    assert sums == {identity(row): row.errors for row in analyse(made).rows}
    assert any(sums.values())


def test_the_ledger_sums_over_blocks_and_says_what_codes_mean() -> None:
    blocks = [
        explained(measurement("psycopg", 300.0, block=block, rounds=1, errors=6), failures=codes)
        for block, codes in enumerate([{"TimeoutError": 3, "23505": 3, "40001": 0}, {"40001": 5, "23505": 1}])
    ]
    found = analyse(run(plan(arms=["psycopg"]), blocks)).failures

    assert [(line.code, line.meaning, line.operations) for line in found] == [
        ("40001", "transaction rollback", 5),
        ("23505", "integrity constraint violation", 4),
        ("TimeoutError", "", 3),
    ]
    assert found[0] == Failure("point_reads", "orm", 8, "rows=10000", "psycopg", "40001", "transaction rollback", 5)


def test_errors_without_a_code_are_in_the_ledger_as_such() -> None:
    made = run(plan(arms=["psycopg"]), [measurement("psycopg", 300.0, rounds=2, errors=4)])

    assert [(line.code, line.meaning, line.operations) for line in analyse(made).failures] == [("", "not recorded", 8)]


def test_what_failed_in_the_check_is_in_the_ledger_and_no_error_of_the_run() -> None:
    problems = [
        Problem("operation", "no such table", "point_reads", 0, "asyncpg", "42P01", 3),
        Problem("operation", "nothing is sent", "point_reads", 0, "psycopg2", "", 3),
        Problem("operation", "lost its way later", "point_reads", 0, "psycopg2", "42601"),
    ]
    made = run(plan(), [measurement("psycopg", 300.0, rounds=2, errors=4)])
    found = analyse(msgspec.structs.replace(made, problems=problems))

    assert [(line.driver, line.code, line.meaning, line.operations) for line in found.failures] == [
        ("psycopg", "", "not recorded", 8),
        ("asyncpg", "42P01", "in the check: syntax error or access rule violation", 3),
        ("psycopg2", "", "in the check: no measurement", 3),
    ]
    assert [failed(*each) for each in zip(found.breakdowns, found.cells[0].failures, strict=True)] == [
        "psycopg: 8 of 88 operations failed", "", "",
    ]  # fmt: skip
    assert [breakdown.errors for breakdown in found.breakdowns] == [8, 0, 0]


# --- what the layers add ---------------------------------------------------------------------------------------------


def layered(raw: float, orm: float, *, blocks: int = 12, paced: bool = False) -> Run:
    made = plan([cell(layer="orm"), cell(layer="raw")], ["psycopg"])
    if paced:
        made = changed(made, think_s=0.1)
    measured = [
        due(single, service_us=2 * mean, lag_us=0) if paced else single
        for index, mean in enumerate((orm, raw))
        for single in measurements({"psycopg": mean}, blocks=blocks, cell=index)
    ]
    return run(made, measured)


def test_layers_are_compared_with_the_lowest_by_driver_from_the_lowest_up() -> None:
    found = analyse(layered_run()).layer_tax

    assert [(tax.driver, tax.base, tax.layer) for tax in found] == [
        (driver, "raw", layer) for driver in builders.DRIVERS for layer in ("core", "orm")
    ]
    assert {(tax.scenario, tax.sessions, tax.params) for tax in found} == {("point_reads", 50, "rows=10000")}
    assert found[0].ratio == pytest.approx(190 / 110)
    assert found[1].ratio == pytest.approx(360 / 110)


def test_the_layers_times_are_totals_and_what_is_added_is_their_difference() -> None:
    drift = sum(1.03**round_ for round_ in range(8)) / 8
    tax = analyse(layered(100.0, 250.0)).layer_tax[0]

    assert tax.base_us == pytest.approx(100 * drift, rel=0.01)
    assert tax.layer_us == pytest.approx(250 * drift, rel=0.01)
    assert tax.added_us == pytest.approx(150 * drift, rel=0.01)


def test_paced_layers_are_compared_by_latency() -> None:
    tax = analyse(layered(100.0, 250.0, paced=True)).layer_tax[0]

    assert tax.base_us == pytest.approx(200)
    assert tax.added_us == pytest.approx(300)
    assert tax.ratio == pytest.approx(2.5)


def test_the_layers_ratio_is_of_blocks_and_has_an_interval() -> None:
    # The machine is ten times slower in every other block, which strikes both layers.
    measured = [
        measurement(
            "psycopg", mean * (10 if block % 2 else 1) * (1.1 if index and block % 3 else 1), block=block, cell=index
        )
        for block in range(12)
        for index, mean in enumerate((100.0, 200.0))
    ]
    made = run(plan([cell(layer="raw"), cell(layer="core")], ["psycopg"]), measured)
    tax = analyse(made).layer_tax[0]

    assert tax.ratio == pytest.approx(2.2, rel=1e-4)
    assert (tax.ratio_low, tax.ratio_high) == pytest.approx((2.0, 2.2), rel=1e-4)


def test_too_few_blocks_give_a_layers_ratio_without_an_interval() -> None:
    tax = analyse(layered(100.0, 250.0, blocks=5)).layer_tax[0]

    assert tax.ratio == pytest.approx(2.5)
    assert (tax.ratio_low, tax.ratio_high) == (None, None)


def test_a_layer_that_was_not_measured_adds_nothing_that_can_be_told() -> None:
    made = layered(100.0, 250.0)
    cut = msgspec.structs.replace(made, measurements=[one for one in made.measurements if one.cell == 1])
    tax = analyse(cut).layer_tax[0]

    assert tax.base_us is not None
    assert (tax.layer_us, tax.added_us, tax.ratio, tax.ratio_low, tax.ratio_high) == (None, None, None, None, None)


@pytest.mark.parametrize(
    "others", [cell("other", "orm"), cell(sessions=9), cell(params={"rows": 1}), cell(layer="core")], ids=str
)
def test_only_layers_of_the_same_work_are_compared(others: Cell) -> None:
    made = plan([cell(layer="core"), others], ["psycopg"])
    measured = [one for index in range(2) for one in measurements({"psycopg": 300.0}, cell=index)]

    assert analyse(run(made, measured)).layer_tax == []


# --- all -------------------------------------------------------------------------------------------------------------


def test_exported_numbers_have_the_digits_of_the_cells() -> None:
    tax = LayerTax("s", 1, "", "psycopg", "raw", "core", 1 / 3, 2.0, None, 1.23456789, 1.2, None)

    assert exported(tax) == {
        "scenario": "s",
        "sessions": 1,
        "params": "",
        "driver": "psycopg",
        "base": "raw",
        "layer": "core",
        "base_us": 0.333,
        "layer_us": 2.0,
        "added_us": None,
        "ratio": 1.2346,
        "ratio_low": 1.2,
        "ratio_high": None,
    }


@pytest.mark.parametrize("record", [Breakdown, Failure, LayerTax])
def test_every_column_is_documented(record: type[msgspec.Struct]) -> None:
    text = (Path(__file__).parents[3] / "docs" / "results.md").read_text(encoding="utf-8")
    missing = {column for column in record.__struct_fields__ if f"`{column}`" not in text}

    assert missing <= {"service_p99_us", "service_p999_us"}  # written as `service_p50_us` ... `service_max_us`


def test_a_run_without_cells_has_none_of_it() -> None:
    made = run(plan([]), [])

    assert (analyse(made).breakdowns, analyse(made).failures, analyse(made).layer_tax) == ([], [], [])
