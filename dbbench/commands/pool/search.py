"""The search for the smallest pool that meets the objective: which size to try next, and when to stop. Pure.

As in the search for the capacity, the trials so far are the whole state. From the guess the size is doubled or halved
until one that failed lies below one that held; the sizes in between are halved until the two are neighbours. A trial
may be wrong, so both ends are tried twice, and where two trials disagree a third decides.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

_AGREE: Final = 2  # trials with the same result that make a size certain
MAX_TRIALS: Final = 40


class Tried(NamedTuple):
    """One trial."""

    size: int  # connections of each process
    held: bool  # whether it met the objective


@dataclass(frozen=True)
class Bracket:
    """The smallest size that held, and the largest that failed below it; None: none has."""

    held: int | None
    failed: int | None


def step(trials: Sequence[Tried], most: int, guess: int) -> int | None:
    """The size to try next, from 1 to `most`; None where so_far() is the answer."""
    if len(trials) >= MAX_TRIALS:
        return None
    known = so_far(trials)
    doubtful = next((tried.size for tried in trials if not _votes(trials, tried.size)), None)
    if doubtful is not None:
        return doubtful
    between = _between(known, most, guess)
    return _unconfirmed(trials, known) if between is None else between


def so_far(trials: Sequence[Tried]) -> Bracket:
    """What the trials show; a size with as many failures as successes counts as failed."""
    sizes = {tried.size for tried in trials}
    failed = max((size for size in sizes if _votes(trials, size) <= 0), default=None)
    held = (size for size in sizes if _votes(trials, size) > 0 and (failed is None or size > failed))
    return Bracket(min(held, default=None), failed)


def _votes(trials: Sequence[Tried], size: int) -> int:
    """The number of trials with this size that held, minus those that failed."""
    return sum(1 if tried.held else -1 for tried in trials if tried.size == size)


def _between(known: Bracket, most: int, guess: int) -> int | None:
    """A size that has not been tried yet; None where the bracket is as narrow as it can be."""
    if known.held is None and known.failed is None:
        return min(max(1, guess), most)
    if known.held is None:
        assert known.failed is not None
        return min(2 * known.failed, most) if known.failed < most else None
    low = known.failed or 0
    if known.failed is None:
        return known.held // 2 or None
    return (low + known.held) // 2 if known.held - low > 1 else None


def _unconfirmed(trials: Sequence[Tried], known: Bracket) -> int | None:
    """An end of the bracket that has not been tried twice; None without one."""
    ends = (end for end in (known.held, known.failed) if end is not None)
    return next((end for end in ends if sum(tried.size == end for tried in trials) < _AGREE), None)
