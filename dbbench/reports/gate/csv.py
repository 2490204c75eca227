"""CSV (RFC 4180): a header line with the fields of `GateRow`, then one line per finding."""

from decimal import Decimal
from typing import Any, Final

from dbbench.commands.gate.result import GateResult, GateRow
from dbbench.reports.csv_text import table
from dbbench.reports.exported import rounded
from dbbench.reports.text import number

_LOSS_DIGITS: Final = 4  # as many as the table shows of a number
_P_DIGITS: Final = 4  # significant ones
_LEAST_P: Final = 1e-12  # a p is an upper bound, so that raising it to this is no lie, and no line gets 300 zeros


def report(result: GateResult) -> str:
    """Write the columns of `GateRow`; an unknown number is empty."""
    return table(GateRow.__struct_fields__, (_record(finding.row) for finding in result.findings))


def _record(row: GateRow) -> dict[str, Any]:
    return {
        **{name: getattr(row, name) for name in GateRow.__struct_fields__},  # all of them, in their order
        "loss": rounded(row.loss, _LOSS_DIGITS),
        "loss_low": rounded(row.loss_low, _LOSS_DIGITS),
        "loss_high": rounded(row.loss_high, _LOSS_DIGITS),
        "p_adjusted": _p(row.p_adjusted),
        "verdict": row.verdict.value,
    }


def _p(value: float | None) -> str | None:
    """Write a plain decimal: 0.00024, never 0 nor 2.4e-04, which some spreadsheets take for text."""
    p = number(value)
    return None if p is None else format(Decimal(f"{max(p, _LEAST_P):.{_P_DIGITS}g}"), "f")
