"""What is made of a run: one file per format, and the table of them.

A report is a function of the run and its rows that gives text. `table.render` also prints in colour, on a console.
"""

from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import Final, cast

from dbbench.analysis.rows import CellRow
from dbbench.records import Run

Report = Callable[[Run, Sequence[CellRow]], str]


def _report(format_: str) -> Report:
    """Import the format's own file when it is first used: `--format csv` loads neither Rich nor pyperf."""

    def report(run: Run, rows: Sequence[CellRow]) -> str:
        return cast("Report", import_module(f"dbbench.reports.run.{format_}").report)(run, rows)

    return report


REPORTS: Final[Mapping[str, Report]] = {
    format_: _report(format_) for format_ in ("table", "csv", "json", "markdown", "pyperf")
}
