"""The result of an operation as lines, which are equal if and only if two drivers returned equal values and types."""

import dataclasses
import datetime
import decimal
import uuid
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

# A driver may return a subclass (asyncpg has its own UUID): what counts is the type that a caller can rely on.
_SCALARS: Final[tuple[type, ...]] = (bool, int, float, str, bytes, decimal.Decimal, uuid.UUID)
_OF_A_ROW: Final = ("__len__", "__iter__", "__getitem__")


def lines(value: Any, path: str = "result") -> Iterator[str]:
    """A line `path: type value` for each part of a value: rows, mapped objects, dataclasses, collections, scalars."""
    if (mapper := getattr(type(value), "__mapper__", None)) is not None:
        for attribute in mapper.column_attrs:
            yield from lines(getattr(value, attribute.key), f"{path}.{attribute.key}")
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        for field in dataclasses.fields(value):
            yield from lines(getattr(value, field.name), f"{path}.{field.name}")
    elif isinstance(value, Mapping):
        for key in sorted(value, key=str):
            yield from lines(value[key], f"{path}[{key!r}]")
    elif isinstance(value, set | frozenset):
        yield f"{path}: set {sorted(map(_scalar, value))}"
    elif _is_sequence(value):
        yield f"{path}: {len(value)} values"
        for number, item in enumerate(value):
            yield from lines(item, f"{path}[{number}]")
    else:
        yield f"{path}: {_scalar(value)}"


def _is_sequence(value: Any) -> bool:
    """Whether a value is compared item by item: any driver's row is, text is not.

    A driver's own row type need not be a Sequence (asyncpg's is not), so its methods decide.
    """
    if isinstance(value, str | bytes | bytearray | memoryview):
        return False
    return isinstance(value, Sequence) or all(hasattr(type(value), name) for name in _OF_A_ROW)


def _scalar(value: Any) -> str:
    match value:
        case datetime.datetime(tzinfo=None):
            return f"datetime {value.isoformat()}"
        case datetime.datetime():
            # Some drivers return an instant in UTC, others in the session's time zone.
            return f"datetime {value.astimezone(datetime.UTC).isoformat()}"
        case memoryview() | bytearray():
            return f"bytes {bytes(value)!r}"
    for kind in _SCALARS:
        if isinstance(value, kind):
            return f"{kind.__name__} {kind(value) if kind is not uuid.UUID else value!s}"
    return f"{type(value).__name__} {value!r}"
