"""Judging a run that may stop early: which cells are closed at which look, and the verdicts at the end.

Pure. A run in progress calls `closed` after every block and stops measuring those cells; readers of its file call
`judgements`. Both replay the looks from the same table, so they agree.

Why the probability of any false statement about a run is at most ERROR, although cells are dropped on the way: the
interval of a row at look k misses with probability error_k / family at most, whatever happened to the other rows; the
sum over rows and looks, including the end, is ERROR (the union bound), and a statement is only false if one of these
intervals misses. The sign-flip test is a further hurdle, which can only lower that; it is the only one where the table
has too few blocks for intervals. That is before the first look, so it is a single judgement, of a table from which
nothing has been dropped, as the test requires.

Cells that are measured before the others (`early`) have looks of their own, each at the blocks that they then have, and
so have the others: nothing above depends on when a look takes place. Their tests share the error in proportion to rows.

One assumption remains: that the run ends because of time and not because of what the open rows show. A run that is
interrupted when its numbers look good has another probability of error.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from dbbench.stats.centre import Block
from dbbench.stats.paired import ERROR, Judgement, Look, Verdict, half_width, judge, looks

Key = tuple[int, str]  # cell index, arm name
Values = Sequence[Block | None]  # ln of the ratio to the baseline with its error, by block
# All rows of a cell have the same length: the blocks up to the last in which the cell was measured. None: no value.
Table = Mapping[Key, Values]

_LOST_BLOCKS = 2  # blocks without a value after which a row counts as lost: a worker that ended leaves a gap of one


@dataclass
class _Progress:
    """The outcome of the looks so far."""

    final: dict[Key, Judgement] = field(default_factory=dict)
    closed: set[int] = field(default_factory=set)
    spent: float = 0.0  # the part of ERROR that the looks have used


def judgements(
    table: Table, family: int, *, adaptive: bool, precision: float | None, early: Collection[int] = ()
) -> dict[Key, Judgement]:
    """Judge every row that has a value; `family` is the number of rows in the plan, `early` are cells.

    An adaptive run is judged at its looks first (see `closed`), then the remaining rows with all their blocks, at the
    part of ERROR that is left. Any other run is judged once.
    """
    found: dict[Key, Judgement] = {}
    for group, share in _groups(table, family, early):
        progress = _replayed(group, family, precision, share) if adaptive else _Progress()
        rest = {key: values for key, values in group.items() if key not in progress.final}
        found |= progress.final | _judged(rest, _blocks(group), ERROR - progress.spent, family, share)
    return found


def closed(table: Table, family: int, *, precision: float | None, early: Collection[int] = ()) -> set[int]:
    """The cells that need no more blocks.

    A cell is closed at the first look at which all its rows are decided; with a `precision`, at the first look at which
    the half-widths of their intervals are at most that. Rows that have lost their arm do not keep a cell open.
    """
    groups = _groups(table, family, early)
    return {cell for group, share in groups for cell in _replayed(group, family, precision, share).closed}


def _groups(table: Table, family: int, early: Collection[int]) -> Iterator[tuple[Table, float]]:
    """The rows of the early cells and those of the others, each with its share of all rows of the plan."""
    if not early:
        yield table, 1.0
        return
    for chosen in (True, False):
        group = {key: values for key, values in table.items() if (key[0] in early) is chosen}
        if group:
            yield group, len(group) / family


def _replayed(table: Table, family: int, precision: float | None, share: float) -> _Progress:
    """The progress after all looks in order, each at the open cells with the blocks that they had then."""
    progress = _Progress()
    for look in looks(family) if table else ():
        open_ = {key: values for key, values in table.items() if key[0] not in progress.closed}
        if not open_ or not _reached(open_, look):
            break
        progress.spent += look.error
        then = {key: values[: look.blocks] for key, values in open_.items()}
        judged = _judged(then, look.blocks, look.error, family, share)
        settled = {key: judgement for key, judgement in judged.items() if _is_settled(judgement, precision)}
        waiting = {key[0] for key, values in then.items() if key not in settled and not _is_lost(values, look)}
        closing = {cell for cell, _ in open_} - waiting
        progress.closed |= closing
        # A lost row that is not settled stays open: the end, with a larger error, may still decide it.
        progress.final |= {key: judgement for key, judgement in settled.items() if key[0] in closing}
    return progress


def _reached(open_: Table, look: Look) -> bool:
    """Whether the block of the look is over: all open cells have it, or a later one has begun."""
    lengths = [len(values) for values in open_.values()]
    return min(lengths) >= look.blocks or max(lengths) > look.blocks


def _is_settled(judgement: Judgement, precision: float | None) -> bool:
    if precision is None:
        return judgement.verdict is not Verdict.UNDECIDED
    return judgement.interval is not None and half_width(judgement.ratio, judgement.interval) <= precision


def _is_lost(values: Values, look: Look) -> bool:
    """Whether the row had no value in the last blocks before the look."""
    return all(value is None for value in values[look.blocks - _LOST_BLOCKS : look.blocks])


def _judged(table: Table, blocks: int, error: float, family: int, share: float) -> dict[Key, Judgement]:
    """Judge the rows that have any value, as rows of a table with this number of blocks."""
    rows = {
        key: [*values, *[None] * (blocks - len(values))]
        for key, values in table.items()
        if any(value is not None for value in values)
    }
    return dict(zip(rows, judge(list(rows.values()), error, family, share=share), strict=True)) if rows else {}


def _blocks(table: Table) -> int:
    return max(map(len, table.values()), default=0)
