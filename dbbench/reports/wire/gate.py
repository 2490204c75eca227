"""What the exact gate found: text for a terminal, JSON, CSV and Markdown for a pull request."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from dbbench.commands.wire.changes import Change
from dbbench.reports.csv_text import table as csv_table
from dbbench.reports.gate.json import text as json_text
from dbbench.reports.text import MAX_TEXT, count, shown
from dbbench.reports.wire.csv import plain
from dbbench.reports.wire.markdown import table

SCHEMA: Final = 1  # of the JSON document
MAX_LINES: Final = 200  # of one kind; all of them are in the JSON report

_HEADINGS: Final = ("driver", "layer", "scenario", "change", "because")


def verdict(changes: Sequence[Change]) -> str:
    """Give "fail" where something grew, else "pass"."""
    return "fail" if any(change.grew for change in changes) else "pass"


def verdict_sentence(changes: Sequence[Change]) -> str:
    """Say what the gate decides and why."""
    grown = sum(change.grew for change in changes)
    if grown:
        others = len(changes) - grown
        also = f"; {count(others, 'other change')} {'does' if others == 1 else 'do'} not fail it" if others else ""
        return f"head does more than base in {count(grown, 'place')}{also}."
    if changes:
        return f"head does nothing more than base; {count(len(changes), 'change')} beside that."
    return "head and base put the same on the wire."


def text_report(changes: Sequence[Change]) -> str:
    """Write a line for each change, those that fail the gate first, and the verdict at the end."""
    lines = [f"{'more' if change.grew else 'note'}  {shown(change.sentence, MAX_TEXT)}" for change in _first(changes)]
    return "\n".join([*_cut(lines), f"{verdict(changes).upper()}: {verdict_sentence(changes)}"]) + "\n"


def json_report(changes: Sequence[Change]) -> str:
    """Write one document, ASCII only; a base or head that is null is a row that is not there."""
    return json_text(
        {"schema": SCHEMA, "verdict": verdict(changes), "changes": [_record(change) for change in changes]}
    )


def csv_report(changes: Sequence[Change]) -> str:
    """Write one line for each change."""
    return csv_table(Change.__struct_fields__, (_neutral(_record(change)) for change in changes))


def markdown_report(changes: Sequence[Change]) -> str:
    """Write the verdict and a table, those changes first that fail the gate."""
    parts = [f"## dbbench gate --wire: {verdict(changes).upper()}", verdict_sentence(changes)]
    rows = [_row(change) for change in _first(changes)]
    if rows:
        parts.append(table(_HEADINGS, rows[:MAX_LINES]))
    if more := len(rows) - min(len(rows), MAX_LINES):
        parts.append(f"{count(more, 'more change')} in the JSON report.")
    return "\n\n".join(parts) + "\n"


REPORTS: Final[Mapping[str, Callable[[Sequence[Change]], str]]] = {
    "table": text_report,
    "csv": csv_report,
    "json": json_report,
    "markdown": markdown_report,
}


def _first(changes: Sequence[Change]) -> list[Change]:
    return sorted(changes, key=lambda change: not change.grew)


def _row(change: Change) -> list[str]:
    where = ", ".join(filter(None, (shown(change.scenario), shown(change.params))))
    difference = f"{'more: ' if change.grew else ''}{shown(change.difference)}"
    return [shown(change.driver), shown(change.layer), where, difference, shown(change.because, MAX_TEXT)]


def _cut(lines: Sequence[str]) -> list[str]:
    more = len(lines) - min(len(lines), MAX_LINES)
    return [*lines[:MAX_LINES], *([f"{more:,} more in the JSON report"] if more else [])]


def _record(change: Change) -> dict[str, Any]:
    fields = {name: getattr(change, name) for name in Change.__struct_fields__}
    return {name: plain(value) if isinstance(value, float) else value for name, value in fields.items()}


def _neutral(fields: dict[str, Any]) -> dict[str, Any]:
    """Replace what UTF-8 cannot encode, and write truth as a word."""
    named = {name: ("yes" if value else "no") if isinstance(value, bool) else value for name, value in fields.items()}
    return {
        name: value.encode(errors="replace").decode() if isinstance(value, str) else value
        for name, value in named.items()
    }
