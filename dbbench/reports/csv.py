"""CSV (RFC 4180) for spreadsheets, pandas and DuckDB: a header line, then one line per cell and driver."""

import csv
import io
from collections.abc import Iterable, Sequence

from dbbench.compare import COLUMNS, Row, exported
from dbbench.records import Run

_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")


def report(_run: Run, rows: Sequence[Row]) -> str:
    """Write the columns of `Row`; lines end in LF, which every reader takes and pipes like."""
    lines = [COLUMNS, *([_field(value) for value in exported(row).values()] for row in rows)]
    return "".join(map(_line, lines))


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
