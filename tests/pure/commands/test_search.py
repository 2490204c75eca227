"""The search for the highest rate that holds, against thresholds that are known."""

import math
from collections.abc import Callable
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dbbench.commands.capacity.search import (
    Found,
    NeverMet,
    NotSaturated,
    Outcome,
    Tried,
    Unfinished,
    so_far,
    step,
    usual_trials,
)
from dbbench.records import USUAL_TRIALS, Bounds

BOUNDS = Bounds(1.0, 100_000.0, 0.05)
rates = st.floats(0, 5).map(lambda exponent: 10**exponent)  # from 1 to 100,000
precisions = st.sampled_from([0.01, 0.05, 0.5])


def find(trial: Callable[[float], bool], bounds: Bounds, guess: float) -> Outcome:
    """Search with a function that tells whether a rate holds."""
    trials: list[Tried] = []
    while isinstance(rate := step(trials, bounds, guess), float):
        trials.append(Tried(rate, trial(rate)))
    return rate


def trials(*written: str) -> list[Tried]:
    """Trials as 100+ and 200-."""
    return [Tried(float(each[:-1]), each[-1] == "+") for each in written]


@given(threshold=rates, guess=rates, precision=precisions)
def test_the_true_threshold_lies_in_the_bracket(threshold: float, guess: float, precision: float) -> None:
    bounds = Bounds(1.0, 100_000.0, precision)
    outcome = find(lambda rate: rate <= threshold, bounds, guess)

    match outcome:
        case Found(rate, failed_rate):
            assert rate <= threshold < failed_rate
            assert failed_rate / rate <= 1 + precision
        case NotSaturated(rate):
            assert rate == bounds.max_rate <= threshold
        case _:
            pytest.fail(f"{outcome}")  # 1 always holds, and the bound on trials is never reached


@given(guess=rates, precision=precisions)
def test_both_ends_of_the_range_are_outcomes_of_their_own(guess: float, precision: float) -> None:
    bounds = Bounds(10.0, 1000.0, precision)

    assert find(lambda _: True, bounds, guess) == NotSaturated(1000.0)
    assert find(lambda _: False, bounds, guess) == NeverMet(10.0)


@given(threshold=rates, guess=rates, noise=st.floats(0, 1), seed=st.integers(0, 2**32))
def test_a_noisy_search_ends_and_never_says_more_than_was_seen(
    threshold: float, guess: float, noise: float, seed: int
) -> None:
    rng = Random(seed)
    seen: list[Tried] = []

    def trial(rate: float) -> bool:
        held = (rate <= threshold) != (rng.random() < noise)
        seen.append(Tried(rate, held))
        return held

    outcome = find(trial, BOUNDS, guess)

    assert len(seen) <= USUAL_TRIALS
    assert all(BOUNDS.min_rate <= tried.rate <= BOUNDS.max_rate for tried in seen)
    match outcome:
        case Found(rate, failed_rate):
            assert 1 < failed_rate / rate <= 1.05
            assert seen.count(Tried(rate, held=True)) >= 2
            assert seen.count(Tried(failed_rate, held=False)) >= 2
        case NotSaturated(rate):
            assert seen.count(Tried(rate, held=True)) >= 2
        case NeverMet(failed_rate):
            assert seen.count(Tried(failed_rate, held=False)) >= 2
        case Unfinished():
            assert len(seen) == USUAL_TRIALS


@given(threshold=rates, fooled=st.integers(0, 7), guess=rates)
def test_one_wrong_trial_does_not_lead_astray_by_more_than_the_search_can_mend(
    threshold: float, fooled: int, guess: float
) -> None:
    """A rate that holds but fails once (a stall of the machine) is doubted at the latest when it ends up at an end."""
    count = 0

    def trial(rate: float) -> bool:
        nonlocal count
        count += 1
        return rate <= threshold and count != fooled + 1

    outcome = find(trial, BOUNDS, guess)

    match outcome:
        case Found(rate, failed_rate):
            assert rate <= threshold < failed_rate
        case NotSaturated(rate):
            assert rate == BOUNDS.max_rate <= threshold
        case _:
            pytest.fail(f"{outcome}")


@pytest.mark.parametrize(
    ("done", "next_"),
    [
        ((), 100.0),  # the guess
        (("100+",), 200.0),
        (("100-",), 50.0),
        (("60000+",), 100_000.0),  # no further than the bounds
        (("1.5-",), 1.0),
        (("100+", "200-"), math.sqrt(20_000)),
        (("100+", "104-"), 100.0),  # narrow enough: is it true?
        (("100+", "104-", "100+"), 104.0),
        (("100+", "104-", "100-"), 100.0),  # held and failed: a third trial decides
        (("100+", "104-", "100-", "100-"), 50.0),
        (("50+", "100+", "104-", "100-", "100-"), math.sqrt(5000)),
        (("100+", "104-", "100+", "104+"), 104.0),
        (("100+", "104-", "100+", "104+", "104+"), 208.0),
        (("100000+",), 100_000.0),
        (("1-",), 1.0),
        (("100+", "104-", "100+", "104-"), Found(100.0, 104.0)),
        (("100000+", "100000+"), NotSaturated(100_000.0)),
        (("1-", "1-"), NeverMet(1.0)),
    ],
)
def test_what_comes_next(done: tuple[str, ...], next_: object) -> None:
    assert step(trials(*done), BOUNDS, 100.0) == next_


def test_a_search_that_runs_out_of_trials_says_what_it_knows() -> None:
    bounds = Bounds(1.0, 100_000.0, 0.05, max_trials=2)

    assert step(trials("100+", "200-"), bounds, 100.0) == Unfinished(100.0, 200.0)


@pytest.mark.parametrize(
    ("done", "known"),
    [
        ((), Unfinished(None, None)),
        (("100+",), Unfinished(100.0, None)),
        (("100-",), Unfinished(None, 100.0)),
        (("100+", "200+", "400-", "282+"), Unfinished(282.0, 400.0)),
        (("100+", "200+", "100-"), Unfinished(None, 100.0)),  # doubtful: nothing above it counts
    ],
)
def test_an_interrupted_search_knows_its_bracket(done: tuple[str, ...], known: Unfinished) -> None:
    assert so_far(trials(*done)) == known


@pytest.mark.parametrize("precision", [0.01, 0.05, 0.5])
def test_the_usual_number_of_trials_is_about_right(precision: float) -> None:
    count = 0

    def trial(rate: float) -> bool:
        nonlocal count
        count += 1
        return rate <= 777

    find(trial, Bounds(1.0, 100_000.0, precision), 400.0)

    assert abs(count - usual_trials(precision)) <= 1
