"""The columns of the tables that people read: which there are, in which unit, with how many digits."""

from collections.abc import Sequence
from typing import Final, NamedTuple

from dbbench.analysis.breakdown import LAYERS, Breakdown, LayerTax
from dbbench.analysis.rows import CellRow
from dbbench.plan import Cell
from dbbench.stats.paired import Verdict

NOTHING: Final = "\N{EN DASH}"


class Column(NamedTuple):
    """One column, all of its values in one unit.

    Neighbours with the same heading are a group: p50 and p99, each under "response".
    """

    heading: str
    unit: str  # or what else stands below the heading; empty where that says it
    values: list[str]


class Unit(NamedTuple):
    """What the times of a column are shown in."""

    name: str
    us: int  # microseconds


_TENFOLD: Final = 10
_UNITS: Final = (Unit("s", 1_000_000), Unit("ms", 1_000), Unit("µs", 1))


def columns(cell: Cell, rows: Sequence[CellRow], baseline: str) -> list[Column]:
    """Lay out the rows of one cell, the driver first."""
    rates = [row.ops_per_second for row in rows]
    laid_out = [Column("driver", "", [row.driver for row in rows]), Column("ops/s", "", _numbers(rates))]
    if cell.rows:
        laid_out.append(Column("rows/s", "", _numbers([rate and rate * cell.rows for rate in rates])))
    # One unit for all three, so that they can be read against each other.
    laid_out += _times(
        p50=[row.p50_us for row in rows], p95=[row.p95_us for row in rows], p99=[row.p99_us for row in rows]
    )
    if any(row.cpu_us_per_op is not None for row in rows) or not any(row.operations for row in rows):
        laid_out += _times(**{"CPU/op": [row.cpu_us_per_op for row in rows]})
    if any(row.errors for row in rows):
        laid_out.append(Column("errors", "", [f"{row.errors:,}" for row in rows]))
    return [*laid_out, Column(f"time vs {baseline}", "", [ratio(row) for row in rows])]


def ratio(row: CellRow) -> str:
    """Write the time relative to the baseline with its interval, or else the verdict: 0.59 (0.58-0.60), 0.59 (faster).

    Or why there is no ratio.
    """
    if row.verdict in (Verdict.BASELINE, Verdict.FAILED, Verdict.NOT_COMPARABLE):
        return row.verdict.value
    if row.ratio is None:
        return NOTHING
    digits = 2 if row.ratio < _TENFOLD else 1
    if row.ratio_low is None or row.ratio_high is None:
        return f"{row.ratio:.{digits}f} ({row.verdict})"
    return f"{row.ratio:.{digits}f} ({row.ratio_low:.{digits}f}-{row.ratio_high:.{digits}f})"


def where_time_goes(made: Sequence[Breakdown]) -> list[Column]:
    """Lay out where the time of one cell goes; columns in which no driver has anything are left out."""
    times = [*(one.wait_p50_us for one in made), *(one.query_p50_us for one in made)]
    cpu = [*(one.user_us_per_op for one in made), *(one.system_us_per_op for one in made)]
    laid_out = [
        _time("wait p50", [one.wait_p50_us for one in made], unit_for(times)),
        _time("query p50", [one.query_p50_us for one in made], unit_for(times)),
        _time("user/op", [one.user_us_per_op for one in made], unit_for(cpu)),
        _time("system/op", [one.system_us_per_op for one in made], unit_for(cpu)),
        Column("loop lag", "p99", [_loop_lag(one.loop_lag_p99_ms) for one in made]),
        Column("connects", "per 1,000", [_share(one.connects_per_1000) for one in made]),
        Column("peak", "MB", _numbers([one.peak_mb for one in made])),
    ]
    told = [column for column in laid_out if any(value != NOTHING for value in column.values)]
    return [_drivers(made), *told] if told else []


