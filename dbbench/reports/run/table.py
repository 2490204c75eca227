"""The comparison on a terminal: per cell a title, a table and a sentence; below them the layers and the conditions."""

from typing import Final

from rich.console import Console
from rich.padding import Padding

from dbbench.analysis.analysis import Analysis, CellAnalysis
from dbbench.records import Run
from dbbench.reports.columns import columns
from dbbench.reports.console import INDENT, plain, print_footer, print_table, print_title, prose
from dbbench.reports.run.failures import blank, reasons
from dbbench.reports.run.footer import footer
from dbbench.reports.run.remarks import Below, Titled, below, layer_tables
from dbbench.reports.run.roundtrips import round_trip_tables
from dbbench.reports.run.sentences import sentences, title
from dbbench.stats.paired import Verdict

_STYLES: Final = {Verdict.FASTER: "green", Verdict.SLOWER: "red", Verdict.FAILED: "red", Verdict.NOT_COMPARABLE: "red"}


def render(analysis: Analysis, console: Console, *, file: str = "", details: bool = False) -> None:
    """Print on the console, which decides on colours; `file` names the result, `details`: where the time goes, too."""
    run = analysis.run
    for index, cell in enumerate(analysis.cells):
        _print_cell(run, index, cell, below(run, cell, details=details), console)
    for table in (*layer_tables(analysis), *round_trip_tables(analysis)):
        print_title(table.title, table.rest, console)
        print_table(table.columns, console)
        for line in table.sentences:
            console.print(Padding(plain(line, console), INDENT), width=prose(console))
        console.print()
    print_footer(footer(run, analysis.rows, file, details=details), console)


def _print_cell(run: Run, index: int, of: CellAnalysis, more: Below, console: Console) -> None:
    print_title(*title(of.cell, of.rows[0].params), console)
    said = reasons(run, index, of.rows)
    if not blank(of.rows):
        styles = [_STYLES.get(row.verdict, "") for row in of.rows]
        print_table(columns(of.cell, of.rows, of.baselines), console, styles)
    for line in (*(said or sentences(run, index, of)), *more.remarks):
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
