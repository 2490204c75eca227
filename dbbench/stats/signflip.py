"""The joint sign-flip test: step-down max-T over a whole table."""

import math
import random
from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import accumulate
from operator import add
from typing import Final, Literal

EXACT_BLOCKS: Final = 16  # with up to 16 blocks all patterns of signs are tried: 65,536
RANDOM_FLIPS: Final = 20_000  # patterns with more blocks; a p-value of 0.01 then has a standard error of 0.0007
_FLIP_SEED: Final = 20261123  # fixed: the same records give the same verdicts, whenever they are read
_ROUNDING: Final = 1e-12  # sums that differ by less count as equal; those of up to 1000 blocks are below 32
_TABULATED: Final = 8  # blocks whose sums are tabulated together: 256 patterns
Alternative = Literal["two-sided", "greater"]


def adjusted_p_values(
    table: Sequence[Sequence[float | None]], *, alternative: Alternative = "two-sided"
) -> list[float]:
    """Each row's p-value under the hypothesis that its arms are identical, adjusted for testing all rows at once.

    `table`: rows x blocks of ln ratios, with the same number of blocks in every row; None, no value, counts as 0.

    The order in which arms run is drawn anew in every block. If two arms are identical, swapping their labels in a
    whole block changes nothing: each pattern of signs over the blocks is equally likely, for all cells at once. So the
    test keeps the correlation between rows and assumes no shape of distribution. The statistic of a row is
    S / sqrt(Q), the sum over the root of the sum of squares, which orders the patterns as the paired t does, since
    flipping signs does not change Q; two-sided, its absolute value. From the largest to the smallest, each is compared
    with the maximum over itself and those below (step-down max-T: Westfall and Young, Resampling-Based Multiple
    Testing, 1993): the probability of any p-value of identical arms being <= x is at most x.

    That is exact with one arm besides the baseline. With several, the flips reverse the baseline's noise in all their
    rows at once: the test is exact for each row, and for the rows together if that noise is symmetric.
    tests/pure/stats/test_paired.py tries noise that is not.

    With up to EXACT_BLOCKS blocks all patterns are tried. With more, RANDOM_FLIPS patterns are drawn and the observed
    one is counted among them (Phipson and Smyth, 2010), so that p is never 0.
    """
    rows = tuple(tuple(value or 0.0 for value in row) for row in table)
    return list(_adjusted_p_values(rows, alternative))


@lru_cache(maxsize=32)  # a run in progress judges its earlier looks again after every block
def _adjusted_p_values(rows: tuple[tuple[float, ...], ...], alternative: Alternative) -> tuple[float, ...]:
    two_sided = alternative == "two-sided"
    scaled = [_to_unit_length(row) for row in rows]
    observed = [abs(sum(row)) if two_sided else sum(row) for row in scaled]
    # The least suspicious row first: running maxima are then those over a row and all that are less suspicious.
    order = sorted(range(len(rows)), key=observed.__getitem__)
    thresholds = [observed[row] - _ROUNDING for row in order]
    columns = list(zip(*(scaled[row] for row in order), strict=True))
    exact = len(columns) <= EXACT_BLOCKS

    hits = [0] * len(rows)
    patterns = 0
    for sums in _all_flips(columns, len(rows), symmetric=two_sided) if exact else _random_flips(columns, len(rows)):
        patterns += 1
        for place, largest in enumerate(accumulate(map(abs, sums) if two_sided else sums, max)):
            if largest >= thresholds[place]:
                hits[place] += 1

    raw = [hit / patterns if exact else (hit + 1) / (patterns + 1) for hit in hits]
    stepped_down = accumulate(reversed(raw), max)  # no row has a smaller p-value than a more suspicious one
    by_row = dict(zip(reversed(order), stepped_down, strict=True))
    return tuple(by_row[row] for row in range(len(rows)))


def _to_unit_length(row: Sequence[float]) -> list[float]:
    length = math.hypot(*row)
    return [value / length for value in row] if length else [0.0] * len(row)


def _all_flips(columns: Sequence[Sequence[float]], rows: int, *, symmetric: bool) -> Iterator[list[float]]:
    """The rows' sums for every pattern of signs; with `symmetric`, for one of each two that differ in all signs.

    The sums of each half of the blocks are tabulated, so a pattern costs one addition per row.
    """
    half = (len(columns) + 1) // 2
    left, right = _signed_sums(columns[:half], rows), _signed_sums(columns[half:], rows)
    if symmetric:
        left = left[: (len(left) + 1) // 2]  # the sums in which the last of these blocks keeps its sign
    for some in left:
        for others in right:
            yield list(map(add, some, others))


def _random_flips(columns: Sequence[Sequence[float]], rows: int) -> Iterator[list[float]]:
    """The rows' sums for RANDOM_FLIPS patterns of signs, the same for every table with this number of blocks."""
    rng = random.Random(_FLIP_SEED)
    tables = [_signed_sums(columns[at : at + _TABULATED], rows) for at in range(0, len(columns), _TABULATED)]
    for _ in range(RANDOM_FLIPS):
        yield list(map(sum, zip(*map(rng.choice, tables), strict=True)))


def _signed_sums(columns: Sequence[Sequence[float]], rows: int) -> list[list[float]]:
    """The rows' sums over a few blocks, for every pattern of signs; in the first half of them the last sign is +."""
    sums = [[0.0] * rows]
    for column in columns:
        kept = [[value + change for value, change in zip(one, column, strict=True)] for one in sums]
        flipped = [[value - change for value, change in zip(one, column, strict=True)] for one in sums]
        sums = kept + flipped
    return sums
