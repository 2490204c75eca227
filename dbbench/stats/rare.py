"""Whether something is rarer than a share, from how often it happened: an exact binomial test."""

import math


def surely_rarer(happened: int, of: int, share: float, error: float) -> bool:
    """Whether it would happen so seldom by chance, in at most `error` of all cases, if its true share were `share`.

    It is the upper end of the Clopper-Pearson interval (Biometrika 26, 1934) held against the share: `happened` times
    `of` so many.
    """
    return math.fsum(_binomial(count, of, share) for count in range(happened + 1)) <= error


def _binomial(count: int, of: int, share: float) -> float:
    ways = math.lgamma(of + 1) - math.lgamma(count + 1) - math.lgamma(of - count + 1)
    return math.exp(ways + count * math.log(share) + (of - count) * math.log1p(-share))
