"""What a person sees on stderr while a run goes on: a bar on a terminal, elsewhere a line now and then."""

import time
from types import TracebackType
from typing import IO, Final, Self, cast

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

from dbbench.cli.streams import STDERR
from dbbench.texts import said

_REDRAW_S: Final = 0.25  # between slices a bar is redrawn so often at most: it takes a millisecond
_LINE_S: Final = 10.0  # how often a line says at least how far it is, while a block goes on


class Bar:
    """On a terminal: one line that is redrawn between slices only, since a thread that draws would disturb them."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._progress = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=30),
            TextColumn("{task.percentage:>3.0f}%"),
            TextColumn("{task.fields[left]}"),
            console=console,
            auto_refresh=False,
            transient=True,
        )
        self._task = self._progress.add_task("starting", total=1.0, left="")
        self._drawn = 0.0

    def say(self, what: str) -> None:
        """See Watcher."""
        self._progress.update(self._task, description=said(what), refresh=True)

    def advance(self, fraction: float, left_s: float | None) -> None:
        """See Watcher."""
        left = "" if left_s is None else f"{left_s:.0f} s left"
        due = fraction >= 1 or time.monotonic() - self._drawn >= _REDRAW_S
        if due:
            self._drawn = time.monotonic()
        self._progress.update(self._task, completed=min(1.0, fraction), left=left, refresh=due)

    def note(self, text: str) -> None:
        """See Watcher; unlike the terminal, this breaks lines between words."""
        self._console.print(said(text), markup=False, highlight=False)

    def problem(self, text: str) -> None:
        """See Watcher."""
        self.note(text)

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._progress.stop()


class Lines:
    """Elsewhere: a plain line for every stage, and one now and then while a stage goes on."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._began = time.monotonic()
        self._said = self._began
        self._what = ""
        self._left = ""

    def say(self, what: str) -> None:
        """See Watcher."""
        self._what = what
        self._line()

    def advance(self, fraction: float, left_s: float | None) -> None:
        """See Watcher."""
        self._left = f" ({fraction:.0%} done" + ("" if left_s is None else f", {left_s:.0f} s left") + ")"
        if fraction and time.monotonic() - self._said >= _LINE_S:
            self._line()

    def _line(self) -> None:
        self._said = time.monotonic()
        self.note(f"{self._said - self._began:5.1f} s  {self._what}{self._left}")

    def note(self, text: str) -> None:
        """See Watcher."""
        self._console.print(said(text), markup=False, highlight=False, soft_wrap=True)

    def problem(self, text: str) -> None:
        """See Watcher."""
        _console().print(said(text), markup=False, highlight=False, soft_wrap=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        pass


def _console(*, quiet: bool = False) -> Console:
    return Console(file=cast("IO[str]", STDERR), quiet=quiet)


def watcher(*, quiet: bool) -> Bar | Lines:
    """The one that fits where stderr goes; quiet, it is told everything and prints nothing."""
    console = _console(quiet=quiet)
    return Bar(console) if console.is_terminal and not quiet else Lines(console)
