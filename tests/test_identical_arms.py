"""The verdicts on real noise: recorded blocks of identical arms, drawn again and again.

tests/data/identical_arms.json holds a run in which every arm was the same driver: what differs there is the machine's
doing. `rows` names the comparisons, `blocks` has the ln ratio of each by block. Whole blocks are drawn, so that rows
keep the correlation that they really have.
"""

import math
import random
from pathlib import Path

import msgspec
import pytest

from dbbench.statistics import ERROR, Judgement, Verdict, judge

DATA = Path(__file__).parent / "data" / "identical_arms.json"
DRAWN = 12  # blocks of a table
SHIFT = math.log(1.05)
SEED = 20261123


class Recorded(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The file."""

    machine: str
    placement: str
    rows: list[str]
    blocks: list[list[float]]  # ln ratio by block and row


@pytest.fixture(scope="module")
def recorded() -> Recorded:
    return msgspec.json.decode(DATA.read_bytes(), type=Recorded)


def drawn(recorded: Recorded, rng: random.Random) -> list[list[float]]:
    """Rows of a table made of randomly drawn blocks, with replacement."""
    return [list(row) for row in zip(*rng.choices(recorded.blocks, k=DRAWN), strict=True)]


def judged(table: list[list[float]]) -> list[Judgement]:
    return judge(table, ERROR, family=len(table))


def test_enough_was_recorded(recorded: Recorded) -> None:
    assert len(recorded.blocks) >= 200
    assert len(recorded.rows) == len(set(recorded.rows)) == 9
    assert all(len(block) == len(recorded.rows) for block in recorded.blocks)
    assert all(math.isfinite(value) for block in recorded.blocks for value in block)
    assert any(value for block in recorded.blocks for value in block)


def test_identical_arms_raise_an_alarm_in_one_table_of_a_hundred_at_most(recorded: Recorded) -> None:
    rng = random.Random(SEED)
    tables = 1000
    alarms = sum(
        any(one.verdict in (Verdict.FASTER, Verdict.SLOWER) for one in judged(drawn(recorded, rng)))
        for _ in range(tables)
    )

    assert alarms <= 0.01 * tables


def test_five_per_cent_more_time_are_found_in_nineteen_tables_of_twenty(recorded: Recorded) -> None:
    rng = random.Random(SEED)
    tables = 500
    found = 0
    for _ in range(tables):
        table = drawn(recorded, rng)
        slower = rng.randrange(len(table))
        table[slower] = [value + SHIFT for value in table[slower]]
        found += judged(table)[slower].verdict is Verdict.SLOWER

    assert found >= 0.95 * tables
