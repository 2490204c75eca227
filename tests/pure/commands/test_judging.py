"""The gate's verdicts, on made-up numbers and on recorded noise.

`PYTHONPATH=tests python tests/pure/commands/test_judging.py` prints the figures of docs/ci.md.
"""

import itertools
import math
import random
import sys
from collections.abc import Sequence
from pathlib import Path

import chance
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from reference import maxt_signflip

from dbbench.commands.gate.judging import (
    FAIL_ERROR,
    LOOKS,
    MIN_LOSS,
    PASS_ERROR,
    TOLERANCE,
    Judged,
    Key,
    ending,
    is_decided,
    is_over,
    look_at,
)
from dbbench.commands.gate.result import GateVerdict
from dbbench.stats import centre as centres
from dbbench.stats.centre import BETWEEN_PROCESSES, Block, centre

ROWS = 9  # of the default table
MOST = LOOKS[-1].blocks
SEED = 20261123
ALLOWED = dict.fromkeys([(row, "time") for row in range(100)], TOLERANCE)
VALUES = st.lists(st.floats(-0.2, 0.2), min_size=6, max_size=14)


def table(rows: Sequence[Sequence[float | None]]) -> dict[Key, Sequence[Block | None]]:
    """Blocks that are equally steady."""
    return {(at, "time"): [None if value is None else Block(value) for value in row] for at, row in enumerate(rows)}


def judged(rows: Sequence[Sequence[float | None]]) -> list[Judged]:
    """As `look_at` has it, in the order of the rows."""
    return list(look_at(table(rows), ALLOWED).values())  # type: ignore[arg-type]


def noise(blocks: int, rng: random.Random, sd: float = 0.01, rows: int = ROWS) -> list[list[float]]:
    return [[rng.gauss(0, sd) for _ in range(blocks)] for _ in range(rows)]


def test_the_looks_spend_the_error_and_no_more() -> None:
    assert [look.blocks for look in LOOKS] == [12, 16, 24]
    assert sum(look.error for look in LOOKS) == pytest.approx(FAIL_ERROR)


def test_identical_sides_pass_at_the_first_look() -> None:
    rows = judged(noise(12, random.Random(1)))

    assert {row.verdict for row in rows} == {GateVerdict.PASS}
    assert all(row.high is not None and row.high < TOLERANCE for row in rows)
    assert all(row.detectable is not None and row.detectable >= MIN_LOSS for row in rows)


def test_what_is_slower_fails_and_nothing_else() -> None:
    rows = noise(12, random.Random(2))
    rows[3] = [value + math.log(1.05) for value in rows[3]]
    found = judged(rows)

    assert [row.verdict for row in found] == [GateVerdict.FAIL if at == 3 else GateVerdict.PASS for at in range(ROWS)]
    assert found[3].loss == pytest.approx(0.05, abs=0.01)
    assert found[3].p_adjusted is not None
    assert found[3].p_adjusted <= FAIL_ERROR


def test_what_is_faster_passes() -> None:
    rows = noise(12, random.Random(3))
    rows[0] = [value - math.log(1.3) for value in rows[0]]

    assert {row.verdict for row in judged(rows)} == {GateVerdict.PASS}


def test_a_loss_below_the_smallest_one_that_matters_does_not_fail_however_sure_it_is() -> None:
    rows = noise(24, random.Random(4), sd=0.0005)
    rows[0] = [value + math.log(1.02) for value in rows[0]]
    found = judged(rows)[0]

    assert found.verdict is GateVerdict.PASS
    assert found.p_adjusted is not None
    assert found.p_adjusted <= FAIL_ERROR


def test_a_loss_is_judged_as_it_is_shown() -> None:
    """What is shown as 2.5% counts as 2.5%."""
    sure = [math.log(1.0249) + value for value in (0.0001, -0.0001) * 6]

    assert judged([sure])[0].verdict is GateVerdict.FAIL


def test_noise_is_inconclusive_and_says_what_would_decide() -> None:
    (row, *_) = judged(noise(12, random.Random(5), sd=0.2, rows=3))

    assert row.verdict is GateVerdict.INCONCLUSIVE
    assert row.blocks_wanted is not None
    assert row.blocks_wanted > 12
    assert row.detectable is not None
    assert row.detectable > TOLERANCE


