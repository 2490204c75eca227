"""Pieces of sentences: numbers, counts, shares, and text from outside made safe to print."""

import math
from typing import Final

from dbbench.records import clean
from dbbench.result_file import MAX_NAME

MAX_TEXT: Final = 400  # characters of a problem, a reason or a condition


def share(value: float) -> str:
    """Write a share as it would be said: 5%, 2.5%, 0.75%."""
    return f"{100 * value:z.2f}".rstrip("0").rstrip(".") + "%"


def number(value: float | None) -> float | None:
    """Give the number, or None for what is no number that a document may hold."""
    return value if value is not None and math.isfinite(value) else None


def count(how_many: int, of: str) -> str:
    """Write how many there are of something: 1 session, 1,500 sessions."""
    return f"{how_many:,} {of}{'' if how_many == 1 else 's'}"


def shown(text: str, most: int = MAX_NAME) -> str:
    """Make text from data fit for people: short, on one line, no control characters, nothing UTF-8 cannot encode."""
    safe = clean(text[: 2 * most]).encode(errors="replace").decode()
    return safe if len(safe) <= most and len(text) <= 2 * most else safe[: most - 1] + "…"
