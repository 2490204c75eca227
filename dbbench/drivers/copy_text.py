"""COPY's text format, for psycopg2, which leaves it to its users: rows that other drivers write themselves."""

import datetime
import decimal
import ipaddress
import re
import uuid
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

_SPECIAL: Final = re.compile(r"[\\\t\n\r]")
_ESCAPES: Final = str.maketrans({"\\": r"\\", "\t": r"\t", "\n": r"\n", "\r": r"\r"})
_IN_ARRAY: Final = str.maketrans({"\\": r"\\", '"': r"\""})
_IN_ROW: Final = str.maketrans({"\\": r"\\", '"': '""'})


def copy_text(rows: Iterable[Sequence[object]]) -> str:
    """The rows, a line each; raises TypeError for a value that has no text of its own, as a dict has none."""
    return "".join(["\t".join([_field(value) for value in row]) + "\n" for row in rows])


def _field(value: Any) -> str:
    """A value as COPY has it: NULL has a mark of its own, and what separates values is escaped."""
    if value is None:
        return r"\N"
    text = _WRITERS[type(value)](value)
    return text.translate(_ESCAPES) if _SPECIAL.search(text) else text


def _array(value: Sequence[Any]) -> str:
    """A list as an array: {1,NULL,"a b"}."""
    return f"{{{','.join(map(_element, value))}}}"


def _element(value: Any) -> str:
    if value is None:
        return "NULL"
    text: str = _WRITERS[type(value)](value)
    return text if isinstance(value, list) else f'"{text.translate(_IN_ARRAY)}"'


def _row(value: Sequence[Any]) -> str:
    """A tuple as a composite value: (1,,"a b")."""
    fields = ("" if each is None else f'"{_WRITERS[type(each)](each).translate(_IN_ROW)}"' for each in value)
    return f"({','.join(fields)})"


def _interval(value: datetime.timedelta) -> str:
    return f"{value.days} days {value.seconds}.{value.microseconds:06d} seconds"


def _range(value: Any) -> str:
    """A range of psycopg2: [1,5), an end that is not there left out."""
    if value.isempty:
        return "empty"
    low, high = (
        "" if end is None else f'"{_WRITERS[type(end)](end).translate(_IN_ARRAY)}"'
        for end in (value.lower, value.upper)
    )
    return f"{'[' if value.lower_inc else '('}{low},{high}{']' if value.upper_inc else ')'}"


class _Writers(dict[type, Callable[[Any], str]]):
    """Type -> the function that writes its values; subclasses are written as what they derive from."""

    def __missing__(self, kind: type) -> Callable[[Any], str]:
        for parent in kind.__mro__:
            if parent in self:
                self[kind] = self[parent]
                return self[kind]
            if parent.__module__.startswith("psycopg2") and parent.__name__ == "Range":
                self[kind] = _range
                return _range
        raise TypeError(f"COPY does not know how to write a {kind.__name__}")


_WRITERS: Final = _Writers(
    {
        str: str.__str__,
        bool: lambda value: "t" if value else "f",
        int: int.__repr__,
        float: float.__repr__,
        decimal.Decimal: str,
        bytes: lambda value: f"\\x{value.hex()}",
        bytearray: lambda value: f"\\x{value.hex()}",
        memoryview: lambda value: f"\\x{value.hex()}",
        datetime.datetime: datetime.datetime.isoformat,
        datetime.date: datetime.date.isoformat,
        datetime.time: datetime.time.isoformat,
        datetime.timedelta: _interval,
        uuid.UUID: str,
        list: _array,
        tuple: _row,
        ipaddress.IPv4Address: str,
        ipaddress.IPv6Address: str,
        ipaddress.IPv4Interface: str,
        ipaddress.IPv6Interface: str,
        ipaddress.IPv4Network: str,
        ipaddress.IPv6Network: str,
    }
)
