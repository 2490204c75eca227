"""`dbbench show`, `compare`, `history` and `export`: what is done with stored runs."""

import os
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from glob import escape
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from dbbench import choices
from dbbench.cli import completion
from dbbench.cli.command import command
from dbbench.cli.groups import OneOf
from dbbench.cli.options import DECIMAL
from dbbench.cli.output import complain, decimals, print_found, print_text, show_stored, warn, write
from dbbench.errors import ExitCode, UnreadableError, UsageError
from dbbench.reports import formats

if TYPE_CHECKING:
    from dbbench.commands.stored.history import Entry
    from dbbench.records import Stored

CsvTable = Literal["cells", "breakdown", "errors", "layers", "series"]
Decimal = Annotated[choices.Decimal, typer.Option("--decimal", help=DECIMAL)]
PRINTED = typer.Option("--format", help="What to print on stdout.")


def _result(metavar: str, help_: str) -> Any:
    """An argument that names a stored result."""
    return typer.Argument(metavar=metavar, autocompletion=completion.results, help=help_, show_default=False)


@dataclass(frozen=True)
class ShowRequest:
    """What `dbbench show` was asked to do."""

    result: Path | None  # None: the newest
    format_: str
    decimal: choices.Decimal
    details: bool

    def execute(self) -> int:
        """Read the result, and print it as the command did that wrote it."""
        from dbbench.reports.stored import shown

        path, stored = _newest() if self.result is None else _read(_stored(self.result))
        if self.format_ != "table" or not shown(stored).warns:  # other tables say them themselves
            warn(stored.warnings)
        return show_stored(stored, self.format_, path, details=self.details, decimal=self.decimal)


@command("dbbench show", "dbbench show results/20261123T031500Z-3f9c2a.jsonl --format markdown")
def show(
    result: Annotated[
        Path | None,
        _result("[RESULT]", "Result file, or the id of a run in results/. Default: the newest there."),
    ] = None,
    format_: Annotated[str, OneOf(formats("show")), PRINTED] = "table",
    decimal: Decimal = "point",
    details: Annotated[bool, typer.Option("--details", help="Also where the time goes, for every cell.")] = False,
) -> ShowRequest:
    """Print a stored result as the command that wrote it did: run, gate, capacity, pool, wire or selfcheck."""
    return ShowRequest(result, format_, decimal, details)


def _stored(result: Path) -> Path:
    """The file that is meant: itself, or the one in results/ with that id."""
    if os.path.exists(result):  # noqa: PTH110 - Path.exists raises for a name that is too long
        return result
    matching = list(Path("results").glob(f"*-{escape(result.name)}*.jsonl"))
    return matching[0] if len(matching) == 1 else result


def _read(path: Path) -> "tuple[Path, Stored]":
    from dbbench import result_file

    return path, result_file.read_any(path)


def _newest() -> "tuple[Path, Stored]":
    """The newest result that can be read; says which newer ones cannot."""
    for path in sorted(Path("results").glob("*.jsonl"), reverse=True):
        try:
            return _read(path)
        except UnreadableError as error:
            complain(f"passed over: {error}")
    raise UsageError("no result in results/; make one with: dbbench run")


@dataclass(frozen=True)
class CompareRequest:
    """What `dbbench compare` was asked to do."""

    base: Path
    head: Path
    control: str | None
    force: bool
    limit: float | None  # as a share
    format_: str
    decimal: choices.Decimal

    def execute(self) -> int:
        """Read both runs, and print what has changed."""
        from dbbench import result_file
        from dbbench.commands.stored.compare import compare, over
        from dbbench.reports.compare import over_text

        before, after = (result_file.read(_stored(path)) for path in (self.base, self.head))
        warn([f"{name}: {warning}" for name, run in (("BASE", before), ("HEAD", after)) for warning in run.warnings])
        found = compare(before, after, self.control, force=self.force)
        if self.format_ != "table":  # the table says them itself
            warn([f"{one.key} is {one.base} in BASE and {one.head} in HEAD" for one in found.mismatches])
        printed = print_found("compare", self.format_, found, decimal=self.decimal)
        if self.limit is not None and (slower := over(found.changes, self.limit)):
            warn([over_text(one, self.limit) for one in slower])
            return ExitCode.REGRESSION
        if not found.changes or (self.limit is not None and all(one.change_low is None for one in found.changes)):
            return ExitCode.INCONCLUSIVE
        return printed


@command(
    "dbbench compare 3f9c2a 81d0b7",
    "dbbench compare base.jsonl head.jsonl --format markdown",
    "dbbench compare base.jsonl head.jsonl --control psycopg2 --fail-over 10%",
)
def compare(
    base: Annotated[Path, _result("BASE", "Result file, or the id of a run in results/.")],
    head: Annotated[Path, _result("HEAD", "The one to compare with it.")],
    control: Annotated[
        str | None,
        typer.Option(
            metavar="D",
            autocompletion=completion.drivers,
            help="The driver to compare against. Default: BASE's baseline.",
            show_default=False,
        ),
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Compare runs of different machines, servers, Pythons or settings, too.")
    ] = False,
    fail_over: Annotated[
        str | None,
        typer.Option(
            metavar="SHARE",
            help="End with 1 when the interval of a change lies above this, like 10%.",
            show_default=False,
        ),
    ] = None,
    format_: Annotated[str, OneOf(formats("compare")), PRINTED] = "table",
    decimal: Decimal = "point",
) -> CompareRequest:
    """Compare two stored runs: how each driver's time relative to a control driver has changed.

    Ends with 0 whatever has changed, unless --fail-over makes it end with 1; with 6 when the runs are not alike, have
    nothing in common, or have too few blocks for --fail-over.

    Runs from different jobs cannot show small changes, and runs from different machines nothing below 10-20%. To detect
    those, use dbbench gate, which measures both sides in one job.
    """
    from dbbench import units
    from dbbench.cli import values

    limit = None if fail_over is None else values.read("--fail-over", fail_over, units.share)
    return CompareRequest(base, head, control, force, limit, format_, decimal)


