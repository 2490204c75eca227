"""The columns of the tables that people read: which there are, in which unit, with how many digits."""

from collections.abc import Sequence
from typing import Final, NamedTuple

from dbbench.analysis.breakdown import LAYERS, Breakdown, LayerTax
from dbbench.analysis.rows import CellRow
from dbbench.plan import Cell
from dbbench.stats.paired import Verdict
from dbbench.units import Unit, decimals, in_one_unit, number, unit_for

NOTHING: Final = "\N{EN DASH}"


class Column(NamedTuple):
    """One column, all of its values in one unit.

    Neighbours with the same heading are a group: p50 and p99, each under "response".
    """

    heading: str
    unit: str  # or what else stands below the heading; empty where that says it
    values: list[str]


_TENFOLD: Final = 10


def columns(cell: Cell, rows: Sequence[CellRow], baselines: Sequence[str]) -> list[Column]:
    """Lay out the rows of one cell, the driver first; `baselines` are what each is compared with, or itself."""
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
    against, ratios = _against(rows, baselines), [ratio(row) for row in rows]
    # The name of a setting is long: it stands below.
    return [
        *laid_out,
        Column("time vs", against, ratios) if "=" in against else Column(f"time vs {against}", "", ratios),
    ]


def _against(rows: Sequence[CellRow], baselines: Sequence[str]) -> str:
    """What to call that with which rows are compared: an arm, or the settings that it has with every driver."""
    others = [baseline for row, baseline in zip(rows, baselines, strict=True) if baseline != row.driver] or baselines
    names, drivers = list(dict.fromkeys(others)), {row.driver.partition("+")[0] for row in rows}
    settings = {name.partition("+")[2] for name in names}
    if len(names) == 1 and (len(drivers) > 1 or "=" not in names[0]):
        return names[0]
    return settings.pop() or "baseline" if len(settings) == 1 else "baseline"


def ratio(row: CellRow) -> str:
    """The time relative to the baseline with its interval, or else the verdict: 0.59 (0.58-0.60), 0.59 (faster).

    Where there is no ratio, the reason.
    """
    if row.verdict in (Verdict.BASELINE, Verdict.FAILED, Verdict.NOT_COMPARABLE):
        return row.verdict.value
    if row.ratio is None:
        return NOTHING
    digits = 2 if row.ratio < _TENFOLD else 1
    if row.ratio_low is None or row.ratio_high is None:
        return f"{row.ratio:.{digits}f} ({row.verdict})"
    return f"{row.ratio:.{digits}f} ({row.ratio_low:.{digits}f}-{row.ratio_high:.{digits}f})"


def where_time_goes(breakdowns: Sequence[Breakdown]) -> list[Column]:
    """Lay out where the time of one cell goes, without columns in which no driver has anything."""
    times = [
        *(breakdown.wait_p50_us for breakdown in breakdowns),
        *(breakdown.query_p50_us for breakdown in breakdowns),
    ]
    cpu = [
        *(breakdown.user_us_per_op for breakdown in breakdowns),
        *(breakdown.system_us_per_op for breakdown in breakdowns),
    ]
    laid_out = [
        _time("wait p50", [breakdown.wait_p50_us for breakdown in breakdowns], unit_for(times)),
        _time("query p50", [breakdown.query_p50_us for breakdown in breakdowns], unit_for(times)),
        _time("user/op", [breakdown.user_us_per_op for breakdown in breakdowns], unit_for(cpu)),
        _time("system/op", [breakdown.system_us_per_op for breakdown in breakdowns], unit_for(cpu)),
        Column("loop lag", "p99", [_loop_lag(breakdown.loop_lag_p99_ms) for breakdown in breakdowns]),
        Column("connects", "per 1,000", [_share(breakdown.connects_per_1000) for breakdown in breakdowns]),
        Column("peak", "MB", _numbers([breakdown.peak_mb for breakdown in breakdowns])),
    ]
    told = [column for column in laid_out if any(value != NOTHING for value in column.values)]
    return [_drivers(breakdowns), *told] if told else []


