"""Markdown as GitHub renders it, for pull requests and job summaries."""

from collections.abc import Sequence

from dbbench.analysis.analysis import Analysis, CellAnalysis
from dbbench.records import Run
from dbbench.reports.columns import Column, columns
from dbbench.reports.markdown_text import escaped, line
from dbbench.reports.run.footer import footer
from dbbench.reports.run.remarks import Below, Titled, below, layer_tables
from dbbench.reports.run.roundtrips import round_trip_tables
from dbbench.reports.run.sentences import sentence, title


def report(analysis: Analysis, *, details: bool = False) -> str:
    """Write a heading, a table and a sentence per cell, and the conditions at the end; `details`: more tables."""
    run = analysis.run
    parts = [_cell(run, cell, below(run, cell, details=details)) for cell in analysis.cells]
    parts += [_titled(table, "###") for table in (*layer_tables(analysis), *round_trip_tables(analysis))]
    facts = (f"- {escaped(': '.join(filter(None, fact)))}" for fact in footer(run, analysis.rows))
    return "\n\n".join([*parts, "\n".join(facts)]) + "\n"


def _cell(run: Run, of: CellAnalysis, more: Below) -> str:
    name, rest = title(of.cell, of.rows[0].params)
    heading = f"### {escaped(name)}: {', '.join(escaped(part) for part in rest)}"
    table = _table(columns(of.cell, of.rows, run.header.plan.baseline))
    # Every line a paragraph of its own: Markdown would run them together.
    lines = [escaped(line) for line in (sentence(run, of.rows), *more.remarks)]
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
