"""The gate's verdicts on a table of block log ratios: on every row, and when the gate may end. Pure.

FAIL          the sign-flip test of all rows at once finds head slower, and the estimated loss is at least MIN_LOSS
PASS          the upper bound of the loss, valid for all rows at once, is below the row's tolerance
INCONCLUSIVE  neither

Blocks are weighted by how steady they were: on a shared machine a few have several times the noise of the others, and
their own slices show which.

The gate is judged (a look) after 12, 16 and 24 blocks, and ends at the first look at which any row fails or all pass.
`LOOKS` accounts for what several looks add to the probability of a false FAIL. A false PASS requires the row that lost
too much to pass, whatever the others do (an intersection-union test: Berger, Technometrics 1982), so its probability
is that of one row at one look, times three looks: at most PASS_ERROR with three rows or more; with fewer, PASS_ERROR is
divided by three instead.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Final

from dbbench.commands.gate.result import GateVerdict, Metric
from dbbench.stats.centre import Block, centre
from dbbench.stats.signflip import adjusted_p_values

FAIL_ERROR: Final = 0.01  # probability that a gate of identical environments fails
MIN_LOSS: Final = 0.025  # estimated loss below which nothing fails, however certain it is
PASS_ERROR: Final = 0.05  # probability that a gate passes although a row has lost its tolerance or more
SUSPECT: Final = 0.0175  # estimated loss from which on no gate passes early (docs/ci.md has the cost of that)
TOLERANCE: Final = 0.05  # default of the largest acceptable loss
POWER: Final = 0.95  # probability with which a detectable loss is found
_SHOWN_DIGITS: Final = 3  # decimal places of a loss in reports: 0.025 is shown as 2.5%


@dataclass(frozen=True)
class Look:
    """A number of blocks after which the gate is judged, and what that may add to the probability of a false FAIL."""

    blocks: int
    error: float


LOOKS: Final = (Look(12, 0.002), Look(16, 0.003), Look(24, 0.005))  # the errors sum up to FAIL_ERROR (union bound)
Key = tuple[int, Metric]  # cell index, metric
Values = Sequence[Block | None]  # by block
Table = Mapping[Key, Values]  # all rows have the same length


@dataclass(frozen=True)
class Judged:
    """The judgement on one row; losses are shares, 0.05 is 5% more per operation."""

    loss: float | None
    low: float | None
    high: float | None
    p_adjusted: float | None  # for all rows and all looks: the row fails at FAIL_ERROR or less
    verdict: GateVerdict
    detectable: float | None  # smallest loss this many blocks would detect with probability POWER
    blocks_wanted: int | None  # blocks that would decide an inconclusive row


def look_at(table: Table, tolerances: Mapping[Key, float]) -> dict[Key, Judged]:
    """Judge the table after its last block, at the level of the look that this is.

    Where it is no look, before the first or between two, the level is that of a gate that ends here because its time is
    up: the part of FAIL_ERROR that the previous looks have left.
    """
    blocks = max(map(len, table.values()), default=0)
    spent = sum(look.error for look in LOOKS if look.blocks < blocks)
    here = next((look.error for look in LOOKS if look.blocks == blocks), FAIL_ERROR - spent)
    return _judged(table, tolerances, here)


def ending(table: Table, tolerances: Mapping[Key, float]) -> dict[Key, Judged]:
    """Judge the table of a gate that has ended: at the first look that decided it, or else after its last block."""
    blocks = max(map(len, table.values()), default=0)
    for look in LOOKS:
        if look.blocks <= blocks:
            then = {key: values[: look.blocks] for key, values in table.items()}
            judged = _judged(then, tolerances, look.error)
            if is_decided(judged) or look == LOOKS[-1]:
                return judged
    return look_at(table, tolerances)


def is_decided(judged: Mapping[Key, Judged]) -> bool:
    """Whether a gate may end here: a row failed, or all that can be measured passed and none is suspect.

    Going on although all have passed costs time but adds no error; it gives a loss near MIN_LOSS more blocks to be
    found in.
    """
    told = [one for one in judged.values() if one.loss is not None]
    if any(one.verdict is GateVerdict.FAIL for one in told):
        return True
    return bool(told) and all(
        one.verdict is GateVerdict.PASS and one.loss < SUSPECT for one in told if one.loss is not None
    )


def is_over(table: Table, tolerances: Mapping[Key, float]) -> bool:
    """Whether the gate ends after the table's last block: it is decided at this look, or has no look left."""
    blocks = max(map(len, table.values()), default=0)
    if blocks >= LOOKS[-1].blocks:
        return True
    return any(look.blocks == blocks for look in LOOKS) and is_decided(look_at(table, tolerances))


def _judged(table: Table, tolerances: Mapping[Key, float], fail_error: float) -> dict[Key, Judged]:
    """Judge all rows of a table at once."""
    told = {key: [block for block in row if block is not None] for key, row in table.items()}
    weighted = [[block and block.weight * block.log_ratio for block in row] for row in table.values()]
    p_values = dict(zip(table, adjusted_p_values(weighted, alternative="greater"), strict=True))
    level = _Level(PASS_ERROR / max(len(table), len(LOOKS)), fail_error / max(1, len(table)), FAIL_ERROR / fail_error)
    return {key: _row(told[key], p_values[key], tolerances[key], level) for key in table}


@dataclass(frozen=True)
class _Level:
    """The error levels of a look, for one row."""

    pass_error: float
    fail_error: float  # each row's equal share; the joint test is never stricter than that
    looks: float  # factor that adjusts a p-value for several looks


def _row(blocks: Sequence[Block], p_value: float, tolerance: float, level: _Level) -> Judged:
    if not blocks:
        return Judged(None, None, None, None, GateVerdict.INCONCLUSIVE, None, None)
    found = centre(blocks, level.pass_error)
    low, high = found.low, found.high
    loss = math.expm1(found.estimate)
    p_adjusted = min(1.0, p_value * level.looks)
    if low is None or high is None:
        return Judged(loss, None, None, p_adjusted, GateVerdict.INCONCLUSIVE, None, LOOKS[0].blocks)
    # Rounded as in reports, where 2.5% must not mean 2.46%.
    if p_adjusted <= FAIL_ERROR and round(loss, _SHOWN_DIGITS) >= MIN_LOSS:
        verdict = GateVerdict.FAIL
    elif high < math.log1p(tolerance):
        verdict = GateVerdict.PASS
    else:
        verdict = GateVerdict.INCONCLUSIVE
    error = (high - low) / 2 / _deviations(level.pass_error)  # standard error if the noise were normal
    detectable = max(MIN_LOSS, math.expm1(error * (_deviations(level.fail_error) + _deviations(1 - POWER))))
    wanted = None
    if verdict is GateVerdict.INCONCLUSIVE:
        # Errors shrink with the root of the blocks, until the bounds exclude the tolerance or a loss of 0.
        to_pass = (math.log1p(tolerance) - found.estimate) / _deviations(level.pass_error)
        to_fail = found.estimate / _deviations(level.fail_error)
        wanted = max(len(blocks) + 1, math.ceil(len(blocks) * (error / max(to_pass, to_fail)) ** 2))
    return Judged(loss, math.expm1(low), math.expm1(high), p_adjusted, verdict, detectable, wanted)


def _deviations(error: float) -> float:
    """The number of standard deviations that a normal value exceeds with this probability."""
    return NormalDist().inv_cdf(1 - error)
