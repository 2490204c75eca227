"""Which files an export consists of, and what is in each."""

from collections.abc import Iterator
from pathlib import Path

from dbbench.analysis.rows import rows
from dbbench.errors import UsageError, nearest
from dbbench.records import Run
from dbbench.reports import REPORTS
from dbbench.reports.run import csv


def files(
    run: Run, format_: str, output: Path | None, driver: str | None, table: str
) -> Iterator[tuple[Path | None, str]]:
    """Give every file of an export with its text; None: stdout.

    `output` is a file, or for pyperf and hgrm also a folder; `driver` (pyperf, hgrm) leaves the others out; `table` is
    one of csv.TABLES. Raises UsageError for a driver that there is not, and for several files where one was asked for.
    """
    if format_ == "hgrm":
        yield from _distributions(run, output, driver)
    elif format_ == "pyperf":
        yield from _suites(run, output, driver)
    elif format_ == "csv":
        yield output, csv.TABLES[table](run, rows(run))
    else:
        yield output, REPORTS[format_](run, rows(run))


def _suites(run: Run, output: Path | None, driver: str | None) -> Iterator[tuple[Path | None, str]]:
    from dbbench.reports.run.pyperf import suite, text

    arms = [arm.name for arm in run.header.plan.arms]
    if driver is not None:
        if driver not in arms:
            raise UsageError(f"no driver {driver!r} in this run; {nearest(driver, arms)}")
        yield output / f"{driver}.json" if output and _is_folder(output) else output, text(suite(run, driver))
    elif output is not None and _is_folder(output):
        for arm in arms:
            yield output / f"{arm}.json", text(suite(run, arm))
    else:
        yield output, text(suite(run, None))


def _distributions(run: Run, output: Path | None, driver: str | None) -> Iterator[tuple[Path | None, str]]:
    from dbbench.reports.run.hgrm import series, text

    found = series(run, driver)
    if output is not None and _is_folder(output):
        for one in found:
            yield output / f"{one.name}.hgrm", text(one)
    elif len(found) == 1:
        yield output, text(found[0])
    else:
        raise UsageError(
            f"--format hgrm makes a file for every cell and driver, here {len(found)}: name a folder for them with "
            "-o DIR/, or where the run has one cell choose a driver with --driver"
        )


def _is_folder(output: Path) -> bool:
    return output.is_dir() or not output.suffix
