"""What goes to stdout and to files, and what is complained about on stderr."""

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dbbench.choices import Decimal
from dbbench.errors import UsageError


def complain(message: str) -> None:
    """Say what is wrong, in one line on stderr."""
    print(f"dbbench: {' '.join(message.split())}", file=sys.stderr)


def print_found(
    command: str,
    format_: str,
    found: Any,
    *,
    decimal: Decimal = "point",
    on_console: Mapping[str, Any] | None = None,
    **options: Any,
) -> None:
    """Print a command's report of what it found on stdout.

    `decimal` is for CSV, `on_console` has options that only a table has.
    """
    from dbbench.reports import renderer, report

    if render := renderer(command, format_):
        from rich.console import Console

        from dbbench.reports.console import as_text

        print_text(as_text(render, found, console=Console(), **options, **(on_console or {})))
    else:
        print_text(report(command, format_)(found, **options, **decimals(format_, decimal)))


def print_text(text: str) -> None:
    """Print a text on stdout as it is, unless the shell has closed it."""
    if sys.stdout is not None:
        sys.stdout.write(text)


def decimals(format_: str, decimal: Decimal) -> dict[str, Any]:
    """The options of a report that it has only as CSV."""
    return {"decimal": decimal} if format_ == "csv" else {}


def show_file(path: Path, format_: str, *, details: bool = False, decimal: Decimal = "point") -> None:
    """Print a result file on stdout, whichever command wrote it; `details`: of a run, also where the time goes."""
    from dbbench import result_file

    show_stored(result_file.read_any(path), format_, path, details=details, decimal=decimal)


def show_stored(stored: Any, format_: str, path: Path, *, details: bool = False, decimal: Decimal = "point") -> Any:
    """Print what a result file says on stdout."""
    from dbbench.reports.stored import shown

    one = shown(stored)
    options = {"details": details} if one.command == "run" else {}
    on_console = {**one.on_console, "file": str(path)}
    print_found(one.command, format_, one.found, decimal=decimal, on_console=on_console, **options)


def flush() -> None:
    """See that stdout has everything; whoever read it may have seen enough meanwhile, like `head`."""
    if sys.stdout is None:  # the shell closed it
        return
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        discard_stdout()


def discard_unwritable_stdout() -> None:
    """Where stdout takes nothing, like a full disk, keep Python from trying again and ending with a code of its own."""
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except OSError:
        discard_stdout()


def discard_stdout() -> None:
    """Print no more: nobody reads it, and Python would complain once more when it ends."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


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