def open_loop(rate: float, rows: Sequence[CellRow], breakdowns: Sequence[Breakdown]) -> tuple[str, list[Column]]:
    """Lay out response times beside service times, all in one unit; returns its name, and the columns.

    The unit is that of the typical response, down to a tenth: the maximum is often a thousand times as long.
    """
    response = [row.p50_us and row.p50_us * _TENFOLD for row in rows]
    unit = unit_for(response)
    times = [
        ("response", "p50", [row.p50_us for row in rows]),
        ("response", "p99", [row.p99_us for row in rows]),
        ("response", "p99.9", [row.p999_us for row in rows]),
        ("response", "max", [row.max_us for row in rows]),
        ("service", "p50", [breakdown.service_p50_us for breakdown in breakdowns]),
        ("service", "p99", [breakdown.service_p99_us for breakdown in breakdowns]),
        ("lag", "p99", [breakdown.lag_p99_us for breakdown in breakdowns]),
    ]
    return unit.name, [
        _drivers(breakdowns),
        Column("due", "ops/s", [rate_text(rate)] * len(breakdowns)),
        *(Column(heading, below, _time("", values, unit).values) for heading, below, values in times),
        Column("never", "started", [f"{breakdown.not_started:,}" for breakdown in breakdowns]),
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


def rate_text(rate: float) -> str:
    """Operations per second as the command line takes them."""
    return f"{rate:,.3f}".rstrip("0").rstrip(".")


def times_in_one_unit(values_us: Sequence[float | None]) -> tuple[list[str], str]:
    """The times in one unit, and its name; what is not known is a dash."""
    shown, unit = in_one_unit([value for value in values_us if value is not None])
    left = iter(shown)
    return [NOTHING if value is None else next(left) for value in values_us], unit


def _drivers(breakdowns: Sequence[Breakdown]) -> Column:
    return Column("driver", "", [breakdown.driver for breakdown in breakdowns])


def _time(heading: str, values_us: Sequence[float | None], unit: Unit) -> Column:
    """Lay out times in a unit that was chosen for more than this column."""
    return Column(heading, unit.name, _numbers([None if value is None else value / unit.us for value in values_us]))


def _loop_lag(lag_ms: float | None) -> str:
    if lag_ms is None:
        return NOTHING
    return "<1 ms" if lag_ms < 1 else f"{lag_ms:,.0f} ms"  # the resolution of asyncio's timers


def _share(per_1000: float | None) -> str:
    """A count per 1,000; what is not zero never looks like zero."""
    if per_1000 is None:
        return NOTHING
    return f"{per_1000:,.0f}" if per_1000 >= _TENFOLD or not per_1000 else f"{max(per_1000, 0.1):.1f}"


def _added(taxes: Sequence[LayerTax], unit: Unit) -> list[str]:
    """What was added, and how many times the lowest layer's time that makes: +81.2 (x1.74)."""
    added = [None if tax.added_us is None else tax.added_us / unit.us for tax in taxes]
    shown = decimals([value and abs(value) for value in added])
    return [
        NOTHING if value is None else f"{value:+,.{shown}f}" + ("" if tax.ratio is None else f" (x{tax.ratio:.2f})")
        for value, tax in zip(added, taxes, strict=True)
    ]


def _times(**quantities: list[float | None]) -> list[Column]:
    unit = unit_for([value for values in quantities.values() for value in values])
    scaled = {
        heading: [None if value is None else value / unit.us for value in values]
        for heading, values in quantities.items()
    }
    shown = decimals([value for values in scaled.values() for value in values])
    return [
        Column(heading, unit.name, [_number(value, shown) for value in values]) for heading, values in scaled.items()
    ]


def _numbers(values: Sequence[float | None]) -> list[str]:
    shown = decimals(values)
    return [_number(value, shown) for value in values]


def _number(value: float | None, decimals: int) -> str:
    return NOTHING if value is None else number(value, decimals)
