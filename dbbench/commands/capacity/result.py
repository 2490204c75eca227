"""What a search for the capacity has found: plain data, and how it follows from the trials. Pure."""

from collections.abc import Sequence
from typing import Final, Literal

import msgspec

from dbbench.commands.capacity import search
from dbbench.commands.capacity.search import Tried
from dbbench.commands.capacity.slo import Objective, parse
from dbbench.plan import Cell
from dbbench.records import Problem, Run, Search, Trial

_LEFT_OUT: Final = ("scenario", "operation", "worker lost")  # problems for which a driver is left out
Result = Literal["found", "not saturated", "never met", "unfinished", "failed", "not comparable"]


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


def answer(stored: Search) -> Answer:
    """What the trials of a result file say, however far the search came.

    Raises UsageError where the file's objective is none.
    """
    header = stored.header
    return Answer(
        objective=parse(header.objective),
        precision=header.bounds.precision,
        cell=header.plan.cells[0],
        run=Run(header, [], stored.problems, stored.end, stored.warnings),
        drivers=[_capacity(stored, arm.name) for arm in header.plan.arms],
    )


def _capacity(stored: Search, name: str) -> Capacity:
    trials = [trial for trial in stored.trials if trial.arm == name]
    known = tried(trials)
    # A search that has begun needs no guess where to begin.
    outcome = search.step(known, stored.header.bounds, guess=0.0) if known else search.so_far(known)
    if isinstance(outcome, float):
        outcome = search.so_far(known)
    return capacity(name, trials, outcome, left_out(stored.problems, name))


def left_out(problems: Sequence[Problem], name: str) -> Literal["failed", "not comparable"] | None:
    """Why a driver was left out, None where it was not."""
    if any(problem.kind == "not comparable" and problem.arm == name for problem in problems):
        return "not comparable"
    concerned = (problem.kind for problem in problems if problem.arm in (None, name))
    return "failed" if any(kind in _LEFT_OUT for kind in concerned) else None


def tried(trials: Sequence[Trial]) -> list[Tried]:
    """Give the trials as the search sees them."""
    return [Tried(trial.rate, trial.held) for trial in trials]


def capacity(driver: str, trials: Sequence[Trial], outcome: search.Outcome, instead: Result | None = None) -> Capacity:
    """Put together what is known of a driver; `instead` says why it was left out, if it was."""
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
        outcome=instead or result,
        rate=highest,
        value_us=max(_values(trials, highest, held=True), default=None),
        failed_rate=lowest,
        failed_value_us=min(_values(trials, lowest, held=False), default=None),
        trials=list(trials),
    )


def rate_text(rate: float) -> str:
    """Write operations per second with four digits: 848.5, 12,350."""
    return f"{float(f'{rate:.4g}'):,.10g}"


def _values(trials: Sequence[Trial], rate: float | None, *, held: bool) -> list[float]:
    return [
        trial.value_us for trial in trials if trial.rate == rate and trial.held is held and trial.value_us is not None
    ]
