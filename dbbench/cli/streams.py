"""stdout and stderr, which may be closed, full, or read by nobody any more: what a command says there never ends it."""

import contextlib
import io
import os
import sys
from typing import IO, Final, Literal, TextIO, cast

from dbbench.texts import encodable, inert


class _Stream(io.TextIOBase):
    """What there is to know of one of the two, whether it is open or not."""

    def __init__(self, name: Literal["stdout", "stderr"]) -> None:
        self._name = name

    @property
    def stream(self) -> TextIO | None:
        """The stream; None where the shell closed it."""
        stream: TextIO | None = getattr(sys, self._name)
        return getattr(stream, "rich_proxied_file", stream)  # a bar puts itself in between, and would print to itself

    @property
    def encoding(self) -> str:  # type: ignore[override] # the base's is an attribute
        """See TextIOBase."""
        return getattr(self.stream, "encoding", None) or "utf-8"

    def isatty(self) -> bool:
        """See IOBase."""
        return self.stream is not None and self.stream.isatty()

    def fileno(self) -> int:
        """See IOBase."""
        if self.stream is None:
            raise io.UnsupportedOperation
        return self.stream.fileno()


class _Unwritten(_Stream):
    """stdout for a console that says how wide it is and which colours it has, and prints nothing there."""

    def write(self, text: str) -> int:
        """See TextIOBase."""
        return len(text)


class _Stderr(_Stream):
    """stderr, for everything that a command says: what it does not take is lost, and no line is a command to a log."""

    def write(self, text: str) -> int:
        """See TextIOBase."""
        return self.write_as_it_is(inert(text))

    def write_as_it_is(self, text: str) -> int:
        """Write what may have commands to a log in it."""
        if self.stream is not None:
            try:
                self.stream.write(text)
                self.stream.flush()
            except (OSError, ValueError):  # ValueError: it is closed
                discard(self.stream)
        return len(text)


STDERR: Final = _Stderr("stderr")
UNWRITTEN_STDOUT: Final = cast("IO[str]", _Unwritten("stdout"))


def discard(stream: TextIO) -> None:
    """Let a stream take everything from now on and keep nothing: Python, too, would complain once more at its end."""
    with contextlib.suppress(OSError, ValueError):
        nothing = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nothing, stream.fileno())
        os.close(nothing)


def write_stdout(text: str) -> None:
    """Write and flush; what the encoding does not have is replaced.

    Whoever read it may have seen enough, like `head`: then nothing more is written. Raises OSError where it takes
    nothing, like a full disk.
    """
    if sys.stdout is None:  # the shell closed it
        return
    try:
        sys.stdout.write(encodable(text, sys.stdout.encoding or "utf-8"))
        sys.stdout.flush()
    except BrokenPipeError:
        discard(sys.stdout)
    except OSError:
        discard(sys.stdout)
        raise


def open_closed() -> None:
    """Give streams that the shell closed a place to go: else the next file that is opened would take theirs."""
    for descriptor in (0, 1, 2):
        try:
            os.fstat(descriptor)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)  # the lowest number that is free, which is this