@dataclass(frozen=True)
class HistoryRequest:
    """What `dbbench history` was asked to do."""

    folder: Path
    control: str | None
    format_: str
    decimal: choices.Decimal

    def execute(self) -> int:
        """Read the runs of the folder, and print how they went."""
        entries = list(_entries(self.folder, self.control))
        if not entries:
            raise UsageError(f"no result in {self.folder}; make one with: dbbench run")
        if self.control is not None and not any(one.values for one in entries):
            raise UsageError(f"--control {self.control}: no run in {self.folder} has another driver measured beside it")
        return print_found("history", self.format_, entries, decimal=self.decimal)


@command("dbbench history", "dbbench history nightly/ --control psycopg2 --format csv > trends.csv")
def history(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Folder of result files.")] = Path("results"),
    control: Annotated[
        str | None,
        typer.Option(
            metavar="D",
            autocompletion=completion.drivers,
            help="The driver to compare against. Default: each run's baseline.",
            show_default=False,
        ),
    ] = None,
    format_: Annotated[str, OneOf(formats("history")), PRINTED] = "table",
    decimal: Decimal = "point",
) -> HistoryRequest:
    """List the stored runs of a folder, and how each driver's time relative to a control driver went over them.

    Runs of different machines, servers, Pythons or settings are kept apart, as groups a, b, c.
    """
    return HistoryRequest(folder, control, format_, decimal)


def _entries(folder: Path, control: str | None) -> Iterator["Entry"]:
    """Read the result files of a folder one at a time; those that cannot be read say why, others are counted."""
    from dbbench import records, result_file
    from dbbench.commands.stored import history as entries

    others = Counter[str]()
    for path in sorted(folder.glob("*.jsonl")):
        try:
            stored = result_file.read_any(path)
            if isinstance(stored, records.Run):
                yield entries.entry(path.name, stored, control)
            else:
                others[result_file.command(stored)] += 1
        except UnreadableError as error:
            yield entries.unreadable(path.name, error.reason)
    if others:
        left_out = [f"{number:,} of {command}" for command, number in sorted(others.items())]
        warn([f"results of other commands are left out: {', '.join(left_out)}; dbbench show prints them"])


@dataclass(frozen=True)
class ExportRequest:
    """What `dbbench export` was asked to do."""

    result: Path
    format_: str
    output: Path | None  # None: stdout
    driver: str | None
    table: CsvTable
    decimal: choices.Decimal

    def execute(self) -> int:
        """Read the result, and write it."""
        from dbbench import result_file

        stored = result_file.read_any(_stored(self.result))
        warn(stored.warnings)
        code: int = ExitCode.OK
        for path, text in self._files(stored):
            if path is None:
                code = print_text(text)
            else:
                write(path, text)
        return code

    def _files(self, stored: "Stored") -> Iterable[tuple[Path | None, str]]:
        """The files of the export with their texts; None is stdout."""
        from dbbench.reports import exportable, exporter, report
        from dbbench.reports.stored import shown

        options = {} if self.driver is None else {"driver": self.driver}
        options |= {} if self.table == "cells" else {"table": self.table}
        decimal = decimals(self.format_, self.decimal)
        command, found, *_ = shown(stored)
        if command == "run":
            return exporter(self.format_)(found, self.output, **options, **decimal)
        formats = exportable(command)
        if self.format_ not in formats or options:
            raise UsageError(f"a result of dbbench {command} can be exported as {', '.join(formats)}")
        return [(self.output, report(command, self.format_)(found, **decimal))]


@command(
    "dbbench export results/RUN.jsonl --format csv -o run.csv",
    "dbbench export results/RUN.jsonl --format csv --decimal comma -o run.csv   (for a German spreadsheet)",
    "dbbench export results/RUN.jsonl --format pyperf -o suites/   (one suite per driver, for pyperf compare_to)",
    "dbbench export results/RUN.jsonl --format hgrm -o latencies/   (one file per cell and driver, for HdrHistogram)",
)
def export(
    result: Annotated[Path, _result("RESULT", "Result file, or the id of a run.")],
    format_: Annotated[str, OneOf(formats("export")), typer.Option("--format", help="What to write.")] = "csv",
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            help="File to write, default stdout; for pyperf also a folder, which gets a suite per driver; "
            "for hgrm a folder, which gets a file per cell and driver.",
            show_default=False,
        ),
    ] = None,
    driver: Annotated[
        str | None,
        typer.Option(
            metavar="D",
            autocompletion=completion.drivers,
            help="pyperf, hgrm: this driver alone.",
            show_default=False,
        ),
    ] = None,
    table: Annotated[
        CsvTable,
        typer.Option(
            help="csv: the comparison, where the time goes, failed operations, what layers add, or the run as it went, "
            "slice by slice, in an open loop second by second (also json)."
        ),
    ] = "cells",
    decimal: Decimal = "point",
) -> ExportRequest:
    """Write a stored result in another format; which there are depends on the command that wrote it."""
    if driver is not None and format_ not in ("pyperf", "hgrm"):
        raise UsageError("--driver goes with --format pyperf or hgrm")
    if table != "cells" and format_ != "csv" and (table, format_) != ("series", "json"):
        raise UsageError(
            "--table goes with --format csv, and series with json, too, which has the other tables at once"
        )
    return ExportRequest(result, format_, output, driver, table, decimal)