def test_a_larger_tolerance_lets_pass() -> None:
    rows = noise(12, random.Random(6), sd=0.01, rows=1)
    rows = [[value + math.log(1.02) for value in rows[0]]]

    assert look_at(table(rows), {(0, "time"): 0.015})[0, "time"].verdict is not GateVerdict.PASS
    assert look_at(table(rows), {(0, "time"): 0.10})[0, "time"].verdict is GateVerdict.PASS


def test_too_few_blocks_say_nothing() -> None:
    rows = judged(noise(4, random.Random(7)))

    assert {row.verdict for row in rows} == {GateVerdict.INCONCLUSIVE}
    assert all(row.low is None and row.loss is not None and row.blocks_wanted == 12 for row in rows)


def test_a_row_without_values_is_inconclusive_and_not_waited_for() -> None:
    rows: list[list[float | None]] = [*noise(12, random.Random(8), rows=2), [None] * 12]  # type: ignore[list-item]
    found = look_at(table(rows), ALLOWED)  # type: ignore[arg-type]

    assert found[2, "time"].verdict is GateVerdict.INCONCLUSIVE
    assert found[2, "time"].loss is None
    assert is_decided(found)
    assert not is_decided({})
    assert not is_decided({(2, "time"): found[2, "time"]})


def test_a_gate_ends_at_a_look_only_and_at_the_last_one_whatever_it_shows() -> None:
    clear, unclear = noise(30, random.Random(9)), noise(30, random.Random(9), sd=0.3)
    for blocks in range(1, 30):
        then = table([row[:blocks] for row in clear])
        assert is_over(then, ALLOWED) == (blocks in (12, 16) or blocks >= MOST)  # type: ignore[arg-type]
        then = table([row[:blocks] for row in unclear])
        assert is_over(then, ALLOWED) == (blocks >= MOST)  # type: ignore[arg-type]


def test_a_gate_is_judged_at_the_look_that_ended_it() -> None:
    """Reading its file again gives the same, also with blocks that came later."""
    rows = noise(20, random.Random(10))
    at_12 = look_at(table([row[:12] for row in rows]), ALLOWED)  # type: ignore[arg-type]

    assert is_decided(at_12)
    assert ending(table(rows), ALLOWED) == at_12  # type: ignore[arg-type]


def test_a_gate_whose_time_is_over_between_looks_has_what_is_left_of_the_error() -> None:
    rows = [[value + 0.03 for value in noise(14, random.Random(11), sd=0.08, rows=1)[0]]]
    (found,) = ending(table(rows), ALLOWED).values()  # type: ignore[arg-type]
    (p_value,) = maxt_signflip(rows)

    assert found.p_adjusted == pytest.approx(min(1.0, p_value * FAIL_ERROR / (FAIL_ERROR - LOOKS[0].error)))


@given(st.lists(st.lists(st.integers(-100, 100), min_size=8, max_size=8), min_size=1, max_size=4))
def test_p_values_are_those_of_the_reference(per_mille: list[list[int]]) -> None:
    rows = [[value / 1000 for value in row] for row in per_mille if any(row)] or [[0.001] * 8]
    expected = [min(1.0, p_value) for p_value in maxt_signflip(rows)]  # before the first look, all of the error is left
    found = [row.p_adjusted for row in judged(rows)]

    assert found == pytest.approx(expected)


def bounds(values: Sequence[float], error: float, errors: Sequence[float] = ()) -> tuple[float, float]:
    errors = errors or [0.0] * len(values)
    found = centre([Block(value, each) for value, each in zip(values, errors, strict=True)], error)
    assert found.low is not None
    assert found.high is not None
    assert found.low <= found.estimate <= found.high
    return found.low, found.high


