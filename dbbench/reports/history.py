"""A folder of stored runs: what there is and how the ratios went, as a table for people, JSON and CSV."""

import math
from collections.abc import Mapping, Sequence
from itertools import groupby
from statistics import median
from typing import Any, Final

from rich.cells import cell_len
from rich.console import Console
from rich.measure import Measurement
from rich.padding import Padding
from rich.table import Table

from dbbench.choices import Decimal
from dbbench.commands.stored.fingerprint import differences
from dbbench.commands.stored.history import Entry, Pointer, Trend, group_of, groups, in_order, trends
from dbbench.records import clean
from dbbench.reports.columns import Column
from dbbench.reports.compare import DIGITS, MAX_LINES, place_of, ratio
from dbbench.reports.console import INDENT, PROSE, plain, print_footer, print_table, print_title, prose
from dbbench.reports.csv_text import table as csv_table
from dbbench.reports.exported import exported
from dbbench.reports.json_text import SCHEMA, text
from dbbench.reports.text import when
from dbbench.stats.change_points import MAX_P
from dbbench.stats.paired import TIE_BAND
from dbbench.wording import count

SHOWN: Final = 24  # values of a sparkline: the latest
BLOCKS: Final = "▁▂▃▄▅▆▇█"
ASCII: Final = "_.:-=+*#"
COLUMNS: Final = (
    "group", "scenario", "layer", "sessions", "params", "control", "driver",
    "run", "started", "blocks", "ratio", "change_p_value",
    "mean_us", "p50_us", "p95_us", "p99_us", "control_mean_us", "dbbench", "driver_version", "server_version",
)  # fmt: skip
NOTE: Final = (
    "ratios are time per operation relative to the control, within each run; those of different groups (machine, "
    "Python, server or settings) are not put together. A perhaps is a pointer, no verdict: "
    f"{MAX_P:.0%} of steady rows have one, and more where machines drift"
)
_RUN_HEADINGS: Final = ("run", "when", "blocks", "status", "group", "scenarios")
_MAX_UNLIKE: Final = 4  # keys by which a group differs from the one before


def render(entries: Sequence[Entry], console: Console) -> None:
    """Print on the console, which decides on colours: the runs, then a table for each cell and group."""
    named = groups(entries)
    _print_runs(entries, named, console)
    for (group, control, (name, rest)), of_cell in groupby(trends(entries), _table_of):
        rows = list(of_cell)
        print_title(name, [*rest, f"group {group}"], console)
        print_table(columns(rows, control, ascii_=not console.encoding.lower().startswith("utf")), console)
        for row in rows:
            for pointer in row.changes:
                line = plain(f"{row.driver}: {pointer_text(pointer)}", console, "yellow")
                console.print(Padding(line, INDENT), width=prose(console))
        console.print()
    print_footer(conditions(entries, named), console)


def json_report(entries: Sequence[Entry]) -> str:
    """Write one document: the runs, the groups they are in, and every value of every trend."""
    named = groups(entries)
    document = {
        "schema": SCHEMA,
        "runs": [_run_fields(entry, named) for entry in in_order(entries)],
        "groups": named,
        "trends": [
            {
                **exported(trend, DIGITS),
                "points": [exported(point, DIGITS) for point in trend.points],
                "changes": [exported(change, DIGITS) for change in trend.changes],
            }
            for trend in trends(entries)
        ],
    }
    return text(document)


def csv_report(entries: Sequence[Entry], *, decimal: Decimal = "point") -> str:
    """Write one line per value of every trend; the p-value is where there is perhaps a change."""
    lines = [
        {
            **exported(trend, DIGITS),
            **exported(point, DIGITS),
            "change_p_value": p_values.get((point.run, point.started)),
        }
        for trend in trends(entries)
        for p_values in [{(change.run, change.started): change.p_value for change in trend.changes}]
        for point in trend.points
    ]
    return csv_table(COLUMNS, [{name: line[name] for name in COLUMNS} for line in lines], decimal)


def columns(rows: Sequence[Trend], control: str, *, ascii_: bool) -> list[Column]:
    """Lay out the trends of one cell."""
    values = [[point.ratio for point in row.points] for row in rows]
    heading = f"time vs {control}"
    return [
        Column("driver", "", [row.driver for row in rows]),
        Column("runs", "", [f"{len(row.points):,}" for row in rows]),
        Column(heading, "lowest", [ratio(min(ratios)) for ratios in values]),
        Column(heading, "median", [ratio(median(ratios)) for ratios in values]),
        Column(heading, "highest", [ratio(max(ratios)) for ratios in values]),
        Column(heading, "latest", [ratio(ratios[-1]) for ratios in values]),
        Column("trend", "", [sparkline(ratios[-SHOWN:], ASCII if ascii_ else BLOCKS) for ratios in values]),
    ]


