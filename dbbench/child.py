"""The parent's end of a child process, mostly a worker: start it, ask it, end it."""

import contextlib
import os
import select
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


class WorkerLostError(DbbenchError):
    """A worker, or another child process, ended or did not answer in time."""


class WorkerFailedError(DbbenchError):
    """A worker, or another child process, failed at a request; the attributes are those of messages.Failed."""

    def __init__(self, failed: messages.Failed) -> None:
        super().__init__(failed.message)
        self.scenario = failed.scenario
        self.unfit = failed.unfit
        self.code = failed.code


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

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    def ask_later(self, request: _REQUEST) -> None:
        """Send a request; `reply` fetches the answer later."""
        assert self._process.stdin is not None
        try:
            messages.send(self._process.stdin, request)
        except BrokenPipeError:
            raise self._lost("ended") from None

    def ask(self, request: _REQUEST, kind: type[_REPLY], patience: float | None) -> _REPLY:
        """Send a request and wait for its reply."""
        self.ask_later(request)
        return self.reply(kind, patience)

    def reply(self, kind: type[_REPLY], patience: float | None) -> _REPLY:
        """Wait up to `patience` seconds (None: forever) for the reply to the last request.

        Raises WorkerFailedError when the worker reports a failure, WorkerLostError when no reply comes.
        """
        deadline = None if patience is None else time.monotonic() + patience
        try:
            length = int.from_bytes(self._read(messages.LENGTH_BYTES, deadline), "big")
            reply = self._decode(self._read(length, deadline))
        except TimeoutError:
            raise self._lost(f"gave no answer within {patience:g} s") from None
        if isinstance(reply, messages.Failed):
            raise WorkerFailedError(reply)
        assert isinstance(reply, kind), reply
        return reply

    def _read(self, size: int, deadline: float | None) -> bytes:
        assert self._process.stdout is not None
        descriptor = self._process.stdout.fileno()
        parts = bytearray()
        while len(parts) < size:
            left = None if deadline is None else max(0.0, deadline - time.monotonic())
            if not select.select([descriptor], [], [], left)[0]:
                raise TimeoutError
            part = os.read(descriptor, size - len(parts))
            if not part:
                raise self._lost("ended")
            parts += part
        return bytes(parts)

    def _lost(self, what: str) -> WorkerLostError:
        self._process.kill()
        status = self._process.wait()
        self._log.seek(0)
        last = self._log.read().decode(errors="replace").strip().rpartition("\n")[2]
        how = f" (exit status {status})" if what == "ended" else ""
        return WorkerLostError(f"{self._title} {what}{how}{': ' + last if last else ''}")

    def end(self) -> None:
        """Kill it. Either it has cleaned up already, or it should not get the chance."""
        self._process.kill()
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
