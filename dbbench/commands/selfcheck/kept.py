"""The last self-check on this machine, kept for later runs."""

from collections.abc import Collection, Sequence
from pathlib import Path
from statistics import median
from typing import Final

import msgspec

from dbbench import cache
from dbbench.commands.selfcheck.result import SelfCheck
from dbbench.files import replace_file

MUCH: Final = 3.0  # times the spread of the self-check from which on a run is warned about
WORTH_SAYING: Final = 0.03  # spread below which no warning is needed
FEWEST_BLOCKS: Final = 5
_NORMAL: Final = 1.4826  # median absolute deviation -> standard deviation of a normal distribution


def path() -> Path:
    """The file in which it is kept. Raises RuntimeError when the user has no home directory."""
    return cache.folder() / "selfcheck.json"


def keep(found: SelfCheck) -> bool:
    """Keep a self-check; whether that was possible."""
    try:
        replace_file(path(), msgspec.json.format(msgspec.json.encode(found), indent=2))
    except (OSError, RuntimeError):  # RuntimeError: no home directory
        return False
    return True


def kept() -> SelfCheck | None:
    """The last self-check; None when there is none, or it cannot be read."""
    try:
        return msgspec.json.decode(path().read_bytes(), type=SelfCheck)
    except (OSError, RuntimeError, msgspec.DecodeError):
        return None


def warning(rows: Collection[Sequence[float | None]], placement: str) -> str:
    """A warning if the run was far noisier than the last self-check; empty otherwise.

    `rows` are ln ratios by block. The quietest row counts, since others may be noisy by nature.
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
