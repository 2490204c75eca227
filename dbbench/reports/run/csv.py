"""CSV (RFC 4180) for spreadsheets, pandas and DuckDB: a header line, then one line per cell and driver.

The other tables of a run, `TABLES`, are files of their own: a CSV has one header.
"""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from dbbench.analysis.analysis import Analysis
from dbbench.analysis.breakdown import Breakdown, Failure, LayerTax
from dbbench.analysis.rows import COLUMNS
from dbbench.analysis.series import Point
from dbbench.choices import Decimal
from dbbench.commands import identity
from dbbench.reports.csv_text import table as csv_table
from dbbench.reports.exported import identified


def report(analysis: Analysis, *, decimal: Decimal = "point", **_: bool) -> str:
    """Write the columns of `CellRow`, and which run they are of; lines end in LF, which every reader takes."""
    return _table(COLUMNS, analysis.rows, analysis, decimal)


def files(
    analysis: Analysis, output: Path | None, table: str = "cells", decimal: Decimal = "point"
) -> list[tuple[Path | None, str]]:
    """Write one of `TABLES`."""
    columns, records = TABLES[table]
    return [(output, _table(columns, records(analysis), analysis, decimal))]


def _table(columns: Iterable[str], records: Iterable[Any], analysis: Analysis, decimal: Decimal) -> str:
    of_run = identity.identity(analysis.run.header)
    header = (*columns, *identity.COLUMNS)
    return csv_table(header, (identified(record, of_run) for record in records), decimal)


TABLES: Final[Mapping[str, tuple[Iterable[str], Callable[[Analysis], Iterable[Any]]]]] = {
    "cells": (COLUMNS, lambda analysis: analysis.rows),
    "breakdown": (Breakdown.__struct_fields__, lambda analysis: analysis.breakdowns),
    "errors": (Failure.__struct_fields__, lambda analysis: analysis.failures),
    "layers": (LayerTax.__struct_fields__, lambda analysis: analysis.layer_tax),
    "series": (Point.__struct_fields__, lambda analysis: analysis.series),
}
"""Name of the table -> its columns, and its rows: per cell and driver, kind of failure, higher layer, or slice."""
