"""The points at which the level of a series changes: CUSUM with a permutation test."""

import random
from collections.abc import Sequence
from itertools import accumulate
from statistics import mean
from typing import Final

FEWEST: Final = 3  # runs on each side of a change point
MAX_P: Final = 0.01  # the largest p-value of a change point
_SHUFFLES: Final = 999  # a p-value of 0.01 then has a standard error of 0.003
_SEED: Final = 20261123  # fixed: the same runs give the same change points, whenever they are read
_ROUNDING: Final = 1e-9  # statistics with a smaller relative difference count as equal


def change_points(values: Sequence[float]) -> list[tuple[int, float]]:
    """The change points, in order: the index of the first value after each change, and its p-value.

    Binary segmentation (Vostrikova, Soviet Mathematics Doklady 24, 1981): where a segment has a change, both of its
    sides are searched in turn. So steady values have any change point with probability MAX_P at most, if they are
    exchangeable; values that drift have more. It takes ten values to find one: fewer have too few permutations.
    """
    found: list[tuple[int, float]] = []
    stretches = [(0, len(values))]
    while stretches:
        start, end = stretches.pop()
        if (split := _split(values[start:end])) is not None:
            at, p_value = start + split[0], split[1]
            found.append((at, p_value))
            stretches += [(start, at), (at, end)]
    return sorted(found)


def _split(values: Sequence[float]) -> tuple[int, float] | None:
    """The most likely change point of a segment and its p-value; None where permutations often look like a change too.

    The largest weighted CUSUM against its distribution over permutations (Antoch and Huskova, Statistics & Probability
    Letters 53, 2001), the observed order counted among them. It stops as soon as the p-value can no longer be small
    (Besag and Clifford, Biometrika 78, 1991), so steady segments, which nearly all are, cost little.
    """
    if len(values) < 2 * FEWEST:
        return None
    middle = mean(values)
    centred = [value - middle for value in values]
    observed, at = _cusum(centred)
    threshold, rng, hits = observed * (1 - _ROUNDING), random.Random(_SEED), 1
    for _ in range(_SHUFFLES):
        rng.shuffle(centred)
        hits += _cusum(centred)[0] >= threshold
        if hits > MAX_P * (_SHUFFLES + 1):
            return None
    return at, hits / (_SHUFFLES + 1)


def _cusum(centred: Sequence[float]) -> tuple[float, int]:
    """The largest between-sides sum of squares (up to a factor), and the number of values before that split."""
    total = len(centred)
    sums = enumerate(accumulate(centred), 1)
    return max((value * value / (k * (total - k)), k) for k, value in sums if FEWEST <= k <= total - FEWEST)