def sparkline(values: Sequence[float], marks: str) -> str:
    """Draw positive values as one mark each, from the lowest to the highest.

    The scale is logarithmic and spans TIE_BAND at least, so that small differences do not look like mountains.
    """
    logs = [math.log(value) for value in values]
    middle = (min(logs) + max(logs)) / 2
    span = max(max(logs) - min(logs), math.log(1 + TIE_BAND))
    steps = (round(((value - middle) / span + 0.5) * (len(marks) - 1)) for value in logs)
    return "".join(marks[step] for step in steps)


def pointer_text(pointer: Pointer) -> str:
    """Where a trend has perhaps changed."""
    change = f"{ratio(pointer.before)} -> {ratio(pointer.after)}"
    return clean(f"perhaps a change at run {pointer.run}, {when(pointer.started, '%Y-%m-%d')}: {change}")


def conditions(entries: Sequence[Entry], named: Mapping[str, dict[str, str]]) -> list[tuple[str, str]]:
    """Which files cannot be read, what the groups differ in, and how far to believe the trends."""
    lost = [entry for entry in entries if entry.kind == "unreadable"]
    facts = [("not read", f"{entry.file}: {entry.reason}") for entry in lost[:MAX_LINES]]
    if (more := len(lost) - MAX_LINES) > 0:
        facts.append(("", f"{count(more, 'more file')} cannot be read"))
    first = next(iter(named), "")
    facts += [(f"group {name}", _unlike(first, named, name)) for name in list(named)[1 : MAX_LINES + 1]]
    return [(label, clean(text)) for label, text in [*facts, ("note", NOTE)]]


def _table_of(trend: Trend) -> tuple[str, str, tuple[str, list[str]]]:
    """What the drivers of one table have in common."""
    return trend.group, trend.control, place_of(trend)


def _unlike(first: str, named: Mapping[str, dict[str, str]], name: str) -> str:
    unlike = differences(named[first], named[name])
    keys = [f"{difference.key} {difference.head}" for difference in unlike[:_MAX_UNLIKE]]
    more = len(unlike) - _MAX_UNLIKE
    return f"unlike {first}: {', '.join(keys)}{f' and {more:,} more' if more > 0 else ''}"


def _print_runs(entries: Sequence[Entry], named: Mapping[str, dict[str, str]], console: Console) -> None:
    """Print a line for each run; where it has no room for the scenarios, they stand in a list of their own."""
    lines = [_RUN_HEADINGS, *(_run(entry, named) for entry in in_order(entries) if entry.kind != "unreadable")]
    parts = [lines]
    if Measurement.get(console, console.options.update(width=PROSE), _grid(lines, console)).minimum > prose(console):
        parts = [[line[:-1] for line in lines], [(line[0], line[-1]) for line in lines]]
    for part in parts:
        console.print(_grid(part, console), width=prose(console))
        console.print()


def _grid(lines: Sequence[Sequence[str]], console: Console) -> Table:
    """Lay out lines of values, of which the first has the headings and the last value may wrap between words."""
    grid = Table.grid(padding=(0, 2))
    *whole, wrapped = zip(*lines, strict=True)
    for heading, *values in whole:
        width = max(map(cell_len, (heading, *values)))
        grid.add_column(min_width=width, justify="right" if heading == "blocks" else "left")
    grid.add_column(min_width=max(cell_len(word) for names in wrapped for word in names.split()))
    for number, line in enumerate(lines):
        grid.add_row(*(plain(value, console, "" if number else "bold") for value in line))
    return grid


def _run(entry: Entry, named: Mapping[str, dict[str, str]]) -> Sequence[str]:
    kind = "gate" if entry.kind == "gate" else group_of(entry, named)
    return entry.id, when(entry.started), f"{entry.blocks:,}", entry.status, kind, " ".join(entry.scenarios)


def _run_fields(entry: Entry, named: Mapping[str, dict[str, str]]) -> dict[str, Any]:
    fields = exported(entry, DIGITS)
    del fields["fingerprint"], fields["values"], fields["identity"]  # under the groups, and the trends
    return {**fields, "group": group_of(entry, named)}