def open_loop(rate: float, rows: Sequence[CellRow], made: Sequence[Breakdown]) -> tuple[str, list[Column]]:
    """Lay out response times beside service times; all in one unit, which is given with them.

    The unit is that of the typical response, down to a tenth: the maximum is often a thousand times as long.
    """
    response = [row.p50_us and row.p50_us * _TENFOLD for row in rows]
    unit = unit_for(response)
    times = [
        ("response", "p50", [row.p50_us for row in rows]),
        ("response", "p99", [row.p99_us for row in rows]),
        ("response", "p99.9", [row.p999_us for row in rows]),
        ("response", "max", [row.max_us for row in rows]),
        ("service", "p50", [one.service_p50_us for one in made]),
        ("service", "p99", [one.service_p99_us for one in made]),
        ("lag", "p99", [one.lag_p99_us for one in made]),
    ]
    return unit.name, [
        _drivers(made),
        Column("due", "ops/s", [rate_text(rate)] * len(made)),
        *(Column(heading, below, _time("", values, unit).values) for heading, below, values in times),
        Column("never", "started", [f"{one.not_started:,}" for one in made]),
    ]


def layers(taxes: Sequence[LayerTax]) -> list[Column]:
    """Lay out what the layers of one scenario add: time per operation at the lowest, then what each adds to it."""
    arms = list(dict.fromkeys(tax.driver for tax in taxes))
    above = [layer for layer in LAYERS if any(tax.layer == layer for tax in taxes)]
    lowest = {tax.driver: tax.base_us for tax in taxes}
    unit = unit_for(list(lowest.values()))
    laid_out = [Column("driver", "", arms), _time(taxes[0].base, [lowest[arm] for arm in arms], unit)]
    for layer in above:
        of = {tax.driver: tax for tax in taxes if tax.layer == layer}
        laid_out.append(Column(layer, unit.name, _added([of[arm] for arm in arms], unit)))
    return laid_out


def in_one_unit(values_us: Sequence[float]) -> tuple[list[str], str]:
    """Write times for a sentence, and the unit of all of them."""
    unit = unit_for(values_us)
    return _numbers([value / unit.us for value in values_us]), unit.name


def rate_text(rate: float) -> str:
    """Write operations per second as they were asked for."""
    return f"{rate:,.3f}".rstrip("0").rstrip(".")


def unit_for(values_us: Sequence[float | None]) -> Unit:
    """Choose the largest unit in which none of the times falls below 1."""
    smallest = min((value for value in values_us if value), default=0.0)
    return next((unit for unit in _UNITS if smallest >= unit.us), _UNITS[-1])


def _drivers(made: Sequence[Breakdown]) -> Column:
    return Column("driver", "", [one.driver for one in made])


def _time(heading: str, values_us: Sequence[float | None], unit: Unit) -> Column:
    """Lay out times in a unit that was chosen for more than this column."""
    return Column(heading, unit.name, _numbers([None if value is None else value / unit.us for value in values_us]))


def _loop_lag(lag_ms: float | None) -> str:
    if lag_ms is None:
        return NOTHING
    return "<1 ms" if lag_ms < 1 else f"{lag_ms:,.0f} ms"  # the resolution of asyncio's timers


def _share(per_1000: float | None) -> str:
    """Write a count per 1,000; what is not zero never looks like it."""
    if per_1000 is None:
        return NOTHING
    return f"{per_1000:,.0f}" if per_1000 >= _TENFOLD or not per_1000 else f"{max(per_1000, 0.1):.1f}"


def _added(taxes: Sequence[LayerTax], unit: Unit) -> list[str]:
    """Write what was added, and how many times the lowest layer's time that makes: +81.2 (x1.74)."""
    added = [None if tax.added_us is None else tax.added_us / unit.us for tax in taxes]
    decimals = _decimals([value and abs(value) for value in added])
    return [
        NOTHING if value is None else f"{value:+,.{decimals}f}" + ("" if tax.ratio is None else f" (x{tax.ratio:.2f})")
        for value, tax in zip(added, taxes, strict=True)
    ]


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
