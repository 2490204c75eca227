"""The difference between two samples: the Hodges-Lehmann shift and its interval."""

import math
from bisect import bisect_right
from collections.abc import Sequence
from functools import lru_cache
from statistics import NormalDist
from typing import Final

_EXACT_STEPS: Final = 1_000_000  # additions that an exact distribution may take: 100 blocks and 100, or 10 and 10,000
_HALVINGS: Final = 64  # of a range of ln ratios: the remainder is below the precision of a float


def shift(base: Sequence[float], head: Sequence[float]) -> float:
    """The estimated shift from base to head: the median of all differences between a value of each.

    Hodges and Lehmann, Annals of Mathematical Statistics 34, 1963. It need not be the difference of the two medians.
    """
    pairs = len(base) * len(head)
    return (_difference(base, head, (pairs + 1) // 2) + _difference(base, head, pairs // 2 + 1)) / 2


def shift_interval(base: Sequence[float], head: Sequence[float], confidence: float) -> tuple[float, float] | None:
    """The interval of the shift from base to head; None where there are too few values for the confidence.

    The inversion of the Mann-Whitney test (Lehmann, Nonparametrics, 1975, 2.6; Hollander and Wolfe, Nonparametric
    Statistical Methods, 4.3): from the k-th smallest to the k-th largest of all differences. It has the confidence
    whatever the distribution, if that has the same shape in both samples. Where one run was much noisier than the other
    and has far fewer blocks the confidence is lower: 87 instead of 95% with 8 blocks three times as noisy as 24
    (tests/pure/commands/test_compare.py).
    """
    error = (1 - confidence) / 2
    k = _rank(min(len(base), len(head)), max(len(base), len(head)), error)
    if k == 0:
        return None
    return _difference(base, head, k), _difference(base, head, len(base) * len(head) + 1 - k)


@lru_cache(maxsize=256)  # nearly all rows of a run have the same number of blocks
def _rank(few: int, many: int, error: float) -> int:
    """The largest k for which P(U < k) is at most `error`, where U is Mann and Whitney's statistic; often 0.

    Exact, by their recursion (Annals of Mathematical Statistics 18, 1947) written as a product of polynomials: the
    number of arrangements with U = u is the coefficient of q**u in the product over i of
    (1 - q**(many + i)) / (1 - q**i). In large samples by the normal approximation, whose tails are heavier than U's.
    """
    pairs = few * many
    if few * pairs > _EXACT_STEPS:
        deviation = math.sqrt(pairs * (few + many + 1) / 12)
        return max(0, math.floor((pairs + 1) / 2 + NormalDist().inv_cdf(error) * deviation))
    arrangements = [1] + [0] * (pairs // 2)  # by U; the other half is the mirror image
    for i in range(1, few + 1):
        for u in range(len(arrangements) - 1, many + i - 1, -1):
            arrangements[u] -= arrangements[u - many - i]
        for u in range(i, len(arrangements)):
            arrangements[u] += arrangements[u - i]
    allowed = error * math.comb(few + many, few)
    k = missed = 0
    while k < len(arrangements) and missed + arrangements[k] <= allowed:
        missed += arrangements[k]
        k += 1
    return k


def _difference(base: Sequence[float], head: Sequence[float], rank: int) -> float:
    """The difference head - base of this rank, 1 for the smallest.

    Found by bisection, since two runs with a thousand blocks each have a million differences.
    """
    ordered, others = sorted(head), sorted(base)
    low, high = ordered[0] - others[-1], ordered[-1] - others[0]
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        if sum(bisect_right(ordered, value + middle) for value in others) >= rank:
            high = middle
        else:
            low = middle
    return high
