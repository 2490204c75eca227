"""The verdicts on real noise: recorded blocks of identical arms, drawn again and again.

tests/data/ holds two recordings (benchmarks/identical_arms.py) of a virtual machine that shares its CPUs. What differs
there is the machine's doing, since every arm was the same driver twice:

identical_arms.json   nine rows (three drivers, three layers) with the eight rounds in a block that a short run has
identical_arm.json    one row with 30 rounds in a block, of longer slices; tables are made of nine draws

`PYTHONPATH=tests python tests/pure/stats/test_identical_arms.py` prints the figures of docs/evidence.md.
"""

import math
import random
from pathlib import Path

import chance
import msgspec
import pytest
from steady import judge

from dbbench.stats.paired import ERROR, Judgement, Verdict, half_width, median_interval

DATA = Path(__file__).parents[2] / "data"
ROWS = 9  # of a table
DRAWN = 12  # blocks of a table
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
    """Nine rows of randomly drawn blocks, with replacement; rows that were recorded together stay together.

    Identical arms may change places, so every block is drawn with either sign: the ratio is truly 1 then.
    """
    table: list[list[float]] = []
    while len(table) < ROWS:
        blocks = [[sign * value for value in block] for block in rng.choices(recording.blocks, k=DRAWN)
                  for sign in rng.choices((1, -1))]  # fmt: skip
        table += [list(row) for row in zip(*blocks, strict=True)]
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


def alarms(recording: Recorded, tables: int) -> int:
    """How many of so many tables of identical arms call one faster or slower."""
    rng = random.Random(SEED)
    made = (judged(drawn(recording, rng)) for _ in range(tables))
    return sum(any(one.verdict in (Verdict.FASTER, Verdict.SLOWER) for one in table) for table in made)


def false_intervals(recording: Recorded, tables: int) -> int:
    """How many of so many tables have an interval that does not hold 1, the truth."""
    rng = random.Random(SEED)
    made = (judged(drawn(recording, rng)) for _ in range(tables))
    return sum(
        any(one.interval is None or not one.interval[0] <= 1 <= one.interval[1] for one in table) for table in made
    )


def with_a_slower_row(recording: Recorded, rng: random.Random, effect: float) -> tuple[list[list[float]], int]:
    """A drawn table of which one row takes so much longer, and which."""
    table = drawn(recording, rng)
    slower = rng.randrange(len(table))
    table[slower] = [value + math.log(1 + effect) for value in table[slower]]
    return table, slower


def found(recording: Recorded, effect: float, tables: int) -> int:
    """How many of so many tables call a row slower that takes so much longer."""
    rng = random.Random(SEED)
    hits = 0
    for _ in range(tables):
        table, slower = with_a_slower_row(recording, rng, effect)
        hits += judged(table)[slower].verdict is Verdict.SLOWER
    return hits


def dragged(tables: int) -> int:
    """How many of so many tables with one slower row call another row faster or slower."""
    rng = random.Random(SEED)
    hits = 0
    for _ in range(tables):
        table = drawn(ONE, rng)
        table[0] = [value + math.log(1.05) for value in table[0]]
        hits += any(one.verdict in (Verdict.FASTER, Verdict.SLOWER) for one in judged(table)[1:])
    return hits


@pytest.mark.parametrize("recording", [MANY, ONE])
def test_identical_arms_raise_an_alarm_in_one_table_of_a_hundred_at_most(recording: Recorded) -> None:
    assert chance.at_most(0.01, alarms(recording, 250), 250)


@pytest.mark.parametrize("recording", [MANY, ONE])
def test_all_intervals_hold_in_nineteen_tables_of_twenty(recording: Recorded) -> None:
    assert chance.at_most(ERROR, false_intervals(recording, 125), 125)


def test_five_per_cent_more_time_are_found_in_nineteen_tables_of_twenty() -> None:
    assert chance.at_least(0.95, found(ONE, 0.05, 125), 125)


def test_a_difference_that_is_not_there_is_not_found_where_another_is() -> None:
    """The row that is slower does not drag others along."""
    assert chance.at_most(0.01, dragged(125), 125)


def half_widths(recording: Recorded, blocks: int) -> list[float]:
    """How wide the 95% interval of identical arms is after so many blocks: 2,000 draws, ascending."""
    rng = random.Random(SEED)
    widths = []
    for _ in range(2000):
        (judgement,) = judge([[block[0] for block in rng.choices(recording.blocks, k=blocks)]], ERROR, family=1)
        assert judgement.interval is not None
        widths.append(half_width(judgement.ratio, judgement.interval))
    return sorted(widths)


def between_order_statistics(recording: Recorded, effect: float, tables: int) -> float:
    """In which share of tables such an interval of one row lies above 1 (with an effect), or one does not hold 1."""
    rng = random.Random(SEED)
    hits = 0
    for _ in range(tables):
        table, slower = with_a_slower_row(recording, rng, effect)
        intervals = [median_interval(row, 1 - ERROR / len(table)) for row in table]
        if effect:
            low, _ = intervals[slower] or (0.0, 0.0)
            hits += low > 0
        else:
            hits += any(one is None or not one[0] <= 0 <= one[1] for one in intervals)
    return hits / tables


def main() -> None:
    """Print the figures of docs/evidence.md."""
    for name, recording in (("nine rows", MANY), ("one row", ONE)):
        powers = ", ".join(
            f"{effect:.1%} found in {found(recording, effect, 500) / 500:.1%}" for effect in (0.05, 0.025)
        )
        false = false_intervals(recording, 1000) / 1000
        alarmed = alarms(recording, 1000) / 1000
        print(f"{name}, {recording.rounds} rounds: alarms in {alarmed:.1%} of tables, false intervals in {false:.1%}")
        print(f"  {powers}")
        before = [between_order_statistics(recording, effect, 1000) for effect in (0.0, 0.05, 0.025)]
        print(
            "  between order statistics: false intervals in {:.1%}; 5.0% found in {:.1%}, 2.5% in {:.1%}".format(
                *before
            )
        )
    widths = half_widths(ONE, blocks=21)
    print(f"one row, 21 blocks: interval of +-{widths[1000]:.2%}, below +-{widths[1800]:.2%} nine times in ten")


if __name__ == "__main__":
    main()
