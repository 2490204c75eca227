"""Times and shares: text to number and back. Imports nothing of dbbench.

What reads raises ValueError with how to write it: "a time with its unit, like 20ms, 500us or 1.5s".
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
    """A time above 0 in seconds, which need no unit: 90, 90s or 2m."""
    match = _LONG.fullmatch(text)
    if match is None or float(match[1]) <= 0:
        raise ValueError("seconds, like 90, 90s or 2m")
    return float(match[1]) * (60 if match[2] == "m" else 1)


def duration(text: str) -> float:
    """A short time in seconds, 0 or more, whose unit must be given: 20ms, 500us, 1.5s."""
    number, unit = quantity(text)
    return float(number) * unit.us * _NS_PER_US / _NS_PER_S


def quantity(text: str) -> tuple[str, Unit]:
    """The number, as it was written, and the unit of a short time."""
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
    """Write a short time as the command line takes it: 5ms, 0.5ms, 0."""
    return f"{seconds * 1e3:.3f}".rstrip("0").rstrip(".") + "ms" if seconds else "0"


def time_text(us: float, digits: int = 3, finest: Unit = MICROSECOND) -> str:
    """Write a time with so many digits, in a unit that suits it, but none below `finest`: 940 µs, 7.1 ms, 1.25 s."""
    unit = next((unit for unit in UNITS if us >= unit.us or unit is finest), finest)
    return f"{float(f'{us / unit.us:.{digits}g}'):,.10g} {unit.name}"


def unit_for(values_us: Sequence[float | None]) -> Unit:
    """Choose the largest unit in which none of the times falls below 1."""
    smallest = min((value for value in values_us if value), default=0.0)
    return next((unit for unit in UNITS if smallest >= unit.us), UNITS[-1])


def in_one_unit(values_us: Sequence[float]) -> tuple[list[str], str]:
    """Write times for a sentence, and the unit of all of them."""
    unit = unit_for(values_us)
    scaled = [value / unit.us for value in values_us]
    shown = decimals(scaled)
    return [number(value, shown) for value in scaled], unit.name


def decimals(values: Sequence[float | None]) -> int:
    """Choose so many that the smallest number shows three digits."""
    smallest = min((value for value in values if value), default=0.0)
    return 0 if smallest >= 100 else 1 if smallest >= 10 else 2  # noqa: PLR2004


def number(value: float, decimals: int) -> str:
    """Write a number with so many decimals; from 1,000 on, four digits are enough."""
    return f"{value:,.{0 if value >= 1000 else decimals}f}"  # noqa: PLR2004
