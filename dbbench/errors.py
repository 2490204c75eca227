"""The exceptions, and the exit codes that they lead to.

DbbenchError
 +-- UsageError        the command line or an input file is wrong      exit 2
 |    +-- ScenarioError   a scenario cannot be used, says file and line
 |    |    +-- UnfitError    it can be run, and nothing would be measured by it
 |    +-- UnreadableError a file is not a result file, or cannot be read
 +-- CannotStartError  no server, no connection, limits too low        exit 4
 +-- RefusedError      would be unsafe                                 exit 5
 +-- ServerLostError   the server went away while measuring            exit 3
 +-- NotComparableError  two sides did not do the same work            exit 6
 +-- LeftBehindError   something of ours stays on the user's server    exit 3
Interrupted            a signal (not an error: it derives from KeyboardInterrupt)

The message names the culprit and the remedy names the way out; together they are one line.
"""

import signal
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from enum import IntEnum
from typing import ClassVar

from dbbench.texts import clean
from dbbench.wording import storable


class ExitCode(IntEnum):
    """How the program ends; scripts rely on these numbers."""

    OK = 0
    REGRESSION = 1
    USAGE = 2
    DEGRADED = 3
    CANNOT_START = 4
    REFUSED = 5
    INCONCLUSIVE = 6
    BUG = 70


class DbbenchError(Exception):
    """An error that ends a command with one line on stderr: what is wrong and, if there is one, the way out."""

    exit_code: ClassVar[ExitCode] = ExitCode.DEGRADED

    def __init__(self, message: str, remedy: str = "") -> None:
        super().__init__(message, remedy)
        self.message = message
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.message}; {self.remedy}" if self.remedy else self.message


class UsageError(DbbenchError):
    """The command line or an input file is wrong."""

    exit_code = ExitCode.USAGE


class ScenarioError(UsageError):
    """A scenario cannot be loaded or run; the message names file and line."""


class UnfitError(ScenarioError):
    """An operation can be run, but what it does is no measurement."""


class UnreadableError(UsageError):
    """A file is not a result file, or cannot be read; `reason` says why, without the file's name."""

    def __init__(self, file: str, reason: str) -> None:
        super().__init__(f"{file}: {reason}")
        self.reason = reason


class CannotStartError(DbbenchError):
    """No server, no connection or limits too low."""

    exit_code = ExitCode.CANNOT_START


class RefusedError(DbbenchError):
    """Going on could harm what belongs to others."""

    exit_code = ExitCode.REFUSED


class ServerLostError(DbbenchError):
    """The server went away while it was measured."""


class NotComparableError(DbbenchError):
    """Two sides did not do the same work, so there is no verdict."""

    exit_code = ExitCode.INCONCLUSIVE


class LeftBehindError(DbbenchError):
    """Something of ours could not be dropped from the user's server."""


class Interrupted(KeyboardInterrupt):
    """A signal asked the program to end; it is a KeyboardInterrupt, so that nothing treats it as an error."""

    def __init__(self, signum: int) -> None:
        super().__init__(signal.Signals(signum).name)
        self.signum = signum

    @property
    def exit_code(self) -> int:
        """The shell's convention: 128 + the number of the signal."""
        return 128 + self.signum


def cause_of(error: BaseException) -> BaseException:
    """The driver's exception where SQLAlchemy has wrapped it, which adds the statement and a link to its own pages."""
    try:
        cause = getattr(error, "orig", None)
    except Exception:  # an exception of a scenario's own may be anything
        return error
    return cause if isinstance(cause, BaseException) else error


def fields_of(cause: BaseException) -> Mapping[str, object]:
    """The fields of the server's message where a driver (pg8000) gives them as they are: C is SQLSTATE, M a text."""
    fields = cause.args[0] if cause.args else None
    return fields if isinstance(fields, dict) else {}


def text_of(error: BaseException) -> str:
    """What an exception says; empty where it does not, since its own str() raises."""
    try:
        cause = cause_of(error)
        return storable(str(fields_of(cause).get("M", cause)))
    except KeyboardInterrupt:
        raise
    except BaseException:
        return ""


def nearest(name: str, known: Iterable[str]) -> str:
    """The remedy for an unknown name: the most similar known name, and all known names."""
    names = list(known)
    close = get_close_matches(name, names, n=1, cutoff=0.5)
    there_is = f"there is {', '.join(names) or 'none'}"
    return f"did you mean {close[0]}? ({there_is})" if close else there_is


def reason(error: Exception) -> str:
    """Why something failed, in the system's words if it was the system."""
    return getattr(error, "strerror", None) or clean(str(error))
