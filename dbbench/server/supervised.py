"""A supervisor seen from dbbench: started, listened to, and ended. What it does itself is in supervisor.py."""

import contextlib
import json
import select
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from dbbench.errors import CannotStartError
from dbbench.server.supervisors.system import remove_tree

END_LIMIT_S: Final = 5.0
Failure = Callable[[str], CannotStartError]
"""Makes the error of a reason."""


class Supervised:
    """A running supervisor."""

    def __init__(self, process: subprocess.Popen[bytes], failure: Failure) -> None:
        self._process = process
        self._failure = failure
        self.directory: Path | None = None
        """The private directory of what it runs, once that is known."""

    def tell(self, message: dict[str, Any]) -> None:
        """Say something that is not for everybody's eyes, as arguments are."""
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # then expect() says what was the matter
            self._process.stdin.write(json.dumps(message).encode() + b"\n")
            self._process.stdin.flush()

    def expect(self, key: str) -> Any:
        """Wait for it to say `key`, and return what it says about it; CannotStartError when it says otherwise."""
        assert self._process.stdout is not None
        said = ""
        for line in self._process.stdout:
            try:
                message = json.loads(line)
            except ValueError:
                said = line.decode(errors="replace").strip() or said
                continue
            if key in message:
                return message[key]
            raise self._failure(str(message.get("failed", message.get("lost", message))))
        raise self._failure(f"its supervisor ended with status {self._process.wait()} {said}".rstrip())

    def expect_directory(self) -> Path:
        """Wait for the name of the private directory, which then goes at the end even if the supervisor was killed."""
        self.directory = Path(self.expect("directory"))
        return self.directory

    def alive(self) -> bool:
        """Whether what it runs is running, as far as it has said; never waits. Only for after `ready`."""
        if self._process.poll() is not None:
            return False
        assert self._process.stdout is not None
        # After `ready` the supervisor only speaks (or ends) when what it runs is lost.
        poll = select.poll()
        poll.register(self._process.stdout, select.POLLIN)
        return not poll.poll(0)

    def end(self) -> None:
        """Have the supervisor end what it runs, and do what it cannot do if it was killed."""
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
    """Run a supervisor: by path, isolated and without site, which is quickest and reads nothing of the user's."""
    try:
        process = subprocess.Popen(
            [sys.executable, "-I", "-S", "-X", "utf8", str(Path(script).resolve()), *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,  # should Python itself fail, its words end up in our message
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
    """Return the directories that may hold a private one, without repetition, best first."""
    bases = ["/tmp", "/var/tmp", "/dev/shm"]  # noqa: S108 - mkdtemp makes a private directory in one of them
    with contextlib.suppress(FileNotFoundError):
        bases.insert(0, tempfile.gettempdir())
    return list(dict.fromkeys(bases))
