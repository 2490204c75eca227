"""What was counted, in plain words; the same in every report of it that people read.

Whatever comes from data goes through `shown` here, so what these functions give is short, on one line, and UTF-8.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final, Literal, NamedTuple

from dbbench.commands.wire.counting import PORTION
from dbbench.commands.wire.explain import amount, explanations, first_operation
from dbbench.commands.wire.result import WireResult
from dbbench.records import WireRow
from dbbench.reports.text import MAX_TEXT, shown
from dbbench.wording import count

MAX_KINDS: Final = 12  # statements of one operation that are named
MAX_ASKED: Final = 8  # statements at connect that are named
MAX_SQL: Final = 60  # characters of each
MAX_PROBLEMS: Final = 20  # lines; all of them are in the JSON report

NOTE: Final = (
    "counted, not timed: per operation, {on}. A round trip is when the client waits for the server; "
    "a prepare is a Parse message, which has the server parse a statement"
)


class Remark(NamedTuple):
    """A sentence about the rows of one table."""

    kind: Literal["statements", "explanation", "first"]  # which were sent, why a number is what it is, what comes first
    text: str


class Connect(NamedTuple):
    """What one driver does at connect, in one layer."""

    driver: str
    layer: str
    round_trips: str
    messages: str  # sent
    statements: str  # that were asked
    asked: str


def cells(result: WireResult) -> list[list[WireRow]]:
    """Put the rows of the same scenario, layer and parameters together."""
    found: dict[tuple[str, str, str], list[WireRow]] = {}
    for row in result.rows:
        found.setdefault((row.scenario, row.layer, row.params), []).append(row)
    return list(found.values())


def place(row: WireRow) -> tuple[str, list[str]]:
    """Where the row was counted: the scenario, and what else there is to say about it."""
    return shown(row.scenario), [shown(part) for part in (row.layer, row.params) if part]


def per_operation(row: WireRow) -> list[str]:
    """Write the row's numbers: round trips, messages sent and received, bytes sent and received, prepares."""
    return [
        amount(row.round_trips),
        *(amount(sum(messages.values())) for messages in (row.sent, row.received)),
        *(f"{size:,.0f}" for size in (row.bytes_sent, row.bytes_received)),
        amount(row.prepares_per_100),
    ]


def statements(counted: Mapping[str, float]) -> str:
    """List statements: BEGIN, SELECT x 2, ROLLBACK."""
    named = [
        shown(name) if number == 1 else f"{shown(name)} x {amount(number)}"
        for name, number in list(counted.items())[:MAX_KINDS]
    ]
    more = len(counted) - len(named)
    return ", ".join([*named, *([f"{more:,} more"] if more > 0 else [])]) or "none"


def remarks(rows: Sequence[WireRow]) -> Iterator[Remark]:
    """Which statements each driver sent, and why the numbers are what they are; the same only once."""
    for text in _together([(row, f"statements: {statements(row.statements)}") for row in rows]):
        yield Remark("statements", text)
    for text in _together([(row, shown(said, MAX_TEXT)) for row in rows for said in explanations(row, rows)]):
        yield Remark("explanation", text)
    for text in _together([(row, said) for row in rows if (said := _first(row))]):
        yield Remark("first", text)


def _first(row: WireRow) -> str:
    """What the first operation on a new connection does beyond the others, with the SQL that only it sends."""
    said = first_operation(row)
    only = f"; the SQL that only it sends: {_asked(row.first_only)}" if row.first_only else ""
    return shown(f"{said}{only}", MAX_TEXT) if said else ""


def connects(result: WireResult) -> list[Connect]:
    """What happens at connect, each once: it is mostly the same in every scenario."""
    return list(
        dict.fromkeys(
            Connect(
                shown(row.driver),
                shown(row.layer),
                f"{row.connect.round_trips:,}",
                f"{sum(row.connect.sent.values()):,}",
                f"{len(row.connect_statements):,}",
                _asked(row.connect_statements),
            )
            for row in result.rows
        )
    )


def questions(found: Sequence[Connect]) -> Iterator[str]:
    """The SQL that is sent at connect, once for all who send the same."""
    for asked in dict.fromkeys(one.asked for one in found):
        who = dict.fromkeys(f"{one.driver} ({one.layer})" for one in found if one.asked == asked)
        yield f"{', '.join(who)}: {asked}"


def conditions(result: WireResult, file: str = "") -> list[tuple[str, str]]:
    """The settings under which this was counted, and what went wrong, as pairs of a word and a text.

    `file` names the result file.
    """
    operations = sorted({row.operations for row in result.rows})
    facts = [
        ("server", f"PostgreSQL {result.identity.server}" if result.identity.server else ""),
        ("drivers", ", ".join(f"{name} {version}" for name, version in result.identity.drivers.items())),
        ("settings", _settings(result)),
        ("counted", f"{_ends(operations)} each"),
        ("file", file),
        ("note", _note(result) if result.rows else ""),
    ]
    if any(PORTION in row.statements for row in result.rows):
        facts.append(("", f"{PORTION}: an Execute that ended at its row limit, so that no tag names its statement"))
    if result.status not in ("complete", "degraded"):
        facts.append((result.status, result.reason or "the counting did not end"))
    facts += [("problem", problem) for problem in result.problems[:MAX_PROBLEMS]]
    if (more := len(result.problems) - MAX_PROBLEMS) > 0:
        facts.append(("", f"{count(more, 'more problem')} in the JSON report"))
    return [(label, shown(text, MAX_TEXT)) for label, text in facts if text]


def _together(said: Sequence[tuple[WireRow, str]]) -> Iterator[str]:
    for text in dict.fromkeys(text for _, text in said):
        who = dict.fromkeys(shown(row.driver) for row, one in said if one == text)
        yield f"{', '.join(who)}: {text}"


def _asked(sql: Sequence[str]) -> str:
    texts = [shown(" ".join(text.split()), MAX_SQL).rstrip("; ") for text in sql[:MAX_ASKED]]
    more = len(sql) - len(texts)
    return "; ".join([*texts, *([f"and {more:,} more"] if more > 0 else [])]) or "nothing"


def _note(result: WireResult) -> str:
    return NOTE.format(on="with the connection that it opens" if result.null_pool else "on a warm connection")


def _settings(result: WireResult) -> str:
    own = [
        f"{driver}.{name}={'none' if value is None else value}"
        for driver, settings in result.settings.items()
        for name, value in settings.items()
    ]
    pool = [word for word, on in (("NullPool", result.null_pool), ("pre-ping", result.pool_pre_ping)) if on]
    return ", ".join([f"tx-end {result.tx_end}", *pool, *own])


def _ends(operations: Sequence[int]) -> str:
    """The fewest and the most of these numbers, which are in order: 20 operations, 5 to 20 operations."""
    if not operations:
        return count(0, "operation")
    most = count(operations[-1], "operation")
    return most if operations[0] == operations[-1] else f"{operations[0]:,} to {most}"
