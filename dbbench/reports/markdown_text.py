"""Tables and cells of Markdown, in which text from outside means itself."""

import re
from collections.abc import Iterable, Sequence

from dbbench.records import clean
from dbbench.reports.columns import Column

_ACTIVE = re.compile(r"[\\|`*~<>\[\]&@#]")  # would become formatting, a link, HTML, or a mention of somebody


def escaped(text: str) -> str:
    """Make text mean itself, on one line."""
    return _ACTIVE.sub(_entity, clean(text))


def _entity(match: re.Match[str]) -> str:
    character = match.group()
    # An entity where a backslash would not do: GitHub still sees a mention in \@, and HTML in a \< of some renderers.
    return f"&#{ord(character)};" if character in "<>&@#" else f"\\{character}"


def table(layout: Sequence[Column]) -> str:
    """Write columns, the first to the left and the others to the right; headings and values are escaped here."""
    headings = [f"{column.heading} {column.unit}".strip() for column in layout]
    values = zip(*(column.values for column in layout), strict=True)
    return "\n".join([_escaped_line(headings), "| --- |" + " ---: |" * (len(layout) - 1), *map(_escaped_line, values)])


def line(values: Iterable[str]) -> str:
    """One line of a table, whose values are Markdown."""
    return f"| {' | '.join(values)} |"


def _escaped_line(values: Iterable[str]) -> str:
    return line(map(escaped, values))
