"""The parent's end of a supervisor process: start it, listen to it, end it. The process itself is in supervisors/."""

import contextlib
import json
import os
import select
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from dbbench.errors import CannotStartError
from dbbench.server.supervisors.system import remove_tree

END_LIMIT_S: Final = 5.0
EXPECT_LIMIT_S: Final = 180.0  # for a message; the supervisor itself gives its service 120 s to start
_LAST_WORDS_S: Final = 2.0
_AT_ONCE: Final = 4096  # bytes
Failure = Callable[[str], CannotStartError]
"""Makes an error from a reason."""


class Supervised:
    """A running supervisor."""

    def __init__(self, process: subprocess.Popen[bytes], failure: Failure) -> None:
        self._process = process
        self._failure = failure
        self._said = b""  # beyond the last message
        self.directory: Path | None = None
        """The private directory of its service, once that is known."""

    def tell(self, message: dict[str, Any]) -> None:
        """Send a message through its standard input; unlike arguments, other users cannot read it."""
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # then expect() says what went wrong
            self._process.stdin.write(json.dumps(message).encode() + b"\n")
            self._process.stdin.flush()

    def expect(self, key: str) -> Any:
        """Wait for the message `key` and return its value; raises CannotStartError when another one or none comes."""
        said, deadline = "", time.monotonic() + EXPECT_LIMIT_S
        while line := self._line(deadline):
            try:
                message = json.loads(line)
            except ValueError:
                said = line.decode(errors="replace").strip() or said
                continue
            if key in message:
                return message[key]
            raise self._failure(str(message.get("failed", message.get("lost", message))))
        with contextlib.suppress(subprocess.TimeoutExpired):
            status = self._process.wait(END_LIMIT_S)
            raise self._failure(f"its supervisor ended with status {status} {said}".rstrip())
        raise self._failure("its supervisor closed its output and goes on")

    def _line(self, deadline: float) -> bytes:
        """The next line that the supervisor writes; empty at the end. Raises CannotStartError after the deadline."""
        assert self._process.stdout is not None
        descriptor = self._process.stdout.fileno()
        while b"\n" not in self._said:
            if not select.select([descriptor], [], [], max(0.0, deadline - time.monotonic()))[0]:
                raise self._failure(f"its supervisor said nothing for {EXPECT_LIMIT_S:g} s")
            part = os.read(descriptor, _AT_ONCE)
            if not part:
                line, self._said = self._said, b""
                return line
            self._said += part
        line, _, self._said = self._said.partition(b"\n")
        return line + b"\n"

    def last_words(self) -> str:
        """Why its service ended, as the supervisor says; empty while it runs, and where the supervisor was killed.

        A server closes its socket a moment before it has ended.
        """
        try:
            message = json.loads(self._line(time.monotonic() + _LAST_WORDS_S))
        except (ValueError, CannotStartError):
            return ""
        return str(message.get("lost", ""))

    def expect_directory(self) -> Path:
        """Wait for the name of the private directory; end() then removes it even if the supervisor was killed."""
        self.directory = Path(self.expect("directory"))
        return self.directory

    def alive(self) -> bool:
        """Whether its service is running, as far as it has said; never waits. Call it only after `ready`."""
        if self._process.poll() is not None:
            return False
        assert self._process.stdout is not None
        # After `ready` the supervisor only writes (or ends) when its service is lost.
        poll = select.poll()
        poll.register(self._process.stdout, select.POLLIN)
        return not poll.poll(0)

    def end(self) -> None:
        """Have the supervisor end its service; if it was killed, remove its directory in its place."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        try:
            self._process.wait(END_LIMIT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()
        if self.directory is not None and self.directory.exists():
            remove_tree(self.directory)


@contextmanager
def supervised(script: str, *arguments: str, failure: Failure) -> Iterator[Supervised]:
    """Run a supervisor for the length of a `with` block.

    It is started by path, isolated and without site, which is fastest and reads none of the user's files.
    """
    try:
        process = subprocess.Popen(
            [sys.executable, "-I", "-S", "-X", "utf8", str(Path(script).resolve()), *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,  # should Python itself fail, its error ends up in our message
            start_new_session=True,  # out of reach of the terminal's signals
        )
    except OSError as error:
        raise failure(f"its supervisor did not start: {error}") from error
    running = Supervised(process, failure)
    try:
        yield running
    finally:
        running.end()


def candidate_bases() -> list[str]:
    """The directories in which a private one may be made, without repetition, best first."""
    bases = ["/tmp", "/var/tmp", "/dev/shm"]  # noqa: S108 - mkdtemp makes a private directory in one of them
    with contextlib.suppress(FileNotFoundError):
        bases.insert(0, tempfile.gettempdir())
    return list(dict.fromkeys(bases))
