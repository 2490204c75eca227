"""Judging ln ratios of blocks that were all equally steady: plain numbers, as most tests have them."""

from collections.abc import Collection, Mapping, Sequence

from dbbench.stats import paired, sequential
from dbbench.stats.centre import Block
from dbbench.stats.paired import Judgement
from dbbench.stats.sequential import Key

Row = Sequence[float | None]


def blocks(row: Row) -> list[Block | None]:
    """The blocks of a row."""
    return [None if value is None else Block(value) for value in row]


def judge(table: Sequence[Row], error: float, family: int) -> list[Judgement]:
    """See paired.judge."""
    return paired.judge([blocks(row) for row in table], error, family)


def judgements(
    table: Mapping[Key, Row], family: int, *, adaptive: bool, precision: float | None, early: Collection[int] = ()
) -> dict[Key, Judgement]:
    """See sequential.judgements."""
    of_blocks = {key: blocks(row) for key, row in table.items()}
    return sequential.judgements(of_blocks, family, adaptive=adaptive, precision=precision, early=early)


def closed(table: Mapping[Key, Row], family: int, *, precision: float | None, early: Collection[int] = ()) -> set[int]:
    """See sequential.closed."""
    of_blocks = {key: blocks(row) for key, row in table.items()}
    return sequential.closed(of_blocks, family, precision=precision, early=early)
