"""Runs a program that ends, with everything that it has started, when the parent does, however that ends.

Started by path with `python -I -S`, the program and its arguments behind it; runs until standard input ends, or the
program does, and then ends with its status.
"""

import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path.append(str(Path(__file__).resolve().parents[3]))  # isolated: without this only the standard library

from dbbench.server.supervisors.service import Stop, Watch
from dbbench.server.supervisors.system import CLEANUP_LIMIT_S, PR_SET_CHILD_SUBREAPER, prctl, reap_children

_NOT_STARTED = 127  # the shell's status for a program that is not there


def main() -> int:
    """Run the program; gives its status, as a shell has it."""
    watch = Watch()
    prctl(PR_SET_CHILD_SUBREAPER, 1)
    try:
        child = subprocess.Popen(sys.argv[1:], stdin=subprocess.DEVNULL, process_group=0)
    except OSError as error:
        print(error.strerror, file=sys.stderr)
        return _NOT_STARTED
    try:
        status = watch.wait_for(child)
    except Stop:
        status = -signal.SIGKILL
    finally:
        with contextlib.suppress(ProcessLookupError, PermissionError):  # which macOS raises if all have ended
            os.killpg(child.pid, signal.SIGKILL)
        reap_children(CLEANUP_LIMIT_S, kill=True)
    return status if status >= 0 else 128 - status


if __name__ == "__main__":
    sys.exit(main())
