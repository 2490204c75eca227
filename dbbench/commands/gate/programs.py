"""Programs that a gate runs to their end: interpreters, pip and git. They can ask nobody, and nothing outlives them."""

import contextlib
import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from typing import Final

_END_LIMIT_S: Final = 5.0  # for a killed process group to be gone
# They speak of the interpreter that runs dbbench, and would put its packages into another one.
_LEFT_OUT: Final = ("PYTHONPATH", "PYTHONHOME")


def clean_environment() -> dict[str, str]:
    """This process's environment for another interpreter: without what speaks of this one."""
    return {name: value for name, value in os.environ.items() if name not in _LEFT_OUT}


def finish(
    arguments: Sequence[str], environment: Mapping[str, str], patience: float | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a program to its end and return what it says.

    It has no terminal, so it can ask nobody. Neither it nor what it started outlives an exception, such as a Ctrl-C.
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
            with contextlib.suppress(ProcessLookupError, PermissionError):  # macOS forbids it when all have ended
                os.killpg(process.pid, signal.SIGKILL)
            # Until all that it started has closed its end: only then is nobody writing to its files.
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.communicate(timeout=_END_LIMIT_S)
            raise
    return subprocess.CompletedProcess(arguments, process.returncode, said, complained)
