"""What every command is wrapped in: how it ends, its signals, who is told of progress."""

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
from typing import TYPE_CHECKING, ParamSpec

import typer

from dbbench.cli.output import complain
from dbbench.errors import DbbenchError, ExitCode, Interrupted

if TYPE_CHECKING:
    from dbbench.engine.watcher import Watcher

_P = ParamSpec("_P")


@dataclass(frozen=True)
class Command:
    """A subcommand as `--help` shows it."""

    name: str
    function: Callable[..., None]
    examples: tuple[str, ...]

    @property
    def help(self) -> str:
        """The docstring, a line for each paragraph: Typer would break lines where the source does."""
        return re.sub(r"(?<!\n)\n(?!\n)", " ", getdoc(self.function) or "")

    @property
    def epilog(self) -> str:
        """The examples."""
        return "\n\n".join(("Examples:", *self.examples))


def command(*examples: str, name: str = "") -> Callable[[Callable[..., None]], Command]:
    """Make a subcommand of a function whose parameters are Typer's; it ends as errors.py says."""
    return lambda function: Command(name or function.__name__, ends_well(function), examples)


def ends_well(command: Callable[_P, None]) -> Callable[_P, None]:
    """Let a command end as errors.py says, with one line on stderr instead of a traceback."""

    @wraps(command)
    def wrapped(*args: _P.args, **kwargs: _P.kwargs) -> None:
        try:
            command(*args, **kwargs)
            if sys.stdout is not None:  # it is when the shell closed it
                sys.stdout.flush()
        except DbbenchError as error:
            complain(str(error))
            raise typer.Exit(error.exit_code) from None
        except Interrupted as interrupted:
            complain(f"interrupted ({interrupted}) before anything was measured")
            raise typer.Exit(interrupted.exit_code) from None
        except KeyboardInterrupt:
            raise typer.Exit(128 + signal.SIGINT) from None
        except BrokenPipeError:
            # Whoever read our output has seen enough, like `head`. Python would complain again when it flushes.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise typer.Exit(ExitCode.OK) from None
        except typer.Exit:
            raise
        except OSError as error:
            complain(f"{error.filename or 'the output'} cannot be read or written: {error.strerror or error}")
            raise typer.Exit(ExitCode.DEGRADED) from None
        except Exception as error:  # a bug must not look like a regression (exit 1)
            complain(f"this is a bug in dbbench: {_where(error)}: {type(error).__name__}: {error}")
            raise typer.Exit(ExitCode.BUG) from None

    return wrapped


def _where(error: Exception) -> str:
    traceback = error.__traceback__
    while traceback is not None and traceback.tb_next is not None:
        traceback = traceback.tb_next
    if traceback is None:
        return "?"
    return f"{Path(traceback.tb_frame.f_code.co_filename).name}:{traceback.tb_lineno}"


@contextlib.contextmanager
def measuring(*, quiet: bool) -> Iterator["Watcher"]:
    """What every command that measures works in: its own signals, nothing of libpq's environment, somebody to tell."""
    from dbbench.child import libpq_variables
    from dbbench.cli.progress import watcher

    for name in libpq_variables():
        del os.environ[name]
    with signals(), watcher(quiet=quiet) as watch:
        yield watch


@contextlib.contextmanager
def signals() -> Iterator[None]:
    """Turn the first signal into Interrupted, which lets everything be put away; the second ends at once.

    Ending at once leaves nothing behind either: supervisor and workers end when their pipe from here does.
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
    before = {signum: signal.signal(signum, handle) for signum in handled}
    try:
        yield
    finally:
        for signum, handler in before.items():
            signal.signal(signum, handler)
