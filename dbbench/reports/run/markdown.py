"""Markdown as GitHub renders it, for pull requests and job summaries."""

from dbbench.analysis.analysis import Analysis, CellAnalysis
from dbbench.records import Run
from dbbench.reports.columns import columns
from dbbench.reports.markdown_text import escaped, table
from dbbench.reports.run.failures import blank, reasons
from dbbench.reports.run.footer import footer
from dbbench.reports.run.remarks import Below, Titled, below, layer_tables
from dbbench.reports.run.roundtrips import round_trip_tables
from dbbench.reports.run.sentences import sentences, title


def report(analysis: Analysis, *, details: bool = False) -> str:
    """Write a heading, a table and a sentence per cell, and the conditions at the end; `details`: more tables."""
    run = analysis.run
    parts = [_cell(run, index, cell, below(run, cell, details=details)) for index, cell in enumerate(analysis.cells)]
    parts += [_titled(titled, "###") for titled in (*layer_tables(analysis), *round_trip_tables(analysis))]
    facts = (f"- {escaped(': '.join(filter(None, fact)))}" for fact in footer(run, analysis.rows, details=details))
    return "\n\n".join([*parts, "\n".join(facts)]) + "\n"


def _cell(run: Run, index: int, of: CellAnalysis, more: Below) -> str:
    name, rest = title(of.cell, of.rows[0].params)
    heading = f"### {escaped(name)}: {', '.join(escaped(part) for part in rest)}"
    said = reasons(run, index, of.rows)
    rows = [] if blank(of.rows) else [table(columns(of.cell, of.rows, of.baselines))]
    # Every line a paragraph of its own: Markdown would run them together.
    lines = [escaped(line) for line in (*(said or sentences(run, index, of)), *more.remarks)]
    return "\n\n".join([heading, *rows, *lines, *(_titled(titled, "####") for titled in more.tables)])


def _titled(titled: Titled, level: str) -> str:
    rest = f": {', '.join(escaped(part) for part in titled.rest)}" if titled.rest else ""
    parts = [f"{level} {escaped(titled.title)}{rest}", table(titled.columns), *map(escaped, titled.sentences)]
    return "\n\n".join(parts)
