"""What goes to stdout and to files, and what is complained about on stderr."""

import contextlib
import errno
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from dbbench.choices import Decimal
from dbbench.cli.streams import STDERR, UNWRITTEN_STDOUT, write_stdout
from dbbench.errors import DbbenchError, ExitCode, UsageError, reason
from dbbench.files import append, replace_file
from dbbench.texts import inert, said

_NO_ROOM: Final = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)


def complain(message: str) -> None:
    """Say what is wrong, in one line on stderr."""
    STDERR.write(f"dbbench: {said(' '.join(message.split()))}\n")


def print_found(
    command: str,
    format_: str,
    found: Any,
    *,
    decimal: Decimal = "point",
    on_console: Mapping[str, Any] | None = None,
    **options: Any,
) -> int:
    """Print a command's report of what it found on stdout; gives what print_text gives.

    `decimal` is for CSV, `on_console` has options that only a table has.
    """
    from dbbench.reports import renderer, report

    if render := renderer(command, format_):
        from rich.console import Console

        from dbbench.reports.console import as_text

        return print_text(
            as_text(render, found, console=Console(file=UNWRITTEN_STDOUT), **options, **(on_console or {}))
        )
    text = report(command, format_)(found, **options, **decimals(format_, decimal))
    return print_text(text, commands=format_ == "annotations")


def print_text(text: str, *, commands: bool = False) -> int:
    """Print a text on stdout; DEGRADED where that cannot be written, OK also where nobody reads it.

    `commands`: its lines are meant as commands to the service whose log they go to.
    """
    try:
        write_stdout(text if commands else inert(text))
    except OSError as error:
        complain(f"the output cannot be written: {reason(error)}")
        return ExitCode.DEGRADED
    return ExitCode.OK


def decimals(format_: str, decimal: Decimal) -> dict[str, Any]:
    """The options of a report that it has only as CSV."""
    return {"decimal": decimal} if format_ == "csv" else {}


def show_file(path: Path, format_: str, *, details: bool = False, decimal: Decimal = "point") -> int:
    """Print a result file on stdout, whichever command wrote it; `details`: of a run, also where the time goes.

    Gives what print_text gives.
    """
    from dbbench import result_file

    return show_stored(result_file.read_any(path), format_, path, details=details, decimal=decimal)


def show_stored(stored: Any, format_: str, path: Path, *, details: bool = False, decimal: Decimal = "point") -> int:
    """Print what a result file says on stdout; gives what print_text gives."""
    from dbbench.reports.stored import shown

    one = shown(stored)
    options = {"details": details} if one.command == "run" else {}
    on_console = {**one.on_console, "file": str(path)}
    return print_found(one.command, format_, one.found, decimal=decimal, on_console=on_console, **options)


def warn(warnings: Sequence[str]) -> None:
    """Complain of several things."""
    for warning in warnings:
        complain(warning)


def write(path: Path, text: str) -> None:
    """Write a file, or leave the old one; UsageError for one that cannot be written, DbbenchError on a full disk."""
    with _written(path):
        replace_file(path, text.encode(errors="replace"))


def add(path: Path, text: str) -> None:
    """Add to a file, or leave it; raises as `write` does."""
    with _written(path):
        append(path, text.encode(errors="replace"))


@contextlib.contextmanager
def _written(path: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        kind = DbbenchError if getattr(error, "errno", None) in _NO_ROOM else UsageError
        raise kind(f"{path} cannot be written: {reason(error)}") from None
