"""The differences between the counts of two sides, for an exact gate: nothing here is estimated."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

import msgspec

from dbbench.commands.wire.explain import amount
from dbbench.records import WireRow

ROUND_TRIPS: Final = "round trips per operation"
STATEMENTS: Final = "statements per operation"
SENT: Final = "messages sent per operation"
RECEIVED: Final = "messages received per operation"
PREPARES: Final = "prepares per 100 operations"
BYTES_SENT: Final = "bytes sent per operation"
BYTES_RECEIVED: Final = "bytes received per operation"

# The server sends these on its own, not as answers.
_UNASKED: Final = ("NoticeResponse", "NotificationResponse", "ParameterStatus")
_MOST_REASONS: Final = 6  # named in a sentence; the others are counted

_Key = tuple[str, str, str, str]


class Change(msgspec.Struct, frozen=True):
    """One difference between the rows of base and head."""

    scenario: str
    layer: str
    params: str
    driver: str
    what: str  # what is counted, in words and with its unit
    base: float | None  # None: base has no such row
    head: float | None
    grew: bool  # head does more; only such a change may fail a gate
    because: str  # other changes, as the reason: "a ROLLBACK was added"; often empty

    @property
    def sentence(self) -> str:
        """The change as text: point_reads, asyncpg, orm: 3 -> 4 round trips per operation: a ROLLBACK was added."""
        where = ", ".join(filter(None, (self.scenario, self.driver, self.layer, self.params)))
        return ": ".join(filter(None, (where, self.difference, self.because)))

    @property
    def counts(self) -> bool:
        """Whether it is about a count, and not about the size of values alone."""
        return self.what not in (BYTES_SENT, BYTES_RECEIVED)

    @property
    def difference(self) -> str:
        """The difference as text, without place and reason."""
        if self.base is None:
            return "counted in head only"
        if self.head is None:
            return "counted in base only"
        if self.base == self.head:
            return f"other {self.what}"
        return f"{amount(self.base)} -> {amount(self.head)} {self.what}"


class _Aspect(msgspec.Struct, frozen=True):
    """One total of a row, and whether anything about it is different."""

    what: str
    base: float
    head: float
    differs: bool

    @property
    def grew(self) -> bool:
        return self.head > self.base and not _same(self.head, self.base)


def changes(base: Sequence[WireRow], head: Sequence[WireRow]) -> list[Change]:
    """All changes, in the order of base's rows and then of those that only head has.

    A row has one change, whose reason is everything else that changed; it has two where it has fewer round trips and
    more of something else. Growth means more round trips, messages, statements or prepares, not more bytes, since the
    size of values varies. A row on one side only is a change without growth.
    """
    bases, heads = ({_key(row): row for row in rows} for rows in (base, head))
    found: list[Change] = []
    for key in dict.fromkeys([*bases, *heads]):
        before, after = bases.get(key), heads.get(key)
        if before is None or after is None:
            trips = [None if row is None else row.round_trips for row in (before, after)]
            found.append(_change(key, ROUND_TRIPS, trips[0], trips[1]))
        else:
            found += _between(before, after)
    return found


def _between(base: WireRow, head: WireRow) -> Iterator[Change]:
    counts = [aspect for aspect in _counts(base, head) if aspect.differs]
    sizes = [aspect for aspect in _sizes(base, head) if aspect.differs]
    reasons = _reasons(base, head)
    grown = [aspect for aspect in counts if aspect.grew]
    trips = next((aspect for aspect in counts if aspect.what == ROUND_TRIPS), None)
    key = _key(base)
    if first := next(iter(grown or counts), None):
        yield _change(key, first.what, first.base, first.head, grew=first.grew, because=reasons)
        if trips and trips is not first:
            yield _change(key, trips.what, trips.base, trips.head)
    elif sizes:
        first, *rest = sizes
        also = ", ".join(f"{amount(one.base)} -> {amount(one.head)} {one.what}" for one in rest)
        yield _change(key, first.what, first.base, first.head, because=also)


def _counts(base: WireRow, head: WireRow) -> Iterator[_Aspect]:
    """The totals, the most important first."""
    yield _aspect(ROUND_TRIPS, base.round_trips, head.round_trips)
    yield _total(STATEMENTS, base.statements, head.statements)
    yield _total(SENT, base.sent, head.sent)
    yield _aspect(PREPARES, base.prepares_per_100, head.prepares_per_100)
    yield _total(RECEIVED, _asked_for(base.received), _asked_for(head.received))


def _sizes(base: WireRow, head: WireRow) -> Iterator[_Aspect]:
    yield _aspect(BYTES_SENT, base.bytes_sent, head.bytes_sent)
    yield _aspect(BYTES_RECEIVED, base.bytes_received, head.bytes_received)


def _reasons(base: WireRow, head: WireRow) -> str:
    """The statements and Parse messages whose number changed, as text; without any, the other messages that changed."""
    parses = [{name: number for name, number in row.sent.items() if name == "Parse"} for row in (base, head)]
    reasons = [*_differences(base.statements, head.statements), *_differences(*parses)]
    reasons = reasons or list(_differences(base.sent, head.sent))
    reasons = reasons or list(_differences(_asked_for(base.received), _asked_for(head.received)))
    more = len(reasons) - _MOST_REASONS
    return ", ".join([*reasons[:_MOST_REASONS], *([f"{more:,} more"] if more > 0 else [])])


def _differences(base: Mapping[str, float], head: Mapping[str, float]) -> Iterator[str]:
    for name in dict.fromkeys([*head, *base]):
        before, after = base.get(name, 0.0), head.get(name, 0.0)
        if _same(before, after):
            continue
        if before and after:
            yield f"{name}: {amount(before)} -> {amount(after)}"
        elif after:
            yield f"{_article(name)} {name} was added" if after == 1 else f"{amount(after)} {name} were added"
        else:
            yield f"{_article(name)} {name} is gone" if before == 1 else f"{amount(before)} {name} are gone"


def _article(name: str) -> str:
    return "an" if name.startswith(("A", "E", "I", "O", "UPDATE", "UNLISTEN")) else "a"


def _asked_for(received: Mapping[str, float]) -> dict[str, float]:
    return {name: number for name, number in received.items() if name not in _UNASKED}


def _total(what: str, base: Mapping[str, float], head: Mapping[str, float]) -> _Aspect:
    """Compare by name and in total: one thing instead of another is a change, but not growth."""
    differs = any(not _same(base.get(name, 0.0), head.get(name, 0.0)) for name in {*base, *head})
    return _Aspect(what, math.fsum(base.values()), math.fsum(head.values()), differs)


def _aspect(what: str, base: float, head: float) -> _Aspect:
    return _Aspect(what, base, head, not _same(base, head))


def _same(one: float, other: float) -> bool:
    """Whether the means are equal; counts are whole, so only their division is inexact."""
    return math.isclose(one, other, rel_tol=1e-12, abs_tol=1e-12)


def _key(row: WireRow) -> _Key:
    return row.scenario, row.layer, row.params, row.driver


def _change(
    key: _Key, what: str, base: float | None, head: float | None, *, grew: bool = False, because: str = ""
) -> Change:
    scenario, layer, params, driver = key
    return Change(scenario, layer, params, driver, what, base, head, grew, because)
