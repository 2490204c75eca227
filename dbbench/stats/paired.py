"""Paired comparison of arms: the ratio of a block, intervals over blocks, verdicts on a whole table.

Pure: numbers in, numbers out. Times are nanoseconds per operation, ratios are arm / baseline, so below 1 is faster.
The block is the unit of evidence: slices of one block share their processes and are summed up to one number.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from statistics import median
from typing import Final

from dbbench.stats.signflip import adjusted_p_values

ERROR: Final = 0.05  # probability of at least one false statement in all that a run says
CONFIDENCE: Final = 1 - ERROR
TIE_BAND: Final = 0.03
_EARLY_LOOKS: Final = 64  # the last is at more than 10**11 blocks


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
    pairs = _pairs(arm, baseline)
    return median(pairs) if pairs else None


def block_error(arm: Mapping[int, float], baseline: Mapping[int, float]) -> float | None:
    """Give how far off `block_log_ratio` may be because of what struck single slices: its standard error.

    sqrt(pi / 2) times the mean absolute deviation estimates the standard deviation of normal pairs, and sqrt(pi / 2)
    sd / sqrt(n) is the standard error of a median. The mean, not the median of the deviations: of few pairs, one that
    was struck should show. Swapping the arms changes nothing. None with fewer than two pairs.
    """
    pairs = _pairs(arm, baseline)
    if len(pairs) < 2:  # noqa: PLR2004
        return None
    middle = median(pairs)
    deviation = sum(abs(pair - middle) for pair in pairs) / (len(pairs) - 1)
    return math.pi / 2 * deviation / math.sqrt(len(pairs))


def _pairs(arm: Mapping[int, float], baseline: Mapping[int, float]) -> list[float]:
    """The ln ratio of every round that both have."""
    rounds = arm.keys() & baseline.keys()
    return [math.log(arm[at] / baseline[at]) for at in rounds if arm[at] > 0 and baseline[at] > 0]


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


def blocks_for_interval(error: float = ERROR, family: int = 1) -> int:
    """Tell how many blocks `median_interval` needs at least at confidence 1 - error / family: 6 for one row at 5%.

    With n blocks, the widest interval, from the smallest value to the largest, misses with probability 2 / 2**n.
    """
    return 1 - math.floor(math.log2(error / family))


def half_width(ratio: float, interval: tuple[float, float]) -> float:
    """Give how far the farther end of the interval is from the ratio, as a share of the ratio."""
    low, high = interval
    return max(high / ratio - 1, 1 - low / ratio)


def verdict(interval: tuple[float, float] | None, tie_band: float = TIE_BAND) -> Verdict:
    """Say what the interval of a ratio alone allows to say.

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


# --- a whole table at once -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Judgement:
    """What a table says about one of its rows."""

    ratio: float  # the median over blocks
    interval: tuple[float, float] | None  # of the ratio; None: too few blocks
    verdict: Verdict  # FASTER, SLOWER, TIE or UNDECIDED


def judge(
    table: Sequence[Sequence[float | None]], error: float, family: int, tie_band: float = TIE_BAND
) -> list[Judgement]:
    """Judge rows of one table so that the probability of any false statement about it is at most `error`.

    `table`: rows x blocks of ln ratios, None where a row has no value; each row has at least one. `family`: how many
    rows are judged at this `error` in the whole run, of which these may be a part.

    Intervals are those of `median_interval` at confidence 1 - error / family: by Bonferroni's inequality all of them
    hold at once with probability 1 - error. That is exact for each row and assumes nothing about how rows that share a
    machine, a server and a baseline go up and down together.

    A row is a tie when its interval says so (see `verdict`). It is faster or slower when its interval excludes 1 and
    the joint sign-flip test of all rows (`adjusted_p_values`), which sees how large the differences are and not only
    their signs, agrees. A table with too few blocks for any interval is left to that test alone: it needs fewer.
    """
    values = [[value for value in row if value is not None] for row in table]
    ratios = [math.exp(median(row)) for row in values]
    intervals = [_of_ratios(median_interval(row, 1 - error / family)) for row in values]
    # Not the blocks of a row: one that lost its arm would escape from the interval, which alone holds at every look.
    by_test_alone = max(map(len, table), default=0) < blocks_for_interval(error, family)
    claims = [
        _direction(ratio) if by_test_alone else verdict(interval, tie_band)
        for ratio, interval in zip(ratios, intervals, strict=True)
    ]
    different = (Verdict.FASTER, Verdict.SLOWER)
    # The test is what takes long: it is left out where nothing depends on it.
    p_values = adjusted_p_values(table) if any(claim in different for claim in claims) else [1.0] * len(table)
    return [
        Judgement(ratio, interval, Verdict.UNDECIDED if claim in different and p_value > error else claim)
        for ratio, interval, claim, p_value in zip(ratios, intervals, claims, p_values, strict=True)
    ]


def _of_ratios(interval: tuple[float, float] | None) -> tuple[float, float] | None:
    return interval and (math.exp(interval[0]), math.exp(interval[1]))


def _direction(ratio: float) -> Verdict:
    if ratio == 1:
        return Verdict.UNDECIDED
    return Verdict.FASTER if ratio < 1 else Verdict.SLOWER


# --- looking early ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Look:
    """A point at which a run that is still going on may be judged."""

    blocks: int
    error: float  # what judging here may add to the probability of a false statement


def looks(family: int) -> Iterator[Look]:
    """Give the early looks of a run that may stop early, for a table of so many rows.

    Judging after every block until something shows finds differences between identical arms sooner or later: each
    time is another chance to be wrong. So what may go wrong is shared out beforehand (alpha spending: Lan and DeMets,
    Biometrika 1983; here by the union bound, which needs nothing about how the looks depend on each other). Half of
    ERROR is kept for the end, however many blocks the run then has; look k of the others gets ERROR / 2 * 2**-k.

    The first look is where intervals begin at its own level, each later one at half as many blocks again: looking
    more often would find little in between.
    """
    blocks = 0
    for number in range(1, _EARLY_LOOKS + 1):
        error = ERROR / 2 * 2**-number
        blocks = max(-(-3 * blocks // 2), blocks_for_interval(error, family))
        yield Look(blocks, error)
