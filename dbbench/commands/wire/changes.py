"""What two countings differ by, for a gate that is exact: nothing here is estimated."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

import msgspec

from dbbench.commands.wire.explain import amount
from dbbench.commands.wire.result import WireRow

ROUND_TRIPS: Final = "round trips per operation"
STATEMENTS: Final = "statements per operation"
SENT: Final = "messages sent per operation"
RECEIVED: Final = "messages received per operation"
PREPARES: Final = "prepares per 100 operations"
BYTES_SENT: Final = "bytes sent per operation"
BYTES_RECEIVED: Final = "bytes received per operation"

# The server sends them when it likes to, not because it was asked.
_UNASKED: Final = ("NoticeResponse", "NotificationResponse", "ParameterStatus")
_MOST_REASONS: Final = 6  # that are named

_Key = tuple[str, str, str, str]


class Change(msgspec.Struct, frozen=True):
    """One thing that head's row has otherwise than base's."""

    scenario: str
    layer: str
    params: str
    driver: str
    what: str  # is counted, in words and with its unit
    base: float | None  # None: the row is not there
    head: float | None
    grew: bool  # head does more; the only thing that may fail a gate
    because: str  # what else changed, as it is the reason: "a ROLLBACK was added"; often empty

    @property
    def sentence(self) -> str:
        """Say it: point_reads, asyncpg, orm: 3 -> 4 round trips per operation: a ROLLBACK was added."""
        where = ", ".join(filter(None, (self.scenario, self.driver, self.layer, self.params)))
        return ": ".join(filter(None, (where, self.difference, self.because)))

    @property
    def difference(self) -> str:
        """Say what is different, without where and why."""
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
    """Give what is different, in the order of base's rows and then of those that only head has.

    One for each row, with the rest as its reason; two, where it has fewer round trips and more of something else. More
    round trips, messages, statements or prepares have grown. Fewer of them have not, nor have bytes: what values take
    differs. A row on one side only is a change that did not grow.
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
    """Give the totals in the order in which they say most."""
    yield _aspect(ROUND_TRIPS, base.round_trips, head.round_trips)
    yield _total(STATEMENTS, base.statements, head.statements)
    yield _total(SENT, base.sent, head.sent)
    yield _aspect(PREPARES, base.prepares_per_100, head.prepares_per_100)
    yield _total(RECEIVED, _asked_for(base.received), _asked_for(head.received))


def _sizes(base: WireRow, head: WireRow) -> Iterator[_Aspect]:
    yield _aspect(BYTES_SENT, base.bytes_sent, head.bytes_sent)
    yield _aspect(BYTES_RECEIVED, base.bytes_received, head.bytes_received)


def _reasons(base: WireRow, head: WireRow) -> str:
    """Name the statements that are more or fewer, and Parse; or else, as nothing better is known, other messages."""
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
    """Compare by name, and sum up: one thing instead of another is a change, and no growth."""
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
