"""JSON: the whole gate in one document, with the rows of the CSV as its cells.

ASCII only: whatever a name contains, the document can be printed anywhere and commands no terminal.
"""

from typing import Any, Final

from dbbench.commands.gate.result import Difference, Finding, GateResult, GateRow, Side
from dbbench.reports.exported import rounded
from dbbench.reports.json_text import SCHEMA, ascii_text
from dbbench.reports.text import number

_LOSS_DIGITS: Final = 5
_P_DIGITS: Final = 6  # significant ones: what is small is what matters
_US_DIGITS: Final = 3


def report(result: GateResult) -> str:
    """Write one document; an unknown number is null, never NaN."""
    return ascii_text(
        {
            "schema": SCHEMA,
            "verdict": result.verdict.value,
            "blocks": result.blocks,
            "cells": [_cell(finding.row) for finding in result.findings],
            "details": [_details(finding) for finding in result.findings],
            "base": _side(result.base),
            "head": _side(result.head),
            "differences": [_difference(difference) for difference in result.differences],
            "problems": result.problems,
            "run": {
                "id": result.run_id,
                "started": result.started,
                "measured_s": rounded(result.measured_s, _US_DIGITS),
                "status": result.status,
                "dbbench": result.dbbench,
                "server_version": result.server,
            },
        }
    )


def _cell(row: GateRow) -> dict[str, Any]:
    p = number(row.p_adjusted)
    return {
        **{name: getattr(row, name) for name in GateRow.__struct_fields__},  # all of them, in their order
        "loss": rounded(row.loss, _LOSS_DIGITS),
        "loss_low": rounded(row.loss_low, _LOSS_DIGITS),
        "loss_high": rounded(row.loss_high, _LOSS_DIGITS),
        "p_adjusted": None if p is None else float(f"{p:.{_P_DIGITS}g}"),
        "verdict": row.verdict.value,
    }


def _details(finding: Finding) -> dict[str, Any]:
    return {
        "params": finding.row.params,
        "tolerance": rounded(finding.tolerance, _LOSS_DIGITS),
        "base_us": rounded(finding.base_us, _US_DIGITS),
        "head_us": rounded(finding.head_us, _US_DIGITS),
        "detectable": rounded(finding.detectable, _LOSS_DIGITS),
        "blocks_wanted": finding.blocks_wanted,
        "reason": finding.reason,
        **({"wire": finding.wire} if finding.wire else {}),  # where it was counted
    }


def _side(side: Side) -> dict[str, Any]:
    return {"label": side.label, "python": side.python}


def _difference(difference: Difference) -> dict[str, Any]:
    return {"package": difference.package, "base": difference.base, "head": difference.head}
