"""Claims about how often something happens, held against trials of it.

A claim is rejected when what was found would happen in fewer than one of a thousand such series, were the claim just
true. So few trials reject less than many, but what they reject is wrong; tests/slow has the many.
"""

from typing import Final

from scipy import stats

_ERROR: Final = 0.001


def at_most(probability: float, hits: int, trials: int) -> bool:
    """Whether so many hits are no evidence that each trial hits more often than with this probability."""
    return bool(stats.binomtest(hits, trials, probability, alternative="greater").pvalue > _ERROR)


def at_least(probability: float, hits: int, trials: int) -> bool:
    """Whether so many hits are no evidence that each trial hits less often than with this probability."""
    return bool(stats.binomtest(hits, trials, probability, alternative="less").pvalue > _ERROR)
