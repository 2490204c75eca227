"""Numbers from outside, with the range of each kind: text to number and back. Imports nothing of dbbench.

Functions that read raise ValueError, which says how to write the value: "a time with its unit, like 20ms, 500us or
1.5s". What they take is finite and fits wherever it goes: into a message, a setting of the server, an array.
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
_NUMBER: Final = r"([0-9]+(?:\.[0-9]+)?)"
_SHORT: Final = re.compile(rf"\s*{_NUMBER}\s*([uµμ]s|ms|s)\s*", re.IGNORECASE)
_LONG: Final = re.compile(rf"{_NUMBER}(s|m)?")
_SHARE: Final = re.compile(rf"{_NUMBER}(%)?")
_WHOLE: Final = re.compile(r"-?[0-9]+")

LEAST_S: Final = 0.001  # of a limit: PostgreSQL and the pool count milliseconds, and 0 would mean none
MOST_S: Final = 86_400.0  # of a limit: a day
MOST_PAUSE_S: Final = 3_600.0  # of a short time
LEAST_SHARE: Final = 0.0001  # 0.01%: nothing finer can be measured
MOST_RATE: Final = 100_000.0  # operations per second and driver: no Python process gets there
MOST_PROCESSES: Final = 64  # of one arm
MOST_SESSIONS: Final = 10_000  # the same for connections: a server has 100, a very large one thousands
MOST_BLOCKS: Final = 10_000  # that a result file may have
INT64: Final = (-(2**63), 2**63 - 1)  # a result file, a message and a bigint of the server hold no more
INT32: Final = (0, 2**31 - 1)  # of the settings of drivers


# --- reading ---------------------------------------------------------------------------------------------------------


def seconds(text: str) -> float:
    """A limit from a millisecond to a day, in seconds, the default unit: 90, 90s or 2m."""
    match = _LONG.fullmatch(text)
    value = 0.0 if match is None else float(match[1]) * (60 if match[2] == "m" else 1)
    if not LEAST_S <= value <= MOST_S:
        raise ValueError(f"seconds, like 90, 90s or 2m{', and at most a day' * (value > MOST_S)}")
    return value


def duration(text: str) -> float:
    """A short time, 0 to an hour, in seconds; the text must have a unit: 20ms, 500us, 1.5s."""
    number, unit = quantity(text)
    value = float(number) * unit.us * _NS_PER_US / _NS_PER_S
    if value > MOST_PAUSE_S:
        raise ValueError("at most an hour")
    return value


def quantity(text: str) -> tuple[str, Unit]:
    """The number of a short time, as written, and its unit."""
    match = _SHORT.fullmatch(text)
    if match is None:
        raise ValueError("a time with its unit, like 20ms, 500us or 1.5s")
    return match[1], {"s": SECOND, "ms": MILLISECOND}.get(match[2].lower(), MICROSECOND)


def share(text: str) -> float:
    """A share from 0.01% to below 1: 2% or 0.02."""
    match = _SHARE.fullmatch(text)
    value = 0.0 if match is None else float(match[1]) / (100 if match[2] else 1)
    if not LEAST_SHARE <= value < 1:
        raise ValueError("a share, like 2% or 0.02")
    return value


def whole(text: str, least: int, most: int) -> int:
    """A whole number within a range."""
    # Python refuses to read thousands of digits, so their number is looked at first.
    if not _WHOLE.fullmatch(text) or len(text) > len(str(most)) + 1 or not least <= int(text) <= most:
        raise ValueError(f"a whole number from {least:,} to {most:,}")
    return int(text)


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
