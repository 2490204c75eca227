"""Tables, titles and prose on a console, in colour or as plain text."""

import io
import re
from collections.abc import Callable, Sequence
from itertools import groupby, zip_longest
from typing import Any, Final

from rich.box import Box
from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.measure import Measurement
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from dbbench.reports.columns import Column
from dbbench.texts import TO_ASCII, clean, inert

WIDTH: Final = 80  # columns that a table may count on
PROSE: Final = 100  # columns beyond which a sentence is hard to read
INDENT: Final = (0, 0, 0, 2)
_ENDLESS: Final = 10_000
_MAX_NAME: Final = 24  # columns of a word in a name that never have to wrap
_LINE_END: Final = re.compile(r"(?:\x1b\[[0-9;]*m| )+$", re.MULTILINE)  # blanks, and styles that begin or end there
_RULED: Final = Box("    \n    \n ── \n    \n    \n    \n    \n    \n")  # one line, under the headings
_RULED_ASCII: Final = Box("    \n    \n -- \n    \n    \n    \n    \n    \n", ascii=True)


def as_text(render: Callable[..., None], *found: Any, console: Console | None = None, **options: Any) -> str:
    """What `render`, which gets a console after `found`, prints on the console; no line ends in blanks.

    By default that is plain text, 80 columns wide.
    """
    console = console or Console(
        file=io.StringIO(), width=WIDTH, force_terminal=False, color_system=None, legacy_windows=False
    )
    with console.capture() as printed:
        render(*found, console, **options)
    return inert(_LINE_END.sub(lambda end: end.group().replace(" ", ""), printed.get()))


def print_title(name: str, rest: Sequence[str], console: Console) -> None:
    """Print what a table is about."""
    heading = [plain(name, console, "bold"), *(plain(f" · {part}", console, "dim") for part in rest)]
    console.print(Text.assemble(*heading, overflow="fold"), width=prose(console))


def print_table(layout: Sequence[Column], console: Console, styles: Sequence[str] = ()) -> None:
    """Print columns, with a style for each row; no number is ever cut.

    Columns for which a line has no room go into a table below, whose first column is the same.
    """
    for gap in (2, 1):
        if _width(_table(layout, styles, console, gap), console) <= console.width:
            parts = [list(layout)]
            break
    else:
        parts = _parts(layout, console)
    for number, part in enumerate(parts):
        if number:
            console.print()
        table = _table(part, styles, console, gap)
        console.print(_AtLeast(Padding(table, INDENT, expand=False), _least(part, console, gap)), crop=False)


def _parts(layout: Sequence[Column], console: Console) -> list[list[Column]]:
    """The columns in tables that fit, each with the first column; a group stays together where it can."""
    first, *others = layout
    parts: list[list[Column]] = []
    for _, columns in groupby(others, lambda column: column.heading):
        group = list(columns)
        for more in [group] if _fits([first, *group], console) else [[column] for column in group]:
            if parts and _fits([*parts[-1], *more], console):
                parts[-1] += more
            else:
                parts.append([first, *more])
    return parts or [[first]]


def _fits(layout: Sequence[Column], console: Console) -> bool:
    return _least(layout, console, gap=1) <= console.width


def _least(layout: Sequence[Column], console: Console, gap: int) -> int:
    """The width of the table with the names in its first column wrapped as far as they may be."""
    longest = max(map(cell_len, (layout[0].heading, *layout[0].values)))
    return _width(_table(layout, (), console, gap), console) - max(0, longest - _name_width(layout[0]))


def _name_width(first: Column) -> int:
    """The columns that the names in the first column need at least: those of their longest word, up to a limit."""
    words = [word for name in (first.heading, first.unit, *first.values) for word in name.split()]
    return min(max(map(cell_len, words), default=0), _MAX_NAME)


class _AtLeast:
    """Render in so many columns at least: a terminal that has fewer wraps the lines, and every number stays whole."""

    def __init__(self, renderable: RenderableType, width: int) -> None:
        self._renderable = renderable
        self._width = width

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        return console.render(self._renderable, options.update(width=max(options.max_width, self._width)))


def _table(layout: Sequence[Column], styles: Sequence[str], console: Console, gap: int) -> Table:
    """Lay out the columns, of which the first is the driver; `styles` has one for each row, or none."""
    box = _RULED_ASCII if _ascii(console) else _RULED
    table = Table(box=box, show_edge=False, pad_edge=False, padding=(0, 0, 0, gap - 1))
    previous, units = "", any(column.unit for column in layout)
    for position, column in enumerate(layout):
        # A group of columns is named once, over its first.
        name, previous = "" if column.heading == previous else column.heading, column.heading
        below = ("\n", plain(column.unit, console, "dim")) if units else ()
        heading = Text.assemble(plain(name, console, "bold"), *below)
        widest = max(cell_len(value) for value in (name, column.unit, *column.values))
        if position == 0:
            table.add_column(heading, min_width=_name_width(column), overflow="fold")
        else:
            table.add_column(heading, min_width=widest, justify="right", no_wrap=True)
    for values, style in zip_longest(zip(*(column.values for column in layout), strict=True), styles, fillvalue=""):
        table.add_row(*(plain(value, console) for value in values), style=style)
    return table


def _width(table: Table, console: Console) -> int:
    """The width of the table with no name wrapped."""
    return Measurement.get(console, console.options.update(width=_ENDLESS), table).maximum + INDENT[-1]


def print_footer(facts: Sequence[tuple[str, str]], console: Console) -> None:
    """Print pairs of a word and a text."""
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column(overflow="fold")
    for label, text in facts:
        style = "yellow" if label in ("problem", "different", "warning") else "dim"
        grid.add_row(plain(label, console), plain(text, console, style))
    console.print(grid, width=prose(console))


def prose(console: Console) -> int:
    """The width that a sentence may take."""
    return min(console.width, PROSE)


def _ascii(console: Console) -> bool:
    return not console.encoding.lower().startswith("utf")


def plain(text: str, console: Console, style: str = "") -> Text:
    """Make text that means itself: no markup, no control characters, nothing that the console cannot encode."""
    safe = clean(text)
    if _ascii(console):
        safe = safe.translate(TO_ASCII).encode(console.encoding, "replace").decode(console.encoding)
    return Text(safe, style)
