"""Rows follow from records: units, ratios, verdicts, and what cannot be given."""

import builders
import msgspec
import pytest
from builders import cell, changed, measurement, measurements, plan, run, slice_of

from dbbench.analysis.analysis import analyse
from dbbench.analysis.ratios import family, log_ratios, time_per_operation
from dbbench.analysis.rows import COLUMNS
from dbbench.records import Measurement, Problem, Run
from dbbench.reports.exported import exported
from dbbench.stats.paired import Verdict

DESIGNED = (
    "scenario,layer,sessions,params,driver,placement,blocks,operations,errors,ops_per_second,mean_us,p50_us,p90_us,"
    "p95_us,p99_us,p999_us,max_us,cpu_us_per_op,ratio,ratio_low,ratio_high,verdict"
)


def by_driver(of: Run) -> dict[str, Verdict]:
    return {row.driver: row.verdict for row in analyse(of).rows}


def test_the_columns_are_the_designed_ones() -> None:
    assert ",".join(COLUMNS) == DESIGNED


def test_rows_come_by_cell_and_arm_in_the_order_of_the_plan() -> None:
    found = analyse(run(plan([cell("b"), cell("a", sessions=1), cell("a", sessions=50)]))).rows

    assert [(row.scenario, row.sessions, row.driver) for row in found] == [
        (scenario, sessions, driver)
        for scenario, sessions in (("b", 8), ("a", 1), ("a", 50))
        for driver in ("psycopg", "asyncpg", "psycopg2")
    ]


def test_nanoseconds_become_microseconds_and_operations_per_second() -> None:
    slices = [slice_of(0, 0, 40, 1, 10_000_000, 4_000_000), slice_of(1, 1, 60, 2, 40_000_000, 6_000_000)]
    one = Measurement(0, 0, "psycopg", slices, {200: 100}, max_ns=200, sum_ns=20_000)

    row = analyse(run(plan(arms=["psycopg"]), [one])).rows[0]

    assert (row.operations, row.errors, row.blocks) == (100, 3, 1)
    assert row.ops_per_second == 2000
    assert row.cpu_us_per_op == 100
    assert row.mean_us == row.p50_us == row.max_us == 0.2
    assert row.p99_us is None
    assert (row.params, row.placement, row.layer) == ("rows=10000", "split", "orm")


def test_a_cell_with_a_baseline_of_its_own_is_compared_with_that() -> None:
    own = msgspec.structs.replace(cell(), baseline="asyncpg")
    measured = measurements({"asyncpg": 200.0, "psycopg2": 300.0}, blocks=12)
    found = run(plan([own]), measured, [Problem("operation", "it cannot", "point_reads", 0, "psycopg")])
    rows = {row.driver: row for row in analyse(found).rows}

    assert by_driver(found) == {
        "psycopg": Verdict.FAILED, "asyncpg": Verdict.BASELINE, "psycopg2": Verdict.SLOWER,
    }  # fmt: skip
    assert rows["asyncpg"].ratio == 1.0
    assert rows["psycopg2"].ratio == pytest.approx(1.5, rel=0.05)


def test_an_arm_that_was_left_with_nothing_to_compare_has_not_failed() -> None:
    found = run(plan(arms=["psycopg", "asyncpg"]), [], [Problem("operation", "it cannot", "point_reads", 0, "psycopg")])

    assert by_driver(found) == {"psycopg": Verdict.FAILED, "asyncpg": Verdict.NOT_MEASURED}


def test_a_percentile_is_never_above_the_maximum() -> None:
    slices = [slice_of(0, 0, 100, 0, 1_000_000, 0)]
    one = Measurement(0, 0, "psycopg", slices, {12_800: 100}, max_ns=1, sum_ns=100)  # the bucket's midpoint is larger

    row = analyse(run(plan(arms=["psycopg"]), [one])).rows[0]

    assert row.p50_us == row.max_us == 0.001


def test_a_hundred_bulk_inserts_have_p95_and_no_p99() -> None:
    row = analyse(run(plan(arms=["psycopg"]), [measurement("psycopg", 20_000.0, rounds=10, operations=10)])).rows[0]

    assert row.operations == 100
    assert None not in (row.p50_us, row.p90_us, row.p95_us)
    assert (row.p99_us, row.p999_us) == (None, None)


def test_params_are_written_as_they_are_given() -> None:
    assert analyse(run(plan([cell(params={"rows": 10_000, "batch": 5})]))).rows[0].params == "rows=10000 batch=5"


