"""The ways in which drivers give different values for the same rows; docs/types.md has the types that do."""

import ast
import json
import math
import re
import struct
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Final

COLLECTIONS: Final = ("values", "keys")  # what a sequence and a mapping have
_NUMBERS: Final = ("bool", "int", "float", "Decimal")
_TIMES: Final = ("date", "time", "datetime")
_ADDRESSES: Final = tuple(f"IPv{version}{what}" for version in (4, 6) for what in ("Address", "Interface", "Network"))
_ENDS: Final = ("9999-12-31T23:59:59.999999", "0001-01-01T00:00:00")  # where drivers put infinity
_CUT: Final = re.compile(r"\.\.\. \(\d+ characters, digest \w+\)$")  # see canonical.py
_SHOWN: Final = 60  # characters of a value in a message
_NEARLY: Final = 1e-9  # relative: floats this close were added up in another order


@dataclass(frozen=True)
class Part:
    """A value's type and text, or what a collection has and how many of it."""

    kind: str
    text: str

    @property
    def shown(self) -> str:
        """The part as messages have it."""
        text = f"{self.text} {self.kind}" if self.kind in COLLECTIONS else f"{self.kind} {self.text}".strip()
        return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."

    @property
    def string(self) -> str:
        """The text of a `str`; its beginning, where it was cut off."""
        text = _CUT.sub("", self.text)
        with suppress(SyntaxError, ValueError):
            return str(ast.literal_eval(text))
        return text[1:]


@dataclass(frozen=True)
class Nature:
    """A way in which two values differ; `holds` is asked in both directions."""

    name: str
    holds: Callable[[Part, Part], bool]
    says: str = ""  # why
    way_out: str = ""  # what to change in the scenario


def nature(got: Part, wanted: Part) -> Nature:
    """Why two values differ."""
    return next(each for each in NATURES if each.holds(got, wanted) or each.holds(wanted, got))


def _is_float4(one: Part, other: Part) -> bool:
    """Whether one float is the other in the fewest digits that fit 4 bytes: 0.10000000149011612 and 0.1."""
    if not _are_floats(one, other):
        return False
    exact, shortest = float(one.text), float(other.text)
    with suppress(OverflowError):
        return bool(struct.unpack("f", struct.pack("f", shortest))[0] == exact)
    return False


def _is_nearly(one: Part, other: Part) -> bool:
    return _are_floats(one, other) and math.isclose(float(one.text), float(other.text), rel_tol=_NEARLY)


def _are_floats(one: Part, other: Part) -> bool:
    return one.kind == other.kind == "float"


def _is_infinity(one: Part, other: Part) -> bool:
    return one.kind == other.kind == "datetime" and one.text in _ENDS and other.text.startswith(one.text)


def _is_naive(one: Part, other: Part) -> bool:
    return one.kind == other.kind and one.kind in ("datetime", "time") and ("+" in one.text) != ("+" in other.text)


def _is_number(one: Part, other: Part) -> bool:
    """Whether two numbers of different types are equal."""
    if one.kind == other.kind or not {one.kind, other.kind} <= set(_NUMBERS):
        return False
    left, right = _number(one.text), _number(other.text)
    return left is not None and right is not None and (left == right or str(float(left)) == str(float(right)))


def _number(text: str) -> Decimal | None:
    with suppress(InvalidOperation):
        number = Decimal({"True": "1", "False": "0"}.get(text, text))
        return None if number.is_snan() else number  # which cannot even be compared
    return None


def _is_json(one: Part, other: Part) -> bool:
    """Whether `one` is the JSON text of `other`."""
    if one.kind != "str":
        return False
    try:
        value = json.loads(one.string)
    except ValueError:
        return bool(_CUT.search(one.text)) and other.kind == "keys" and one.string.startswith("{")
    match value:
        case dict() | list():
            return other == Part("keys" if isinstance(value, dict) else "values", str(len(value)))
    return value is None and other.kind == "NoneType"


def _is_json_string(one: Part, other: Part) -> bool:
    """Whether `one` is the JSON text of a string, and `other` the string."""
    return one.kind == other.kind == "str" and one.string == json.dumps(other.string, ensure_ascii=False)