@given(VALUES, st.floats(-0.5, 0.5), st.randoms(use_true_random=False))
def test_bounds_move_with_the_values_and_turn_with_them(values: list[float], shift: float, rng: random.Random) -> None:
    errors = [rng.uniform(0, 0.1) for _ in values]
    low, high = bounds(values, 0.05, errors)

    assert min(values) - 1e-12 <= low <= high <= max(values) + 1e-12
    assert bounds([value + shift for value in values], 0.05, errors) == pytest.approx(
        (low + shift, high + shift), abs=1e-9
    )
    assert bounds([-value for value in values], 0.05, errors) == pytest.approx((-high, -low), abs=1e-9)
    assert bounds(values[::-1], 0.05, errors[::-1]) == pytest.approx((low, high), abs=1e-9)


@given(st.lists(st.floats(-0.2, 0.2), min_size=6, max_size=11), st.randoms(use_true_random=False))
def test_bounds_are_the_sign_flip_test_turned_round(values: list[float], rng: random.Random) -> None:
    """At the bound, as many patterns of signs have a sum as large as the error allows: by brute force."""
    error = 0.05
    blocks = [Block(value, rng.uniform(0, 0.05)) for value in values]
    low, high = bounds(values, error, [block.error for block in blocks])
    for shift, beyond in (((low + high) / 2, False), (low - 0.01, True)):
        moved = [block.weight * (block.log_ratio - shift) for block in blocks]
        as_large = sum(
            sum(sign * value for sign, value in zip(signs, moved, strict=True)) >= sum(moved) - 1e-9
            for signs in itertools.product((1, -1), repeat=len(values))
        )
        p_value = as_large / 2 ** len(values)
        assert p_value <= error + 2 / 2 ** len(values) if beyond else p_value > error - 2 / 2 ** len(values)


def missed(blocks: int, series: int) -> int:
    """How many of so many series, whose blocks differ in their noise, have an upper bound below the truth."""
    rng = random.Random(blocks)
    misses = 0
    for _ in range(series):
        errors = [rng.choice((0.0, 0.03, 0.2)) for _ in range(blocks)]
        values = [rng.gauss(0, math.hypot(BETWEEN_PROCESSES, error)) for error in errors]
        misses += bounds(values, 0.05, errors)[1] < 0
    return misses


@pytest.mark.parametrize(("blocks", "series"), [(12, 60), (20, 20)])  # all subsets, and random ones
def test_bounds_are_wrong_no_more_often_than_they_say(blocks: int, series: int) -> None:
    assert chance.at_most(0.05, missed(blocks, series), series)


def test_a_block_that_was_not_steady_counts_less() -> None:
    steady = [Block(0.001 * at) for at in range(-6, 6)]
    found = centre([*steady, Block(0.3, error=0.15)], 0.05)
    as_one_of_them = centre([*steady, Block(0.3)], 0.05)

    assert found.high is not None
    assert as_one_of_them.high is not None
    assert found.high < 0.015 < as_one_of_them.high


