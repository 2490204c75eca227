"""A table as CSV text."""

import csv
import io
from collections.abc import Iterable, Mapping

_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")


def table(header: Iterable[str], records: Iterable[Mapping[str, str | float | None]]) -> str:
    """Write a header line and one line for each record, whose values are in the order of the header.

    Lines end in LF. Half a surrogate pair, as names of undecodable bytes have, becomes a question mark.
    """
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
        safe = value.encode(errors="replace").decode()
        return f"'{safe}" if safe.startswith(_FORMULA_STARTS) else safe  # a spreadsheet would run it (CWE-1236)
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return str(value)
    return f"{value:.4f}".rstrip("0").rstrip(".")  # never 1e-05, which some spreadsheets take for text
