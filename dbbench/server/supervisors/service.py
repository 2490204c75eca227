"""The life of a supervised service: started, watched, and ended whichever way dbbench ends."""

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO, Any, Final

from dbbench import folders
from dbbench.server.supervisors.system import (
    CLEANUP_LIMIT_S,
    PR_SET_CHILD_SUBREAPER,
    PR_SET_PDEATHSIG,
    Account,
    StartError,
    last_words,
    prctl,
    private_directory,
    reap_children,
    remove_tree,
)

START_LIMIT_S: Final = 120.0
"""Limit for the start, which takes 1 s on a desktop; only an overloaded machine needs more."""


READY_CHECK_S: Final = 0.01
QUIT_PATIENCE_S: Final = 1.5
"""An immediate shutdown takes about 20 ms; a postmaster that needs longer (stopped, swapped out) is killed."""


class Stop(Exception):  # noqa: N818 - it is not an error
    """The parent has ended, or SIGTERM came."""


class Watch:
    """Waits for the parent's end, for signals and for children to end: the only code that waits during the run."""

    def __init__(self) -> None:
        self._wakeup, writer = os.pipe()
        os.set_blocking(self._wakeup, False)
        os.set_blocking(writer, False)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())  # signals that the parent blocks would stay blocked here
        signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
        # Handlers that do nothing instead of SIG_IGN, which initdb and the server would inherit.
        for signum in (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(signum, lambda *_: None)
        self._parent = [sys.stdin.fileno()]
        if sys.platform == "linux":
            # A forked copy of the parent that outlives it would keep the pipe open.
            with contextlib.suppress(OSError, AttributeError):
                self._parent.append(os.pidfd_open(os.getppid()))

    def wait(self, seconds: float | None) -> None:
        """Wait for a signal for at most `seconds`; raises Stop when it is time to end."""
        readable, _, _ = select.select([*self._parent, self._wakeup], [], [], seconds)
        if not set(self._parent).isdisjoint(readable):
            raise Stop
        if self._wakeup in readable and signal.SIGTERM in os.read(self._wakeup, 4096):
            raise Stop

    def wait_for(self, child: subprocess.Popen[bytes], deadline: float | None = None) -> int:
        """Wait until `child` ends and return its exit status; raises TimeoutError after the deadline."""
        while (status := child.poll()) is None:
            self.wait(None if deadline is None else max(0.0, deadline - time.monotonic()))
            if deadline is not None and time.monotonic() >= deadline:
                raise TimeoutError
        return status


class Service(ABC):
    """A private directory, and one child at a time that works in it."""

    name: str
    """What messages to the user call the child: "the server"."""

    def __init__(self, watch: Watch) -> None:
        self._watch = watch
        prctl(PR_SET_CHILD_SUBREAPER, 1)  # orphans of our children become ours, so reap_children() finds them
        self._directory: Path | None = None
        self._log: IO[bytes] | None = None
        self._child: subprocess.Popen[bytes] | None = None
        self._end_signal = signal.SIGKILL
        self._account: Account | None = None

    @abstractmethod
    def start(self, order: dict[str, Any]) -> dict[str, Any]:
        """Start the service and wait until it can be used; returns what `ready` tells the parent."""

    def wait(self) -> str:
        """Wait until the service ends by itself; returns a line with its exit status and the end of its log."""
        assert self._child is not None
        status = self._watch.wait_for(self._child)
        return f"{self.name} ended with status {status}: {self._last_words()}"

    def remove(self) -> None:
        """End every process and remove the directory; nothing may be left behind."""
        child = self._child
        if child is not None and child.poll() is None:
            child.send_signal(self._end_signal)
            reap_children(QUIT_PATIENCE_S)
            if child.poll() is None:
                os.killpg(child.pid, signal.SIGKILL)
        reap_children(CLEANUP_LIMIT_S, kill=True)
        if self._directory is not None:
            remove_tree(self._directory)

    def _make_directory(self, bases: Sequence[str], *, programs: bool) -> Path:
        """Make the private directory, with the log in it; for now it belongs to this process's account."""
        self._directory = directory = private_directory(bases, self._account, programs=programs)
        report(directory=str(directory))
        self._log = (directory / "log").open("a+b", buffering=0)
        return directory

    def _hand_over(self, *paths: Path) -> None:
        """Make the account their owner."""
        if self._account is not None:
            for path in paths:
                os.chown(path, self._account.uid, self._account.gid)

    def _move_to(self, account: Account) -> None:
        """Give the account the directory with all that is in it but the claim, and run what comes under it."""
        assert self._directory is not None
        for folder, _, names in os.walk(self._directory):
            for name in {".", *names} - {folders.CLAIM}:  # by its owner the folder is known as ours
                os.chown(Path(folder, name), account.uid, account.gid, follow_symlinks=False)
        self._account = account

    def _spawn(self, end_signal: signal.Signals, command: Sequence[str], text: bytes = b"") -> subprocess.Popen[bytes]:
        """Start a child in a clean environment; `end_signal` ends it, also when this process has ended."""
        supervisor = os.getpid()

        def follow_supervisor() -> None:
            # CPython calls this after it has changed the uid; before, that would have cleared the death signal.
            prctl(PR_SET_PDEATHSIG, end_signal)
            if os.getppid() != supervisor:
                os._exit(1)

        account = self._account
        child = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=self._log,
            stderr=subprocess.STDOUT,
            cwd=self._directory,
            # Nothing from the user's: PGDATA, PGOPTIONS, LD_LIBRARY_PATH, LANG would change what is measured.
            env={"PATH": "/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"},
            umask=0o077,
            process_group=0,
            user=None if account is None else account.uid,
            group=None if account is None else account.gid,
            extra_groups=None if account is None else [],
            preexec_fn=follow_supervisor,  # noqa: PLW1509 - this process has one thread
        )
        self._child, self._end_signal = child, end_signal
        assert child.stdin is not None
        with contextlib.suppress(BrokenPipeError), child.stdin as pipe:
            pipe.write(text)
        return child

    def _last_words(self) -> str:
        """The end of the log, in one line."""
        assert self._log is not None
        self._log.seek(0)
        return last_words(self._log.read())


def report(**message: Any) -> None:
    """Send the parent one message; if the parent is gone, the next wait notices."""
    with contextlib.suppress(OSError):
        os.write(sys.stdout.fileno(), (json.dumps(message) + "\n").encode())


def supervise(kind: type[Service], order: Callable[[Watch], dict[str, Any]]) -> None:
    """Start a service, wait until it or the parent ends, clean up."""
    watch = Watch()
    os.umask(0o077)
    os.chdir("/")
    service = kind(watch)
    try:
        report(ready=service.start(order(watch)))
        report(lost=service.wait())
    except Stop:
        pass
    except StartError as error:
        report(failed=str(error))
    except Exception as error:
        report(failed=f"{type(error).__name__}: {error}".replace("\n", " "))
    finally:
        service.remove()


def argument(watch: Watch) -> dict[str, Any]:
    """The order, from the command line; it must contain no secret, since every user can read arguments."""
    watch.wait(0)
    order: dict[str, Any] = json.loads(sys.argv[1])
    return order
