"""Markdown as GitHub renders it, for pull requests and job summaries."""

import re
from collections.abc import Iterable, Sequence

from dbbench.compare import Row, groups
from dbbench.plan import Cell
from dbbench.records import Run, clean
from dbbench.reports.columns import columns
from dbbench.reports.footer import footer
from dbbench.reports.sentences import sentence, title

_ACTIVE = re.compile(r"[\\|`*~<>\[\]&@#]")  # would become formatting, a link, HTML, or a mention of somebody


def report(run: Run, rows: Sequence[Row]) -> str:
    """Write a heading, a table and a sentence per cell, and the conditions at the end."""
    parts = [_cell(run, cell, group) for cell, group in groups(run, rows)]
    facts = (f"- {escaped(': '.join(filter(None, fact)))}" for fact in footer(run, rows))
    return "\n\n".join([*parts, "\n".join(facts)]) + "\n"


def escaped(text: str) -> str:
    """Make text mean itself, on one line."""
    return _ACTIVE.sub(_entity, clean(text))


def _entity(match: re.Match[str]) -> str:
    character = match.group()
    # An entity where a backslash would not do: GitHub still sees a mention in \@, and HTML in a \< of some renderers.
    return f"&#{ord(character)};" if character in "<>&@#" else f"\\{character}"


def _cell(run: Run, cell: Cell, rows: Sequence[Row]) -> str:
    name, rest = title(cell, rows[0].params)
    layout = columns(cell, rows, run.header.plan.baseline)
    lines = [
        _line(f"{column.heading} {column.unit}".strip() for column in layout),
        "| --- |" + " ---: |" * (len(layout) - 1),
        *(_line(values) for values in zip(*(column.values for column in layout), strict=True)),
    ]
    heading = f"### {escaped(name)}: {', '.join(escaped(part) for part in rest)}"
    return "\n".join([heading, "", *lines, "", escaped(sentence(run, rows))])


def _line(values: Iterable[str]) -> str:
    return f"| {' | '.join(escaped(value) for value in values)} |"