def test_the_ratio_is_time_per_operation_relative_to_the_baseline() -> None:
    base, fast, _ = analyse(run(measured=measurements({"psycopg": 200.0, "asyncpg": 100.0}, noise=0))).rows

    assert (base.ratio, base.ratio_low, base.ratio_high, base.verdict) == (1, None, None, "baseline")
    assert fast.ratio == pytest.approx(0.5)
    assert fast.ratio_low == pytest.approx(0.5)
    assert fast.ratio_high == pytest.approx(0.5)
    assert fast.verdict is Verdict.FASTER


def test_blocks_are_paired_and_steady_ones_speak() -> None:
    # The machine is ten times slower in every other block; most of one block of asyncpg is an accident.
    measured = [
        measurement(arm, mean * (10 if block % 2 else 1), block=block)
        for block in range(16)
        for arm, mean in (("psycopg", 200.0), ("asyncpg", 100.0))
    ]
    at = next(at for at, one in enumerate(measured) if (one.arm, one.block) == ("asyncpg", 3))
    slices = [
        msgspec.structs.replace(
            part, usage=msgspec.structs.replace(part.usage, elapsed_ns=part.usage.elapsed_ns * (7 - part.round))
        )
        if part.round < 6
        else part
        for part in measured[at].slices
    ]
    measured[at] = msgspec.structs.replace(measured[at], slices=slices)
    row = analyse(run(plan(blocks=16), measured)).rows[1]

    assert row.ratio == pytest.approx(0.5, rel=0.01)
    assert row.verdict is Verdict.FASTER


def test_each_verdict_is_reached() -> None:
    means = {"base": 100.0, "quick": 60.0, "slow": 130.0, "same": 100.5, "unsure": 104.0, "dead": 1.0}
    measured = [one for one in measurements(means) if one.arm != "dead"]
    wobbling = [
        measurement("unsure", 104.0 * (0.9 if block % 2 else 1.1), block=block) if one.arm == "unsure" else one
        for one in measured
        for block in [one.block]
    ]

    assert by_driver(run(plan(arms=list(means)), wobbling)) == {
        "base": "baseline",
        "quick": "faster",
        "slow": "slower",
        "same": "tie",
        "unsure": "undecided",
        "dead": "failed",
    }


def test_too_few_blocks_give_a_ratio_without_an_interval() -> None:
    row = analyse(run(measured=measurements({"psycopg": 200.0, "asyncpg": 100.0}, blocks=5))).rows[1]

    assert row.ratio == pytest.approx(0.5, rel=0.05)
    assert (row.ratio_low, row.ratio_high, row.verdict) == (None, None, Verdict.UNDECIDED)


def test_blocks_that_lack_the_baseline_are_not_compared() -> None:
    measured = [
        one
        for one in measurements({"psycopg": 200.0, "asyncpg": 100.0}, blocks=8)
        if not (one.arm == "psycopg" and one.block < 3)
    ]
    row = analyse(run(measured=measured)).rows[1]

    assert row.blocks == 8
    assert row.ratio_low is None  # 5 pairs are left


def test_a_verdict_may_come_before_there_is_an_interval() -> None:
    four_cells = plan([cell(str(number)) for number in range(4)])  # 8 comparisons: an interval needs 9 blocks
    fast, same = analyse(
        run(four_cells, measurements({"psycopg": 200.0, "asyncpg": 100.0, "psycopg2": 200.5}, blocks=7))
    ).rows[1:3]

    assert (fast.ratio_low, fast.ratio_high, fast.verdict) == (None, None, Verdict.FASTER)
    assert (same.ratio_low, same.ratio_high, same.verdict) == (None, None, Verdict.UNDECIDED)


def test_intervals_are_wider_the_more_the_run_compares() -> None:
    means = {"psycopg": 200.0, "asyncpg": 100.0, "psycopg2": 200.5}
    little, much = (
        analyse(
            run(plan([cell(str(number)) for number in range(cells)], blocks=16), measurements(means, blocks=16))
        ).rows[1]
        for cells in (1, 40)
    )

    assert little.ratio_low is not None
    assert little.ratio_high is not None
    assert much.ratio_low is not None
    assert much.ratio_high is not None
    assert much.ratio_low < little.ratio_low < little.ratio_high < much.ratio_high


