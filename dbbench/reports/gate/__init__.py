"""What is made of a gate: one file per format, and the table of them.

A report is a function of the result that gives text. `table.render` also prints in colour, on a console.
"""

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Final, cast

from dbbench.commands.gate.result import GateResult

Report = Callable[[GateResult], str]


def _report(format_: str) -> Report:
    """Import the format's own file when it is first used: `--format csv` loads neither Rich nor junitparser."""

    def report(result: GateResult) -> str:
        return cast("Report", import_module(f"dbbench.reports.gate.{format_.lower()}").report)(result)

    return report


REPORTS: Final[Mapping[str, Report]] = {
    format_: _report(format_)
    for format_ in ("table", "csv", "json", "markdown", "junit", "annotations", "bmf", "customSmallerIsBetter")
}
