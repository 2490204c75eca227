"""Whether time went by as it should: a machine that was suspended or paused, or a clock that was set, spoils a block.

Durations come from the monotonic clock alone, which stands still while the machine is suspended and which nobody sets.
The other clocks are only compared with it.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

AGREE_S: Final = 1.0  # seconds by which the clocks may differ: ntpd slews smaller differences, and none in a block
_BOOT: Final = getattr(time, "CLOCK_BOOTTIME", None)  # Linux: goes on while the machine is suspended


@dataclass(frozen=True)
class Reading:
    """The clocks at one moment, seconds."""

    monotonic: float
    boot: float  # the monotonic one where the system has none
    wall: float


def read() -> Reading:
    """Read the clocks."""
    monotonic = time.monotonic()
    return Reading(monotonic, monotonic if _BOOT is None else time.clock_gettime(_BOOT), time.time())


def disagreement(before: Reading, after: Reading) -> str:
    """What happened to the clocks, or to the machine, in between; empty where they agree."""
    boot = after.boot - before.boot
    suspended, stepped = boot - (after.monotonic - before.monotonic), (after.wall - before.wall) - boot
    if suspended > AGREE_S:
        return f"the machine was suspended for {suspended:,.0f} s"
    if stepped > AGREE_S:
        return f"the clock jumped ahead by {stepped:,.0f} s: it was set, or this machine was paused"
    if stepped < -AGREE_S:
        return f"the clock was set back by {-stepped:,.0f} s"
    return ""


@dataclass
class Disturbances:
    """Notices what disturbs a part of a run, from when this is made."""

    read: Callable[[], Reading]
    _found: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Read the clocks for the first time."""
        self._before = self.read()

    def add(self, what: str) -> None:
        """Note what somebody else has noticed, if it is anything."""
        if what and what not in self._found:
            self._found.append(what)

    def found(self) -> str:
        """What has disturbed it so far; empty: nothing."""
        return "; ".join(filter(None, [*self._found, disagreement(self._before, self.read())]))
