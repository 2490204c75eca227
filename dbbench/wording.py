"""Counts and lists in words. Imports nothing of dbbench."""

from collections.abc import Sequence


def count(how_many: int, of: str) -> str:
    """A count and what is counted: 1 session, 1,500 sessions."""
    return f"{how_many:,} {of}{'' if how_many == 1 else 's'}"


def are(how_many: int) -> str:
    """The verb that goes with a count."""
    return "is" if how_many == 1 else "are"


def listed(parts: Sequence[str]) -> str:
    """One or more parts as a list: a, b and c."""
    *first, last = parts
    return f"{', '.join(first)} and {last}" if first else last
