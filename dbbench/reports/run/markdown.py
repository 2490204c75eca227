"""Markdown as GitHub renders it, for pull requests and job summaries."""

from collections.abc import Sequence

from dbbench.analysis.rows import CellRow, groups
from dbbench.plan import Cell
from dbbench.records import Run
from dbbench.reports.columns import Column, columns
from dbbench.reports.markdown_text import escaped, line
from dbbench.reports.run.footer import footer
from dbbench.reports.run.remarks import Below, Titled, below, layer_tables
from dbbench.reports.run.roundtrips import round_trip_tables
from dbbench.reports.run.sentences import sentence, title


def report(run: Run, rows: Sequence[CellRow], *, details: bool = False) -> str:
    """Write a heading, a table and a sentence per cell, and the conditions at the end; `details`: more tables."""
    cells = groups(run, rows)
    more = below(run, cells, detailed=details)
    parts = [_cell(run, cell, group, rest) for (cell, group), rest in zip(cells, more, strict=True)]
    parts += [_titled(table, "###") for table in (*layer_tables(run), *round_trip_tables(run))]
    facts = (f"- {escaped(': '.join(filter(None, fact)))}" for fact in footer(run, rows))
    return "\n\n".join([*parts, "\n".join(facts)]) + "\n"


def _cell(run: Run, cell: Cell, rows: Sequence[CellRow], more: Below) -> str:
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
            line(f"{column.heading} {column.unit}".strip() for column in layout),
            "| --- |" + " ---: |" * (len(layout) - 1),
            *(line(values) for values in zip(*(column.values for column in layout), strict=True)),
        ]
    )
