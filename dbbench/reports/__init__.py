"""Every report: which command prints or writes it, in which format, and the function that makes it.

A report is a function of what the command found, and its name says what it gives: `render` prints on a console, in
colour; `files` gives an export of one or more files; every other gives text. A new report is a file and a row of
`FORMATS`: the command line takes its choices from here.
"""

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any, Final

from dbbench.errors import UsageError

Report = Callable[..., str]
Renderer = Callable[..., None]
Exporter = Callable[..., Iterable[tuple[Path | None, str]]]

FORMATS: Final[Mapping[tuple[str, str], str]] = {
    ("run", "table"): "run.table:render",
    ("run", "csv"): "run.csv:report",
    ("run", "json"): "run.json:report",
    ("run", "markdown"): "run.markdown:report",
    ("export", "csv"): "run.csv:files",
    ("export", "json"): "run.json:files",
    ("export", "pyperf"): "run.pyperf:files",
    ("export", "hgrm"): "run.hgrm:files",
    ("gate", "table"): "gate.table:render",
    ("gate", "csv"): "gate.csv:report",
    ("gate", "json"): "gate.json:report",
    ("gate", "markdown"): "gate.markdown:report",
    ("gate", "junit"): "gate.junit:report",
    ("gate", "annotations"): "gate.annotations:report",
    ("gate", "bmf"): "gate.bmf:report",
    ("gate", "customSmallerIsBetter"): "gate.customsmallerisbetter:report",
    ("gate --wire", "table"): "wire.gate:text_report",
    ("gate --wire", "csv"): "wire.gate:csv_report",
    ("gate --wire", "json"): "wire.gate:json_report",
    ("gate --wire", "markdown"): "wire.gate:markdown_report",
    ("gate --wire", "annotations"): "wire.annotations:report",
    ("wire", "table"): "wire.table:render",
    ("wire", "csv"): "wire.csv:report",
    ("wire", "json"): "wire.json:report",
    ("wire", "markdown"): "wire.markdown:report",
    ("capacity", "table"): "capacity:render",
    ("capacity", "csv"): "capacity:csv_report",
    ("capacity", "json"): "capacity:json_report",
    ("pool", "table"): "pool:render",
    ("pool", "csv"): "pool:csv_report",
    ("pool", "json"): "pool:json_report",
    ("compare", "table"): "compare:render",
    ("compare", "csv"): "compare:csv_report",
    ("compare", "json"): "compare:json_report",
    ("compare", "markdown"): "compare:markdown_report",
    ("history", "table"): "history:render",
    ("history", "csv"): "history:csv_report",
    ("history", "json"): "history:json_report",
    ("selfcheck", "table"): "selfcheck:render",
    ("selfcheck", "json"): "selfcheck:json_report",
    ("doctor", "table"): "doctor:render",
    ("doctor", "json"): "doctor:json_report",
    ("list", "table"): "list:render",
    ("list", "json"): "list:json_report",
}
"""Command and format -> module below dbbench.reports, and function."""

_OWNERS: Final[Mapping[str, tuple[str, ...]]] = {"show": ("run",), "export": ("run", "export", "gate")}
"""Commands that offer the formats of others."""

_NO_EXPORT: Final = ("table", "annotations")  # for a terminal, and for the log of a CI job


def formats(command: str) -> tuple[str, ...]:
    """The names of a command's formats, the default first; imports no report.

    `export` has those of a run and those of a gate.
    """
    owners = _OWNERS.get(command, (command,))
    names = dict.fromkeys(name for owner, name in FORMATS if owner in owners)
    return tuple(name for name in names if command != "export" or name not in _NO_EXPORT)


def exportable(command: str) -> tuple[str, ...]:
    """The names of a command's formats in which `export` writes its results."""
    return tuple(name for name in formats(command) if name not in _NO_EXPORT)


def report(command: str, format_: str) -> Report:
    """The report as a function of what the command found that gives text; a table is 80 columns wide, without colours.

    The file of the format is imported here and not before: `csv` loads neither Rich nor pyperf. Raises UsageError for a
    format that the command does not have.
    """
    function = _function(command, format_)
    if function.__name__ != "render":
        return function
    from dbbench.reports.console import as_text

    return partial(as_text, function)


def renderer(command: str, format_: str = "table") -> Renderer | None:
    """The report as a function of what the command found and a console; None for text, which has no colours.

    Raises UsageError for a format that the command does not have.
    """
    function = _function(command, format_)
    return function if function.__name__ == "render" else None


def exporter(format_: str) -> Exporter:
    """The export of a run as a function of its analysis and an output that gives each file with its text.

    The output is a file, or for a format that makes several a folder; None is stdout. Raises UsageError for a format of
    gates alone, and the function does where several files would go to one.
    """
    if ("export", format_) in FORMATS:
        return _function("export", format_)
    if ("run", format_) in FORMATS:
        return partial(_file, report("run", format_))
    raise UsageError(f"--format {format_} is for the results of dbbench gate")


def _file(function: Report, found: Any, output: Path | None) -> list[tuple[Path | None, str]]:
    return [(output, function(found))]


def _function(command: str, format_: str) -> Callable[..., Any]:
    if (command, format_) not in FORMATS:
        raise UsageError(f"--format {format_}: {command} has {', '.join(formats(command))}")
    module, name = FORMATS[command, format_].split(":")
    function: Callable[..., Any] = getattr(import_module(f"{__name__}.{module}"), name)
    return function
