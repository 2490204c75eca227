"""Paired comparison of arms: the ratio of a block, intervals over blocks, verdicts on a whole table.

Pure: numbers in, numbers out. Times are nanoseconds per operation; ratios are arm / baseline, so below 1 is faster.
The block is the unit of evidence: the slices of one block share their processes and are reduced to one number.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from statistics import median
from typing import Final

from dbbench.stats.centre import Block, centre
from dbbench.stats.signflip import adjusted_p_values

ERROR: Final = 0.05  # probability that at least one of a run's statements is false
CONFIDENCE: Final = 1 - ERROR
ALARM_SHARE: Final = 0.2  # of the error that may go into calling identical arms faster or slower: 1% of 5%
TIE_BAND: Final = 0.03
_EARLY_LOOKS: Final = 64  # enough: the last one is at more than 10**11 blocks


class Verdict(StrEnum):
    """The run's verdict on an arm in a cell."""

    BASELINE = "baseline"
    FASTER = "faster"
    SLOWER = "slower"
    TIE = "tie"
    UNDECIDED = "undecided"
    NOT_COMPARABLE = "not comparable"
    FAILED = "failed"
    NOT_MEASURED = "not measured"  # the run ended too early, or there was nothing to compare it with


def block_log_ratio(arm: Mapping[int, float], baseline: Mapping[int, float]) -> float | None:
    """The ln of the ratio arm / baseline of the times per operation in one block; None without a pair of slices.

    Both map a round to nanoseconds per operation. Slices of one round ran close together in time, so their ratio is
    free of the machine's slow drift; the median over rounds is robust against disturbances of a single slice (RMIT:
    Abedi and Brecht, ICPE 2017). Logarithms, so that swapping the arms only flips the sign.
    """
    pairs = _pairs(arm, baseline)
    return median(pairs) if pairs else None


def block_error(arm: Mapping[int, float], baseline: Mapping[int, float]) -> float | None:
    """The standard error of `block_log_ratio`, from disturbances of single slices; None with fewer than two pairs.

    sqrt(pi / 2) times the mean absolute deviation estimates the standard deviation of normal pairs, and sqrt(pi / 2)
    sd / sqrt(n) is the standard error of a median. It uses the mean of the deviations, not their median: among few
    pairs, a disturbed one should show. Swapping the arms changes nothing.
    """
    pairs = _pairs(arm, baseline)
    if len(pairs) < 2:  # noqa: PLR2004
        return None
    middle = median(pairs)
    deviation = sum(abs(pair - middle) for pair in pairs) / (len(pairs) - 1)
    return math.pi / 2 * deviation / math.sqrt(len(pairs))


def _pairs(arm: Mapping[int, float], baseline: Mapping[int, float]) -> list[float]:
    """The ln ratio of every round that both arms have."""
    rounds = arm.keys() & baseline.keys()
    return [math.log(arm[at] / baseline[at]) for at in rounds if arm[at] > 0 and baseline[at] > 0]


def median_interval(values: Sequence[float], confidence: float = CONFIDENCE) -> tuple[float, float] | None:
    """The interval between two of the values that contains the true median with at least this confidence, or None.

    The inversion of the sign test (Conover, Practical Nonparametric Statistics, 3.2): the interval from the k-th
    smallest to the k-th largest of n values misses the median with probability 2 P(Binomial(n, 1/2) < k), whatever the
    distribution. It uses the largest k that keeps the confidence; None where not even k = 1 does.
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


def blocks_for_interval(error: float = ERROR, family: int = 1) -> int:
    """The fewest blocks with which an interval exists at confidence 1 - error / family: 6 for one row at 5%.

    With n blocks, the widest interval, from the smallest value to the largest, misses with probability 2 / 2**n.
    """
    return 1 - math.floor(math.log2(error / family))


def half_width(ratio: float, interval: tuple[float, float]) -> float:
    """The distance from the ratio to the farther end of its interval, as a share of the ratio."""
    low, high = interval
    return max(high / ratio - 1, 1 - low / ratio)


def verdict(interval: tuple[float, float] | None, tie_band: float = TIE_BAND) -> Verdict:
    """The verdict that the interval of a ratio supports by itself.

    A tie lies wholly within [1 / (1 + band), 1 + band], which swapping the arms maps onto itself. It is checked first:
    an interval of 1.01 to 1.02 excludes 1, and yet means that the choice does not matter.
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
    """Estimate how many blocks are needed to decide a row that `blocks` have left undecided.

    The half-width of an interval shrinks with the square root of the number of blocks. It has to shrink to the
    distance, in logs, from the ratio to 1, which shows a difference, or from the ratio to the near edge of the tie
    band, which shows a tie; the larger distance is reached first.
    """
    low, high = (abs(math.log(end / ratio)) for end in interval)
    distance = abs(math.log(ratio))
    enough = max(distance, math.log(1 + tie_band) - distance)
    return max(blocks + 1, math.ceil(blocks * (max(low, high) / enough) ** 2))


