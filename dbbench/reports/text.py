"""Pieces of sentences: places, times, shares, and text from outside made safe to print."""

import math
from datetime import datetime
from typing import Final

from dbbench.records import clean
from dbbench.result_lines import MAX_NAME
from dbbench.wording import count

MAX_TEXT: Final = 400  # characters of a problem, a reason or a condition


def place(scenario: str, layer: str, sessions: int, params: str) -> tuple[str, list[str]]:
    """What to call a cell: the scenario, and what else there is to say about it."""
    return scenario, [part for part in (layer, count(sessions, "session"), params) if part]


def when(started: str, format_: str = "%Y-%m-%d %H:%M UTC") -> str:
    """When a run began; as it stands in the file where that is no time."""
    try:
        return datetime.fromisoformat(started).strftime(format_)
    except ValueError:
        return started


def share(value: float) -> str:
    """A share as people write it: 5%, 2.5%, 0.75%."""
    return f"{100 * value:z.2f}".rstrip("0").rstrip(".") + "%"


def number(value: float | None) -> float | None:
    """The number, or None for NaN and infinity, which no document may hold."""
    return value if value is not None and math.isfinite(value) else None


def shown(text: str, most: int = MAX_NAME) -> str:
    """Make text from data fit for people: short, on one line, no control characters, nothing UTF-8 cannot encode."""
    safe = clean(text[: 2 * most]).encode(errors="replace").decode()
    return safe if len(safe) <= most and len(text) <= 2 * most else safe[: most - 1] + "…"