def _is_number_text(one: Part, other: Part) -> bool:
    """Whether `one` is the text of a number, and `other` the number."""
    return one.kind == "str" and other.kind in _NUMBERS and _number(one.string) == _number(other.text) is not None


def _begins(mark: str) -> Callable[[Part, Part], bool]:
    """Whether `one` looks like the text of a value that is taken apart in `other`."""
    return lambda one, other: one.kind == "str" and other.kind == "values" and one.string.startswith(mark)


def _is_text_of(*kinds: str) -> Callable[[Part, Part], bool]:
    """Whether `one` is the text of `other`, which is of one of these types: letters and digits are the same."""
    return lambda one, other: one.kind == "str" and other.kind in kinds and _bare(one.string) == _bare(other.text)


def _bare(text: str) -> str:
    return re.sub(r"(int|Decimal|date|datetime) |\W|T|0000$", "", text)


_AS_TEXT: Final = "as PostgreSQL's text, and decoded"
_TO_TEXT: Final = "select it as column::text"

ORDER: Final = Nature("order", lambda one, other: one != other, "the same values in another order", "add an ORDER BY")
MISSING: Final = Nature("missing", lambda one, other: one != other)
TABLE: Final = Nature("table", lambda one, other: one != other, "the table is different after the operations")
NATURES: Final[Sequence[Nature]] = (
    Nature(
        "float4", _is_float4, "a float4 (real), as its exact value and in its fewest digits",
        "select it as column::float8, or round it to 6 digits",
    ),
    Nature("last digits", _is_nearly, "floats that differ in their last digits", "round them to 9 digits"),
    Nature(
        "infinity", _is_infinity, "the time that stands for infinity, with and without a time zone",
        "select NULLIF(column, 'infinity'), or column::text",
    ),
    Nature(
        "time zone", _is_naive, "one has a time zone, the other has none",
        "select it AT TIME ZONE 'UTC', or add the time zone in the operation",
    ),
    Nature(
        "number type", _is_number, "equal numbers of different types",
        "convert it in the operation: float(value), say",
    ),
    Nature("json text", _is_json, "JSON as text, and decoded", "use json.loads(value) where it is a str"),
    Nature(
        "json string", _is_json_string, "a JSON string as text, and decoded",
        "select it as column::text, and use json.loads(value)",
    ),
    Nature("array text", _begins("{"), _AS_TEXT, "select an array as column::text[], anything else as column::text"),
    Nature("row text", _begins("("), _AS_TEXT, "select its fields, or column::text"),
    Nature("other text", _begins(""), "a text, and what looks decoded", _TO_TEXT),
    Nature("uuid text", _is_text_of("UUID"), "a UUID as text, and as uuid.UUID", "return str(value)"),
    Nature("range text", _is_text_of("range"), _AS_TEXT, _TO_TEXT),
    Nature("bit text", _is_text_of("BitString"), _AS_TEXT, _TO_TEXT),
    Nature("address text", _is_text_of(*_ADDRESSES), "an address as text, and decoded", "return str(value)"),
    Nature("time text", _is_text_of(*_TIMES), "a date or time as text, and decoded", _TO_TEXT),
    Nature("char", lambda one, other: one.kind == "str" and other == Part("bytes", f"b{one.text}"),
           'a text, and the same as bytes (the type "char", say)', _TO_TEXT),
    Nature(
        "number text", _is_number_text, "a number as text, and decoded",
        "convert it in the operation: int(value), say; fields of an unnamed ROW() are better selected as columns",
    ),
    Nature(
        "log position", lambda one, other: one.kind == "str" and other.kind == "int" and "/" in one.text,
        _AS_TEXT, _TO_TEXT,
    ),
    Nature(
        "none", lambda one, other: one.kind == "NoneType" and other.text in ("''", "0"),
        "nothing, as None and otherwise", "return `value or None`",
    ),
    Nature("raised", lambda one, other: one.kind == "raised" != other.kind, "the operation fails for one of them"),
    Nature("type", lambda one, other: one.kind != other.kind, "different types", _TO_TEXT),
    Nature("length", lambda one, other: one.kind == other.kind and one.kind in COLLECTIONS, "not equally many"),
    Nature("value", lambda one, other: one != other, "different values"),
)  # fmt: skip
