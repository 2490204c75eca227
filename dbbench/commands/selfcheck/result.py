"""What a self-check finds, and the last one on this machine, kept for the runs that come after it."""

import os
from collections.abc import Collection, Sequence
from pathlib import Path
from statistics import median
from typing import Final

import msgspec

MUCH: Final = 3.0  # times the spread of the self-check
WORTH_SAYING: Final = 0.03  # spread below which nobody needs a warning
FEWEST_BLOCKS: Final = 5
_NORMAL: Final = 1.4826  # median absolute deviation -> standard deviation of a normal distribution


class Overhead(msgspec.Struct, frozen=True):
    """What dbbench's loop costs: its time per operation relative to the bare loop's, with its 95% interval."""

    driver: str
    layer: str
    ratio: float
    low: float | None
    high: float | None


class NoiseFloor(msgspec.Struct, frozen=True):
    """What identical arms look like."""

    placement: str
    half_width: float | None  # of the ratio's 95% interval, as a share
    false_alarm_rate: float  # share of resampled tables in which an arm is called faster or slower
    seconds: float
    blocks: int
    block_sd: float  # of the blocks' ln ratios
    injected: float  # slow-down, as a share of the operation's time
    measured: float  # the same, as found
    measured_low: float | None
    measured_high: float | None


class Sensitivity(msgspec.Struct, frozen=True):
    """What a run of a minute would find."""

    placement: str
    smallest_effect: float | None  # slow-down found with 95% power, as a share; None: none up to 50%
    seconds: float
    blocks: int


class Pgbench(msgspec.Struct, frozen=True):
    """A driver against PostgreSQL's own C client, on the same query, one session, prepared."""

    driver: str
    pgbench_us: float  # per operation
    driver_us: float
    tax: float  # of the driver: how much more time it takes, as a share
    low: float | None
    high: float | None


class SelfCheck(msgspec.Struct, frozen=True):
    """How far this machine can be trusted."""

    harness_overhead: list[Overhead]
    noise_floor: list[NoiseFloor]
    sensitivity: list[Sensitivity]
    pgbench: Pgbench | None
    problems: list[str]
    measured: str = ""  # UTC, ISO 8601


def path() -> Path:
    """Where it is kept: in the user's cache folder (XDG Base Directory Specification)."""
    cache = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(cache) if Path(cache).is_absolute() else Path.home() / ".cache") / "dbbench" / "selfcheck.json"


def keep(found: SelfCheck) -> bool:
    """Keep a self-check; tells whether that was possible."""
    try:
        path().parent.mkdir(parents=True, exist_ok=True)
        path().write_bytes(msgspec.json.format(msgspec.json.encode(found), indent=2))
    except (OSError, RuntimeError):  # RuntimeError: there is no home
        return False
    return True


def kept() -> SelfCheck | None:
    """The last self-check, None when there is none that can be read."""
    try:
        return msgspec.json.decode(path().read_bytes(), type=SelfCheck)
    except (OSError, RuntimeError, msgspec.DecodeError):
        return None


def warning(rows: Collection[Sequence[float | None]], placement: str) -> str:
    """Say that a run was much noisier than this machine can be; empty when it was not, or when nobody knows.

    `rows` are ln ratios by block. The quietest row counts: others may be noisy by nature.
    """
    last = kept()
    floors = [] if last is None else [one for one in last.noise_floor if one.placement == placement]
    spreads = [
        _spread(values) for row in rows if len(values := [one for one in row if one is not None]) >= FEWEST_BLOCKS
    ]
    if not floors or not spreads or min(spreads) < max(WORTH_SAYING, MUCH * floors[0].block_sd):
        return ""
    return (
        f"this run was noisier than this machine can be: blocks differ by {min(spreads):.1%} even in the quietest row, "
        f"in the last self-check by {floors[0].block_sd:.1%}; was it busy with something else?"
    )


def _spread(values: Sequence[float]) -> float:
    """Standard deviation, from the median absolute deviation, which a few disturbed blocks do not move."""
    middle = median(values)
    return _NORMAL * median(abs(value - middle) for value in values)
