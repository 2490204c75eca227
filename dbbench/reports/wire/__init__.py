"""What is made of what was counted on the wire: one file per format, and the table of them.

A report is a function of the result that gives text. `table.render` and `trace.render` print on a console.
"""

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Final, cast

from dbbench.commands.wire.result import WireResult

Report = Callable[[WireResult], str]


def _report(format_: str) -> Report:
    """Import the format's own file when it is first used: `--format csv` does not load Rich."""

    def report(result: WireResult) -> str:
        return cast("Report", import_module(f"dbbench.reports.wire.{format_}").report)(result)

    return report


REPORTS: Final[Mapping[str, Report]] = {
    format_: _report(format_) for format_ in ("table", "csv", "json", "markdown", "trace")
}
