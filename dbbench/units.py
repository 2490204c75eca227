"""Times and shares: text to number and back. Imports nothing of dbbench.

Functions that read raise ValueError, which says how to write the value: "a time with its unit, like 20ms, 500us or
1.5s".
"""

import re
from collections.abc import Sequence
from typing import Final, NamedTuple


class Unit(NamedTuple):
    """A unit of time."""

    name: str
    us: int  # microseconds


SECOND: Final = Unit("s", 1_000_000)
MILLISECOND: Final = Unit("ms", 1_000)
MICROSECOND: Final = Unit("µs", 1)
UNITS: Final = (SECOND, MILLISECOND, MICROSECOND)
_NS_PER_US: Final = 1_000
_NS_PER_S: Final = 1_000_000_000
_NUMBER: Final = r"(\d+(?:\.\d+)?)"
_SHORT: Final = re.compile(rf"\s*{_NUMBER}\s*([uµμ]s|ms|s)\s*", re.IGNORECASE)
_LONG: Final = re.compile(rf"{_NUMBER}(s|m)?")
_SHARE: Final = re.compile(rf"{_NUMBER}(%)?")


# --- reading ---------------------------------------------------------------------------------------------------------


def seconds(text: str) -> float:
    """A time above 0, in seconds, the default unit: 90, 90s or 2m."""
    match = _LONG.fullmatch(text)
    if match is None or float(match[1]) <= 0:
        raise ValueError("seconds, like 90, 90s or 2m")
    return float(match[1]) * (60 if match[2] == "m" else 1)


def duration(text: str) -> float:
    """A short time of 0 or more, in seconds; the text must have a unit: 20ms, 500us, 1.5s."""
    number, unit = quantity(text)
    return float(number) * unit.us * _NS_PER_US / _NS_PER_S


def quantity(text: str) -> tuple[str, Unit]:
    """The number of a short time, as written, and its unit."""
    match = _SHORT.fullmatch(text)
    if match is None:
        raise ValueError("a time with its unit, like 20ms, 500us or 1.5s")
    return match[1], {"s": SECOND, "ms": MILLISECOND}.get(match[2].lower(), MICROSECOND)


def share(text: str) -> float:
    """A share between 0 and 1: 2% or 0.02."""
    match = _SHARE.fullmatch(text)
    value = 0.0 if match is None else float(match[1]) / (100 if match[2] else 1)
    if not 0 < value < 1:
        raise ValueError("a share, like 2% or 0.02")
    return value


# --- writing ---------------------------------------------------------------------------------------------------------


def milliseconds(seconds: float) -> str:
    """A short time as it is written on the command line: 5ms, 0.5ms, 0."""
    return f"{seconds * 1e3:.3f}".rstrip("0").rstrip(".") + "ms" if seconds else "0"


def time_text(us: float, digits: int = 3, finest: Unit = MICROSECOND) -> str:
    """A time with `digits` digits, in a suitable unit that is not below `finest`: 940 µs, 7.1 ms, 1.25 s."""
    unit = next((unit for unit in UNITS if us >= unit.us or unit is finest), finest)
    return f"{float(f'{us / unit.us:.{digits}g}'):,.10g} {unit.name}"


def unit_for(values_us: Sequence[float | None]) -> Unit:
    """The largest unit in which no time falls below 1."""
    smallest = min((value for value in values_us if value), default=0.0)
    return next((unit for unit in UNITS if smallest >= unit.us), UNITS[-1])


def in_one_unit(values_us: Sequence[float]) -> tuple[list[str], str]:
    """Times as text for a sentence, and their common unit."""
    unit = unit_for(values_us)
    scaled = [value / unit.us for value in values_us]
    shown = decimals(scaled)
    return [number(value, shown) for value in scaled], unit.name


def decimals(values: Sequence[float | None]) -> int:
    """The number of decimals with which the smallest number shows three digits."""
    smallest = min((value for value in values if value), default=0.0)
    return 0 if smallest >= 100 else 1 if smallest >= 10 else 2  # noqa: PLR2004


def number(value: float, decimals: int) -> str:
    """A number as text with `decimals` decimals; from 1,000 on, four digits are enough."""
    return f"{value:,.{0 if value >= 1000 else decimals}f}"  # noqa: PLR2004
