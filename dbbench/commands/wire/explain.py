"""Sentences that explain a row's number of round trips: from the counts alone, never from a driver's name."""

from collections.abc import Iterator, Sequence
from typing import Final

from dbbench.commands.wire.counting import EMPTY
from dbbench.records import TraceLine, WireRow
from dbbench.wording import count, listed

MAX_SENTENCES: Final = 3  # about a row

_BEGINS: Final = ("BEGIN", "START TRANSACTION")
_ENDS: Final = ("COMMIT", "ROLLBACK")
_WRITES: Final = ("INSERT", "UPDATE", "DELETE", "MERGE")
_MANY: Final = 10  # statements or rows in one operation from which on a sentence mentions their number
_NO_TABLES: Final = "SELECT 1"  # the check of pools that send no empty statement


def explanations(row: WireRow, neighbours: Sequence[WireRow]) -> list[str]:
    """At most 3 sentences on what the row's round trips are for, those that explain most first.

    `neighbours` are the rows of other drivers in the same scenario and layer; the row itself may be among them.
    """
    others = [one for one in neighbours if one.driver != row.driver]
    return list(_sentences(row, others))[:MAX_SENTENCES]


def first_operation(row: WireRow) -> str:
    """What the first operation on a new connection does beyond the others, where it costs round trips; else empty."""
    first, (fewest, most) = row.first, row.spread
    if fewest <= first.round_trips <= most or not first.round_trips:
        return ""
    usual = amount(row.round_trips)
    more = [
        f"{amount(number - row.statements.get(name, 0.0))} {name}"
        for name, number in first.statements.items()
        if number > row.statements.get(name, 0.0)
    ]
    said = f"The first operation on a new connection takes {amount(first.round_trips)} round trips instead of {usual}"
    return f"{said} ({listed(more)} more)" if more else said


def amount(value: float) -> str:
    """A count as text: 3, 1,000, 2.4; a small one is <0.01, never 0."""
    text = f"{value:,.2f}".rstrip("0").rstrip(".") or "0"
    return "<0.01" if text == "0" and value else text


def _sentences(row: WireRow, others: Sequence[WireRow]) -> Iterator[str]:
    yield from _transaction(row)
    yield from _ping(row)
    yield from _reset(row)
    yield from _prepare_alone(row)
    yield from _forgotten(row, others)
    yield from _many(row)
    yield from _copy(row)
    yield from _simple(row, others)
    yield from _spread(row)


def _transaction(row: WireRow) -> Iterator[str]:
    begins, ends = ([name for name in names if row.statements.get(name)] for names in (_BEGINS, _ENDS))
    number = sum(row.statements[name] for name in (*begins, *ends))
    if not begins or not ends or number > row.round_trips:
        return
    verb = "are a round trip each" if number > 1 else "cost round trips"
    said = f"{listed([*begins, *ends])} {verb}: {amount(number)} of {amount(row.round_trips)} go into transactions"
    avoidable = row.layer != "app" and row.tx_end != "autocommit" and row.tx_end.upper() in ends
    yield f"{said}; --tx-end autocommit does without them." if avoidable else f"{said}."


def _ping(row: WireRow) -> Iterator[str]:
    """A pool's check is an empty statement, or a statement without a table before the transaction begins."""
    if row.statements.get(EMPTY):
        yield f"The pool checks before each checkout whether a connection is alive (pre-ping): {_ping_cost(row.trace)}."
        return
    asked = [line.detail for line in row.trace if line.from_client and line.kind == "Query"]
    if row.trace[0:1] and row.trace[0].detail == _NO_TABLES and asked[1:2] == ["BEGIN"]:
        yield "The pool checks before each checkout whether a connection is alive (pre-ping): a round trip."


def _reset(row: WireRow) -> Iterator[str]:
    if row.statements.get("UNLISTEN") and row.statements.get("RESET"):
        yield (
            "The pool resets a connection when it comes back "
            "(SELECT pg_advisory_unlock_all(), CLOSE ALL, UNLISTEN, RESET ALL): one more round trip."
        )


def _prepare_alone(row: WireRow) -> Iterator[str]:
    flushes, parses = row.sent.get("Flush", 0), row.sent.get("Parse", 0)
    if not flushes or not parses:
        return
    if flushes < 1:
        yield f"In {amount(100 * flushes)} of 100 operations a statement is prepared, in a round trip of its own."
        return
    said = (
        f"Statements are not kept: {amount(flushes)} of {amount(row.round_trips)} round trips "
        f"only {'prepares' if flushes == 1 else 'prepare'} one (Parse, Describe, Flush)"
    )
    if closes := row.received.get("CloseComplete", 0):
        yield f"{said}, and {amount(closes)} {'closes' if closes == 1 else 'close'} the one before."
    elif parses > flushes:
        yield f"{said}; including those in other round trips, there are {amount(parses)} Parse per operation."
    else:
        yield f"{said}."


