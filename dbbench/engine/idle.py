"""CPUs kept awake while measuring, or left to sleep: `--idle`.

A CPU without work halts, and what wakes it takes its time: on a virtual machine as long as a short query. With client
and server on CPUs of their own every answer pays for that, more or less from one second to the next, whichever driver
asked. A process of the lowest scheduling class (SCHED_IDLE, which needs no rights) keeps a CPU awake and yields at once
to whatever else wants to run there.
"""

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import msgspec

from dbbench.choices import IdleMode
from dbbench.plan import Placement

_SPINNER: Final = Path(__file__).with_name("spinner.py")
_CGROUPS: Final = Path("/sys/fs/cgroup")
_PROC: Final = Path("/proc")
_NOBODY: Final = 0  # as a parent: it is nobody's, so the process ends at once


def choose(
    mode: IdleMode | None, place: Placement, *, local: bool, server_pid: int | None = None, paced: bool = False
) -> Placement:
    """The placement with the CPUs that are kept awake.

    `mode` None means the default: awake where the server is `local`, if nothing speaks against it. `server_pid` is one
    of the server's processes where that is not ours: in another control group a spinner would not yield to it. `paced`
    tells that clients may have nothing to do for long.
    """
    if mode == "sleep" or (mode is None and not local):
        return place
    if place.server_cpus and place.server_cpus == place.client_cpus:
        if mode is None:
            return place
        note = "client and server take turns on one CPU, which has no time to halt"
    else:
        note = hindrance(server_pid)
    if not note and local and paced and _groups_by_session():
        note = "the kernel shares CPUs out by session, and a session with an idle client has too much left for that"
    if note:
        return msgspec.structs.replace(place, idle_note=note)
    if place.client_cpus and (place.server_cpus or not local):
        cpus = {*place.client_cpus, *(place.server_cpus or ())}
    else:
        cpus = os.sched_getaffinity(0)
    return msgspec.structs.replace(place, awake_cpus=sorted(cpus))


def hindrance(server_pid: int | None = None) -> str:
    """Why CPUs cannot be kept awake here; empty: they can."""
    if not hasattr(os, "SCHED_IDLE"):
        return "this platform has no scheduling class that always yields"
    groups = _groups("self")
    if any(map(_has_quota, groups)):
        return "a CPU quota is set, which that would spend"
    if server_pid is not None and not (_is_postgres(server_pid) and _groups(f"{server_pid}") == groups):
        return "the server is in another control group, to which that might not yield"
    tried = subprocess.run(_command(min(os.sched_getaffinity(0)), _NOBODY), capture_output=True, check=False)
    return "the scheduling class that always yields is refused here" if tried.returncode else ""


@contextlib.contextmanager
def awake(cpus: Sequence[int]) -> Iterator[None]:
    """Keep CPUs awake for the length of a `with` block, or until this process ends, however it does."""
    with contextlib.ExitStack() as stack:
        for cpu in cpus:
            stack.enter_context(_spinning(cpu))
        yield


@contextlib.contextmanager
def _spinning(cpu: int) -> Iterator[None]:
    process = subprocess.Popen(
        _command(cpu, os.getpid()),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        process_group=0,  # out of reach of Ctrl-C; but in the session of the workers (see _groups_by_session)
    )
    try:
        yield
    finally:
        process.kill()
        process.wait()


def _groups_by_session() -> bool:
    """Whether the kernel shares out CPU time by session first (autogroup), as it does outside of control groups.

    A spinner on the server's CPU then has the weight of its session there, which is small as long as the session's
    clients are busy on their CPU.
    """
    with contextlib.suppress(OSError):
        return (_PROC / "sys/kernel/sched_autogroup_enabled").read_text(encoding="ascii").strip() == "1"
    return False


def _command(cpu: int, parent: int) -> list[str]:
    return [sys.executable, "-I", "-S", str(_SPINNER), f"{cpu}", f"{parent}"]


def _is_postgres(process: int) -> bool:
    """Whether that is PostgreSQL here, too: the server may number processes in a namespace of its own."""
    with contextlib.suppress(OSError):
        return (_PROC / f"{process}" / "comm").read_text(encoding="utf-8").startswith("postgres")
    return False


def _groups(process: str) -> dict[str, str]:
    """The control groups that share out CPU time to a process: controllers -> path; empty where it is not visible."""
    with contextlib.suppress(OSError):
        lines = (_PROC / process / "cgroup").read_text(encoding="utf-8").splitlines()
        found = dict(line.split(":", 2)[1:] for line in lines)
        return {names: path for names, path in found.items() if not names or "cpu" in names.split(",")}
    return {}


def _has_quota(names: str) -> bool:
    """Whether a control group of this process, or one above it, limits its CPU time."""
    path = _groups("self")[names].strip("/")
    root = _CGROUPS / names if names else _CGROUPS
    for folder in (root / path, *(root / path).parents):
        if not folder.is_relative_to(_CGROUPS):
            break
        for name, unlimited in (("cpu.max", "max"), ("cpu.cfs_quota_us", "-1")):
            with contextlib.suppress(OSError):
                if (folder / name).read_text(encoding="ascii").split()[0] != unlimited:
                    return True
    return False
