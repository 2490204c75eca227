"""Programs that a gate runs to their end: interpreters, pip and git. They cannot prompt, and leave no processes."""

import contextlib
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import Final

from dbbench.server.supervisors import program

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

    It has no terminal, so it cannot prompt. It ends with everything it started when this process ends, and when an
    exception such as Ctrl-C ends the waiting. Raises TimeoutExpired after `patience` seconds; a program that cannot be
    started has status 127, as in a shell.
    """
    alive, ours = os.pipe()  # the supervisor sees the end of it, whatever ends this process
    try:
        with subprocess.Popen(
            [sys.executable, "-I", "-S", program.__file__, *arguments],
            stdin=alive,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment,
            encoding="utf-8",
            errors="replace",
            start_new_session=True,
        ) as process:
            os.close(alive)
            try:
                said, complained = process.communicate(timeout=patience)
            except BaseException:
                os.close(ours)
                ours = -1
                # Wait until everything it started has closed the pipes: only then does no process write to its files.
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.communicate(timeout=_END_LIMIT_S)
                process.kill()
                raise
    finally:
        if ours >= 0:
            os.close(ours)
    return subprocess.CompletedProcess(arguments, process.returncode, said, complained)
