"""Two runs beside each other: intervals as scipy gives them, signs, scales, false alarms, and what reports show."""

import csv
import html
import io
import json
import math
import random
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import builders
import chance
import msgspec
import pytest
from builders import cell, measurements, plan
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from rich.console import Console
from scipy import stats

from dbbench.commands.stored.compare import Change, Comparison, block_log_ratios, changes, compare, left_out, over
from dbbench.errors import UsageError
from dbbench.plan import Gate
from dbbench.records import Problem, Run, clean
from dbbench.reports import compare as reports
from dbbench.stats.paired import Verdict
from dbbench.stats.shift import _difference, _rank, shift, shift_interval

EVIL = "[bold]x[/oops]|`y`<b>\x1b[2J\u202e@me"
VALUES = st.lists(st.floats(-3, 3).map(lambda value: round(value, 3)), min_size=1, max_size=12)
MEANS = {"psycopg": 360.0, "asyncpg": 212.0, "psycopg2": 362.0}


def run(means: dict[str, float] | None = None, *, blocks: int = 12, noise: float = 0.02, **header: Any) -> Run:
    chosen = MEANS if means is None else means
    made = builders.run(plan(arms=list(chosen)), measurements(chosen, blocks=blocks, noise=noise))
    return msgspec.structs.replace(made, header=msgspec.structs.replace(made.header, **header))


def only(found: Sequence[Change], driver: str) -> Change:
    (one,) = [each for each in found if each.driver == driver]
    return one


def printed(found: Comparison, encoding: str = "utf-8") -> str:
    raw = io.BytesIO()
    file = io.TextIOWrapper(raw, encoding=encoding, newline="\n")
    reports.render(found, Console(file=file, width=80, force_terminal=False, legacy_windows=False))
    file.flush()
    return raw.getvalue().decode(encoding)


# --- two samples -----------------------------------------------------------------------------------------------------


@given(VALUES, VALUES, st.floats(0.5, 0.999))
def test_the_interval_holds_what_the_exact_test_of_scipy_does_not_reject(
    base: list[float], head: list[float], confidence: float
) -> None:
    differences = sorted(late - early for early in base for late in head)
    assume(len(set(differences)) == len(differences))  # scipy's exact test knows no ties
    interval = shift_interval(base, head, confidence)
    middles = [(one + other) / 2 for one, other in pairwise(differences)]
    for moved in (differences[0] - 1, *middles, differences[-1] + 1):
        p_value = stats.mannwhitneyu([value - moved for value in head], base, method="exact").pvalue
        assume(abs(p_value - (1 - confidence)) > 1e-9)
        inside = interval is None or interval[0] < moved < interval[1]
        assert inside == (p_value > 1 - confidence)


def p_of(u: int, few: int, many: int) -> float:
    """Give P(U <= u) as scipy's exact test does, for samples whose statistic is u."""
    below = [min(many, max(0, u - many * index)) for index in range(few)]  # of the others, for each of the few
    sample = [number - 0.5 - index / 1000 for index, number in enumerate(below)]
    return float(stats.mannwhitneyu(sample, range(many), alternative="less", method="exact").pvalue)


@pytest.mark.parametrize(("few", "many"), [(1, 1), (3, 5), (8, 8), (12, 40), (100, 100)])
def test_the_rank_is_the_last_that_keeps_the_error(few: int, many: int) -> None:
    for error in (0.2, 0.025, 0.0004):
        k = _rank(few, many, error)
        assert k == 0 or p_of(k - 1, few, many) <= error
        assert p_of(k, few, many) > error


@pytest.mark.parametrize(("few", "many"), [(60, 80), (100, 100), (12, 200)])
def test_the_approximation_is_close_to_the_exact_rank(few: int, many: int, monkeypatch: pytest.MonkeyPatch) -> None:
    exact = [_rank(few, many, error) for error in (0.025, 0.0004)]
    monkeypatch.setattr("dbbench.stats.shift._EXACT_STEPS", 0)
    approximate = [_rank.__wrapped__(few, many, error) for error in (0.025, 0.0004)]

    for one, other in zip(exact, approximate, strict=True):
        assert other <= one + 1
        assert other == pytest.approx(one, rel=0.05)


