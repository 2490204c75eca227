"""A service-level objective, like p99<10ms: what is asked for, what it takes to see it, and whether it holds. Pure.

Latency is response time: from when the operation was due. That is why nothing here compares the rate that was reached
with the rate that was due. When operations are due faster than they can run, the queue grows for as long as the trial
lasts, so that responses get later and later; a trial is BUILD_UP times as long as the objective allows a response to
take, by which time an overload of 5% has made the last of them late.
"""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Final

from dbbench.errors import UsageError
from dbbench.stats.histogram import Histogram

MAX_ERRORS: Final = 0.001  # of what was tried, may fail: a failed operation has no latency, so it must not hide a tail
MAX_TRIAL_S: Final = 60.0  # unless longer trials are asked for
BUILD_UP: Final = 20
_BEYOND: Final = 5  # operations expected beyond the percentile: Histogram.percentile asks for 3, and some may fail
_FEW: Final = 30  # operations that a mean or a maximum takes
_UNITS: Final = {"s": ("s", 1_000_000_000), "ms": ("ms", 1_000_000)}
_MICROSECONDS: Final = ("µs", 1_000)  # written us, or with either of the two letters that look like µ
_SHARES: Final = {
    "p50": Fraction(1, 2),
    "p90": Fraction(9, 10),
    "p95": Fraction(19, 20),
    "p99": Fraction(99, 100),
    "p99.9": Fraction(999, 1000),
}
_WRITTEN: Final = re.compile(r"\s*([a-z][\w.]*)\s*(<=?)\s*(\d+(?:\.\d+)?)\s*([uµ]s|ms|s)\s*", re.IGNORECASE)


@dataclass(frozen=True)
class Objective:
    """How late responses may be."""

    measure: str  # p50, p90, p95, p99, p99.9, max or mean
    limit_ns: float
    inclusive: bool  # the limit itself will do
    text: str  # as people read it: p99 < 10 ms

    @property
    def needed(self) -> int:
        """How many operations a trial needs at least, so that it can tell."""
        share = _SHARES.get(self.measure)
        return _FEW if share is None else math.ceil(_BEYOND / (1 - share))

    def value_ns(self, latencies: Sequence[int]) -> float | None:
        """What the objective is about, of some latencies in nanoseconds; None where they are too few to know."""
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
        """Whether the value is within the limit; None for none."""
        if value_ns is None:
            return None
        return value_ns <= self.limit_ns if self.inclusive else value_ns < self.limit_ns

    def holds(self, value_ns: float | None, *, operations: int, errors: int, not_started: int) -> bool | None:
        """Whether a trial meets the objective, in which so many operations succeeded, failed and were never begun.

        None where too few succeeded to know.
        """
        if not_started or errors > MAX_ERRORS * (operations + errors):
            return False
        return self.met_by(value_ns)


def parse(text: str) -> Objective:
    """Read an objective as it stands on the command line; UsageError says how to write one."""
    match = _WRITTEN.fullmatch(text)
    measure = match[1].lower() if match else ""
    if match is None or measure not in (*_SHARES, "max", "mean"):
        raise UsageError(f"--slo {text}: write it like p99<10ms, with one of {', '.join(_SHARES)}, max, mean")
    unit, unit_ns = _UNITS.get(match[4].lower(), _MICROSECONDS)
    limit_ns = float(match[3]) * unit_ns
    if not 0 < limit_ns <= MAX_TRIAL_S / BUILD_UP * 1e9:
        raise UsageError(
            f"--slo {text}: a time above 0 and up to {MAX_TRIAL_S / BUILD_UP:g} s; "
            "a later response could not be told from a queue that grows for ever"
        )
    return Objective(measure, limit_ns, match[2] == "<=", f"{measure} {match[2]} {match[3]} {unit}")


def lowest_rate(objective: Objective, trial_s: float) -> float:
    """The rate below which no trial is long enough to tell, operations per second."""
    return objective.needed / max(MAX_TRIAL_S, trial_s)


def operations_at(objective: Objective, rate: float, trial_s: float) -> int:
    """How many operations make a trial: `trial_s` seconds of them, or longer where it takes longer to tell."""
    seconds = max(trial_s, objective.limit_ns * BUILD_UP / 1e9)
    return max(objective.needed, math.ceil(rate * seconds))
