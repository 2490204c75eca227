"""CSV (RFC 4180) for spreadsheets, pandas and DuckDB: a header line, then one line per cell and driver.

The other tables of a run, `TABLES`, are files of their own: a CSV has one header.
"""

import csv
import io
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final

from dbbench import breakdown
from dbbench.breakdown import Breakdown, Failure, LayerTax
from dbbench.compare import COLUMNS, Row, exported
from dbbench.records import Run

_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")


def report(_run: Run, rows: Sequence[Row]) -> str:
    """Write the columns of `Row`; lines end in LF, which every reader takes and pipes like."""
    return table(COLUMNS, (exported(row) for row in rows))


def breakdown_report(run: Run, _rows: Sequence[Row]) -> str:
    """Write where the time goes: the columns of `Breakdown`, one line per cell and driver."""
    return table(Breakdown.__struct_fields__, map(exported, breakdown.breakdowns(run)))


def errors_report(run: Run, _rows: Sequence[Row]) -> str:
    """Write the ledger of errors: the columns of `Failure`, one line per cell, driver and way to fail."""
    return table(Failure.__struct_fields__, map(exported, breakdown.failures(run)))


def layers_report(run: Run, _rows: Sequence[Row]) -> str:
    """Write what the layers add: the columns of `LayerTax`, one line per scenario, driver and higher layer."""
    return table(LayerTax.__struct_fields__, map(exported, breakdown.layer_tax(run)))


TABLES: Final[Mapping[str, Callable[[Run, Sequence[Row]], str]]] = {
    "cells": report,
    "breakdown": breakdown_report,
    "errors": errors_report,
    "layers": layers_report,
}


def table(header: Iterable[str], records: Iterable[Mapping[str, str | float | None]]) -> str:
    """Write a header line and one line for each record, whose values are in the order of the header."""
    return "".join([_line(header), *(_line(map(_field, record.values())) for record in records)])


def _line(fields: Iterable[str]) -> str:
    # The csv module quotes what is in its line terminator: with LF alone, a CR in a name would end the line.
    text = io.StringIO()
    csv.writer(text, lineterminator="\r\n").writerow(fields)
    return text.getvalue().removesuffix("\r\n") + "\n"


def _field(value: str | float | None) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return f"'{value}" if value.startswith(_FORMULA_STARTS) else value  # a spreadsheet would run it (CWE-1236)
    if isinstance(value, int):
        return str(value)
    return f"{value:.4f}".rstrip("0").rstrip(".")  # never 1e-05, which some spreadsheets take for text
