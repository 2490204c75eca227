"""A service-level objective, like p99<10ms: its text, the length of a trial for it, and whether it is met. Pure.

Latency is response time, from when the operation was due. So nothing here needs to compare the achieved rate with the
rate that was due: when operations are due faster than they can run, the queue grows throughout the trial and responses
get later and later. A trial is BUILD_UP times as long as the objective allows a response to take; by then, an overload
of 5% has made the last of them late.
"""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Final

from dbbench import units
from dbbench.errors import UsageError
from dbbench.stats.histogram import Histogram

MAX_ERRORS: Final = 0.001  # share of operations that may fail: they have no latency, so more could hide a tail
MAX_TRIAL_S: Final = 60.0  # unless longer trials are asked for
BUILD_UP: Final = 20  # length of a trial, in limits of the objective
_MIN_OPERATIONS_BEYOND: Final = 5  # the percentile: Histogram.percentile needs 3, and some operations may fail
_MIN_OPERATIONS: Final = 30  # for a mean or a maximum
_SHARES: Final = {
    "p50": Fraction(1, 2),
    "p90": Fraction(9, 10),
    "p95": Fraction(19, 20),
    "p99": Fraction(99, 100),
    "p99.9": Fraction(999, 1000),
}
_MEASURES: Final = (*_SHARES, "max", "mean")
_WRITTEN: Final = re.compile(rf"\s*({'|'.join(map(re.escape, _MEASURES))})\s*(<=?)(.*)", re.IGNORECASE)


@dataclass(frozen=True)
class Objective:
    """An upper limit on a measure of response times."""

    measure: str  # p50, p90, p95, p99, p99.9, max or mean
    limit_ns: float
    inclusive: bool  # whether the limit itself is allowed
    text: str  # for reports: p99 < 10 ms

    @property
    def needed(self) -> int:
        """The fewest operations with which a trial can show whether the objective is met."""
        share = _SHARES.get(self.measure)
        return _MIN_OPERATIONS if share is None else math.ceil(_MIN_OPERATIONS_BEYOND / (1 - share))

    def value_ns(self, latencies: Sequence[int]) -> float | None:
        """The objective's measure of some latencies, nanoseconds; None where these are too few."""
        if not latencies:
            return None
        if self.measure == "max":
            return max(latencies)
        if self.measure == "mean":
            return sum(latencies) / len(latencies)
        histogram = Histogram()
        histogram.record_all(latencies)
        return histogram.percentile(float(_SHARES[self.measure]))

    def met_by(self, value_ns: float | None) -> bool | None:
        """Whether the value is within the limit; None without a value."""
        if value_ns is None:
            return None
        return value_ns <= self.limit_ns if self.inclusive else value_ns < self.limit_ns

    def holds(self, value_ns: float | None, *, operations: int, errors: int, not_started: int) -> bool | None:
        """Whether a trial meets the objective; None where too few operations succeeded to know.

        The numbers are those of operations that succeeded, failed, and never began.
        """
        if not_started or errors > MAX_ERRORS * (operations + errors):
            return False
        return self.met_by(value_ns)


def parse(text: str) -> Objective:
    """Read an objective from the command line; raises UsageError, which says how to write one."""
    wrong = UsageError(f"--slo {text}: write it like p99<10ms, with one of {', '.join(_MEASURES)}")
    match = _WRITTEN.fullmatch(text)
    if match is None:
        raise wrong
    try:
        number, unit = units.quantity(match[3])
    except ValueError:
        raise wrong from None
    measure = match[1].lower()
    limit_ns = float(number) * unit.us * 1_000
    if not 0 < limit_ns <= MAX_TRIAL_S / BUILD_UP * 1e9:
        raise UsageError(
            f"--slo {text}: the time must be above 0 and at most {MAX_TRIAL_S / BUILD_UP:g} s; "
            "a later response cannot be distinguished from an ever-growing queue"
        )
    return Objective(measure, limit_ns, match[2] == "<=", f"{measure} {match[2]} {number} {unit.name}")


def lowest_rate(objective: Objective, trial_s: float) -> float:
    """The rate below which no trial is long enough to judge the objective, operations per second."""
    return objective.needed / max(MAX_TRIAL_S, trial_s)


def operations_at(objective: Objective, rate: float, trial_s: float) -> int:
    """The number of operations of a trial: `trial_s` seconds of them, or more where the objective needs more."""
    seconds = max(trial_s, objective.limit_ns * BUILD_UP / 1e9)
    return max(objective.needed, math.ceil(rate * seconds))