def _forgotten(row: WireRow, others: Sequence[WireRow]) -> Iterator[str]:
    if row.sent.get("Flush"):
        return
    if row.statements.get("DEALLOCATE ALL"):
        yield (
            "Its prepared statements are forgotten at ROLLBACK: DEALLOCATE ALL is one more round trip, "
            "and the next operation prepares them again."
        )
        return
    parses = row.sent.get("Parse", 0)
    prepared = [one.driver for one in others if one.sent.get("Bind") and not one.sent.get("Parse")]
    if parses < 1 or not prepared:
        return
    said = f"{amount(parses)} Parse per operation, within other round trips, where {prepared[0]} needs none"
    switched_off = [name for name, value in row.settings.items() if value is None]
    if switched_off:
        yield f"{said}: {switched_off[0]}=none, so that nothing is prepared."
    elif row.statements.get("ROLLBACK") and row.tx_end == "rollback":
        yield f"{said}: prepared statements do not outlive its ROLLBACK."
    else:
        yield f"{said}."


def _many(row: WireRow) -> Iterator[str]:
    """Many statements, or many rows in a statement."""
    for name in _WRITES:
        number = row.statements.get(name, 0)
        if number >= _MANY and row.round_trips <= number / 2:
            trips = len({line.round_trip for line in row.trace if _tag(line) == name})
            where = f", all in {count(trips, 'round trip')} (pipeline)" if trips else ""
            yield f"Each of {amount(number)} {name} statements is sent as messages of its own{where}."
        elif number >= _MANY:
            yield f"Each of {amount(number)} {name} statements is a round trip: nothing is pipelined."
        elif number and (rows := _rows_of(row.trace, name)) >= _MANY:
            yield f"{amount(number)} {name} {_plural(number)} of up to {rows:,} rows."


def _copy(row: WireRow) -> Iterator[str]:
    if messages := row.sent.get("CopyData", 0):
        yield (
            "COPY counts as two round trips, one to begin and one to end it, though a client may send data before the "
            f"answer to the first; here that is {amount(messages)} CopyData message{'' if messages == 1 else 's'}."
        )


def _simple(row: WireRow, others: Sequence[WireRow]) -> Iterator[str]:
    if row.sent.get("Query") and not row.sent.get("Bind") and any(one.sent.get("Bind") for one in others):
        if set(row.statements) <= {*_BEGINS, *_ENDS, "COPY", EMPTY}:
            return
        yield "Values are part of the SQL (Query, the simple protocol): nothing is prepared, all is parsed anew."


def _spread(row: WireRow) -> Iterator[str]:
    fewest, most = row.spread
    if fewest != most:
        yield f"Not every operation is the same: {fewest:,} to {most:,} round trips."


# --- reading a trace -------------------------------------------------------------------------------------------------


def _ping_cost(trace: Sequence[TraceLine]) -> str:
    """The round trips of an empty statement, in words, including a transaction that some drivers put around it."""
    ended = [(tag, line.round_trip) for line in trace if (tag := _tag(line))]
    for (before, begun), (tag, _), (after, done) in zip(ended, ended[1:], ended[2:], strict=False):
        if (before, tag, after) == ("BEGIN", EMPTY, "ROLLBACK"):
            return f"{done - begun + 1} round trips, with a BEGIN and a ROLLBACK of its own"
    return "a round trip"


def _tag(line: TraceLine) -> str:
    """The statement that ends with this message, as the first word of its tag, or an empty text."""
    if line.from_client or line.kind not in ("CommandComplete", "EmptyQueryResponse"):
        return ""
    return EMPTY if line.kind == "EmptyQueryResponse" else line.detail.partition(" ")[0]


def _rows_of(trace: Sequence[TraceLine], name: str) -> int:
    """The number of rows of the largest statement of the kind, from its tag: INSERT 0 1000."""
    rows = [line.detail.rpartition(" ")[2] for line in trace if _tag(line) == name]
    return max((int(number) for number in rows if number.isascii() and number.isdecimal()), default=0)


def _plural(number: float) -> str:
    return "statement" if number == 1 else "statements"
