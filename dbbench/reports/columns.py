"""The columns of the tables that people read: which there are, in which unit, with how many digits."""

from collections.abc import Sequence
from typing import Final, NamedTuple

from dbbench.compare import Row
from dbbench.plan import Cell
from dbbench.statistics import Verdict

NOTHING: Final = "\N{EN DASH}"


class Column(NamedTuple):
    """One column, all of its values in one unit."""

    heading: str
    unit: str  # empty where the heading says it
    values: list[str]


class Unit(NamedTuple):
    """What the times of a column are shown in."""

    name: str
    us: int  # microseconds


_TENFOLD: Final = 10
_UNITS: Final = (Unit("s", 1_000_000), Unit("ms", 1_000), Unit("µs", 1))


def columns(cell: Cell, rows: Sequence[Row], baseline: str) -> list[Column]:
    """Lay out the rows of one cell, the driver first."""
    rates = [row.ops_per_second for row in rows]
    laid_out = [Column("driver", "", [row.driver for row in rows]), Column("ops/s", "", _numbers(rates))]
    if cell.rows:
        laid_out.append(Column("rows/s", "", _numbers([rate and rate * cell.rows for rate in rates])))
    # One unit for all three, so that they can be read against each other.
    laid_out += _times(
        p50=[row.p50_us for row in rows], p95=[row.p95_us for row in rows], p99=[row.p99_us for row in rows]
    )
    laid_out += _times(**{"CPU/op": [row.cpu_us_per_op for row in rows]})
    if any(row.errors for row in rows):
        laid_out.append(Column("errors", "", [f"{row.errors:,}" for row in rows]))
    return [*laid_out, Column(f"time vs {baseline}", "", [ratio(row) for row in rows])]


def ratio(row: Row) -> str:
    """Write the time relative to the baseline with its interval: 0.59 (0.58-0.60), or why there is none."""
    if row.verdict in (Verdict.BASELINE, Verdict.FAILED, Verdict.NOT_COMPARABLE):
        return row.verdict.value
    if row.ratio is None:
        return NOTHING
    if row.ratio_low is None or row.ratio_high is None:
        return f"{row.ratio:.2f} ({row.verdict})"
    digits = 2 if row.ratio < _TENFOLD else 1
    return f"{row.ratio:.{digits}f} ({row.ratio_low:.{digits}f}-{row.ratio_high:.{digits}f})"


def unit_for(values_us: Sequence[float | None]) -> Unit:
    """Choose the largest unit in which none of the times falls below 1."""
    smallest = min((value for value in values_us if value), default=0.0)
    return next((unit for unit in _UNITS if smallest >= unit.us), _UNITS[-1])


def _times(**quantities: list[float | None]) -> list[Column]:
    unit = unit_for([value for values in quantities.values() for value in values])
    scaled = {
        heading: [None if value is None else value / unit.us for value in values]
        for heading, values in quantities.items()
    }
    decimals = _decimals([value for values in scaled.values() for value in values])
    return [
        Column(heading, unit.name, [_number(value, decimals) for value in values]) for heading, values in scaled.items()
    ]


def _numbers(values: Sequence[float | None]) -> list[str]:
    decimals = _decimals(values)
    return [_number(value, decimals) for value in values]


def _decimals(values: Sequence[float | None]) -> int:
    """Choose so many that the smallest number shows three digits."""
    smallest = min((value for value in values if value), default=0.0)
    return 0 if smallest >= 100 else 1 if smallest >= 10 else 2  # noqa: PLR2004


def _number(value: float | None, decimals: int) -> str:
    if value is None:
        return NOTHING
    return f"{value:,.{0 if value >= 1000 else decimals}f}"  # noqa: PLR2004 - four digits are enough
