"""The parent's end of a child process, mostly a worker: start it, ask it, end it."""

import contextlib
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Final, Generic, Self, TypeVar

import msgspec

from dbbench import messages
from dbbench.errors import DbbenchError

_REQUEST = TypeVar("_REQUEST", bound=messages.Message)
_REPLY = TypeVar("_REPLY", bound=messages.Message)
_KEPT_PG: Final = ("PGPASSWORD", "PGPASSFILE")  # they keep a password out of the URL; the rest belongs in the URL
_LOOK_S: Final = 1.0  # between looks whether a process that does not answer is still there
_MEANWHILE_S: Final = 10.0  # of waiting, until and between calls of what a waiting parent does
_LATE_S: Final = 1.0  # by which this process may wake up late
_STOPPED: Final = os.WSTOPPED | os.WCONTINUED | os.WNOHANG
_AT_ONCE: Final = 2**20  # bytes of a reply
TAKE_LIMIT_S: Final = 60.0  # for a child to take a request from its pipe
_NO_ANSWER: Final = "gave what is no answer: does the scenario write to files that it has not opened?"


class WorkerLostError(DbbenchError):
    """A worker, or another child process, ended or did not answer in time."""


class WorkerLateError(WorkerLostError):
    """It did not answer in time, and was killed."""


class WorkerFailedError(DbbenchError):
    """A worker, or another child process, failed at a request; the attributes are those of messages.Failed."""

    def __init__(self, failed: messages.Failed) -> None:
        super().__init__(failed.message)
        self.scenario = failed.scenario
        self.unfit = failed.unfit
        self.code = failed.code


class _Wait:
    """A wait for one reply: its deadline, and what is done meanwhile."""

    def __init__(self, patience: float, meanwhile: Callable[[], None] | None) -> None:
        now = time.monotonic()
        self._deadline = now + patience
        self._meanwhile = meanwhile
        self._due = now + _MEANWHILE_S

    @property
    def turn_s(self) -> float:
        """The seconds until the next look, 0 after the deadline."""
        return max(0.0, min(_LOOK_S, self._deadline - time.monotonic()))

    def go_on(self) -> None:
        """Do what is due. Raises TimeoutError after the deadline."""
        if time.monotonic() >= self._deadline:
            raise TimeoutError
        if self._meanwhile is not None and time.monotonic() >= self._due:
            self._meanwhile()
            self._due = time.monotonic() + _MEANWHILE_S


@dataclass(frozen=True)
class Home:
    """The home of workers: the Python environment in which they run."""

    python: str = sys.executable
    paths: Sequence[str] = ()  # searched for modules first, instead of PYTHONPATH; one of them must contain dbbench
    off_limits: str = ""  # see messages.Start
    padding: int = 0  # bytes added to the environment variables

    def environment(self) -> dict[str, str]:
        """The environment variables that set this up."""
        if not self.paths:
            return {}
        return {"PYTHONPATH": os.pathsep.join(self.paths), "DBBENCH_PADDING": "." * self.padding}


