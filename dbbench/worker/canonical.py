"""The result of an operation as lines, which are equal if and only if two drivers returned equal values and types.

What counts is the value: Decimal 1E+4 is Decimal 10000, a range of one driver is that of another, an instant is the
same in any time zone. A line is `path: type value`; analysis/differences.py reads them and says how two results differ.
"""

import dataclasses
import datetime
import decimal
import enum
import hashlib
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, Final

from dbbench.errors import ScenarioError
from dbbench.wording import storable

_OF_A_ROW: Final = ("__len__", "__iter__", "__getitem__")
_OF_A_RANGE: Final = ("lower", "upper", "lower_inc", "upper_inc", "isempty")
_PLAIN: Final = frozenset(  # what most values are: they need no look at what else they might be
    {bool, bytes, datetime.date, datetime.datetime, decimal.Decimal, float, int, str, uuid.UUID, type(None)}
)
MOST_LINES: Final = 2_000_000  # of a result: 100,000 rows of 20 columns
_LONGEST: Final = 1000  # characters of a value in a line; a digest stands for the rest


def lines(value: Any, path: str = "result", _above: tuple[Any, ...] = ()) -> Iterator[str]:
    """A line for each part of a value: rows, mapped objects, dataclasses, collections, other objects, scalars.

    Raises ScenarioError for what has to be read first, as a cursor or a generator has: there is nothing to compare.
    """
    if type(value) in _PLAIN:
        yield f"{path}: {_scalar(value)}"
        return
    if any(value is each for each in _above):
        yield f"{path}: an object that contains itself"
        return
    parts = _parts(value)
    if parts is None:
        yield f"{path}: {_scalar(value)}"
        return
    head, items = parts
    if head:
        yield f"{path}: {head}"
    for name, item in items:
        yield from lines(item, f"{path}{name}", (*_above, value))


def limited(found: Iterator[str]) -> list[str]:
    """The lines of a result; raises ScenarioError where they are too many to be compared, or without end."""
    made = list(islice(found, MOST_LINES + 1))
    if len(made) > MOST_LINES:
        raise ScenarioError(
            f"the operation returned more than {MOST_LINES:,} values, or has no end of them",
            "return less of what it reads",
        )
    return made


def _parts(value: Any) -> tuple[str, Iterable[tuple[str, Any]]] | None:  # noqa: PLR0911 - one for each kind
    """What a value consists of, as a line for the whole and (name, part) pairs; None for a scalar."""
    kind = type(value)
    if (mapper := getattr(kind, "__mapper__", None)) is not None:
        return "", [(f".{each.key}", getattr(value, each.key)) for each in mapper.column_attrs]
    if dataclasses.is_dataclass(value) and not isinstance(value, type) and not _is_range(value):
        return "", [(f".{field.name}", getattr(value, field.name)) for field in dataclasses.fields(value)]
    if isinstance(value, Mapping):
        keys = sorted(islice(value, MOST_LINES + 1), key=_key)
        return f"{len(keys)} keys", [(f"[{_key(key)}]", value[key]) for key in keys]
    if isinstance(value, set | frozenset):
        return None
    if hasattr(kind, "__next__") or hasattr(kind, "__anext__"):
        raise ScenarioError(
            f"the operation returned a {kind.__name__} that nobody has read",
            "return what it gives, as .all() or a list",
        )
    if _is_sequence(value):
        return f"{len(value)} values", ((f"[{number}]", item) for number, item in enumerate(value))
    if _has_no_text(kind) and hasattr(value, "__dict__"):  # its text would be its address
        return kind.__name__, [(f".{name}", each) for name, each in vars(value).items() if not name.startswith("_")]
    return None


def _is_sequence(value: Any) -> bool:
    """Whether a value is compared item by item: any driver's row is, text is not.

    A driver's own row type need not be a Sequence (asyncpg's is not), so its methods decide.
    """
    if isinstance(value, str | bytes | bytearray | memoryview | enum.Enum):  # an enum's class has a length
        return False
    return isinstance(value, Sequence) or all(hasattr(type(value), name) for name in _OF_A_ROW)


