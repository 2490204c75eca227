"""`dbbench show`, `compare`, `history` and `export`: what is done with stored runs."""

import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dbbench.cli.command import command
from dbbench.cli.formats import CsvTable, ExportFormat, HistoryFormat, TableFormat
from dbbench.cli.output import print_found, show_stored, warn, write
from dbbench.errors import ExitCode, UnreadableError, UsageError

if TYPE_CHECKING:
    from dbbench.commands.stored.history import Entry


@command("dbbench show", "dbbench show results/20261123T031500Z-3f9c2a.jsonl --format markdown")
def show(
    result: Annotated[
        Path | None,
        typer.Argument(
            metavar="[RESULT]",
            help="Result file, or the id of a run in results/. Default: the newest there.",
            show_default=False,
        ),
    ] = None,
    format_: Annotated[TableFormat, typer.Option("--format", help="What to print on stdout.")] = TableFormat.TABLE,
    details: Annotated[bool, typer.Option("--details", help="Also where the time goes, for every cell.")] = False,
) -> None:
    """Print a stored result as the command that wrote it did: run, gate, capacity, wire or selfcheck."""
    from dbbench import result_file
    from dbbench.reports.stored import shown

    path = _newest() if result is None else _stored(result)
    stored = result_file.read_any(path)
    if format_ is not TableFormat.TABLE or not shown(stored).warns:  # other tables say them themselves
        warn(stored.warnings)
    show_stored(stored, format_, path, details=details)


def _stored(result: Path) -> Path:
    """The file that is meant: itself, or the one in results/ with that id."""
    matching = [] if result.exists() else list(Path("results").glob(f"*-{result.name}*.jsonl"))
    return matching[0] if len(matching) == 1 else result


def _newest() -> Path:
    files = sorted(Path("results").glob("*.jsonl"))
    if not files:
        raise UsageError("no result in results/; make one with: dbbench run")
    return files[-1]


@command(
    "dbbench compare 3f9c2a 81d0b7",
    "dbbench compare base.jsonl head.jsonl --format markdown",
    "dbbench compare base.jsonl head.jsonl --control psycopg2 --fail-over 10%",
)
def compare(
    base: Annotated[
        Path, typer.Argument(metavar="BASE", help="Result file, or the id of a run in results/.", show_default=False)
    ],
    head: Annotated[Path, typer.Argument(metavar="HEAD", help="The one that is compared with it.", show_default=False)],
    control: Annotated[
        str | None,
        typer.Option(
            metavar="D", help="The driver that ratios are to. Default: the baseline of BASE.", show_default=False
        ),
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Compare runs of different machines, servers, Pythons or settings, too.")
    ] = False,
    fail_over: Annotated[
        str | None,
        typer.Option(
            "--fail-over",
            metavar="SHARE",
            help="End with 1 when the interval of a change lies above this, like 10%.",
            show_default=False,
        ),
    ] = None,
    format_: Annotated[TableFormat, typer.Option("--format", help="What to print on stdout.")] = TableFormat.TABLE,
) -> None:
    """Compare two stored runs: how each driver's time relative to a control driver has changed.

    Advisory: it ends with 0 whatever the numbers say, and with 6 when the runs are not alike or have nothing in common.
    Runs in different jobs cannot tell small changes, and those of different machines none below 10 to 20%.
    What can: dbbench gate, which measures both sides in one job.
    """
    from dbbench import result_file
    from dbbench.cli import values
    from dbbench.commands.stored import compare
    from dbbench.reports.compare import over_text

    limit = None if fail_over is None else values.share("--fail-over", fail_over)
    before, after = (result_file.read(_stored(path)) for path in (base, head))
    warn([f"{name}: {warning}" for name, run in (("BASE", before), ("HEAD", after)) for warning in run.warnings])
    found = compare.compare(before, after, control, force=force)
    if format_ is not TableFormat.TABLE:  # the table says them itself
        warn([f"{one.key} is {one.base} in BASE and {one.head} in HEAD" for one in found.mismatches])
    print_found("compare", format_, found)
    sys.stdout.flush()
    if limit is not None and (slower := compare.over(found.changes, limit)):
        warn([over_text(one, limit) for one in slower])
        raise typer.Exit(ExitCode.REGRESSION)
    if not found.changes or (limit is not None and all(one.change_low is None for one in found.changes)):
        raise typer.Exit(ExitCode.INCONCLUSIVE)


@command("dbbench history", "dbbench history nightly/ --control psycopg2 --format csv > trends.csv")
def history(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Folder of result files.")] = Path("results"),
    control: Annotated[
        str | None,
        typer.Option(
            metavar="D", help="The driver that ratios are to. Default: the baseline of each run.", show_default=False
        ),
    ] = None,
    format_: Annotated[HistoryFormat, typer.Option("--format", help="What to print on stdout.")] = HistoryFormat.TABLE,
) -> None:
    """List the stored runs of a folder, and how each driver's time relative to a control driver went over them.

    Runs of different machines, servers, Pythons or settings are kept apart, as groups a, b, c.
    """
    entries = list(_entries(folder, control))
    if not entries:
        raise UsageError(f"no result in {folder}; make one with: dbbench run")
    if control is not None and not any(one.values for one in entries):
        raise UsageError(f"--control {control}: no run in {folder} has another driver measured beside it")
    print_found("history", format_, entries)


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


@command(
    "dbbench export results/RUN.jsonl --format csv -o run.csv",
    "dbbench export results/RUN.jsonl --format pyperf -o suites/   (one suite per driver, for pyperf compare_to)",
    "dbbench export results/RUN.jsonl --format hgrm -o latencies/   (one file per cell and driver, for HdrHistogram)",
)
def export(
    result: Annotated[
        Path, typer.Argument(metavar="RESULT", help="Result file, or the id of a run.", show_default=False)
    ],
    format_: Annotated[ExportFormat, typer.Option("--format", help="What to write.")] = ExportFormat.CSV,
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
        str | None, typer.Option(metavar="D", help="pyperf, hgrm: this driver alone.", show_default=False)
    ] = None,
    table: Annotated[
        CsvTable, typer.Option(help="csv: the comparison, where the time goes, failed operations, or what layers add.")
    ] = CsvTable.CELLS,
) -> None:
    """Write a stored result in another format; which there are depends on the command that wrote it."""
    from dbbench import result_file

    stored = result_file.read_any(_stored(result))
    warn(stored.warnings)
    if driver is not None and format_ not in (ExportFormat.PYPERF, ExportFormat.HGRM):
        raise UsageError("--driver goes with --format pyperf or hgrm")
    if table is not CsvTable.CELLS and format_ is not ExportFormat.CSV:
        raise UsageError("--table goes with --format csv")
    options = {} if driver is None else {"driver": driver}
    options |= {} if table is CsvTable.CELLS else {"table": table.value}
    for path, text in _exported(stored, format_, output, options):
        if path is None:
            sys.stdout.write(text)
        else:
            write(path, text)


def _exported(
    stored: Any, format_: str, output: Path | None, options: Mapping[str, str]
) -> Iterable[tuple[Path | None, str]]:
    """The files of an export with their texts; None is stdout."""
    from dbbench.reports import exportable, exporter, report
    from dbbench.reports.stored import shown

    command, found, *_ = shown(stored)
    if command == "run":
        return exporter(format_)(found, output, **options)
    formats = exportable(command)
    if format_ not in formats or options:
        raise UsageError(f"a result of dbbench {command} can be exported as {', '.join(formats)}")
    return [(output, report(command, format_)(found))]
