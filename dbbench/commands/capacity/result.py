"""What a search for the capacity has found: plain data, and how it follows from the trials. Pure."""

from collections.abc import Sequence
from typing import Final, Literal

import msgspec

from dbbench.commands.capacity import search
from dbbench.commands.capacity.search import Tried
from dbbench.commands.capacity.slo import Objective
from dbbench.plan import Cell
from dbbench.records import Run

_MS: Final = 1_000  # microseconds
_S: Final = 1_000_000
Result = Literal["found", "not saturated", "never met", "unfinished", "failed", "not comparable"]


class Trial(msgspec.Struct, frozen=True):
    """A few seconds at one rate."""

    rate: float  # operations that were due per second
    held: bool
    value_us: float | None  # what the objective is about, of the operations that succeeded; None: too few
    operations: int  # that succeeded
    errors: int
    not_started: int  # that were due and never begun


class Capacity(msgspec.Struct, frozen=True):
    """What is known of one driver. These fields, in this order, are the keys of a JSON driver."""

    driver: str
    outcome: Result
    rate: float | None  # the highest that held, operations per second
    value_us: float | None  # the worst of the trials that held there
    failed_rate: float | None  # the lowest that failed
    failed_value_us: float | None  # the best of the trials that failed there
    trials: list[Trial]


class Answer(msgspec.Struct, frozen=True):
    """What a whole search has found, and under which conditions."""

    objective: Objective
    precision: float
    cell: Cell
    run: Run  # without measurements: these are trials
    drivers: list[Capacity]


def tried(trials: Sequence[Trial]) -> list[Tried]:
    """Give the trials as the search sees them."""
    return [Tried(trial.rate, trial.held) for trial in trials]


def capacity(driver: str, trials: Sequence[Trial], outcome: search.Outcome, left_out: Result | None = None) -> Capacity:
    """Put together what is known of a driver; `left_out` says why it was left out, if it was."""
    match outcome:
        case search.Found(rate, failed_rate):
            ends: tuple[Result, float | None, float | None] = ("found", rate, failed_rate)
        case search.NotSaturated(rate):
            ends = ("not saturated", rate, None)
        case search.NeverMet(failed_rate):
            ends = ("never met", None, failed_rate)
        case search.Unfinished(known, known_failed):
            ends = ("unfinished", known, known_failed)
    result, highest, lowest = ends
    return Capacity(
        driver=driver,
        outcome=left_out or result,
        rate=highest,
        value_us=max(_values(trials, highest, held=True), default=None),
        failed_rate=lowest,
        failed_value_us=min(_values(trials, lowest, held=False), default=None),
        trials=list(trials),
    )


def rate_text(rate: float) -> str:
    """Write operations per second with four digits: 848.5, 12,350."""
    return f"{float(f'{rate:.4g}'):,.10g}"


def time_text(us: float) -> str:
    """Write a time with three digits, in a unit that suits it: 940 µs, 7.1 ms, 1.25 s."""
    unit, size = ("µs", 1) if us < _MS else ("ms", _MS) if us < _S else ("s", _S)
    return f"{float(f'{us / size:.3g}'):,.10g} {unit}"


def _values(trials: Sequence[Trial], rate: float | None, *, held: bool) -> list[float]:
    return [
        trial.value_us for trial in trials if trial.rate == rate and trial.held is held and trial.value_us is not None
    ]
