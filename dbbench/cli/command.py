"""What every command is wrapped in: how it ends, its signals, who is told of progress.

A command is a function from words to a request, which reads no server and changes nothing, and the request's execute().
"""

import contextlib
import os
import re
import signal
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import wraps
from inspect import getdoc
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Final, Protocol

import typer

from dbbench.cli.groups import expanded
from dbbench.cli.output import complain
from dbbench.errors import DbbenchError, ExitCode, Interrupted, reason
from dbbench.server.passwords import stands_in

if TYPE_CHECKING:
    from dbbench.engine.options import Options
    from dbbench.engine.watcher import Watcher


_SHOWN_BY_PS: Final = (
    "`ps` shows the password in a URL to every user of this machine; --env-url, PGPASSWORD or ~/.pgpass does not"
)


class Request(Protocol):
    """What a command was asked to do: plain data."""

    def execute(self) -> int:
        """Do it, and give the exit code."""
        ...


@dataclass(frozen=True)
class Command:
    """A subcommand as `--help` shows it."""

    name: str
    request: Callable[..., Request]  # makes the request of what Typer read
    examples: tuple[str, ...]
    configured: bool  # its options may stand in pyproject.toml

    @property
    def function(self) -> Callable[..., None]:
        """The whole command, as Typer calls it."""

        @ends_well()
        @wraps(self.request)
        def function(**given: object) -> None:
            if signal.getsignal(signal.SIGINT) is signal.SIG_DFL:  # see __main__.py
                signal.signal(signal.SIGINT, signal.default_int_handler)
            request = self.request(**given)
            if not given.get("quiet") and any(map(stands_in, sys.argv)):
                complain(_SHOWN_BY_PS)
            raise typer.Exit(request.execute())

        return function

    @property
    def help(self) -> str:
        """The docstring, a line for each paragraph: Typer would break lines where the source does."""
        return re.sub(r"(?<!\n)\n(?!\n)", " ", getdoc(self.request) or "")

    @property
    def epilog(self) -> str:
        """The examples."""
        return "\n\n".join(("Examples:", *self.examples))


def command(*examples: str, name: str = "", configured: bool = False) -> Callable[[Callable[..., Request]], Command]:
    """Make a subcommand of a function whose parameters are Typer's or groups of them (see groups.py)."""
    return lambda function: Command(name or function.__name__, expanded(function), examples, configured)


def given(context: typer.Context, *names: str) -> set[str]:
    """Which of the parameters were given on the command line itself."""
    sources = {name: context.get_parameter_source(name) for name in names}
    return {name for name, source in sources.items() if source is not None and source.name == "COMMANDLINE"}


@contextlib.contextmanager
def ends_well() -> Iterator[None]:
    """Let a command end as errors.py says, with one line on stderr instead of a traceback."""
    try:
        yield
    except (typer.Exit, typer.Abort):
        raise
    except DbbenchError as error:
        complain(_noted(str(error), error))
        raise typer.Exit(error.exit_code) from None
    except Interrupted as interrupted:
        complain(_noted(f"interrupted ({interrupted})", interrupted, " before anything was measured"))
        raise typer.Exit(interrupted.exit_code) from None
    except KeyboardInterrupt:
        raise typer.Exit(128 + signal.SIGINT) from None
    except OSError as error:
        complain(_noted(f"{error.filename or 'something'} cannot be read or written: {reason(error)}", error))
        raise typer.Exit(ExitCode.DEGRADED) from None
    except Exception as error:  # a bug must not look like a regression (exit 1)
        complain(_noted(f"this is a bug in dbbench: {_where(error)}: {type(error).__name__}: {error}", error))
        raise typer.Exit(ExitCode.BUG) from None


def _noted(said: str, error: BaseException, otherwise: str = "") -> str:
    """What is said of an error, with its notes: which file has what was measured."""
    notes = getattr(error, "__notes__", [])
    return "; ".join([said, *notes]) if notes else said + otherwise


def _where(error: Exception) -> str:
    traceback = error.__traceback__
    while traceback is not None and traceback.tb_next is not None:
        traceback = traceback.tb_next
    if traceback is None:
        return "?"
    return f"{Path(traceback.tb_frame.f_code.co_filename).name}:{traceback.tb_lineno}"


@contextlib.contextmanager
def measuring(options: "Options | None" = None, *, quiet: bool, timed: bool = True) -> Iterator["Watcher"]:
    """What every command that measures works in: its own signals, nothing of libpq's environment, somebody to tell.

    `options` are those of a command that measures any server; `timed`: whether a busy machine matters.
    """
    from dbbench.engine import busy

    look = busy.Look() if timed and not quiet else None  # goes on while these are imported
    from dbbench.child import libpq_variables
    from dbbench.cli.progress import watcher

    for name in libpq_variables():
        del os.environ[name]
    with signals(), watcher(quiet=quiet) as watch:
        if options is not None and options.address is None and "DATABASE_URL" in os.environ:
            watch.note("DATABASE_URL is set but not used; --env-url uses it")
        if look is not None and (warning := busy.warning(busy.certain(look.end()))):
            watch.note(warning)
        yield watch


@contextlib.contextmanager
def signals() -> Iterator[None]:
    """Turn the first signal into Interrupted, which lets everything be put away; the second ends at once.

    Ending at once leaves nothing behind either: supervisors, workers and the janitor see the end of their pipe from
    here. A signal that was ignored from the start, as nohup has it, stays ignored.
    """
    seen = False

    def handle(signum: int, _frame: FrameType | None) -> None:
        nonlocal seen
        if seen:
            os._exit(128 + signum)
        seen = True
        raise Interrupted(signum)

    handled = [signal.SIGINT, signal.SIGTERM]
    if hasattr(signal, "SIGHUP"):
        handled.append(signal.SIGHUP)
    before = {
        signum: signal.signal(signum, handle) for signum in handled if signal.getsignal(signum) is not signal.SIG_IGN
    }
    try:
        yield
    finally:
        for signum, handler in before.items():
            signal.signal(signum, handler)
