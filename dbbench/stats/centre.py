"""The typical value of a series of blocks and its interval, from typical values of random subsets (Hartigan)."""

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, NamedTuple

from dbbench.stats.signflip import EXACT_BLOCKS

_RANDOM_SUBSETS: Final = 20_000
_SUBSET_SEED: Final = 20261123  # fixed: the same records give the same verdicts, whenever they are read
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
    and test agree. The log ratio of a block is symmetric because the sides' order is random; its weight does not change
    when the sides are swapped, so weighted means work as well. Beyond EXACT_BLOCKS, subsets are drawn at random. There
    must be at least one block.
    """
    return _centre(tuple(blocks), error)


@lru_cache(maxsize=256)  # a gate judges its table again after every block
def _centre(blocks: tuple[Block, ...], error: float) -> Centre:
    parts = [(block.weight * block.log_ratio, block.weight) for block in blocks]
    if len(blocks) <= EXACT_BLOCKS:
        sums = [(0.0, 0.0)]
        for part, weight in parts:
            sums += [(total + part, weights + weight) for total, weights in sums]
        means = sorted(total / weights for total, weights in sums if weights)
    else:
        rng = random.Random(_SUBSET_SEED)
        means = sorted(_mean_of_some(parts, rng) for _ in range(_RANDOM_SUBSETS - 1))
    k = int(error * (len(means) + 1))
    low, high = (means[k - 1], means[-k]) if k else (None, None)
    return Centre(means[len(means) // 2], low, high)


def _mean_of_some(parts: Sequence[tuple[float, float]], rng: random.Random) -> float:
    pattern = 0
    while not pattern:
        pattern = rng.getrandbits(len(parts))
    some = [each for at, each in enumerate(parts) if pattern >> at & 1]
    return sum(part for part, _ in some) / sum(weight for _, weight in some)
