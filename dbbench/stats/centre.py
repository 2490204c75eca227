"""The centre of a series of blocks with its bounds: the sign-flip test turned round."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from statistics import NormalDist
from typing import Final, NamedTuple

from dbbench.stats.signflip import EXACT_BLOCKS

_NORMAL: Final = NormalDist()
_HALVINGS: Final = 50
_STEEPEST: Final = 300.0  # t at which tanh is 1 for all values but tiny ones
_NEAR_THE_MIDDLE: Final = 0.05  # where the tail is a half, and the formula divides by almost nothing
BETWEEN_PROCESSES: Final = 0.02  # smallest error of a block, since processes differ (benchmarks/block_weights.py)


class Block(NamedTuple):
    """The measurement of a row in one block."""

    log_ratio: float  # ln of head / base
    error: float = 0.0  # its standard error, as far as the slices of the block show it

    @property
    def weight(self) -> float:
        """The weight of the block: the inverse of its standard deviation.

        The inverse of its variance would estimate a little better and test much worse: of twelve blocks, the two or
        three quietest would decide alone, which are too few to be significant (docs/ci.md).
        """
        return 1 / math.hypot(BETWEEN_PROCESSES, self.error)


@dataclass(frozen=True)
class Centre:
    """The estimated centre of a row's log ratios, with bounds."""

    estimate: float
    low: float | None  # None where there are too few blocks for a bound with this error
    high: float | None  # likewise


def centre(blocks: Sequence[Block], error: float) -> Centre:
    """Estimate the centre of a row, with a lower and an upper bound, each wrong with probability `error` at most.

    The means of all 2^n - 1 non-empty subsets of n symmetric values cut the line into 2^n intervals, each of which
    contains the centre with the same probability (typical values: Hartigan, JASA 1969). The bound is the k-th mean from
    the end, with k = error * 2^n; the estimate is the middle one. This is the inversion of the sign-flip test, so bound
    and test agree. The log ratio of a block is symmetric because the arms' order is random; its weight does not change
    when the arms are swapped, so weighted means work as well. Beyond EXACT_BLOCKS, the test is turned round by its
    saddlepoint approximation, whose bounds are as wide to within a few per cent. There must be at least one block.
    """
    return _centre(tuple(sorted(blocks)), error)  # in one order, so that sums are rounded alike


@lru_cache(maxsize=256)  # a table is judged again after every block
def _centre(blocks: tuple[Block, ...], error: float) -> Centre:
    if len(blocks) > EXACT_BLOCKS:
        return _of_many(blocks, error)
    sums = [(0.0, 0.0)]
    for block in blocks:
        part, weight = block.weight * block.log_ratio, block.weight
        sums += [(total + part, weights + weight) for total, weights in sums]
    means = sorted(total / weights for total, weights in sums if weights)
    k = int(error * (len(means) + 1))
    low, high = (means[k - 1], means[-k]) if k else (None, None)
    return Centre(means[len(means) // 2], low, high)


def _of_many(blocks: Sequence[Block], error: float) -> Centre:
    """The weighted mean, with the bounds at which the sign-flip test just rejects: found by bisection."""
    values = [block.log_ratio for block in blocks]
    total = sum(block.weight for block in blocks)
    middle = sum(block.weight * block.log_ratio for block in blocks) / total
    if 0.5 ** len(blocks) > error:
        return Centre(middle, None, None)

    def bound(outside: float, side: int) -> float:
        inside = middle
        for _ in range(_HALVINGS):
            at = (inside + outside) / 2
            moved = [side * block.weight * (block.log_ratio - at) for block in blocks]
            inside, outside = (at, outside) if _p_value(moved) > error else (inside, at)
        return inside

    return Centre(middle, bound(min(values), 1), bound(max(values), -1))


def _p_value(values: Sequence[float]) -> float:
    """The share of all patterns of signs that give these values, flipped, a sum as large as theirs.

    By the saddlepoint approximation: Robinson, Journal of the Royal Statistical Society B 44, 1982; its tail is that of
    Lugannani and Rice. The cumulants of the flipped sum come from K(t), the sum of ln cosh(t value).
    """
    scale = math.sqrt(sum(value * value for value in values))
    if not scale:
        return 1.0
    parts = [abs(value) / scale for value in values]
    observed = sum(values) / scale
    if observed <= 0:
        return 0.5  # at least: no bound lies on this side of the centre
    low, high = 0.0, _STEEPEST
    if sum(part * math.tanh(high * part) for part in parts) <= observed:
        return float(0.5 ** len(values))  # nearly all signs agree already
    for _ in range(_HALVINGS):
        at = (low + high) / 2
        if sum(part * math.tanh(at * part) for part in parts) < observed:
            low = at
        else:
            high = at
    curvature = sum((part / math.cosh(high * part)) ** 2 for part in parts)
    exponent = high * observed - sum(_ln_cosh(high * part) for part in parts)
    r, u = math.sqrt(2 * max(exponent, 0.0)), high * math.sqrt(curvature)
    if min(r, u) < _NEAR_THE_MIDDLE:
        return 1 - _NORMAL.cdf(observed)
    return min(0.5, max(0.5 ** len(values), 1 - _NORMAL.cdf(r) + _NORMAL.pdf(r) * (1 / u - 1 / r)))


def _ln_cosh(x: float) -> float:
    """The logarithm of cosh(x), also where cosh(x) is too large for a float."""
    return abs(x) + math.log1p(math.exp(-2 * abs(x))) - math.log(2)
