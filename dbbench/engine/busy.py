"""What else uses the CPUs of this machine: a short look before anything is measured.

The kernel counts what its CPUs do in hundredths of a second. What this process uses itself is subtracted, so the look
must come before other processes of a run are started.
"""

import os
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from dbbench.wording import count

LOOK_S: Final = 0.2  # 40 ticks on two CPUs
SURE_S: Final = 0.3  # a second look, where the first one finds something: it may have been a moment
BUSY: Final = 0.15  # share of the CPUs from which on others are in the way
REMEDY: Final = "end them, or wait"
_STAT: Final = Path("/proc/stat")
_IDLE: Final = (3, 4)  # of a line's numbers: idle, and waiting for a disk
_GUESTS: Final = 8  # from here on time that is counted before


def _usable() -> set[int]:
    return os.sched_getaffinity(0)


def _clocks() -> tuple[float, float] | None:
    """CPU seconds: those that the usable CPUs have worked, and those that this process has."""
    if not hasattr(os, "sched_getaffinity"):
        return None
    try:
        lines = _STAT.read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    names = {f"cpu{number}" for number in _usable()}
    ticks = sum(_worked(line) for line in lines if line.partition(" ")[0] in names)
    return ticks / os.sysconf("SC_CLK_TCK"), time.process_time()


def _worked(line: str) -> int:
    """The ticks in which a CPU was not idle, also those in which a hypervisor had taken it away."""
    numbers = [int(number) for number in line.split()[1 : 1 + _GUESTS]]
    return sum(number for at, number in enumerate(numbers) if at not in _IDLE)


@dataclass(frozen=True)
class Use:
    """What other processes, and other machines on the same hardware, use of the CPUs that this process may use."""

    cpus: float  # so many of them
    of: int

    @property
    def busy(self) -> bool:
        """Whether that is enough to disturb a measurement."""
        return self.cpus > BUSY * self.of

    def __str__(self) -> str:
        """0.8 of 2 CPUs."""
        return f"{self.cpus:.1f} of {count(self.of, 'CPU')}"


@dataclass(frozen=True)
class Look:
    """A look that begins when it is made, and goes on while something else is done."""

    _began_s: float = field(default_factory=time.monotonic)
    _before: tuple[float, float] | None = field(default_factory=_clocks)

    def end(self, least_s: float = LOOK_S) -> Use | None:
        """What was used since it began, so many seconds ago at least; None where the platform does not say."""
        if self._before is None:
            return None
        time.sleep(max(0.0, self._began_s + least_s - time.monotonic()))
        now = _clocks()
        if now is None:
            return None
        elapsed_s = time.monotonic() - self._began_s
        used_s, own_s = (after - before for after, before in zip(now, self._before, strict=True))
        return Use(max(0.0, (used_s - own_s) / elapsed_s), len(_usable()))


def look() -> Use | None:
    """Look, and look again where others are in the way; None where the platform does not say."""
    return certain(Look().end())


def certain(found: Use | None) -> Use | None:
    """What a look has found, or where others were in the way what a second one finds."""
    return Look().end(SURE_S) if found is not None and found.busy else found


def warning(found: Use | None) -> str:
    """What to say before measuring where others are in the way; else empty."""
    if found is None or not found.busy:
        return ""
    return f"other processes use {found}: blocks take longer, and more stays undecided; {REMEDY}"