def _has_no_text(kind: Any) -> bool:
    return kind.__repr__ is object.__repr__ and kind.__str__ is object.__str__


def _is_range(value: Any) -> bool:
    """Whether it is a range of a driver or of SQLAlchemy: each has a type of its own, and all look alike."""
    return all(hasattr(type(value), name) or hasattr(value, name) for name in _OF_A_RANGE)


def _key(key: Any) -> str:
    """A mapping's key in a path."""
    return repr(key) if isinstance(key, str) else _scalar(key)


def _scalar(value: Any) -> str:
    """`type value` on one line; a driver may return a subclass, and what counts is what a caller can rely on."""
    if type(value) not in _PLAIN:
        if isinstance(value, set | frozenset):
            return f"set {sorted('; '.join(lines(item, '')) for item in islice(value, MOST_LINES + 1))}"
        if _is_range(value):
            return f"range {_range(value)}"
    kind, text = _typed(value)
    if len(text) > _LONGEST:
        digest = hashlib.sha256(text.encode(errors="backslashreplace")).hexdigest()[:16]
        text = f"{text[:_LONGEST]}... ({len(text)} characters, digest {digest})"
    return f"{kind} {text}"


def _typed(value: Any) -> tuple[str, str]:  # noqa: C901, PLR0911, PLR0912 - one case for each type
    match value:
        case bool():
            return "bool", str(value)
        case int():
            return "int", int.__repr__(value)
        case float():
            return "float", float.__repr__(value + 0.0)  # -0.0 equals 0.0
        case str():
            return "str", repr(str.__str__(value))
        case bytes() | bytearray() | memoryview():
            return "bytes", repr(bytes(value))
        case decimal.Decimal():
            return "Decimal", _plain(value)
        case uuid.UUID():
            return "UUID", str(value)
        case datetime.datetime():
            return "datetime", _instant(value)
        case datetime.date():
            return "date", value.isoformat()
        case datetime.time():
            return "time", _time(value)
        case datetime.timedelta():
            return "timedelta", str(value)
        case enum.Enum():
            return type(value).__name__, value.name
    name = type(value).__name__
    if name == "BitString" and hasattr(value, "as_string"):  # asyncpg's
        return name, value.as_string().replace(" ", "")
    return name, storable(str(value)).replace("\n", "\\n")


def _plain(value: decimal.Decimal) -> str:
    """A number without exponent or trailing zeros: 1E+4, 10000 and 10000.00 are one value."""
    text = format(value, "f")
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return "0" if text == "-0" else text


def _instant(value: datetime.datetime) -> str:
    """An instant in UTC, whatever the time zone it came in; or a date and time without a time zone, as it is."""
    if value.tzinfo is None:
        return value.isoformat()
    try:
        return value.astimezone(datetime.UTC).isoformat()
    except OverflowError:  # at the ends of the calendar, where some drivers put infinity
        return f"{value.replace(tzinfo=None).isoformat()}+00:00"


def _time(value: datetime.time) -> str:
    """A time of day; with a time zone, as time since midnight in UTC, by which Python compares them."""
    offset = value.utcoffset()
    if offset is None:
        return value.isoformat()
    since_midnight = datetime.timedelta(
        hours=value.hour, minutes=value.minute, seconds=value.second, microseconds=value.microsecond
    )
    return f"{since_midnight - offset}+00:00"


def _range(value: Any) -> str:
    if value.isempty() if callable(value.isempty) else value.isempty:
        return "empty"
    low, high = ("" if end is None else _scalar(end) for end in (value.lower, value.upper))
    return f"{'[' if value.lower_inc else '('}{low}, {high}{']' if value.upper_inc else ')'}"
