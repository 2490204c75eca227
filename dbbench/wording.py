"""Counts and lists in words, and what is a text at all. Imports nothing of dbbench."""

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


def not_text(text: str) -> str:
    """Why a text from outside cannot be stored or printed; empty: it can."""
    if "\0" in text:
        return "has a NUL in it"
    try:
        text.encode()
    except UnicodeEncodeError:  # bytes of a name or an argument that are no UTF-8 stand in it as lone surrogates
        return "is not UTF-8"
    return ""


def storable(text: str) -> str:
    """The text with a question mark for whatever is no character."""
    return text.encode(errors="replace").decode()