def test_cells_that_were_closed_early_keep_what_they_said() -> None:
    means = {"psycopg": 200.0, "asyncpg": 100.0, "psycopg2": 200.5}
    two_cells = plan([cell(), cell("others")])  # the first look is at 10 blocks
    open_ = measurements({"psycopg": 200.0, "asyncpg": 202.0, "psycopg2": 204.0}, cell=1, blocks=30, noise=0.1)
    early = analyse(run(two_cells, [*measurements(means, blocks=10), *open_[: 10 * 3]])).rows
    late = analyse(run(two_cells, [*measurements(means, blocks=10), *open_])).rows

    assert [row.verdict for row in early[:3]] == ["baseline", "faster", "tie"]
    assert late[:3] == early[:3]
    assert {row.blocks for row in late[3:]} == {30}


def test_a_given_number_of_blocks_is_judged_once_with_all_of_them() -> None:
    means = {"psycopg": 200.0, "asyncpg": 100.0}
    measured = measurements(means, blocks=12, noise=0.05)
    planned, stopped = (analyse(run(plan(arms=list(means), blocks=blocks), measured)).rows[1] for blocks in (12, None))

    assert planned.ratio_low is not None
    assert stopped.ratio_low is not None
    assert planned.ratio_low > stopped.ratio_low  # a look at 8 blocks, and at a quarter of the error


def test_the_family_is_every_arm_but_the_baseline_in_every_cell() -> None:
    assert family(plan([cell(), cell("others")], ["a", "b", "c"])) == 4
    assert family(plan(arms=["a"])) == 0


def test_log_ratios_are_by_cell_and_arm_with_a_place_for_every_block_of_the_cell() -> None:
    two_cells = plan([cell(), cell("others"), cell("never")])
    measured = [
        *(one for one in measurements({"psycopg": 200.0, "asyncpg": 100.0}, blocks=3, noise=0)),
        *(one for one in measurements({"psycopg": 200.0, "psycopg2": 400.0}, blocks=2, noise=0, cell=1)),
    ]
    without = [one for one in measured if (one.cell, one.arm, one.block) not in {(0, "psycopg", 0), (0, "asyncpg", 2)}]
    made = log_ratios(two_cells, without)

    assert {key: [value and round(value, 4) for value in values] for key, values in made.items()} == {
        (0, "asyncpg"): [None, -0.6931, None],
        (0, "psycopg2"): [None, None, None],
        (1, "asyncpg"): [None, None],
        (1, "psycopg2"): [0.6931, 0.6931],
    }


def test_log_ratios_of_the_first_blocks_are_the_beginning_of_those_of_all() -> None:
    made = builders.many_sided_run()
    whole = log_ratios(made.header.plan, made.measurements)
    first = log_ratios(made.header.plan, [one for one in made.measurements if one.block < 5])

    assert whole.keys() == first.keys()
    assert all(list(whole[key])[: len(values)] == values for key, values in first.items())


def test_a_block_of_any_number_is_one_block() -> None:
    measured = [
        msgspec.structs.replace(one, block=2**62) if one.block == 2 else one
        for one in measurements({"psycopg": 200.0, "asyncpg": 100.0}, blocks=3)
    ]

    assert len(log_ratios(plan(), measured)[0, "asyncpg"]) == 3


def test_log_ratios_need_no_histograms() -> None:
    made = run()
    bare = [msgspec.structs.replace(one, latency={}, max_ns=0, sum_ns=0) for one in made.measurements]

    assert log_ratios(made.header.plan, bare) == log_ratios(made.header.plan, made.measurements)


def test_paced_arms_are_compared_by_their_latency() -> None:
    paced = changed(plan(arms=["base", "other"]), think_s=0.01)
    measured = [
        Measurement(0, 0, arm, [slice_of(0, 0, 10, 0, 1_000_000, 0, latency_ns=ns)], {}, 0, 0)
        for arm, ns in (("base", 1_000), ("other", 2_000))
    ]

    (value,) = log_ratios(paced, measured)[0, "other"]
    assert value == pytest.approx(0.6931, abs=1e-4)


def test_nothing_is_compared_with_a_baseline_that_was_not_measured() -> None:
    base, other, _ = analyse(run(measured=measurements({"asyncpg": 100.0}))).rows

    assert (base.verdict, base.ratio, base.operations) == (Verdict.FAILED, None, 0)
    assert (other.verdict, other.ratio) == (Verdict.UNDECIDED, None)
    assert other.ops_per_second is not None


