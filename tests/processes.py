"""Processes as tests see them: those of /proc, and the end of what they are waiting for."""

import os
import resource
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from dbbench.errors import DbbenchError

SMALL_BYTES: Final = 20_000
PATIENCE_S: Final = 30.0  # usually 1; what ends by itself in these tests takes twice as long


def command_line(pid: int) -> str:
    """The arguments of a process, with spaces between them; empty once it has ended."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return ""


def descendants(pid: int) -> list[int]:
    """The children of a process, and theirs."""
    parents = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text(errors="replace").rpartition(")")[2].split()
        except OSError:
            continue
        parents[int(path.parent.name)] = int(fields[1])
    found = [pid]
    for each in found:
        found.extend(child for child, parent in parents.items() if parent == each)
    return found[1:]


def ended(pid: int) -> bool:
    """Whether a process is gone, or waits for its parent to notice."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def alive(pids: list[int]) -> list[int]:
    """Those that still run."""
    return [pid for pid in pids if not ended(pid)]


def eventually(condition: Callable[[], Any], what: str, seconds: float = PATIENCE_S) -> None:
    """Wait for something to become true."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds:.0f} s: {what}"
        time.sleep(0.01)


def directory_of(child: subprocess.Popen[str]) -> Path:
    """The path that a program prints first, once its server runs."""
    assert child.stdout is not None
    line = child.stdout.readline().strip()
    assert line, child.stderr and child.stderr.read()
    return Path(line)


def in_a_process_with_small_files(act: Callable[[], None]) -> int:
    """Run something where no file may be larger than SMALL_BYTES, as on a full disk; gives its exit code.

    A process keeps such a limit all its life.
    """
    pid = os.fork()
    if pid == 0:
        code = 99
        try:
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (SMALL_BYTES, SMALL_BYTES))
            act()
            code = 0
        except DbbenchError as error:
            code = error.exit_code
        finally:
            os._exit(code)
    _, status = os.waitpid(pid, 0)
    return os.waitstatus_to_exitcode(status)
