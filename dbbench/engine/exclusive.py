"""Whether this is the only measurement on the machine: each makes the other's numbers worse.

DBBENCH_MARK, a variable for tests that run side by side, gives a process and its children a mark of their own.
"""

import contextlib
import os
import socket
import sys
from collections.abc import Iterator
from typing import Final

from dbbench.engine.watcher import Watcher

MARK: Final = os.environ.get("DBBENCH_MARK", "dbbench.run")


@contextlib.contextmanager
def exclusive(watch: Watcher) -> Iterator[bool]:
    """Mark the measurement, and say so when another one is going on; gives whether there is none.

    A name in Linux's abstract socket space is the mark; it goes when the process does, however that ends.
    """
    if not sys.platform.startswith("linux"):
        yield True
        return
    with socket.socket(socket.AF_UNIX) as mark:
        try:
            mark.bind(f"\0{MARK}")
        except OSError:
            watch.note("another dbbench run is measuring on this machine: both will be noisier")
            yield False
        else:
            yield True
