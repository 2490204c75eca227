"""What goes to stdout and to files, and what is complained about on stderr."""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dbbench.errors import UsageError


def complain(message: str) -> None:
    """Say what is wrong, in one line on stderr."""
    print(f"dbbench: {' '.join(message.split())}", file=sys.stderr)


def print_found(
    command: str, format_: str, found: Any, *, on_console: Mapping[str, Any] | None = None, **options: Any
) -> None:
    """Print a command's report of what it found on stdout; `on_console`: options that only a table has."""
    from dbbench.reports import renderer, report

    if render := renderer(command, format_):
        render(found, console(), **options, **(on_console or {}))
    else:
        sys.stdout.write(report(command, format_)(found, **options))


def show_run(path: Path, format_: str, *, details: bool) -> None:
    """Print a result file on stdout."""
    from dbbench import result_file

    print_run(result_file.read(path), format_, path, details=details)


def print_run(run: Any, format_: str, path: Path, *, details: bool) -> None:
    """Print a run on stdout."""
    from dbbench.analysis.analysis import analyse

    print_found("run", format_, analyse(run), on_console={"file": str(path)}, details=details)


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


def print_gate(result: Any, format_: str, path: Path) -> None:
    """Print a verdict on stdout."""
    print_found("gate", format_, result, on_console={"file": str(path)})


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
