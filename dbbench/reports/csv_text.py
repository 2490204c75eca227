"""A table as CSV text, with decimal points or with the decimal commas of most of Europe."""

import csv
import io
from collections.abc import Iterable, Mapping
from decimal import Decimal as Number
from functools import partial
from typing import Final

from dbbench.choices import Decimal

_SEPARATORS: Final[Mapping[Decimal, str]] = {"point": ",", "comma": ";"}
_FORMULA_STARTS: Final = ("=", "+", "-", "@", "\t", "\r", "::")  # the last one commands the log of a GitHub workflow


def table(
    header: Iterable[str], records: Iterable[Mapping[str, str | float | Number | None]], decimal: Decimal = "point"
) -> str:
    """Write a header line and one line for each record, whose values are in the order of the header.

    With decimal commas, semicolons separate the fields. Lines end in LF. Half a surrogate pair, as names of undecodable
    bytes have, becomes a question mark.
    """
    line, field = partial(_line, separator=_SEPARATORS[decimal]), partial(_field, decimal=decimal)
    return "".join([line(header), *(line(map(field, record.values())) for record in records)])


def _line(fields: Iterable[str], separator: str) -> str:
    # The csv module quotes what is in its line terminator: with LF alone, a CR in a name would end the line.
    text = io.StringIO()
    csv.writer(text, delimiter=separator, lineterminator="\r\n").writerow(fields)
    return text.getvalue().removesuffix("\r\n") + "\n"


def _field(value: str | float | Number | None, decimal: Decimal) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        safe = value.encode(errors="replace").decode()
        return f"'{safe}" if safe.startswith(_FORMULA_STARTS) else safe  # a spreadsheet would run it (CWE-1236)
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return str(value)
    # Never 1e-05, which some spreadsheets take for text.
    text = f"{value:f}" if isinstance(value, Number) else f"{value:.4f}".rstrip("0").rstrip(".")
    return text if decimal == "point" else text.replace(".", ",")