def test_an_arm_with_nothing_but_errors_failed() -> None:
    measured = [*measurements({"psycopg": 200.0}), measurement("asyncpg", 100.0, operations=0, errors=4)]
    row = analyse(run(measured=measured)).rows[1]

    assert (row.verdict, row.operations, row.errors, row.blocks) == (Verdict.FAILED, 0, 32, 0)
    assert (row.ops_per_second, row.mean_us, row.max_us, row.cpu_us_per_op) == (None, None, None, None)


ALL_DIFFERENT = {"psycopg": "not comparable", "asyncpg": "not comparable", "psycopg2": "not comparable"}
ONE_DIFFERENT = {"psycopg": "baseline", "asyncpg": "not comparable", "psycopg2": "tie"}
NONE_DIFFERENT = {"psycopg": "baseline", "asyncpg": "faster", "psycopg2": "tie"}


@pytest.mark.parametrize(
    ("problem", "expected"),
    [
        (Problem("not comparable", "", cell=0, arm="asyncpg"), ONE_DIFFERENT),
        (Problem("not comparable", "", scenario="point_reads", arm="asyncpg"), ONE_DIFFERENT),
        (Problem("not comparable", "", cell=0), ALL_DIFFERENT),
        (Problem("not comparable", ""), ALL_DIFFERENT),
        (Problem("not comparable", "", cell=0, arm="psycopg"), ALL_DIFFERENT),
        (Problem("not comparable", "", cell=1, arm="asyncpg"), NONE_DIFFERENT),
        (Problem("not comparable", "", scenario="others", arm="asyncpg"), NONE_DIFFERENT),
        (Problem("errors", "", cell=0, arm="asyncpg"), NONE_DIFFERENT),
    ],
)
def test_what_is_not_comparable_has_no_ratio(problem: Problem, expected: dict[str, str]) -> None:
    made = run(plan([cell(), cell("others")]), problems=[problem])
    first = analyse(made).rows[:3]

    assert {row.driver: row.verdict for row in first} == expected
    assert all(row.ratio is None for row in first if row.verdict == "not comparable")


def test_the_maximum_and_the_mean_are_those_of_all_blocks() -> None:
    slices = [slice_of(0, 0, 1, 0, 1_000_000, 0)]
    blocks = [
        Measurement(block, 0, "psycopg", slices, {1: 1}, ns, ns) for block, ns in enumerate([3_000, 9_000, 6_000])
    ]

    row = analyse(run(plan(arms=["psycopg"]), blocks)).rows[0]

    assert (row.max_us, row.mean_us, row.blocks) == (9, 6, 3)


def test_rounds_without_time_or_operations_have_no_time_per_operation() -> None:
    slices = [slice_of(0, 0, 4, 0, 100, 0), slice_of(1, 1, 0, 3, 5, 5), slice_of(2, 2, 3, 0, 0, 0)]

    assert time_per_operation(Measurement(0, 0, "psycopg", slices, {}, 0, 0), paced=False) == {0: 25}


def test_slices_without_time_or_operations_do_not_break_the_ratio() -> None:
    measured = [
        msgspec.structs.replace(one, slices=[*one.slices, slice_of(90, 90, 0, 3, 5, 5), slice_of(91, 91, 3, 0, 0, 0)])
        for one in measurements({"psycopg": 200.0, "asyncpg": 100.0}, noise=0)
    ]

    assert analyse(run(measured=measured)).rows[1].ratio == pytest.approx(0.5)


def test_exported_numbers_have_as_many_digits_as_mean_something() -> None:
    row = msgspec.structs.replace(
        analyse(run()).rows[1], ratio=0.58888888, p50_us=1.23456789, ops_per_second=1 / 3, p99_us=None
    )
    values = exported(row)

    assert tuple(values) == COLUMNS
    assert (values["ratio"], values["p50_us"], values["ops_per_second"], values["p99_us"]) == (
        0.5889,
        1.235,
        0.333,
        None,
    )


def test_a_run_without_cells_has_no_rows() -> None:
    assert analyse(run(plan([]), [])).rows == []


def test_what_an_interrupted_run_did_not_reach_is_not_measured() -> None:
    whole = run(plan(arms=["base", "other"]), measurements({"base": 100.0}))
    cut = msgspec.structs.replace(whole, end=None)

    assert [row.verdict for row in analyse(whole).rows] == [Verdict.BASELINE, Verdict.FAILED]
    assert [row.verdict for row in analyse(cut).rows] == [Verdict.BASELINE, Verdict.NOT_MEASURED]
