"""Paired comparison of two arms: the ratio of a block, the interval over blocks, the verdict.

Pure: numbers in, numbers out. Times are nanoseconds per operation, ratios are arm / baseline, so below 1 is faster.
The block is the unit of evidence: slices of one block share their processes and are summed up to one number.
"""

import math
from collections.abc import Mapping, Sequence
from enum import StrEnum
from statistics import median
from typing import Final

CONFIDENCE: Final = 0.95
TIE_BAND: Final = 0.03


class Verdict(StrEnum):
    """What the run says about an arm in a cell."""

    BASELINE = "baseline"
    FASTER = "faster"
    SLOWER = "slower"
    TIE = "tie"
    UNDECIDED = "undecided"
    NOT_COMPARABLE = "not comparable"
    FAILED = "failed"
    NOT_MEASURED = "not measured"  # the run ended before


def block_log_ratio(arm: Mapping[int, float], baseline: Mapping[int, float]) -> float | None:
    """Give the ln of how many times the baseline's time per operation the arm took in one block; None without a pair.

    Both map a round to nanoseconds per operation. Slices of one round ran side by side, so their ratio is free of the
    machine's slow drift; the median over rounds is free of what struck a single slice (RMIT: Abedi and Brecht,
    ICPE 2017). Logarithms, so that swapping the arms only turns the sign.
    """
    pairs = [
        math.log(arm[at] / baseline[at]) for at in arm.keys() & baseline.keys() if arm[at] > 0 and baseline[at] > 0
    ]
    return median(pairs) if pairs else None


def median_interval(values: Sequence[float], confidence: float = CONFIDENCE) -> tuple[float, float] | None:
    """Give the interval between two of the values that holds the true median with at least this confidence.

    The sign test turned round (Conover, Practical Nonparametric Statistics, 3.2): the k-th smallest and the k-th
    largest of n values miss the median with probability 2 P(Binomial(n, 1/2) < k), whatever the distribution. The
    largest k that keeps the confidence is taken; None where not even k = 1 does.
    """
    n = len(values)
    allowed = (1 - confidence) / 2 * 2**n  # of the 2**n equally likely patterns of above and below, on each side
    k = missed = 0
    while k < n and missed + math.comb(n, k) <= allowed:
        missed += math.comb(n, k)
        k += 1
    if k == 0:
        return None
    ordered = sorted(values)
    return ordered[k - 1], ordered[n - k]


def blocks_for_interval(confidence: float = CONFIDENCE) -> int:
    """Tell how many blocks `median_interval` needs at least: 6 for 95%."""
    return 1 - math.floor(math.log2(1 - confidence))


def verdict(interval: tuple[float, float] | None, tie_band: float = TIE_BAND) -> Verdict:
    """Judge the interval of a ratio.

    A tie lies wholly within [1 / (1 + band), 1 + band], which swapping the arms maps on itself. It goes first: an
    interval of 1.01 to 1.02 may exclude 1 and still says that the choice does not matter.
    """
    if interval is None:
        return Verdict.UNDECIDED
    low, high = interval
    if 1 / (1 + tie_band) <= low and high <= 1 + tie_band:
        return Verdict.TIE
    if high < 1:
        return Verdict.FASTER
    if low > 1:
        return Verdict.SLOWER
    return Verdict.UNDECIDED


def blocks_for_verdict(blocks: int, ratio: float, interval: tuple[float, float], tie_band: float = TIE_BAND) -> int:
    """Estimate how many blocks would decide what so many have not.

    The half-width of an interval shrinks with the square root of the number of blocks. It has to shrink to the
    distance, in logs, from the ratio to 1, where a difference shows, or to the near edge of the tie band, where a tie
    does; whichever is farther off is reached first.
    """
    low, high = (abs(math.log(end / ratio)) for end in interval)
    distance = abs(math.log(ratio))
    enough = max(distance, math.log(1 + tie_band) - distance)
    return max(blocks + 1, math.ceil(blocks * (max(low, high) / enough) ** 2))