@pytest.mark.parametrize("error", [0.05, 0.01, 0.002])
def test_bounds_of_many_blocks_are_nearly_those_of_all_subsets(error: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where both can be had, they have the same width to within a few per cent."""
    rng = random.Random(3)
    widths: list[float] = []
    for _ in range(5):
        blocks = [Block(rng.gauss(0.1, 0.02), rng.choice((0.0, 0.02, 0.05))) for _ in range(16)]
        exact = centre(blocks, error)
        with monkeypatch.context() as patch:
            patch.setattr(centres, "EXACT_BLOCKS", 15)
            many = centre([*blocks[1:], blocks[0]._replace(error=blocks[0].error + 1e-9)], error)  # not from the cache
        assert exact.low is not None
        assert exact.high is not None
        assert many.low is not None
        assert many.high is not None
        assert many.estimate == pytest.approx(exact.estimate, abs=0.1 * (exact.high - exact.low))
        widths.append((many.high - many.low) / (exact.high - exact.low))
    assert 0.97 < sum(widths) / len(widths) < 1.03
    assert 0.9 < min(widths) <= max(widths) < 1.1


def test_more_blocks_than_the_level_can_use_have_no_bounds() -> None:
    found = centre([Block(0.01)] * 17, 1e-6)  # 17 blocks have p-values of 2**-17 at least

    assert (found.low, found.high) == (None, None)


def test_too_few_values_have_no_bounds() -> None:
    found = centre([Block(0.01)] * 4, 0.05)

    assert (found.low, found.high) == (None, None)
    assert found.estimate == pytest.approx(0.01)


# --- recorded noise --------------------------------------------------------------------------------------------------


class Recorded(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Whole gates of identical sides, recorded by benchmarks/identical_sides.py."""

    machine: str
    placement: str
    rounds: list[int]  # by gate
    rows: list[str]
    blocks: list[list[Block]]  # by block and row


RECORDED = msgspec.json.decode(
    (Path(__file__).parents[2] / "data" / "identical_sides.json").read_bytes(), type=Recorded
)


def gate(rng: random.Random, slower: float = 0.0) -> tuple[int, dict[Key, Judged]]:
    """A whole gate of resampled blocks, with one row that takes so much longer; and which row."""
    drawn = [_either_way(block, rng) for block in rng.choices(RECORDED.blocks, k=MOST)]
    rows = [list(row) for row in zip(*drawn, strict=True)]
    which = rng.randrange(len(rows))
    rows[which] = [Block(block.log_ratio + math.log1p(slower), block.error) for block in rows[which]]
    return which, ending({(at, "time"): row for at, row in enumerate(rows)}, ALLOWED)  # type: ignore[arg-type]


def _either_way(block: Sequence[Block], rng: random.Random) -> list[Block]:
    """The block, or the same with its sides swapped: they are identical."""
    sign = rng.choice((1, -1))
    return [Block(sign * each.log_ratio, each.error) for each in block]


def outcomes(slower: float, gates: int) -> tuple[int, int, int]:
    """In how many of so many gates the slower row fails, another one does, all pass."""
    rng = random.Random(SEED)
    hit = other = passed = 0
    for _ in range(gates):
        which, found = gate(rng, slower)
        failed = {at for (at, _), row in found.items() if row.verdict is GateVerdict.FAIL}
        hit += which in failed
        other += bool(failed - {which})
        passed += all(row.verdict is GateVerdict.PASS for row in found.values())
    return hit, other, passed


def failed_at_the_first_look(gates: int) -> int:
    """In how many gates of identical sides a row fails at the first look."""
    rng = random.Random(SEED)
    failed = 0
    for _ in range(gates):
        drawn = [_either_way(block, rng) for block in rng.choices(RECORDED.blocks, k=LOOKS[0].blocks)]
        rows = {(at, "time"): row for at, row in enumerate(zip(*drawn, strict=True))}
        failed += any(row.verdict is GateVerdict.FAIL for row in look_at(rows, ALLOWED).values())  # type: ignore[arg-type]
    return failed


def test_enough_was_recorded() -> None:
    assert len(RECORDED.blocks) >= 200
    assert len(RECORDED.rows) == ROWS
    assert {len(block) for block in RECORDED.blocks} == {ROWS}


def test_identical_sides_do_not_fail() -> None:
    """At the first look, which is quick; whole gates are below."""
    assert chance.at_most(FAIL_ERROR, failed_at_the_first_look(75), 75)


def test_identical_sides_pass_in_nine_gates_of_ten() -> None:
    hit, other, passed = outcomes(0.0, 7)

    assert chance.at_most(FAIL_ERROR, hit + other, 7)
    assert chance.at_least(0.90, passed, 7)


def test_five_per_cent_are_found_in_nineteen_gates_of_twenty_and_seldom_let_the_gate_pass() -> None:
    """Five per cent are the tolerance."""
    hit, other, passed = outcomes(TOLERANCE, 10)

    assert chance.at_least(0.95, hit, 10)
    assert chance.at_most(FAIL_ERROR, other, 10)
    assert chance.at_most(PASS_ERROR, passed, 10)


def test_a_speed_up_never_fails() -> None:
    hit, other, _ = outcomes(-0.05, 4)

    assert (hit, other) == (0, 0)


def main() -> None:
    """Print the figures of docs/ci.md; takes ten minutes."""
    for slower in map(float, sys.argv[1:] or ("0", "0.025", "0.05", "-0.05")):
        hit, other, passed = (gates / 300 for gates in outcomes(slower, 300))
        print(f"{slower:+.1%} in one row: fails in {hit:.1%}, another row in {other:.1%}, all pass in {passed:.1%}")


if __name__ == "__main__":
    main()
