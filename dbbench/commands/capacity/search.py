"""The highest rate that holds: which rate to try next, and when it is known. Pure.

A search is nothing but the trials so far: `step` looks at all of them and gives the next rate, or the outcome. So
several searches can take turns, and one that is interrupted knows what it knows.

From the guess it doubles or halves until a rate that held and one that failed stand next to each other, then halves
that bracket on a logarithmic scale until it is narrow enough. A trial may err: a machine that stalls for a moment
makes a rate fail that would hold. So both ends of the bracket are tried a second time, with other random numbers, and
where the two trials differ a third decides; an end that turns out wrong moves, and the search goes on.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

MAX_TRIALS: Final = 40  # of one search: 17 doublings from 1 to 100,000, 7 halvings to 1%, both ends again, and noise
_FACTOR: Final = 2.0
_AGREE: Final = 2  # trials that make a rate certain


class Tried(NamedTuple):
    """One trial."""

    rate: float
    held: bool


@dataclass(frozen=True)
class Bounds:
    """Where to search, and how finely."""

    min_rate: float
    max_rate: float
    precision: float  # as a share: 0.05 ends with a rate that failed within 5% above one that held
    max_trials: int = MAX_TRIALS


@dataclass(frozen=True)
class Found:
    """The highest rate that held, and the lowest that failed."""

    rate: float
    failed_rate: float


@dataclass(frozen=True)
class NotSaturated:
    """Even the highest rate that may be tried held."""

    rate: float


@dataclass(frozen=True)
class NeverMet:
    """Even the lowest rate that may be tried failed."""

    failed_rate: float


@dataclass(frozen=True)
class Unfinished:
    """The search ended before it was known: what held and what failed until then."""

    rate: float | None
    failed_rate: float | None


Outcome = Found | NotSaturated | NeverMet | Unfinished


def step(trials: Sequence[Tried], bounds: Bounds, guess: float) -> float | Outcome:
    """Give the rate to try next, or the outcome."""
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
    """Give the bracket as the trials so far have it; a rate whose trials differ evenly has not held."""
    rates = {tried.rate for tried in trials}
    failed = min((rate for rate in rates if _votes(trials, rate) <= 0), default=None)
    held = (rate for rate in rates if _votes(trials, rate) > 0 and (failed is None or rate < failed))
    return Unfinished(max(held, default=None), failed)


def usual_trials(precision: float) -> int:
    """How many trials a search takes from a fair guess: to the bracket, to its halves, both ends again."""
    return 3 + max(0, math.ceil(math.log2(math.log(_FACTOR) / math.log1p(precision)))) + _AGREE


def _votes(trials: Sequence[Tried], rate: float) -> int:
    """Count how many more trials at the rate held than failed."""
    return sum(1 if tried.held else -1 for tried in trials if tried.rate == rate)


def _doubtful(trials: Sequence[Tried]) -> float | None:
    """Find a rate that held once and failed once: nothing can be built on it."""
    return next((tried.rate for tried in trials if not _votes(trials, tried.rate)), None)


def _beyond(known: Unfinished, bounds: Bounds, guess: float) -> float | None:
    """Choose a rate that has not been tried yet; None where the bracket is as narrow as it can or needs to be."""
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
    """Find an end of the bracket on which no two trials agree."""
    ends = (end for end in (known.rate, known.failed_rate) if end is not None)
    return next((end for end in ends if sum(tried.rate == end for tried in trials) < _AGREE), None)


def _outcome(known: Unfinished) -> Outcome:
    """Say what a search that is at its end has found."""
    if known.rate is None:
        assert known.failed_rate is not None
        return NeverMet(known.failed_rate)
    return NotSaturated(known.rate) if known.failed_rate is None else Found(known.rate, known.failed_rate)