# --- a whole table at once -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Judgement:
    """The judgement on one row of a table."""

    ratio: float  # the centre of the blocks (see stats/centre.py)
    interval: tuple[float, float] | None  # of the ratio; None: too few blocks
    verdict: Verdict  # FASTER, SLOWER, TIE or UNDECIDED


def judge(
    table: Sequence[Sequence[Block | None]], error: float, family: int, tie_band: float = TIE_BAND, share: float = 1.0
) -> list[Judgement]:
    """Judge the rows of one table so that the probability of any false statement about it is at most `error`.

    `table`: rows x blocks, None where a row has no value; each row has at least one. `family`: the number of rows
    judged at this `error` in the whole run, of which these may be a part: their `share` of it, as far as the joint test
    is concerned.

    Intervals are those of `centre`, each bound at error / family / 2: by Bonferroni's inequality all of them are right
    at once with probability 1 - error, whatever rows that share a machine, a server and a baseline have in common. What
    they assume is that a block's log ratio is as likely to be off upwards as downwards.

    A row is a tie when its interval says so (see `verdict`). It is faster or slower when its interval excludes 1 and
    the joint sign-flip test of all rows agrees (`adjusted_p_values`), at a fifth of the error, or at the smallest that
    so few blocks can have. An interval that misses by a little harms nobody; a difference that is none sends people to
    another driver. A table with too few blocks for any interval is judged by that test alone, which needs fewer.
    """
    rows = [[block for block in row if block is not None] for row in table]
    found = [centre(row, error / family / 2) for row in rows]
    ratios = [math.exp(one.estimate) for one in found]
    intervals = [
        None if one.low is None or one.high is None else (math.exp(one.low), math.exp(one.high)) for one in found
    ]
    # The blocks of the table, not those of the row: a row that lost its arm must not escape from the intervals, which
    # alone keep the error at every look.
    by_test_alone = max(map(len, table), default=0) < blocks_for_interval(error, family)
    claims = [
        _direction(ratio) if by_test_alone else verdict(interval, tie_band)
        for ratio, interval in zip(ratios, intervals, strict=True)
    ]
    different = (Verdict.FASTER, Verdict.SLOWER)
    # The test is the slow part, so it is skipped where nothing depends on it.
    p_values = [1.0] * len(table)
    if any(claim in different for claim in claims):
        p_values = adjusted_p_values([[block and block.weight * block.log_ratio for block in row] for row in table])
    certain = [
        p <= min(error, max(error * share * ALARM_SHARE, 2 * 0.5 ** len(row)))
        for p, row in zip(p_values, rows, strict=True)
    ]
    return [
        Judgement(ratio, interval, Verdict.UNDECIDED if claim in different and not sure else claim)
        for ratio, interval, claim, sure in zip(ratios, intervals, claims, certain, strict=True)
    ]


def _direction(ratio: float) -> Verdict:
    if ratio == 1:
        return Verdict.UNDECIDED
    return Verdict.FASTER if ratio < 1 else Verdict.SLOWER


# --- looking early ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Look:
    """An interim analysis: a number of blocks after which a run that goes on is judged."""

    blocks: int
    error: float  # how much judging here may add to the probability of a false statement


def looks(family: int) -> Iterator[Look]:
    """The looks of a run that may stop early, without its end, for a table of `family` rows.

    Judging after every block until something shows would sooner or later find differences between identical arms: each
    look is another chance to be wrong. So the error is divided among the looks beforehand (alpha spending: Lan and
    DeMets, Biometrika 1983; here by the union bound, which needs no assumption on how the looks depend on each other).
    Half of ERROR is kept for the end, however many blocks the run then has; look k of the others gets
    ERROR / 2 * 2**-k.

    The first look comes with the fewest blocks that give intervals at its own level, each later one after half as many
    blocks again: more frequent looks would find little in between.
    """
    blocks = 0
    for number in range(1, _EARLY_LOOKS + 1):
        error = ERROR / 2 * 2**-number
        blocks = max(-(-3 * blocks // 2), blocks_for_interval(error, family))
        yield Look(blocks, error)
