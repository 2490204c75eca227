"""The comparison on a terminal: per cell a title, a table and a sentence; below them the layers and the conditions."""

import io
from collections.abc import Sequence
from typing import Final

from rich.console import Console
from rich.padding import Padding

from dbbench.analysis.rows import CellRow, groups
from dbbench.plan import Cell
from dbbench.records import Run
from dbbench.reports.columns import columns
from dbbench.reports.console import INDENT, WIDTH, plain, print_footer, print_table, print_title, prose
from dbbench.reports.run.footer import footer
from dbbench.reports.run.remarks import Below, Titled, below, layer_tables
from dbbench.reports.run.roundtrips import round_trip_tables
from dbbench.reports.run.sentences import sentence, title
from dbbench.stats.paired import Verdict

_STYLES: Final = {Verdict.FASTER: "green", Verdict.SLOWER: "red", Verdict.FAILED: "red", Verdict.NOT_COMPARABLE: "red"}


def report(run: Run, rows: Sequence[CellRow], *, details: bool = False) -> str:
    """Render as plain text, 80 columns wide; `details`: where the time goes, too."""
    text = io.StringIO()
    console = Console(file=text, width=WIDTH, force_terminal=False, color_system=None, legacy_windows=False)
    render(run, rows, console, details=details)
    return "\n".join(line.rstrip() for line in text.getvalue().splitlines()) + "\n"


def render(run: Run, rows: Sequence[CellRow], console: Console, result: str = "", *, details: bool = False) -> None:
    """Print on the console, which decides on colours; `result` names the run's file."""
    cells = groups(run, rows)
    for (cell, group), more in zip(cells, below(run, cells, detailed=details), strict=True):
        _print_cell(run, cell, group, more, console)
    for table in (*layer_tables(run), *round_trip_tables(run)):
        print_title(table.title, table.rest, console)
        print_table(table.columns, console)
        for line in table.sentences:
            console.print(Padding(plain(line, console), INDENT), width=prose(console))
        console.print()
    print_footer(footer(run, rows, result), console)


def _print_cell(run: Run, cell: Cell, rows: Sequence[CellRow], more: Below, console: Console) -> None:
    print_title(*title(cell, rows[0].params), console)
    if not all(row.verdict is Verdict.NOT_MEASURED for row in rows):
        styles = [_STYLES.get(row.verdict, "") for row in rows]
        print_table(columns(cell, rows, run.header.plan.baseline), console, styles)
    for line in (sentence(run, rows), *more.remarks):
        console.print(Padding(plain(line, console), INDENT), width=prose(console))
    for table in more.tables:
        _print_titled(table, console)
    console.print()


def _print_titled(table: Titled, console: Console) -> None:
    """Print a further table of a cell, its title within the cell."""
    name = plain(" · ".join([table.title, *table.rest]), console, "dim")
    console.print()
    console.print(Padding(name, INDENT), width=prose(console))
    print_table(table.columns, console)