class Child(Generic[_REQUEST]):
    """A process that runs a module and answers requests. Use it as a context manager, which ends it with the block.

    `title` names it in messages; `decode` turns a message's body into a reply.
    """

    def __init__(
        self,
        title: str,
        module: str,
        decode: Callable[[bytes], messages.Message],
        environment: Mapping[str, str] | None = None,
        home: Home | None = None,
    ) -> None:
        self._title = title
        self._disturbed = ""
        self._decode = decode
        home = home or Home()
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the process
        self._process = subprocess.Popen(
            # -P: the working directory is not searched for modules.
            [home.python, "-P", "-m", module],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            env=worker_environment({**home.environment(), **(environment or {})}),
            process_group=0,  # so that Ctrl-C reaches the parent alone
        )
        assert self._process.stdin is not None
        os.set_blocking(self._process.stdin.fileno(), False)  # a long request to a stopped child must not block

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    def ask_later(self, request: _REQUEST) -> None:
        """Send a request; `reply` fetches the answer later."""
        assert self._process.stdin is not None
        descriptor, left = self._process.stdin.fileno(), memoryview(messages.packed(request))
        deadline = time.monotonic() + TAKE_LIMIT_S
        try:
            while left:
                if not select.select([], [descriptor], [], max(0.0, deadline - time.monotonic()))[1]:
                    raise self._lost(f"took no request within {TAKE_LIMIT_S:g} s")
                with contextlib.suppress(BlockingIOError):
                    left = left[os.write(descriptor, left) :]
        except BrokenPipeError:
            raise self._lost("ended") from None

    def ask(
        self, request: _REQUEST, kind: type[_REPLY], patience: float, meanwhile: Callable[[], None] | None = None
    ) -> _REPLY:
        """Send a request and wait for its reply."""
        self.ask_later(request)
        return self.reply(kind, patience, meanwhile)

    def reply(self, kind: type[_REPLY], patience: float, meanwhile: Callable[[], None] | None = None) -> _REPLY:
        """Wait up to `patience` seconds for the reply to the last request; call `meanwhile` every ten seconds.

        Raises WorkerFailedError when the worker reports a failure, WorkerLostError when no reply comes.
        """
        wait = _Wait(patience, meanwhile)
        try:
            length = int.from_bytes(self._read(messages.LENGTH_BYTES, wait), "big")
            reply = self._decode(self._read(length, wait))
        except TimeoutError:
            raise self._lost(f"gave no answer within {patience:g} s", WorkerLateError) from None
        except msgspec.MsgspecError:
            raise self._lost(_NO_ANSWER) from None
        if isinstance(reply, messages.Failed):
            raise WorkerFailedError(reply)
        if not isinstance(reply, kind):
            raise self._lost(_NO_ANSWER)
        return reply

    def _read(self, size: int, wait: "_Wait") -> bytes:
        assert self._process.stdout is not None
        if size > messages.MAX_BYTES:
            raise self._lost(_NO_ANSWER)
        descriptor = self._process.stdout.fileno()
        parts = bytearray()
        while len(parts) < size:
            # What it has started, and left behind, may keep the pipe open: its end alone says nothing.
            ended = self._process.poll() is not None
            turn_s, began = 0.0 if ended else wait.turn_s, time.monotonic()
            readable, _, _ = select.select([descriptor], [], [], turn_s)
            late_s = time.monotonic() - began - turn_s
            if late_s > _LATE_S:
                self._disturbed = f"dbbench itself stood still for about {late_s:,.0f} s"
            if not readable:
                if ended:
                    raise self._lost("ended")
                wait.go_on()
                continue
            part = os.read(descriptor, min(size - len(parts), _AT_ONCE))
            if not part:
                raise self._lost("ended")
            parts += part
        return bytes(parts)

    def disturbance(self) -> str:
        """What kept it, or this process, from running since this was asked last; empty: nothing that was noticed.

        Signals that stop it are, and where this process does not get to run for more than a second while it waits.
        """
        found, self._disturbed = self._disturbed, ""
        with contextlib.suppress(ChildProcessError):  # it has ended
            while (state := os.waitid(os.P_PID, self.pid, _STOPPED)) is not None:
                if state.si_code in (os.CLD_EXITED, os.CLD_KILLED, os.CLD_DUMPED):
                    break
                found = f"{self._title} was stopped by a signal"
        return found

    def _lost(self, what: str, kind: type[WorkerLostError] = WorkerLostError) -> WorkerLostError:
        if what == "ended":
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(_LOOK_S)  # it closes its pipe a moment before it has a status
        self._kill()
        status = self._process.wait()
        self._log.seek(0)
        last = self._log.read().decode(errors="replace").strip().rpartition("\n")[2]
        how = f" (exit status {status})" if what == "ended" else ""
        return kind(f"{self._title} {what}{how}{': ' + last if last else ''}")

    def _kill(self) -> None:
        """Kill it, with everything that a scenario has started in it."""
        with contextlib.suppress(ProcessLookupError, PermissionError):  # which macOS raises if all have ended
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.kill()

    def end(self) -> None:
        """Kill it. Either it has cleaned up already, or it should not get the chance."""
        if self._log.closed:  # it has ended
            return
        self._kill()
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                with contextlib.suppress(BrokenPipeError):
                    stream.close()
        self._process.wait()
        self._log.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.end()


class WorkerProcess(Child[messages.Request]):
    """One worker process."""

    def __init__(
        self, name: str, start: messages.Start, environment: Mapping[str, str] | None = None, home: Home | None = None
    ) -> None:
        self.name = name
        home = home or Home()
        super().__init__(f"the worker of {name}", "dbbench.worker", messages.decode_reply, environment, home)
        self.ask_later(msgspec.structs.replace(start, off_limits=home.off_limits))


def libpq_variables() -> list[str]:
    """The variables set here that would silently change where and how libpq connects, for some drivers only."""
    return [name for name in os.environ if name.startswith("PG") and name not in _KEPT_PG]


def worker_environment(more: Mapping[str, str]) -> dict[str, str]:
    """This process's environment variables without libpq's, and `more`."""
    left_out = libpq_variables()
    return {**{name: value for name, value in os.environ.items() if name not in left_out}, **more}
