"""The trials of tests/pure in full: there are fewer of them there, so that they can run with every change."""

import random

import chance
import pytest
from pure.commands import test_compare as compare
from pure.commands import test_history as history
from pure.commands import test_judging as judging
from pure.stats import test_identical_arms as identical_arms
from pure.stats import test_paired as paired
from pure.stats import test_sequential as sequential

from dbbench.commands.gate.judging import PASS_ERROR
from dbbench.stats.paired import ERROR

# --- a table of ratios -----------------------------------------------------------------------------------------------


def test_all_intervals_of_a_table_hold_at_once_as_often_as_they_say() -> None:
    at_once, one_by_one = paired.tables_whose_intervals_hold(1000)

    assert at_once >= (1 - ERROR) * 1000
    assert one_by_one < (1 - ERROR) * 1000


@pytest.mark.parametrize("blocks", paired.IDENTICAL)
def test_tables_of_identical_arms_raise_few_alarms(blocks: int) -> None:
    assert chance.at_most(ERROR, paired.alarms(blocks, 400), 400)


@pytest.mark.parametrize(("cells", "arms", "blocks"), paired.SKEWED)
def test_a_baseline_with_skewed_noise_that_many_arms_share_raises_few_alarms(
    cells: int, arms: int, blocks: int
) -> None:
    assert chance.at_most(ERROR, paired.alarms_of_skewed_noise(cells, arms, blocks, 400), 400)


def test_runs_of_identical_arms_raise_few_alarms_although_they_are_looked_at_early() -> None:
    assert sequential.alarms(150) <= ERROR * 150


def test_looking_after_every_block_without_correction_would_raise_more() -> None:
    uncorrected, corrected = sequential.alarms_of_one_row(100)

    assert corrected <= ERROR * 100
    assert uncorrected > 2 * ERROR * 100


def test_differences_are_found_and_end_the_run() -> None:
    assert sequential.runs_that_find_all(20) >= 18


# --- recorded noise --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("recording", [identical_arms.MANY, identical_arms.ONE])
def test_identical_arms_raise_an_alarm_in_one_table_of_a_hundred_at_most(recording: identical_arms.Recorded) -> None:
    assert identical_arms.alarms(recording, 1000) <= 0.01 * 1000


def test_five_per_cent_more_time_are_found_in_nineteen_tables_of_twenty() -> None:
    assert identical_arms.found(identical_arms.ONE, 0.05, 500) >= 0.95 * 500


def test_a_difference_that_is_not_there_is_not_found_where_another_is() -> None:
    assert identical_arms.dragged(500) <= 0.01 * 500


# --- gates -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("blocks", [12, 20])
def test_bounds_are_wrong_as_often_as_they_say(blocks: int) -> None:
    assert 0.02 * 250 < judging.missed(blocks, 250) < 0.09 * 250


def test_identical_sides_do_not_fail_at_the_first_look() -> None:
    assert judging.failed_at_the_first_look(300) <= 0.01 * 300


def test_identical_sides_pass_in_nine_gates_of_ten() -> None:
    hit, other, passed = judging.outcomes(0.0, 30)

    assert hit + other == 0
    assert passed >= 0.90 * 30


def test_five_per_cent_are_found_in_nineteen_gates_of_twenty_and_seldom_let_the_gate_pass() -> None:
    hit, other, passed = judging.outcomes(0.05, 40)

    assert hit >= 0.95 * 40
    assert other == 0
    assert passed <= PASS_ERROR * 40


def test_a_speed_up_never_fails() -> None:
    hit, other, _ = judging.outcomes(-0.05, 15)

    assert (hit, other) == (0, 0)


# --- runs beside each other ------------------------------------------------------------------------------------------


def test_the_interval_of_samples_of_one_shape_misses_as_rarely_as_it_says() -> None:
    assert compare.missed(random.Random(1), (8, 12), 1500) <= 0.06 * 1500
    assert compare.missed(random.Random(2), (24, 24), 1500) <= 0.06 * 1500


def test_the_interval_misses_more_where_a_small_sample_is_noisier() -> None:
    assert 0.1 * 1500 <= compare.missed_where_the_small_sample_is_noisier(1500) <= 0.15 * 1500


def test_two_runs_of_the_same_seldom_have_any_row_that_changed() -> None:
    assert compare.alarms(300) <= 0.07 * 300  # 0.05 and two standard errors


def test_steady_values_have_a_change_point_as_rarely_as_is_said() -> None:
    assert history.false_change_points(1000) <= 17  # 10 and two standard errors
