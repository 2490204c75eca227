"""Numbers and records as exports have them: the columns of CSV and the keys of JSON, rounded once."""

from typing import Any, Final

import msgspec

from dbbench.commands.identity import Identity
from dbbench.reports.text import number

_RATIO_DIGITS: Final = 4
_DIGITS: Final = 3
_MEAN_DIGITS: Final = 4


def exported(record: msgspec.Struct, digits: int = _DIGITS) -> dict[str, Any]:
    """The fields of a record by name, with as many digits as mean something; `digits` of what is no ratio."""
    fields = {name: getattr(record, name) for name in record.__struct_fields__}
    return {
        name: rounded(value, _RATIO_DIGITS if name.startswith("ratio") else digits)
        if isinstance(value, float)
        else value
        for name, value in fields.items()
    }


def identified(record: Any, of_run: Identity) -> dict[str, Any]:
    """The fields of a driver's record, and which run and versions they are of."""
    return {**exported(record), **of_run.columns(record.driver)}


def rounded(value: float | None, digits: int) -> float | None:
    """Round, to None where there is no number, and never to minus zero."""
    known = number(value)
    return None if known is None else round(known, digits) + 0.0


def mean_count(value: float) -> float:
    """Round a mean of counts, to an int where that is all: 3, not 3.0."""
    mean = round(value, _MEAN_DIGITS)
    return int(mean) if mean == int(mean) else mean
