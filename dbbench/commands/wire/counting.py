"""From the messages of an operation to counts: round trips, messages, statements, prepares.

A round trip is counted where the protocol makes the client wait: where its last message demands an answer, and the
answer is complete before the client sends anything else.

- Query, FunctionCall and Sync are answered by ReadyForQuery.
- Flush is answered by the answers to everything that was sent before it, or by ErrorResponse. A Flush right after a
  Sync demands nothing more. psycopg sends one or not, depending on a race in it, so it is not counted at all.
- StartupMessage and each message of the log-in are answered by the next Authentication message (or ErrorResponse);
  what follows, until ReadyForQuery, belongs to the same round trip.
- SSLRequest and GSSENCRequest are answered by one byte, which is not a message, before anything else may be sent.
- COPY ... FROM STDIN is two round trips, whenever its data passes: one until CopyInResponse, and one until
  ReadyForQuery. asyncpg does not wait for the first of them, but whether its data passes before or after
  CopyInResponse is a matter of nanoseconds, and a count must be the same each time.

Bind, Execute and CopyData demand nothing. So in a pipeline, where messages pass in both directions at any time, the
client's wait at the end is one round trip, however its messages interleave with the answers. NoticeResponse,
NotificationResponse and ParameterStatus answer nothing.
"""

import re
from collections import Counter, deque
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple

from dbbench.plan import Layer, TxEnd
from dbbench.records import TRACE_BYTES, TRACE_LINES, Exchange, TraceLine, WireRow, clean
from dbbench.relay.frame import Frame

EMPTY: Final = "(empty)"
"""Stands for a statement without any SQL, which pools send to check whether a connection is alive."""

PORTION: Final = "(portion)"
"""Stands for an Execute that ended at its row limit and has no tag, as in asyncpg's fetchrow()."""

_NUMBERS: Final = re.compile(r"( \d+)+$")
_READY: Final = frozenset({"Query", "FunctionCall", "Sync", "StartupMessage"})  # each is answered by one ReadyForQuery
_WAITED_FOR: Final = frozenset({"Query", "FunctionCall", "Sync"})
_LOGIN: Final = frozenset({
    "StartupMessage", "PasswordMessage", "SASLInitialResponse", "SASLResponse", "GSSResponse",
})  # fmt: skip
_ONE_BYTE: Final = frozenset({"SSLRequest", "GSSENCRequest"})
_COPY_ENDS: Final = frozenset({"CopyDone", "CopyFail"})
_LAST_ANSWERS: Final[Mapping[str, frozenset[str]]] = {  # message of the extended protocol -> what completes its answer
    "Parse": frozenset({"ParseComplete"}),
    "Bind": frozenset({"BindComplete"}),
    "Describe": frozenset({"RowDescription", "NoData"}),  # after ParameterDescription
    "Execute": frozenset({"CommandComplete", "EmptyQueryResponse", "PortalSuspended"}),
    "Close": frozenset({"CloseComplete"}),
}


# --- counts of the messages ------------------------------------------------------------------------------------------


def exchange(frames: Sequence[Frame]) -> Exchange:
    """Count the messages; `frames` are in the order in which they passed, from any number of connections."""
    steps = [step for step in _steps(frames) if not step.idle]
    sent = [step.frame for step in steps if step.frame.from_client]
    received = [step.frame for step in steps if not step.frame.from_client]
    return Exchange(
        round_trips=max((step.round_trip for step in steps), default=0),
        sent=_counts(frame.kind for frame in sent),
        received=_counts(frame.kind for frame in received),
        bytes_sent=sum(frame.size for frame in sent),
        bytes_received=sum(frame.size for frame in received),
        statements=_counts(filter(None, map(_statement, received))),
        prepares=sum(frame.kind == "Parse" for frame in sent),
    )


