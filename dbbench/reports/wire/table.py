"""What was counted, on a terminal: a table and sentences per scenario and layer, then what happens at connect."""

from collections.abc import Sequence
from typing import Final

from rich.console import Console
from rich.padding import Padding

from dbbench.commands.wire.result import WireResult
from dbbench.records import WireRow
from dbbench.reports.columns import Column
from dbbench.reports.console import INDENT, plain, print_footer, print_table, print_title, prose
from dbbench.reports.text import shown
from dbbench.reports.wire import trace as ladder
from dbbench.reports.wire.words import cells, conditions, connects, per_operation, place, questions, remarks

_HEADINGS: Final = (
    ("round", "trips"), ("messages", "sent"), ("messages", "received"), ("bytes", "sent"), ("bytes", "received"),
    ("prepares", "per 100"),
)  # fmt: skip


def render(result: WireResult, console: Console, *, trace: bool = False, file: str = "") -> None:
    """Print on the console, which decides on colours; `trace`: with the messages of one operation per row.

    `file` names the result file.
    """
    for rows in cells(result):
        name, rest = place(rows[0])
        print_title(name, [*rest, "per operation"], console)
        print_table(_columns(rows), console)
        _print_lines([one.text for one in remarks(rows)], console)
        console.print()
    if result.rows:
        _print_connects(result, console)
    if trace:
        ladder.render(result, console)
    print_footer(conditions(result, file), console)


def _columns(rows: Sequence[WireRow]) -> list[Column]:
    numbers = zip(*map(per_operation, rows), strict=True)
    return [
        Column("driver", "", [shown(row.driver) for row in rows]),
        *(Column(heading, unit, list(values)) for (heading, unit), values in zip(_HEADINGS, numbers, strict=True)),
    ]


def _print_connects(result: WireResult, console: Console) -> None:
    at_connect = connects(result)
    print_title("at connect", ["the first connection"], console)
    print_table(
        [
            Column("driver", "", [connect.driver for connect in at_connect]),
            Column("layer", "", [connect.layer for connect in at_connect]),
            Column("round trips", "", [connect.round_trips for connect in at_connect]),
            Column("messages", "sent", [connect.messages for connect in at_connect]),
            Column("statements", "", [connect.statements for connect in at_connect]),
        ],
        console,
    )
    _print_lines([f"asked by {line}" for line in questions(at_connect)], console)
    console.print()


def _print_lines(lines: Sequence[str], console: Console) -> None:
    for line in lines:
        console.print(Padding(plain(line, console), INDENT), width=prose(console))
