"""CSV (RFC 4180) for spreadsheets, pandas and DuckDB: a header line, then one line per cell and driver.

The other tables of a run, `TABLES`, are files of their own: a CSV has one header.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from dbbench.analysis.analysis import Analysis
from dbbench.analysis.breakdown import Breakdown, Failure, LayerTax
from dbbench.analysis.rows import COLUMNS
from dbbench.reports.csv_text import table
from dbbench.reports.exported import exported


def report(analysis: Analysis, **_: bool) -> str:
    """Write the columns of `CellRow`; lines end in LF, which every reader takes and pipes like."""
    return table(COLUMNS, map(exported, analysis.rows))


def files(analysis: Analysis, output: Path | None, table: str = "cells") -> list[tuple[Path | None, str]]:
    """Write one of `TABLES`."""
    return [(output, TABLES[table](analysis))]


def breakdown_report(analysis: Analysis) -> str:
    """Write where the time goes: the columns of `Breakdown`, one line per cell and driver."""
    return table(Breakdown.__struct_fields__, map(exported, analysis.breakdowns))


def errors_report(analysis: Analysis) -> str:
    """Write the ledger of errors: the columns of `Failure`, one line per cell, driver and kind of failure."""
    return table(Failure.__struct_fields__, map(exported, analysis.failures))


def layers_report(analysis: Analysis) -> str:
    """Write what the layers add: the columns of `LayerTax`, one line per scenario, driver and higher layer."""
    return table(LayerTax.__struct_fields__, map(exported, analysis.layer_tax))


TABLES: Final[Mapping[str, Callable[[Analysis], str]]] = {
    "cells": report,
    "breakdown": breakdown_report,
    "errors": errors_report,
    "layers": layers_report,
}