def trace(frames: Sequence[Frame]) -> list[TraceLine]:
    """The first TRACE_LINES messages, each with the number of its round trip and the beginning of its text."""
    return [
        TraceLine(
            from_client=frame.from_client,
            kind=frame.kind,
            size=frame.size,
            round_trip=number,
            detail=_beginning(frame.text or frame.name),
        )
        for frame, number, _ in _steps(frames)[:TRACE_LINES]
    ]


def _beginning(text: str) -> str:
    """As much of the text, on one line, as a trace keeps."""
    return clean(text).encode(errors="replace")[:TRACE_BYTES].decode(errors="ignore")


def connect_statements(frames: Iterable[Frame]) -> list[str]:
    """The SQL that a client sent, in order."""
    return [frame.text for frame in frames if frame.from_client and frame.kind in ("Query", "Parse")]


def row(
    *,
    arm: str,
    scenario: str,
    layer: Layer,
    params: str,
    driver: str,
    tx_end: TxEnd,
    exchanges: Sequence[Exchange],
    connect: Exchange,
    connect_statements: Sequence[str],
    first: Exchange,
    trace: Sequence[TraceLine],
) -> WireRow:
    """Make a row of the means over the operations that were counted.

    Raises ValueError without any operation.
    """
    if not exchanges:
        raise ValueError("no operation was counted")
    trips = [one.round_trips for one in exchanges]
    return WireRow(
        arm=arm,
        scenario=scenario,
        layer=layer,
        params=params,
        driver=driver,
        tx_end=tx_end,
        operations=len(exchanges),
        round_trips=_mean(trips),
        sent=_means([one.sent for one in exchanges]),
        received=_means([one.received for one in exchanges]),
        bytes_sent=_mean([one.bytes_sent for one in exchanges]),
        bytes_received=_mean([one.bytes_received for one in exchanges]),
        statements=_means([one.statements for one in exchanges]),
        prepares_per_100=100 * sum(one.prepares for one in exchanges) / len(exchanges),
        spread=(min(trips), max(trips)),
        connect=connect,
        connect_statements=list(connect_statements),
        first=first,
        trace=list(trace),
    )


def _statement(frame: Frame) -> str:
    """The name of the statement that ends with this message, or an empty text."""
    match frame.kind:
        case "CommandComplete":
            return _NUMBERS.sub("", frame.text)
        case "ErrorResponse":
            return f"ERROR {frame.text}".rstrip()
        case "EmptyQueryResponse":
            return EMPTY
        case "PortalSuspended":
            return PORTION
    return ""


def _counts(names: Iterable[str]) -> dict[str, int]:
    return dict(Counter(names))


def _means(counts: Sequence[Mapping[str, int]]) -> dict[str, float]:
    """The mean count by name, in order of first appearance; a name missing from an operation counts as 0."""
    names = dict.fromkeys(name for one in counts for name in one)
    return {name: _mean([one.get(name, 0) for one in counts]) for name in names}


def _mean(values: Sequence[int]) -> float:
    return sum(values) / len(values)


# --- where the client waits ------------------------------------------------------------------------------------------


class _Step(NamedTuple):
    """One message and its round trip."""

    frame: Frame
    round_trip: int  # see TraceLine
    idle: bool  # a Flush that demands nothing


class _Trip:
    """A round trip that has begun; it gets its number when all messages are known."""

    def __init__(self) -> None:
        self.complete = False


def _steps(frames: Sequence[Frame]) -> list[_Step]:
    """All messages with their round trips, which are numbered in the order in which they began."""
    conversations: dict[int, _Conversation] = {}
    passed: list[tuple[Frame, _Trip | None, bool]] = []
    for frame in frames:
        conversation = conversations.setdefault(frame.connection, _Conversation())
        idle = conversation.is_idle(frame)
        passed.append((frame, conversation.trip_of(frame, idle=idle), idle))
    began = dict.fromkeys(trip for _, trip, _ in passed if trip and trip.complete)
    numbers = {trip: number for number, trip in enumerate(began, start=1)}
    return [_Step(frame, numbers.get(trip, 0) if trip else 0, idle) for frame, trip, idle in passed]