@given(VALUES, VALUES)
def test_the_shift_is_the_median_of_all_differences(base: list[float], head: list[float]) -> None:
    differences = sorted(late - early for early in base for late in head)

    assert [_difference(base, head, rank) for rank in range(1, len(differences) + 1)] == pytest.approx(
        differences, abs=1e-9
    )
    middle = (differences[(len(differences) - 1) // 2] + differences[len(differences) // 2]) / 2
    assert shift(base, head) == pytest.approx(middle, abs=1e-9)


@given(VALUES, VALUES, st.floats(-5, 5))
def test_swapping_turns_the_sign_and_moving_a_sample_moves_the_interval(
    base: list[float], head: list[float], by: float
) -> None:
    there, back = shift_interval(base, head, 0.8), shift_interval(head, base, 0.8)
    moved = shift_interval(base, [value + by for value in head], 0.8)

    assert shift(base, head) == pytest.approx(-shift(head, base), abs=1e-9)
    assert (there is None) == (back is None) == (moved is None)
    if there and back and moved:
        assert there == pytest.approx((-back[1], -back[0]), abs=1e-9)
        assert moved == pytest.approx((there[0] + by, there[1] + by), abs=1e-9)
        assert there[0] <= shift(base, head) <= there[1]


def test_too_few_values_have_no_interval() -> None:
    assert shift_interval([0.0] * 3, [1.0] * 3, 0.95) is None  # 2 of 20 arrangements are as extreme
    assert shift_interval([0.0] * 4, [1.0] * 4, 0.95) == (1, 1)  # 2 of 70


def missed(rng: random.Random, sizes: tuple[int, int], times: int) -> int:
    """How many of so many 95% intervals miss a shift of 0; the samples are skewed."""
    misses = 0
    for _ in range(times):
        base, head = ([rng.expovariate(1) - math.log(2) for _ in range(size)] for size in sizes)
        low, high = shift_interval(base, head, 0.95) or (-math.inf, math.inf)
        misses += not low <= 0 <= high
    return misses


def missed_where_the_small_sample_is_noisier(times: int) -> int:
    """How many of so many 95% intervals miss a shift of 0; the noise is normal."""
    rng = random.Random(3)
    misses = 0
    for _ in range(times):
        base, head = ([rng.gauss(0, sd) for _ in range(size)] for sd, size in ((3, 8), (1, 24)))
        low, high = shift_interval(base, head, 0.95) or (0, 0)
        misses += not low <= 0 <= high
    return misses


def test_the_interval_of_samples_of_one_shape_misses_as_rarely_as_it_says() -> None:
    assert chance.at_most(0.05, missed(random.Random(1), (8, 12), 375), 375)
    assert chance.at_most(0.05, missed(random.Random(2), (24, 24), 375), 375)


def test_the_interval_misses_more_where_a_small_sample_is_noisier() -> None:
    """What the docstring of shift_interval says of normal noise."""
    misses = missed_where_the_small_sample_is_noisier(375)

    assert not chance.at_most(0.05, misses, 375)
    assert chance.at_least(0.1, misses, 375)
    assert chance.at_most(0.15, misses, 375)


# --- two runs --------------------------------------------------------------------------------------------------------


def test_a_run_has_not_changed_from_itself() -> None:
    found = changes(run(), run(), "psycopg")

    assert [one.driver for one in found] == ["asyncpg", "psycopg2"]
    assert all(one.change == pytest.approx(0, abs=1e-9) and one.verdict is not Verdict.SLOWER for one in found)


def test_a_driver_that_takes_a_fifth_more_is_seen() -> None:
    one = only(changes(run(), run({**MEANS, "asyncpg": 1.2 * 212}), "psycopg"), "asyncpg")

    assert one.change == pytest.approx(0.2, abs=0.01)
    assert one.change_low is not None
    assert one.change_high is not None
    assert 0.15 < one.change_low < 0.2 < one.change_high < 0.25
    assert one.verdict is Verdict.SLOWER
    assert (one.base_blocks, one.head_blocks) == (12, 12)
    assert one.head_ratio / one.base_ratio == pytest.approx(1.2, abs=0.01)


@settings(max_examples=30)
@given(st.floats(0.1, 10), st.floats(0.5, 2))
def test_a_machine_that_is_slower_as_a_whole_changes_nothing(scale: float, change: float) -> None:
    head = {**MEANS, "asyncpg": change * MEANS["asyncpg"]}
    plain, scaled = (
        changes(run(blocks=8), run({arm: by * mean for arm, mean in head.items()}, blocks=8), "psycopg")
        for by in (1, scale)
    )

    for one, other in zip(plain, scaled, strict=True):
        assert one.change == pytest.approx(other.change, abs=1e-4)  # nanoseconds are whole
        assert one.change_low == pytest.approx(other.change_low, abs=1e-4)
        assert other.control_head_us == pytest.approx(scale * one.control_head_us, rel=1e-3)


def test_swapping_the_runs_inverts_every_change() -> None:
    other = run({**MEANS, "asyncpg": 300.0}, blocks=9)
    for there, back in zip(changes(run(), other, "psycopg"), changes(other, run(), "psycopg"), strict=True):
        assert None not in (there.change_low, back.change_high)
        assert (1 + there.change) * (1 + back.change) == pytest.approx(1)
        assert (1 + (there.change_low or 0)) * (1 + (back.change_high or 0)) == pytest.approx(1)


def test_the_control_can_be_any_driver_of_both() -> None:
    found = changes(run(), run({**MEANS, "psycopg": 2 * 360.0}), "psycopg2")

    assert [one.driver for one in found] == ["psycopg", "asyncpg"]
    assert only(found, "psycopg").change == pytest.approx(1, abs=0.05)
    assert only(found, "asyncpg").change == pytest.approx(0, abs=0.05)
    assert only(found, "asyncpg").control_base_us == pytest.approx(362, rel=0.2)


def alarms(tables: int) -> int:
    """How many of so many pairs of equal runs, of four rows that share their noise in part, have a row that changed."""
    rng = random.Random(20261123)
    arms = ["base", "a", "b", "c", "d"]
    hits = 0
    for _ in range(tables):
        made = [
            builders.run(
                plan(arms=arms),
                [
                    builders.measurement(
                        arm, 200 * day * math.exp(rng.gauss(0, 0.05)), block=block, rounds=1, operations=1
                    )
                    for block in range(10)
                    for arm in arms
                ],
            )
            for day in (1, 1.3)
        ]
        found = changes(made[0], made[1], "base")
        hits += any(one.change_low is not None and not one.change_low <= 0 <= (one.change_high or 0) for one in found)
    return hits


def test_two_runs_of_the_same_seldom_have_any_row_that_changed() -> None:
    assert chance.at_most(0.05, alarms(75), 75)


def test_what_one_run_lacks_is_left_out_with_the_reason() -> None:
    base = builders.run(plan([cell(), cell("old")]), [*measurements(MEANS), *measurements(MEANS, cell=1)])
    without = {arm: mean for arm, mean in MEANS.items() if arm != "psycopg2"}
    head = builders.run(
        plan([cell(), cell("new")]), measurements(without), [Problem("not comparable", "", cell=0, arm="asyncpg")]
    )
    reasons = {(one.scenario, one.driver): one.reason for one in left_out(base, head, "psycopg")}

    assert changes(base, head, "psycopg") == []
    assert reasons == {
        ("point_reads", "asyncpg"): "not comparable in head",
        ("point_reads", "psycopg2"): "not measured in head",
        ("old", "asyncpg"): "only in base",
        ("old", "psycopg2"): "only in base",
        ("new", "asyncpg"): "only in head",
        ("new", "psycopg2"): "only in head",
    }


def test_what_differs_from_the_baseline_is_not_compared_with_another_control_either() -> None:
    odd = builders.run(problems=[Problem("not comparable", "", cell=0, arm="psycopg2")])

    assert [subject.driver for subject in block_log_ratios(odd, "asyncpg")] == ["psycopg"]
    assert block_log_ratios(odd, "psycopg2") == {}


def other_baseline(control: str, means: dict[str, float]) -> Run:
    """A run with a cell in which psycopg, the baseline, cannot be measured."""
    own = msgspec.structs.replace(cell("wide"), baseline=control)
    measured = [*measurements(MEANS, noise=0.02), *measurements(means, noise=0.02, cell=1)]
    return builders.run(plan([cell(), own]), measured, [Problem("operation", "", "wide", 1, "psycopg")])


def test_a_cell_that_has_another_baseline_in_both_runs_is_compared_by_that() -> None:
    base = other_baseline("asyncpg", {"asyncpg": 200.0, "psycopg2": 300.0})
    head = other_baseline("asyncpg", {"asyncpg": 400.0, "psycopg2": 900.0})
    found = compare(base, head)
    wide = only([one for one in found.changes if one.scenario == "wide"], "psycopg2")

    assert (wide.control, [one.control for one in found.changes if one.scenario != "wide"]) == (
        "asyncpg",
        ["psycopg"] * 2,
    )
    assert wide.change == pytest.approx(0.5, abs=0.05)
    assert wide.control_head_us == pytest.approx(2 * wide.control_base_us, rel=0.05)
    assert "time vs asyncpg" in printed(found)
    assert [one.driver for one in compare(base, head, "psycopg2").changes if one.scenario == "wide"] == ["asyncpg"]


def test_a_cell_with_another_baseline_in_each_run_is_left_out() -> None:
    base = other_baseline("asyncpg", {"asyncpg": 200.0, "psycopg2": 300.0})
    head = other_baseline("psycopg2", {"asyncpg": 200.0, "psycopg2": 300.0})
    able = builders.run(plan([cell(), cell("wide")]), [*measurements(MEANS), *measurements(MEANS, cell=1)])

    assert not [one for one in compare(base, head).changes if one.scenario == "wide"]
    found = compare(base, able)
    assert not [one for one in found.changes if one.scenario == "wide"]
    assert {one.driver: one.reason for one in found.left_out} == {
        "asyncpg": "only in head",
        "psycopg": "only in base",
        "psycopg2": "compared with asyncpg in base, compared with psycopg in head",
    }


def test_more_rows_have_wider_intervals() -> None:
    few, many = (
        only(changes(of, of, "psycopg"), "asyncpg")
        for of in (run({"psycopg": 360.0, "asyncpg": 212.0}), run({**MEANS, **dict.fromkeys("abcdefgh", 300.0)}))
    )

    assert (many.change_high or 0) > (few.change_high or 0)


def test_over_is_what_is_surely_above_the_limit() -> None:
    found = changes(run(), run({**MEANS, "asyncpg": 1.2 * 212}), "psycopg")
    few = changes(run(blocks=2), run({**MEANS, "asyncpg": 9.0 * 212}, blocks=2), "psycopg")

    assert [one.driver for one in over(found, 0.1)] == ["asyncpg"]
    assert over(found, 0.2) == []
    assert over(few, 0.1) == []  # no interval: nothing is sure
    assert "asyncpg: at least 1" in reports.over_text(over(found, 0.1)[0], 0.1)


def test_runs_that_are_not_alike_are_refused_unless_forced() -> None:
    other = run(server={**builders.header().server, "tls": True})
    refused, forced = compare(run(), other), compare(run(), other, force=True)

    assert (refused.refused, refused.changes, refused.left_out) == (True, [], [])
    assert [one.key for one in refused.mismatches] == ["TLS"]
    assert not forced.refused
    assert len(forced.changes) == 2
    assert "not alike (TLS)" in forced.warnings[0]


def test_a_control_that_changed_itself_is_warned_of() -> None:
    environment = builders.header().environment
    newer = {**environment, "packages": {**environment["packages"], "psycopg": "3.4.0"}}
    head = run(environment=newer)

    assert "psycopg, the control, changed itself (psycopg 3.3.9 -> 3.4.0)" in compare(run(), head).warnings[0]
    assert compare(run(), head, "psycopg2").warnings == []


def test_runs_that_did_not_end_well_or_alone_are_warned_of() -> None:
    cut = msgspec.structs.replace(run(), end=None)
    crowded = run(environment={**builders.header().environment, "other_runs": True})

    assert compare(cut, crowded).warnings == [
        "base is incomplete",
        "head: another dbbench run was measuring on this machine",
    ]


def test_a_control_that_a_run_lacks_is_refused() -> None:
    with pytest.raises(UsageError, match=r"'nope' is not in both runs.*psycopg, asyncpg"):
        compare(run(), run(), "nope")
    with pytest.raises(UsageError, match=r"'psycopg' is not in both runs.*there is psycopg2"):
        compare(run(), run({"psycopg2": 1.0}))


def test_a_gate_is_refused() -> None:
    header = msgspec.structs.replace(run().header, plan=msgspec.structs.replace(plan(), gate=Gate({})))
    with pytest.raises(UsageError, match="head is the result of a gate"):
        compare(run(), msgspec.structs.replace(run(), header=header))


# --- reports ---------------------------------------------------------------------------------------------------------


def test_the_table_fits_80_columns_and_says_what_it_is_worth() -> None:
    shown = printed(compare(run(), run({**MEANS, "asyncpg": 1.2 * 212})))

    assert max(map(len, shown.splitlines())) <= 80
    assert "asyncpg              0.59  0.71  +20.0% (+18.1% to +21.9%)  perhaps slower" in shown
    assert "psycopg itself: 398 µs per operation, then 398 µs (not comparable" in shown
    assert "dbbench gate" in shown
    assert "-0.0%" not in shown


def test_a_refusal_names_every_key_with_both_values() -> None:
    refused = compare(run(), run(server={**builders.header().server, "tls": True}))

    for shown in (printed(refused), reports.markdown_report(refused).replace("\\", "")):
        assert "TLS: False -> True" in html.unescape(shown)
        assert "nothing is compared" in shown
    assert json.loads(reports.json_report(refused))["mismatches"] == [{"key": "TLS", "base": "False", "head": "True"}]
    assert reports.csv_report(refused).count("\n") == 1


def test_runs_with_nothing_in_common_say_so() -> None:
    found = compare(run(), builders.run(plan([cell("others")]), []))

    assert "no driver in a cell in common" in printed(found)
    assert "point_reads, orm, 8 sessions, rows=10000, asyncpg: only in base" in " ".join(printed(found).split())


def test_json_and_csv_hold_the_same_numbers() -> None:
    found = compare(run(), run({**MEANS, "asyncpg": 1.2 * 212}, blocks=1))
    document = json.loads(reports.json_report(found))
    lines = list(csv.DictReader(io.StringIO(reports.csv_report(found))))

    assert [float(line["change"]) for line in lines] == [one["change"] for one in document["changes"]]
    assert [one["change_low"] for one in document["changes"]] == [None, None]
    assert [line["change_low"] for line in lines] == ["", ""]
    assert document["compared"] is True
    assert "an interval needs 7 blocks in each run: dbbench run --blocks 7" in printed(found)


def hostile() -> Comparison:
    arms = ["psycopg", EVIL, "=1+1"]
    made = builders.run(
        plan([cell(EVIL, params={EVIL: EVIL}), cell("=2", params={})], arms),
        [*measurements(dict.fromkeys(arms, 200.0)), *measurements(dict.fromkeys(arms, 200.0), cell=1)],
    )
    header = msgspec.structs.replace(made.header, id=EVIL, started=EVIL, drivers={EVIL: {EVIL: EVIL}})
    other = msgspec.structs.replace(header, server={"version": EVIL, EVIL: EVIL}, drivers={EVIL: {EVIL: "=1"}})
    return compare(
        msgspec.structs.replace(made, header=header), msgspec.structs.replace(made, header=other), force=True
    )


def test_hostile_names_are_inert_in_every_report() -> None:
    found = hostile()
    assert len(found.changes) == 4

    for encoding in ("utf-8", "ascii", "latin-1"):
        shown = printed(found, encoding)
        assert all(clean(line) == line for line in shown.split("\n"))
        assert "[bold]x[/oops]" in shown.replace("\n", "")
    shown = reports.markdown_report(found)
    assert clean(shown.replace("\n", "")) == shown.replace("\n", "")
    assert "<b>" not in shown
    assert "@me" not in shown
    tables = [line for line in shown.splitlines() if line.startswith("| ")]
    assert {line.replace("\\|", "").count("|") for line in tables} == {6}
    drivers = [line["driver"] for line in csv.DictReader(io.StringIO(reports.csv_report(found)))]
    assert drivers == [EVIL, "'=1+1"] * 2
    assert "\x1b" not in reports.json_report(found)
