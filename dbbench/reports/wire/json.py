"""JSON: everything that was counted in one document, with the lines of the CSV as its cells.

ASCII only: whatever a name contains, the document can be printed anywhere and commands no terminal.
"""

from collections.abc import Mapping
from typing import Any

from dbbench.commands.wire.explain import explanations
from dbbench.commands.wire.result import WireResult
from dbbench.records import WireRow
from dbbench.reports.exported import mean_count
from dbbench.reports.json_text import SCHEMA, ascii_text
from dbbench.reports.wire.csv import record
from dbbench.reports.wire.words import cells


def report(result: WireResult) -> str:
    """Write one document; the messages and statements of a cell are per operation."""
    return ascii_text(
        {
            "schema": SCHEMA,
            "wire": {
                "tx_end": result.tx_end,
                "pool_pre_ping": result.pool_pre_ping,
                "null_pool": result.null_pool,
                "settings": result.settings,
                "run": result.identity.run,
                "started": result.identity.started,
                "dbbench": result.identity.dbbench,
                "versions": result.identity.drivers,
                "server": result.identity.server,
                "status": result.status,
                "problems": result.problems,
            },
            "cells": [_cell(row, rows, result) for rows in cells(result) for row in rows],
        }
    )


def _cell(row: WireRow, neighbours: list[WireRow], result: WireResult) -> dict[str, Any]:
    return {
        **record(row, result.identity),
        "sent": _counts(row.sent),
        "received": _counts(row.received),
        "statements": _counts(row.statements),
        "connect_statements": row.connect_statements,
        "first_statements": _counts(row.first.statements),
        "first_only": row.first_only,
        "explanations": explanations(row, neighbours),
    }


def _counts(counted: Mapping[str, float]) -> dict[str, float]:
    return {name: mean_count(mean) for name, mean in counted.items()}
