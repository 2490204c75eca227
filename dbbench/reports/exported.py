"""Rows as exports have them: the columns of CSV and the keys of JSON, rounded once."""

from typing import Final

import msgspec

from dbbench.analysis.rows import Value

_RATIO_DIGITS: Final = 4
_DIGITS: Final = 3


def exported(record: msgspec.Struct) -> dict[str, Value]:
    """Give the fields of a row, or of a record like one, by name, with as many digits as mean something."""
    return {name: _rounded(name, getattr(record, name)) for name in record.__struct_fields__}


def _rounded(name: str, value: Value) -> Value:
    if not isinstance(value, float):
        return value
    return round(value, _RATIO_DIGITS if name.startswith("ratio") else _DIGITS)
