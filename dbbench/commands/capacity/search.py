"""The search for the highest rate that meets the objective: which rate to try next, and when to stop. Pure.

The trials so far are the whole state of a search: `step` derives the next rate or the outcome from them. So several
searches can take turns, and an interrupted one loses nothing.

From the guess it doubles or halves until it has a bracket, a rate that met the objective below one that failed, then
halves that on a logarithmic scale until it is narrow enough. A trial may be wrong: if the machine stalls for a moment,
a rate fails that would meet the objective. So both ends of the bracket are tried a second time, with other random
numbers, and where the two trials disagree a third decides; an end that turns out wrong moves, and the search goes on.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from dbbench.records import Bounds

_FACTOR: Final = 2.0  # between rates while there is no bracket
_AGREE: Final = 2  # trials with the same result that make a rate certain


class Tried(NamedTuple):
    """One trial."""

    rate: float  # operations per second
    held: bool  # whether it met the objective


@dataclass(frozen=True)
class Found:
    """The highest rate that met the objective, and the lowest that failed."""

    rate: float
    failed_rate: float


@dataclass(frozen=True)
class NotSaturated:
    """Even the highest allowed rate met the objective."""

    rate: float


@dataclass(frozen=True)
class NeverMet:
    """Even the lowest allowed rate failed."""

    failed_rate: float


@dataclass(frozen=True)
class Unfinished:
    """The search ended too early: its bracket until then."""

    rate: float | None
    failed_rate: float | None


Outcome = Found | NotSaturated | NeverMet | Unfinished


def step(trials: Sequence[Tried], bounds: Bounds, guess: float) -> float | Outcome:
    """The rate to try next, or the outcome."""
    known = so_far(trials)
    if len(trials) >= bounds.max_trials:
        return known
    next_ = _doubtful(trials)
    if next_ is None:
        next_ = _beyond(known, bounds, guess)
    if next_ is None:
        next_ = _unconfirmed(trials, known)
    return _outcome(known) if next_ is None else next_


def so_far(trials: Sequence[Tried]) -> Unfinished:
    """The bracket after the trials so far; a rate with as many failures as successes counts as failed."""
    rates = {tried.rate for tried in trials}
    failed = min((rate for rate in rates if _votes(trials, rate) <= 0), default=None)
    held = (rate for rate in rates if _votes(trials, rate) > 0 and (failed is None or rate < failed))
    return Unfinished(max(held, default=None), failed)


def usual_trials(precision: float) -> int:
    """The number of trials from a fair guess: to find the bracket, to halve it, and both ends again."""
    return 3 + max(0, math.ceil(math.log2(math.log(_FACTOR) / math.log1p(precision)))) + _AGREE


def _votes(trials: Sequence[Tried], rate: float) -> int:
    """The number of trials at the rate that met the objective, minus those that failed."""
    return sum(1 if tried.held else -1 for tried in trials if tried.rate == rate)


def _doubtful(trials: Sequence[Tried]) -> float | None:
    """A rate with as many successes as failures, which must be tried again; None without one."""
    return next((tried.rate for tried in trials if not _votes(trials, tried.rate)), None)


def _beyond(known: Unfinished, bounds: Bounds, guess: float) -> float | None:
    """A rate that has not been tried yet; None where the bracket is as narrow as it can or needs to be."""
    low, high = known.rate, known.failed_rate
    if low is None and high is None:
        return min(max(guess, bounds.min_rate), bounds.max_rate)
    if high is None:
        assert low is not None
        return min(low * _FACTOR, bounds.max_rate) if low < bounds.max_rate else None
    if low is None:
        return max(high / _FACTOR, bounds.min_rate) if high > bounds.min_rate else None
    return math.sqrt(low * high) if high / low > 1 + bounds.precision else None


def _unconfirmed(trials: Sequence[Tried], known: Unfinished) -> float | None:
    """An end of the bracket that has not been tried twice; None without one."""
    ends = (end for end in (known.rate, known.failed_rate) if end is not None)
    return next((end for end in ends if sum(tried.rate == end for tried in trials) < _AGREE), None)


def _outcome(known: Unfinished) -> Outcome:
    """The outcome of a finished search."""
    if known.rate is None:
        assert known.failed_rate is not None
        return NeverMet(known.failed_rate)
    return NotSaturated(known.rate) if known.failed_rate is None else Found(known.rate, known.failed_rate)
