"""What a supervisor needs from the operating system: accounts, private directories, processes that end with it."""

import contextlib
import os
import pwd
import secrets
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from dbbench import folders

PORT: Final = 5432
CLEANUP_LIMIT_S: Final = 2.0
DYNAMIC_UIDS: Final = range(61184, 65520)
SOCKET_PATH_BYTES: Final = 103
"""The longest path that fits the kernel's sun_path on macOS (104 bytes with the final NUL; Linux has 108)."""


UNQUOTABLE: Final = frozenset('"$`\\,')
"""initdb puts paths between double quotes into shell commands, and libpq splits a host at commas."""


PR_SET_PDEATHSIG: Final = 1
PR_SET_CHILD_SUBREAPER: Final = 36
LOG_EXCERPT_LINES: Final = 4
ERROR_WORDS: Final = ("FATAL", "PANIC", "ERROR", "error", "could", "failed")
LOG_EXCERPT_CHARACTERS: Final = 600
DISK_FULL: Final = ("No space left on device", "wrote only ")  # as strerror() has it in the C locale, and PostgreSQL


class StartError(Exception):
    """The server cannot be started; the message is one line for the user."""


class Account(NamedTuple):
    """The account for everything when this process is root, as which PostgreSQL and PgBouncer refuse to run."""

    uid: int
    gid: int


def pin(cpus: Sequence[int] | None) -> None:
    """Confine this process, and so everything that it starts, to some CPUs; this keeps it off the client's CPU too."""
    if cpus is not None and hasattr(os, "sched_setaffinity"):
        try:
            os.sched_setaffinity(0, cpus)
        except (OSError, ValueError, OverflowError) as error:
            raise StartError(f"cannot confine the server to the CPUs {cpus}: {error}") from error


def tried_as(account: Account | None, question: Callable[[], bool]) -> bool:
    """Whether `question`, asked in a process of `account`, is answered with yes.

    Permission bits alone do not show ACLs, mount options or security modules. The forked child has one thread and only
    makes system calls before it ends.
    """
    child = os.fork()
    if child == 0:
        answer = False
        try:
            if account is not None:
                os.setgroups([])
                os.setgid(account.gid)
                os.setuid(account.uid)
            answer = question()
        finally:
            os._exit(0 if answer else 1)
    return os.waitpid(child, 0)[1] == 0


def unprivileged_account() -> Account | None:
    """The account to run the server under: None (our own) unless root, then the user who called sudo, else `nobody`.

    initdb refuses a uid without a name, so a uid without one raises StartError, or under root is passed over.
    """
    if os.geteuid() != 0:
        try:
            pwd.getpwuid(os.geteuid())
        except KeyError:
            raise StartError(
                f"uid {os.geteuid()} has no entry in /etc/passwd, which initdb insists on; add one, run as another user"
            ) from None
        return None
    return account_for_root("PostgreSQL")


def own_account() -> Account | None:
    """Under root, an account that nothing else runs as, so that no other process reads its files; else None: our own.

    `nobody` is the account of many. A number in systemd's range for dynamic users (systemd.exec(5), DynamicUser=)
    without a name and without a process; what insists on a name, like initdb, cannot run under it. None also where root
    may not become it, in a container with few user ids.
    """
    if os.geteuid() != 0:
        return None
    taken = {entry.pw_uid for entry in pwd.getpwall()} | _uids_of_processes()
    free = [uid for uid in DYNAMIC_UIDS if uid not in taken]
    account = Account(uid := secrets.choice(free), uid) if free else None
    return account if account is not None and tried_as(account, lambda: True) else None


def owner_of(directory: str) -> Account | None:
    """The owner of a directory, if that is an account of our own making (see own_account)."""
    if not directory:
        return None
    status = Path(directory).stat()
    return Account(status.st_uid, status.st_gid) if status.st_uid in DYNAMIC_UIDS else None


def _uids_of_processes() -> set[int]:
    found = set()
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            found.add(entry.stat().st_uid)
    return found


def account_for_root(program: str) -> Account:
    """The account under which root runs `program`: the user who called sudo, else `nobody`."""
    for account in _accounts_for_root():
        if tried_as(account, lambda: True):
            return account
    raise StartError(
        f"{program} refuses to run as root, and here root can become neither the user who called sudo nor `nobody` "
        "(no entry in /etc/passwd, or a restricted container); run as another user"
    )


