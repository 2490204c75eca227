"""Markdown as GitHub renders it, for pull requests and job summaries.

Data never begins a line, and what it contains is escaped, so that no name becomes formatting, a link or a mention.
"""

from collections.abc import Iterable, Sequence
from typing import Final

from dbbench.commands.wire.result import WireResult
from dbbench.records import WireRow
from dbbench.reports.gate.markdown import inert
from dbbench.reports.markdown_text import line
from dbbench.reports.text import shown
from dbbench.reports.wire.words import cells, conditions, connects, per_operation, place, remarks, statements

_HEADINGS: Final = (
    "driver", "round trips", "messages sent", "received", "bytes sent", "received", "prepares per 100", "statements",
)  # fmt: skip
_CONNECT: Final = ("driver", "layer", "round trips", "messages sent", "statements asked", "asked")
_WORDS: Final = (  # to the left; numbers are to the right
    "driver", "layer", "statements", "asked", "scenario", "change", "because",
)  # fmt: skip


def report(result: WireResult) -> str:
    """Write a table and sentences per scenario and layer, what happens at connect, and the conditions."""
    parts = [part for rows in cells(result) for part in _cell(rows)]
    if found := connects(result):
        parts += ["### At connect", table(_CONNECT, found)]
    facts = (f"- {': '.join(filter(None, (label, inert(text))))}" for label, text in conditions(result))
    return "\n\n".join([*parts, "\n".join(facts)]) + "\n"


def table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Write a table; its values are escaped here."""
    ruler = ["---" if heading in _WORDS else "---:" for heading in headings]
    return "\n".join([line(headings), line(ruler), *(line(map(inert, row)) for row in rows)])


def _cell(rows: Sequence[WireRow]) -> list[str]:
    name, rest = place(rows[0])
    heading = f"### Per operation: {', '.join(map(inert, [name, *rest]))}"
    values = [[shown(row.driver), *per_operation(row), statements(row.statements)] for row in rows]
    said = [f"- For {inert(one.text)}" for one in remarks(rows) if one.kind != "statements"]  # they have a column
    return [heading, table(_HEADINGS, values), *(["\n".join(said)] if said else [])]
