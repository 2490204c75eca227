"""What goes to stdout and to files, and what is complained about on stderr."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dbbench.cli.formats import GateFormat, TableFormat
from dbbench.errors import UsageError


def complain(message: str) -> None:
    """Say what is wrong, in one line on stderr."""
    print(f"dbbench: {' '.join(message.split())}", file=sys.stderr)


def show_run(path: Path, format_: TableFormat, *, details: bool) -> None:
    """Print a result file on stdout."""
    from dbbench import result_file

    print_run(result_file.read(path), format_, path, details=details)


def print_run(run: Any, format_: TableFormat, path: Path, *, details: bool) -> None:
    """Print a run on stdout."""
    from dbbench.analysis.rows import rows

    found = rows(run)
    if format_ is TableFormat.TABLE:
        from dbbench.reports.run.table import render

        render(run, found, console(), str(path), details=details)
    elif format_ is TableFormat.MARKDOWN:
        from dbbench.reports.run.markdown import report

        sys.stdout.write(report(run, found, details=details))
    else:
        from dbbench.reports import REPORTS

        sys.stdout.write(REPORTS[format_](run, found))


def console() -> Any:
    """Stdout as Rich prints on it."""
    from rich.console import Console

    class Out(Console):
        def on_broken_pipe(self) -> None:
            raise BrokenPipeError  # Rich would end with 1, which means a regression

    return Out()


def gate_result(run: Any) -> Any:
    """The verdict of a gate's stored run."""
    from dbbench.commands.gate.findings import result
    from dbbench.reports.run.footer import conditions

    return result(run, conditions(run))


def print_gate(result: Any, format_: GateFormat, path: Path) -> None:
    """Print a verdict on stdout."""
    if format_ is GateFormat.TABLE:
        from dbbench.reports.gate.table import render

        render(result, console(), str(path))
    else:
        from dbbench.reports.gate import REPORTS

        sys.stdout.write(REPORTS[format_](result))


def warn(warnings: Sequence[str]) -> None:
    """Complain of several things."""
    for warning in warnings:
        complain(warning)


def write(path: Path, text: str) -> None:
    """Write a report; UsageError when it cannot be written."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8", newline="")
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror}") from None