class _Conversation:
    """One connection: which answers the server still owes, and whether the client waits for them."""

    def __init__(self) -> None:
        self._trip: _Trip | None = None  # the current round trip, or else the last one
        self._owed: deque[str] = deque()  # messages of the client without a complete answer, the oldest first
        self._asked = False  # since the last Sync there was a message whose answer a Flush could demand
        self._waits = False  # the last message demands an answer
        self._logs_in = False  # the last message was part of the log-in and has no answer yet
        self._copies = False  # a Query has begun COPY FROM STDIN
        self._copies_extended = False  # an Execute has, and the server is reading
        self._skips = False  # after an error the server answers nothing before the next Sync

    def is_idle(self, frame: Frame) -> bool:
        """Whether the message is a Flush with nothing to answer, judged by the client's messages, not by timing."""
        return frame.from_client and frame.kind == "Flush" and not self._asked

    def trip_of(self, frame: Frame, *, idle: bool) -> _Trip | None:
        """Process the message and return its round trip."""
        if idle:
            return self._trip
        completes = self._sent(frame.kind) if frame.from_client else self._received(frame.kind)
        if (frame.from_client or completes) and (self._trip is None or self._trip.complete):
            self._trip = _Trip()
        if completes and self._trip:
            self._trip.complete = True
        return self._trip

    def _sent(self, kind: str) -> bool:
        """Process a message of the client; whether it is a complete round trip by itself, including the answer."""
        self._waits = kind in _WAITED_FOR or kind == "Flush"
        self._logs_in = kind in _LOGIN
        if kind in _COPY_ENDS:
            self._copies_extended = False
        elif kind in _READY:
            self._asked = False
            if self._copies_extended:  # the server ignores it
                self._waits = False
            else:
                self._owed.append(kind)
                self._skips = False
        elif kind == "Flush" or kind in _LAST_ANSWERS:
            self._asked = True
            if not self._skips:
                self._owed.append(kind)
        return kind in _ONE_BYTE

    def _received(self, kind: str) -> bool:
        """Process a message of the server; whether it completes the answer that the client waits for."""
        if self._logs_in and (kind.startswith("Authentication") or kind == "ErrorResponse"):
            self._logs_in = False
            return True
        match kind:
            case "ReadyForQuery":
                return self._is_ready()
            case "ErrorResponse":
                return self._failed()
            case "CopyInResponse":
                return self._reads_copy()
        return self._answered(kind)

    def _is_ready(self) -> bool:
        while self._owed and self._owed.popleft() not in _READY:
            pass
        copied, self._copies = self._copies, False
        return copied or self._done()

    def _failed(self) -> bool:
        """Process an ErrorResponse, after which only the next Sync, or the Query that failed, is answered."""
        self._copies_extended = False
        if not self._owed or self._owed[0] in _READY:
            return False
        while self._owed and self._owed[0] not in _READY:
            self._owed.popleft()
        self._skips = not self._owed
        return self._done()

    def _reads_copy(self) -> bool:
        if not self._owed:
            return False
        if self._owed[0] == "Execute":
            self._copies_extended = True
            self._owed = deque(["Execute"])  # not the Sync after it
        else:
            self._copies = True
        return True

    def _answered(self, kind: str) -> bool:
        """Process an answer of the extended protocol; whether it is the last that a Flush demanded."""
        if not self._owed or kind not in _LAST_ANSWERS.get(self._owed[0], ()):
            return False
        self._owed.popleft()
        flushed = False
        while self._owed and self._owed[0] == "Flush":
            self._owed.popleft()
            flushed = True
        return flushed and self._done()

    def _done(self) -> bool:
        """Whether the client was waiting for the answer that is now complete."""
        done = self._waits and not self._owed
        self._waits = self._waits and not done
        return done
