"""Programs that a gate runs to their end: interpreters, pip and git. They cannot prompt, and leave no processes."""

import contextlib
import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from typing import Final

_END_LIMIT_S: Final = 5.0  # for a killed process group to be gone
# Variables about the interpreter that runs dbbench, which would add its packages to another one.
_LEFT_OUT: Final = ("PYTHONPATH", "PYTHONHOME")


def clean_environment() -> dict[str, str]:
    """This process's environment variables for another interpreter, without those about this one."""
    return {name: value for name, value in os.environ.items() if name not in _LEFT_OUT}


def finish(
    arguments: Sequence[str], environment: Mapping[str, str], patience: float | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a program to its end and return its status and output.

    It has no terminal, so it cannot prompt. An exception here, such as Ctrl-C, kills it with everything it started.
    Raises OSError when it cannot be started, TimeoutExpired after `patience` seconds.
    """
    with subprocess.Popen(
        arguments,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment,
        encoding="utf-8",
        errors="replace",
        start_new_session=True,
    ) as process:
        try:
            said, complained = process.communicate(timeout=patience)
        except BaseException:
            with contextlib.suppress(ProcessLookupError, PermissionError):  # which macOS raises if all have ended
                os.killpg(process.pid, signal.SIGKILL)
            # Wait until everything it started has closed the pipes: only then does no process write to its files.
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.communicate(timeout=_END_LIMIT_S)
            raise
    return subprocess.CompletedProcess(arguments, process.returncode, said, complained)
