"""Markdown as GitHub renders it, for pull requests and job summaries."""

import re
from collections.abc import Iterable, Sequence

from dbbench.compare import Row, groups
from dbbench.plan import Cell
from dbbench.records import Run, clean
from dbbench.reports.columns import Column, columns
from dbbench.reports.footer import footer
from dbbench.reports.remarks import Below, Titled, below, layer_tables
from dbbench.reports.roundtrips import round_trip_tables
from dbbench.reports.sentences import sentence, title

_ACTIVE = re.compile(r"[\\|`*~<>\[\]&@#]")  # would become formatting, a link, HTML, or a mention of somebody


def report(run: Run, rows: Sequence[Row], *, details: bool = False) -> str:
    """Write a heading, a table and a sentence per cell, and the conditions at the end; `details`: more tables."""
    cells = groups(run, rows)
    more = below(run, cells, detailed=details)
    parts = [_cell(run, cell, group, rest) for (cell, group), rest in zip(cells, more, strict=True)]
    parts += [_titled(table, "###") for table in (*layer_tables(run), *round_trip_tables(run))]
    facts = (f"- {escaped(': '.join(filter(None, fact)))}" for fact in footer(run, rows))
    return "\n\n".join([*parts, "\n".join(facts)]) + "\n"


def escaped(text: str) -> str:
    """Make text mean itself, on one line."""
    return _ACTIVE.sub(_entity, clean(text))


def _entity(match: re.Match[str]) -> str:
    character = match.group()
    # An entity where a backslash would not do: GitHub still sees a mention in \@, and HTML in a \< of some renderers.
    return f"&#{ord(character)};" if character in "<>&@#" else f"\\{character}"


def _cell(run: Run, cell: Cell, rows: Sequence[Row], more: Below) -> str:
    name, rest = title(cell, rows[0].params)
    heading = f"### {escaped(name)}: {', '.join(escaped(part) for part in rest)}"
    table = _table(columns(cell, rows, run.header.plan.baseline))
    # Every line a paragraph of its own: Markdown would run them together.
    lines = [escaped(line) for line in (sentence(run, rows), *more.remarks)]
    return "\n\n".join([heading, table, *lines, *(_titled(titled, "####") for titled in more.tables)])


def _titled(table: Titled, level: str) -> str:
    rest = f": {', '.join(escaped(part) for part in table.rest)}" if table.rest else ""
    parts = [f"{level} {escaped(table.title)}{rest}", _table(table.columns), *map(escaped, table.sentences)]
    return "\n\n".join(parts)


def _table(layout: Sequence[Column]) -> str:
    return "\n".join(
        [
            _line(f"{column.heading} {column.unit}".strip() for column in layout),
            "| --- |" + " ---: |" * (len(layout) - 1),
            *(_line(values) for values in zip(*(column.values for column in layout), strict=True)),
        ]
    )


def _line(values: Iterable[str]) -> str:
    return f"| {' | '.join(escaped(value) for value in values)} |"
