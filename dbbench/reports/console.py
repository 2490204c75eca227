"""Tables, titles and prose on a console, in colour or as plain text."""

import io
from collections.abc import Callable, Sequence
from itertools import zip_longest
from typing import Any, Final

from rich.box import Box
from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.measure import Measurement
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from dbbench.records import clean
from dbbench.reports.columns import Column

WIDTH: Final = 80  # columns that a table may count on
PROSE: Final = 100  # columns beyond which a sentence is hard to read
INDENT: Final = (0, 0, 0, 2)
_ENDLESS: Final = 10_000
_MAX_NAME: Final = 12  # columns of a driver's name that never have to wrap
_RULED: Final = Box("    \n    \n ── \n    \n    \n    \n    \n    \n")  # one line, under the headings
_RULED_ASCII: Final = Box("    \n    \n -- \n    \n    \n    \n    \n    \n", ascii=True)
_TO_ASCII: Final = str.maketrans({"µ": "u", "\N{PLUS-MINUS SIGN}": "+-", "\N{EN DASH}": "-", "·": "-", "…": "..."})


def as_text(render: Callable[..., None], *found: Any, **options: Any) -> str:
    """What `render` prints, as plain text 80 columns wide; it gets a console after `found`."""
    text = io.StringIO()
    console = Console(file=text, width=WIDTH, force_terminal=False, color_system=None, legacy_windows=False)
    render(*found, console, **options)
    return "\n".join(line.rstrip() for line in text.getvalue().splitlines()) + "\n"


def print_title(name: str, rest: Sequence[str], console: Console) -> None:
    """Print what a table is about."""
    heading = [plain(name, console, "bold"), *(plain(f" · {part}", console, "dim") for part in rest)]
    console.print(Text.assemble(*heading, overflow="fold"), width=prose(console))


def print_table(layout: Sequence[Column], console: Console, styles: Sequence[str] = ()) -> None:
    """Print columns, with a style for each row; no number is ever cut."""
    table = _table(layout, styles, console, gap=2)
    if _width(table, console) > console.width:
        table = _table(layout, styles, console, gap=1)
    longest = max(cell_len(name) for name in layout[0].values)
    least = _width(table, console) - max(0, longest - _MAX_NAME)
    console.print(_AtLeast(Padding(table, INDENT, expand=False), least), crop=False)


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
    previous = ""
    for position, column in enumerate(layout):
        # A group of columns is named once, over its first.
        name, previous = "" if column.heading == previous else column.heading, column.heading
        heading = Text.assemble(plain(name, console, "bold"), "\n", plain(column.unit, console, "dim"))
        widest = max(cell_len(value) for value in (name, column.unit, *column.values))
        if position == 0:
            table.add_column(heading, min_width=min(widest, _MAX_NAME), overflow="fold")
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
        safe = safe.translate(_TO_ASCII).encode(console.encoding, "replace").decode(console.encoding)
    return Text(safe, style)
