"""A process that keeps one CPU from halting, in the scheduler's lowest class. It is started by its path.

    python spinner.py CPU PARENT

It runs only where nothing else wants the CPU, and ends when the process PARENT has ended, however that did.
"""

import os
import sys
from typing import Final

TURNS: Final = 10_000  # between two looks for the parent: about 0.2 ms


def main(cpu: int, parent: int) -> None:
    """Spin on a CPU until the parent is gone."""
    os.nice(19)  # so that the kernel counts its time as such
    os.sched_setaffinity(0, {cpu})
    os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    while os.getppid() == parent:
        for _ in range(TURNS):
            pass


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