def _accounts_for_root() -> Iterator[Account]:
    """The accounts that may run the server for root, best first."""
    with contextlib.suppress(KeyError, ValueError, OverflowError):
        entry = pwd.getpwuid(int(os.environ["SUDO_UID"]))
        if entry.pw_uid != 0:
            yield Account(entry.pw_uid, entry.pw_gid)
    with contextlib.suppress(KeyError):
        entry = pwd.getpwnam("nobody")
        yield Account(entry.pw_uid, entry.pw_gid)


def private_directory(bases: Sequence[str], account: Account | None, *, programs: bool) -> Path:
    """Make the private directory in the first base that is suitable.

    The socket lives in it, and a socket's path is limited to about a hundred bytes, so a long TMPDIR (pytest's, a CI
    runner's, macOS's own) is not suitable; neither is one that the server's account cannot reach, or one mounted noexec
    when `programs` will be copied there.
    """
    refusals = []
    for base in bases:
        refusal = _refusal(base, account, programs=programs)
        if refusal is None:
            try:
                return folders.make(folders.PREFIX, base)
            except OSError as error:
                refusal = error.strerror or "not writable"
        refusals.append(f"{base} ({refusal})")
    raise StartError(f"no usable temporary directory: {', '.join(refusals)}; set TMPDIR to a short path of your own")


def _refusal(base: str, account: Account | None, *, programs: bool) -> str | None:
    """Why the private directory cannot be in `base`; None where it can."""
    if len(os.fsencode(f"{base}/dbbench-12345678/.s.PGSQL.{PORT}")) > SOCKET_PATH_BYTES:
        return "too long for a socket"
    if not (base.isprintable() and UNQUOTABLE.isdisjoint(base)):
        return "has characters that cannot be quoted"
    if not tried_as(account, lambda: os.access(base, os.X_OK)):
        return "not reachable"
    if programs and sys.platform == "linux" and os.statvfs(base).f_flag & os.ST_NOEXEC:
        return "mounted noexec"
    return None


def _libc() -> Any:
    """The C library on Linux; None elsewhere, and in a Python without ctypes."""
    if sys.platform == "linux":
        with contextlib.suppress(ImportError, OSError):
            import ctypes

            return ctypes.CDLL(None)
    return None


LIBC: Final = _libc()


def prctl(option: int, value: int) -> None:
    """Set an attribute of this process on Linux; elsewhere do nothing."""
    if LIBC is not None:
        LIBC.prctl(option, value, 0, 0, 0)


def reap_children(seconds: float, *, kill: bool = False) -> None:
    """Wait until no child is left; since this process is a subreaper, that includes orphaned grandchildren."""
    deadline = time.monotonic() + seconds
    with contextlib.suppress(ChildProcessError):
        while time.monotonic() < deadline:
            if os.waitpid(-1, os.WNOHANG) == (0, 0):
                for pid in children_of(os.getpid()) if kill else ():
                    os.kill(pid, signal.SIGKILL)  # not yet reaped, so the number still means this process
                time.sleep(0.002)


def children_of(parent: int) -> list[int]:
    """The children of a process according to /proc (empty where there is no /proc)."""
    children = []
    for entry in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            if int(entry.read_text(errors="replace").rpartition(")")[2].split()[1]) == parent:
                children.append(int(entry.parent.name))
    return children


def last_words(log: bytes) -> str:
    """The end of a log, in one line: the lines about errors if there are any."""
    lines = [" ".join(line.split()) for line in log.decode(errors="replace").split("\n") if line.strip()]
    telling = [line for line in lines if any(word in line for word in ERROR_WORDS)]
    full = [line for line in telling if any(words in line for words in DISK_FULL)]  # what follows from it says less
    excerpt = " | ".join(full[:1] or (telling or lines)[-LOG_EXCERPT_LINES:])[-LOG_EXCERPT_CHARACTERS:]
    return "".join(character for character in excerpt if character.isprintable()) or "it said nothing"


def remove_tree(directory: Path) -> None:
    """Remove a directory; repeatedly, while a process that is just ending still writes into it."""
    deadline = time.monotonic() + CLEANUP_LIMIT_S
    shutil.rmtree(directory, ignore_errors=True)
    while directory.exists() and time.monotonic() < deadline:
        time.sleep(0.02)
        shutil.rmtree(directory, ignore_errors=True)
