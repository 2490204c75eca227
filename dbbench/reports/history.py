"""A folder of stored runs: what there is and how the ratios went, as a table for people, JSON and CSV."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import groupby
from statistics import median
from typing import Any, Final

import msgspec
from rich.console import Console
from rich.padding import Padding
from rich.table import Table

from dbbench.commands.stored.fingerprint import differences
from dbbench.commands.stored.history import Entry, Pointer, Trend, group_of, groups, in_order, trends
from dbbench.records import clean
from dbbench.reports.columns import Column
from dbbench.reports.compare import MAX_LINES, place, ratio, rounded, when
from dbbench.reports.console import plain, print_footer, print_table, print_title, prose
from dbbench.reports.csv_text import table as csv_table
from dbbench.stats.change_points import MAX_P
from dbbench.stats.paired import TIE_BAND

SCHEMA: Final = 1
SHOWN: Final = 24  # values of a sparkline: the latest
BLOCKS: Final = "▁▂▃▄▅▆▇█"
ASCII: Final = "_.:-=+*#"
COLUMNS: Final = (
    "group", "scenario", "layer", "sessions", "params", "control", "driver",
    "run", "started", "blocks", "ratio", "change_p_value",
)  # fmt: skip
NOTE: Final = (
    "ratios are time per operation relative to the control, within each run; those of different groups (machine, "
    "Python, server or settings) are not put together. A perhaps is a pointer, no verdict: "
    f"{MAX_P:.0%} of steady rows have one, and more where machines drift"
)
_MAX_UNLIKE: Final = 4  # keys by which a group differs from the one before


def render(entries: Sequence[Entry], console: Console) -> None:
    """Print on the console, which decides on colours: the runs, then a table for each cell and group."""
    named = groups(entries)
    _print_runs(entries, named, console)
    for (group, control, (name, rest)), of_cell in groupby(trends(entries), _whole):
        rows = list(of_cell)
        print_title(name, [*rest, f"group {group}"], console)
        print_table(columns(rows, control, ascii_=not console.encoding.lower().startswith("utf")), console)
        for row in rows:
            for pointer in row.changes:
                line = plain(f"{row.driver}: {pointer_text(pointer)}", console, "yellow")
                console.print(Padding(line, (0, 0, 0, 2)), width=prose(console))
        console.print()
    print_footer(conditions(entries, named), console)


def json_report(entries: Sequence[Entry]) -> str:
    """Write one document: the runs, the groups they are in, and every value of every trend."""
    named = groups(entries)
    document = {
        "schema": SCHEMA,
        "runs": [_exported(one, named) for one in in_order(entries)],
        "groups": named,
        "trends": [
            {**rounded(one), "points": [*map(rounded, one.points)], "changes": [*map(rounded, one.changes)]}
            for one in trends(entries)
        ],
    }
    return msgspec.json.format(msgspec.json.encode(document), indent=2).decode() + "\n"


def csv_report(entries: Sequence[Entry]) -> str:
    """Write one line per value of every trend; the p-value is where there is perhaps a change."""
    lines = [
        {**rounded(one), **rounded(point), "change_p_value": p_values.get((point.run, point.started))}
        for one in trends(entries)
        for p_values in [{(change.run, change.started): change.p_value for change in one.changes}]
        for point in one.points
    ]
    return csv_table(COLUMNS, [{name: line[name] for name in COLUMNS} for line in lines])


REPORTS: Final[Mapping[str, Callable[[Sequence[Entry]], str]]] = {"json": json_report, "csv": csv_report}


def columns(rows: Sequence[Trend], control: str, *, ascii_: bool) -> list[Column]:
    """Lay out the trends of one cell."""
    values = [[point.ratio for point in row.points] for row in rows]
    heading = f"time vs {control}"
    return [
        Column("driver", "", [row.driver for row in rows]),
        Column("runs", "", [f"{len(row.points):,}" for row in rows]),
        Column(heading, "lowest", [ratio(min(each)) for each in values]),
        Column(heading, "median", [ratio(median(each)) for each in values]),
        Column(heading, "highest", [ratio(max(each)) for each in values]),
        Column(heading, "latest", [ratio(each[-1]) for each in values]),
        Column("trend", "", [sparkline(each[-SHOWN:], ASCII if ascii_ else BLOCKS) for each in values]),
    ]


def sparkline(values: Sequence[float], marks: str) -> str:
    """Draw positive values as one mark each, from the lowest to the highest.

    On a logarithmic scale that spans TIE_BAND at least: what does not matter does not look like mountains.
    """
    logs = [math.log(value) for value in values]
    middle = (min(logs) + max(logs)) / 2
    span = max(max(logs) - min(logs), math.log(1 + TIE_BAND))
    steps = (round(((value - middle) / span + 0.5) * (len(marks) - 1)) for value in logs)
    return "".join(marks[step] for step in steps)


def pointer_text(pointer: Pointer) -> str:
    """Say where a trend has perhaps changed."""
    change = f"{ratio(pointer.before)} -> {ratio(pointer.after)}"
    return clean(f"perhaps a change at run {pointer.run}, {when(pointer.started, '%Y-%m-%d')}: {change}")


def conditions(entries: Sequence[Entry], named: Mapping[str, dict[str, str]]) -> list[tuple[str, str]]:
    """Say what cannot be read, what the groups differ in, and how far to believe the trends."""
    lost = [one for one in entries if one.kind == "unreadable"]
    facts = [("not read", f"{one.file}: {one.reason}") for one in lost[:MAX_LINES]]
    if (more := len(lost) - MAX_LINES) > 0:
        facts.append(("", f"{more:,} more files cannot be read"))
    first = next(iter(named), "")
    facts += [(f"group {name}", _unlike(first, named, name)) for name in list(named)[1 : MAX_LINES + 1]]
    return [(label, clean(text)) for label, text in [*facts, ("note", NOTE)]]


def _whole(one: Trend) -> tuple[str, str, tuple[str, list[str]]]:
    """Give what the drivers of one table have in common."""
    return one.group, one.control, place(one)


def _unlike(first: str, named: Mapping[str, dict[str, str]], name: str) -> str:
    found = differences(named[first], named[name])
    keys = [f"{one.key} {one.head}" for one in found[:_MAX_UNLIKE]]
    more = len(found) - _MAX_UNLIKE
    return f"unlike {first}: {', '.join(keys)}{f' and {more:,} more' if more > 0 else ''}"


def _print_runs(entries: Sequence[Entry], named: Mapping[str, dict[str, str]], console: Console) -> None:
    grid = Table.grid(padding=(0, 2))
    for heading in ("run", "when", "blocks", "status", "group", "scenarios"):
        grid.add_column(
            no_wrap=heading != "scenarios", overflow="fold", justify="right" if heading == "blocks" else "left"
        )
    grid.add_row(
        *(plain(heading, console, "bold") for heading in ("run", "when", "blocks", "status", "group", "scenarios"))
    )
    for one in in_order(entries):
        if one.kind != "unreadable":
            grid.add_row(*(plain(text, console) for text in _run(one, group_of(one, named))))
    console.print(grid, width=prose(console))
    console.print()


def _run(one: Entry, group: str) -> Iterable[str]:
    kind = "gate" if one.kind == "gate" else group
    return one.id, when(one.started), f"{one.blocks:,}", one.status, kind, " ".join(one.scenarios)


def _exported(one: Entry, named: Mapping[str, dict[str, str]]) -> dict[str, Any]:
    fields = rounded(one)
    del fields["fingerprint"], fields["values"]  # under the groups, and the trends
    return {**fields, "group": group_of(one, named)}
