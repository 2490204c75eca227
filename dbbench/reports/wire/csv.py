"""CSV (RFC 4180): a header line, then one line per scenario, layer and driver."""

from typing import Final

from dbbench.commands.wire.result import WireResult, WireRow
from dbbench.reports.csv_text import table

COLUMNS: Final = (
    "scenario", "layer", "driver", "tx_end", "operations", "round_trips", "messages_sent", "messages_received",
    "bytes_sent", "bytes_received", "prepares_per_100", "connect_round_trips",
    "params", "fewest_round_trips", "most_round_trips", "first_round_trips",
)  # fmt: skip
_DIGITS: Final = 4


def report(result: WireResult) -> str:
    """Write the columns; all numbers but those of connects are per operation."""
    return table(COLUMNS, map(_neutral, map(record, result.rows)))


def record(row: WireRow) -> dict[str, str | float]:
    """Give the columns of a row, in their order; a mean that is whole is an int."""
    return {
        "scenario": row.scenario,
        "layer": row.layer,
        "driver": row.driver,
        "tx_end": row.tx_end,
        "operations": row.operations,
        "round_trips": plain(row.round_trips),
        "messages_sent": plain(sum(row.sent.values())),
        "messages_received": plain(sum(row.received.values())),
        "bytes_sent": plain(row.bytes_sent),
        "bytes_received": plain(row.bytes_received),
        "prepares_per_100": plain(row.prepares_per_100),
        "connect_round_trips": row.connect.round_trips,
        "params": row.params,
        "fewest_round_trips": row.spread[0],
        "most_round_trips": row.spread[1],
        "first_round_trips": row.first.round_trips,
    }


def plain(value: float) -> float:
    """Round, to an int where that is all: 3, not 3.0."""
    rounded = round(value, _DIGITS)
    return int(rounded) if rounded == int(rounded) else rounded


def _neutral(fields: dict[str, str | float]) -> dict[str, str | float]:
    """Replace what UTF-8 cannot encode: half a surrogate pair, from a name of undecodable bytes."""
    return {
        name: value.encode(errors="replace").decode() if isinstance(value, str) else value
        for name, value in fields.items()
    }
