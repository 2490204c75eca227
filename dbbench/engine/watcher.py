"""The interface through which a measuring command tells the user what is going on."""

from typing import Protocol


class Watcher(Protocol):
    """Receives the progress of a run."""

    def say(self, what: str) -> None:
        """Show what is going on now."""
        ...

    def advance(self, fraction: float, left_s: float | None) -> None:
        """Show the share of the measuring that is done, and the seconds left if they are known."""
        ...

    def note(self, text: str) -> None:
        """Show something that should stay on the screen."""
        ...

    def problem(self, text: str) -> None:
        """Show something that went wrong, even in quiet mode."""
        ...
