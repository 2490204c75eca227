"""JSON: everything that was counted in one document, with the lines of the CSV as its cells.

ASCII only: whatever a name contains, the document can be printed anywhere and commands no terminal.
"""

from collections.abc import Mapping
from typing import Any, Final

from dbbench.commands.wire.explain import explanations
from dbbench.commands.wire.result import WireResult, WireRow
from dbbench.reports.gate.json import text
from dbbench.reports.wire.csv import plain, record
from dbbench.reports.wire.words import cells

SCHEMA: Final = 1  # of this document


def report(result: WireResult) -> str:
    """Write one document; the messages and statements of a cell are per operation."""
    return text(
        {
            "schema": SCHEMA,
            "wire": {
                "tx_end": result.tx_end,
                "pool_pre_ping": result.pool_pre_ping,
                "settings": result.settings,
                "versions": result.versions,
                "server": result.server,
                "problems": result.problems,
            },
            "cells": [_cell(row, rows) for rows in cells(result) for row in rows],
        }
    )


def _cell(row: WireRow, neighbours: list[WireRow]) -> dict[str, Any]:
    return {
        **record(row),
        "sent": _counts(row.sent),
        "received": _counts(row.received),
        "statements": _counts(row.statements),
        "connect_statements": row.connect_statements,
        "explanations": explanations(row, neighbours),
    }


def _counts(counted: Mapping[str, float]) -> dict[str, float]:
    return {name: plain(number) for name, number in counted.items()}
