"""Who is told what happens while a command measures."""

from typing import Protocol


class Watcher(Protocol):
    """Is told how a run goes on."""

    def say(self, what: str) -> None:
        """What is going on now."""
        ...

    def advance(self, fraction: float, left_s: float | None) -> None:
        """How much of the measuring is done, and how many seconds are left if that is known."""
        ...

    def note(self, text: str) -> None:
        """Something worth keeping on the screen."""
        ...

    def problem(self, text: str) -> None:
        """Something that went wrong; said even when nothing else is."""
        ...
