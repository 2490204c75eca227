"""A line and a cell of a Markdown table."""

import re
from collections.abc import Iterable

from dbbench.records import clean

_ACTIVE = re.compile(r"[\\|`*~<>\[\]&@#]")  # would become formatting, a link, HTML, or a mention of somebody


def escaped(text: str) -> str:
    """Make text mean itself, on one line."""
    return _ACTIVE.sub(_entity, clean(text))


def _entity(match: re.Match[str]) -> str:
    character = match.group()
    # An entity where a backslash would not do: GitHub still sees a mention in \@, and HTML in a \< of some renderers.
    return f"&#{ord(character)};" if character in "<>&@#" else f"\\{character}"


def line(values: Iterable[str]) -> str:
    """One line of a Markdown table."""
    return f"| {' | '.join(escaped(value) for value in values)} |"
