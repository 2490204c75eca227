"""CSV (RFC 4180) for spreadsheets, pandas and DuckDB: a header line, then one line per cell and driver.

The other tables of a run, `TABLES`, are files of their own: a CSV has one header.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from dbbench.analysis import breakdown
from dbbench.analysis.breakdown import Breakdown, Failure, LayerTax
from dbbench.analysis.rows import COLUMNS, CellRow
from dbbench.records import Run
from dbbench.reports.csv_text import table
from dbbench.reports.exported import exported


def report(_run: Run, rows: Sequence[CellRow]) -> str:
    """Write the columns of `CellRow`; lines end in LF, which every reader takes and pipes like."""
    return table(COLUMNS, (exported(row) for row in rows))


def breakdown_report(run: Run, _rows: Sequence[CellRow]) -> str:
    """Write where the time goes: the columns of `Breakdown`, one line per cell and driver."""
    return table(Breakdown.__struct_fields__, map(exported, breakdown.breakdowns(run)))


def errors_report(run: Run, _rows: Sequence[CellRow]) -> str:
    """Write the ledger of errors: the columns of `Failure`, one line per cell, driver and way to fail."""
    return table(Failure.__struct_fields__, map(exported, breakdown.failures(run)))


def layers_report(run: Run, _rows: Sequence[CellRow]) -> str:
    """Write what the layers add: the columns of `LayerTax`, one line per scenario, driver and higher layer."""
    return table(LayerTax.__struct_fields__, map(exported, breakdown.layer_tax(run)))


TABLES: Final[Mapping[str, Callable[[Run, Sequence[CellRow]], str]]] = {
    "cells": report,
    "breakdown": breakdown_report,
    "errors": errors_report,
    "layers": layers_report,
}
