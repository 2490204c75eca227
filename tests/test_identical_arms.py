"""The verdicts on real noise: recorded blocks of identical arms, drawn again and again.

tests/data/ holds two recordings (benchmarks/identical_arms.py) of a virtual machine that shares its CPUs. What differs
there is the machine's doing, since every arm was the same driver twice:

identical_arms.json   nine rows (three drivers, three layers) with the four rounds in a block that a short run has
identical_arm.json    one row with the 30 rounds in a block that a run of one cell has; tables are made of nine draws
"""

import math
import random
from pathlib import Path

import msgspec
import pytest

from dbbench.statistics import ERROR, Judgement, Verdict, judge

DATA = Path(__file__).parent / "data"
ROWS = 9  # of a table
DRAWN = 12  # blocks of a table
SHIFT = math.log(1.05)
SEED = 20261123


class Recorded(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A recording."""

    machine: str
    placement: str
    rounds: int
    rows: list[str]
    blocks: list[list[float]]  # ln ratio by block and row


def recorded(name: str) -> Recorded:
    return msgspec.json.decode((DATA / f"{name}.json").read_bytes(), type=Recorded)


MANY, ONE = recorded("identical_arms"), recorded("identical_arm")


def drawn(recording: Recorded, rng: random.Random) -> list[list[float]]:
    """Nine rows of randomly drawn blocks, with replacement; rows that were recorded together stay together."""
    table: list[list[float]] = []
    while len(table) < ROWS:
        table += [list(row) for row in zip(*rng.choices(recording.blocks, k=DRAWN), strict=True)]
    return table


def judged(table: list[list[float]]) -> list[Judgement]:
    return judge(table, ERROR, family=len(table))


@pytest.mark.parametrize(("recording", "rows"), [(MANY, ROWS), (ONE, 1)])
def test_enough_was_recorded(recording: Recorded, rows: int) -> None:
    assert len(recording.blocks) >= 200
    assert len(recording.rows) == len(set(recording.rows)) == rows
    assert all(len(block) == rows for block in recording.blocks)
    assert all(math.isfinite(value) for block in recording.blocks for value in block)
    assert len({value for block in recording.blocks for value in block}) > 150


@pytest.mark.parametrize("recording", [MANY, ONE])
def test_identical_arms_raise_an_alarm_in_one_table_of_a_hundred_at_most(recording: Recorded) -> None:
    rng = random.Random(SEED)
    tables = 1000
    alarms = sum(
        any(one.verdict in (Verdict.FASTER, Verdict.SLOWER) for one in judged(drawn(recording, rng)))
        for _ in range(tables)
    )

    assert alarms <= 0.01 * tables


def test_five_per_cent_more_time_are_found_in_nineteen_tables_of_twenty() -> None:
    rng = random.Random(SEED)
    tables = 500
    found = 0
    for _ in range(tables):
        table = drawn(ONE, rng)
        slower = rng.randrange(len(table))
        table[slower] = [value + SHIFT for value in table[slower]]
        found += judged(table)[slower].verdict is Verdict.SLOWER

    assert found >= 0.95 * tables


def test_a_difference_that_is_not_there_is_not_found_where_another_is() -> None:
    """The row that is slower does not drag others along."""
    rng = random.Random(SEED)
    dragged = 0
    for _ in range(500):
        table = drawn(ONE, rng)
        table[0] = [value + SHIFT for value in table[0]]
        dragged += any(one.verdict in (Verdict.FASTER, Verdict.SLOWER) for one in judged(table)[1:])

    assert dragged <= 0.01 * 500
