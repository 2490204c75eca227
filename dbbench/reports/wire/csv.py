"""CSV (RFC 4180): a header line, then one line per scenario, layer and driver."""

from typing import Final

from dbbench.choices import Decimal
from dbbench.commands import identity
from dbbench.commands.wire.result import WireResult
from dbbench.records import WireRow
from dbbench.reports.csv_text import table
from dbbench.reports.exported import mean_count

COLUMNS: Final = (
    "scenario", "layer", "driver", "tx_end", "operations", "round_trips", "messages_sent", "messages_received",
    "bytes_sent", "bytes_received", "prepares_per_100", "connect_round_trips",
    "params", "fewest_round_trips", "most_round_trips", "first_round_trips",
    *identity.COLUMNS,
)  # fmt: skip


def report(result: WireResult, *, decimal: Decimal = "point") -> str:
    """Write the columns; all numbers but those of connects are per operation."""
    return table(COLUMNS, (record(row, result.identity) for row in result.rows), decimal)


def record(row: WireRow, of_run: identity.Identity) -> dict[str, str | float]:
    """The columns of a row, in their order; a mean that is whole is an int."""
    return {
        "scenario": row.scenario,
        "layer": row.layer,
        "driver": row.driver,
        "tx_end": row.tx_end,
        "operations": row.operations,
        "round_trips": mean_count(row.round_trips),
        "messages_sent": mean_count(sum(row.sent.values())),
        "messages_received": mean_count(sum(row.received.values())),
        "bytes_sent": mean_count(row.bytes_sent),
        "bytes_received": mean_count(row.bytes_received),
        "prepares_per_100": mean_count(row.prepares_per_100),
        "connect_round_trips": row.connect.round_trips,
        "params": row.params,
        "fewest_round_trips": row.spread[0],
        "most_round_trips": row.spread[1],
        "first_round_trips": row.first.round_trips,
        **of_run.columns(row.driver),
    }
