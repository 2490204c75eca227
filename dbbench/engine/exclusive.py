"""Whether this is the only measurement on the machine: two at a time disturb each other.

The variable DBBENCH_MARK, for tests that run in parallel, gives a process and its children a mark of their own.
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
    """Claim the machine for this measurement; yields False, with a note, if another one is running.

    The claim is a name in Linux's abstract socket namespace, which disappears with the process, however that ends.
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
