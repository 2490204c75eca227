"""The gate's verdicts: what a table of block log ratios says about every row, and when it has said enough. Pure.

FAIL          the sign-flip test of all rows at once says that head is slower, and the estimated loss is worth it
PASS          the upper bound of the loss, which holds for all rows at once, is below the row's tolerance
INCONCLUSIVE  neither

Blocks count by how steady they were: on a shared machine a few have several times the noise of the others, and their
own slices tell which.

The gate looks at 12, 16 and 24 blocks and ends at the first look at which any row fails or all pass. What looking more
than once adds to the probability of a false FAIL is paid for: see `LOOKS`. A false PASS needs the row that lost too
much to pass, whatever the others do (an intersection-union test: Berger, Technometrics 1982), so its probability is
that of one row at one look, times three looks: at most PASS_ERROR with three rows or more; with fewer, PASS_ERROR is
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
MIN_LOSS: Final = 0.025  # estimated loss below which nothing fails, however sure it is
PASS_ERROR: Final = 0.05  # probability that a gate passes although a row has lost its tolerance or more
SUSPECT: Final = 0.0175  # estimated loss with which no gate ends early (docs/ci.md has what that costs)
TOLERANCE: Final = 0.05  # loss that is still fine, where nothing else is said
POWER: Final = 0.95  # with which a detectable loss is found
_SHOWN_DIGITS: Final = 3  # of a loss: 0.025 is shown as 2.5%


@dataclass(frozen=True)
class Look:
    """A point at which the gate is judged, and what judging there may add to the probability of a false FAIL."""

    blocks: int
    error: float


LOOKS: Final = (Look(12, 0.002), Look(16, 0.003), Look(24, 0.005))  # the errors sum up to FAIL_ERROR (union bound)
Key = tuple[int, Metric]  # cell index, metric
Values = Sequence[Block | None]  # by block
Table = Mapping[Key, Values]  # all rows have the same length


@dataclass(frozen=True)
class Judged:
    """What the table says about one row; losses are shares, 0.05 is 5% more per operation."""

    loss: float | None
    low: float | None
    high: float | None
    p_adjusted: float | None  # for all rows and all looks: the row fails at FAIL_ERROR or less
    verdict: GateVerdict
    detectable: float | None  # loss that so many blocks find with POWER
    blocks_wanted: int | None  # that would decide an inconclusive row


def look_at(table: Table, tolerances: Mapping[Key, float]) -> dict[Key, Judged]:
    """Judge the table as it stands after its last block, at the look that this is.

    Before the first look and between two, the level is that of a gate that ends here because its time is over: what
    the looks before have left of FAIL_ERROR.
    """
    blocks = max(map(len, table.values()), default=0)
    spent = sum(look.error for look in LOOKS if look.blocks < blocks)
    here = next((look.error for look in LOOKS if look.blocks == blocks), FAIL_ERROR - spent)
    return _judged(table, tolerances, here)


def ending(table: Table, tolerances: Mapping[Key, float]) -> dict[Key, Judged]:
    """Judge the table of a gate that is over: at the first look that decided it, or else after its last block."""
    blocks = max(map(len, table.values()), default=0)
    for look in LOOKS:
        if look.blocks <= blocks:
            then = {key: values[: look.blocks] for key, values in table.items()}
            judged = _judged(then, tolerances, look.error)
            if is_decided(judged) or look == LOOKS[-1]:
                return judged
    return look_at(table, tolerances)


def is_decided(judged: Mapping[Key, Judged]) -> bool:
    """Tell whether a gate may end here: a row failed, or all that can be measured passed and none is suspect.

    Going on although all have passed costs time and no error; it gives a loss near MIN_LOSS the blocks to be found.
    """
    told = [one for one in judged.values() if one.loss is not None]
    if any(one.verdict is GateVerdict.FAIL for one in told):
        return True
    return bool(told) and all(
        one.verdict is GateVerdict.PASS and one.loss < SUSPECT for one in told if one.loss is not None
    )


def is_over(table: Table, tolerances: Mapping[Key, float]) -> bool:
    """Tell whether the gate ends after the table's last block: it is decided at this look, or has no look left."""
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
    """How sure a look must be of a row."""

    pass_error: float
    fail_error: float  # as if every row had its own share: what the joint test needs at most
    looks: float  # times which a p-value is adjusted for looking more than once


def _row(blocks: Sequence[Block], p_value: float, tolerance: float, level: _Level) -> Judged:
    if not blocks:
        return Judged(None, None, None, None, GateVerdict.INCONCLUSIVE, None, None)
    found = centre(blocks, level.pass_error)
    low, high = found.low, found.high
    loss = math.expm1(found.estimate)
    p_adjusted = min(1.0, p_value * level.looks)
    if low is None or high is None:
        return Judged(loss, None, None, p_adjusted, GateVerdict.INCONCLUSIVE, None, LOOKS[0].blocks)
    # As it is shown: a table that says 2.5% does not mean 2.46%.
    if p_adjusted <= FAIL_ERROR and round(loss, _SHOWN_DIGITS) >= MIN_LOSS:
        verdict = GateVerdict.FAIL
    elif high < math.log1p(tolerance):
        verdict = GateVerdict.PASS
    else:
        verdict = GateVerdict.INCONCLUSIVE
    error = (high - low) / 2 / _deviations(level.pass_error)  # standard error, were the noise normal
    detectable = max(MIN_LOSS, math.expm1(error * (_deviations(level.fail_error) + _deviations(1 - POWER))))
    wanted = None
    if verdict is GateVerdict.INCONCLUSIVE:
        # Errors shrink with the root of the blocks: until the upper bound is below the tolerance, or no loss ruled out.
        to_pass = (math.log1p(tolerance) - found.estimate) / _deviations(level.pass_error)
        to_fail = found.estimate / _deviations(level.fail_error)
        wanted = max(len(blocks) + 1, math.ceil(len(blocks) * (error / max(to_pass, to_fail)) ** 2))
    return Judged(loss, math.expm1(low), math.expm1(high), p_adjusted, verdict, detectable, wanted)


def _deviations(error: float) -> float:
    """Standard deviations beyond which a normal value lies with this probability."""
    return NormalDist().inv_cdf(1 - error)
