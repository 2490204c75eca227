"""CSV (RFC 4180): a header line, then one line per finding: the fields of `GateRow`, and which run it is of."""

from decimal import Decimal as Number
from typing import Any, Final

from dbbench.choices import Decimal
from dbbench.commands.gate.result import GateResult, GateRow
from dbbench.commands.identity import driver_version
from dbbench.reports.csv_text import table
from dbbench.reports.exported import rounded
from dbbench.reports.text import number

COLUMNS: Final = (
    *GateRow.__struct_fields__, "run", "started", "dbbench", "base_version", "head_version", "server_version",
)  # fmt: skip
_LOSS_DIGITS: Final = 4  # as many as the table shows of a number
_P_DIGITS: Final = 4  # significant ones
_LEAST_P: Final = 1e-12  # a p is an upper bound, so that raising it to this is no lie, and no line gets 300 zeros


def report(result: GateResult, *, decimal: Decimal = "point") -> str:
    """Write `COLUMNS`; an unknown number is empty."""
    return table(COLUMNS, (_record(finding.row, result) for finding in result.findings), decimal)


def _record(row: GateRow, result: GateResult) -> dict[str, Any]:
    return {
        **{name: getattr(row, name) for name in GateRow.__struct_fields__},  # all of them, in their order
        "loss": rounded(row.loss, _LOSS_DIGITS),
        "loss_low": rounded(row.loss_low, _LOSS_DIGITS),
        "loss_high": rounded(row.loss_high, _LOSS_DIGITS),
        "p_adjusted": _p(row.p_adjusted),
        "verdict": row.verdict.value,
        "run": result.run_id,
        "started": result.started,
        "dbbench": result.dbbench,
        "base_version": driver_version(row.driver, result.base.packages),
        "head_version": driver_version(row.driver, result.head.packages),
        "server_version": result.server,
    }


def _p(value: float | None) -> Number | None:
    """Give a plain decimal: 0.00024, never 0 nor 2.4e-04, which some spreadsheets take for text."""
    p = number(value)
    return None if p is None else Number(f"{max(p, _LEAST_P):.{_P_DIGITS}g}")
