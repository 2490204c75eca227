"""What the exact gate found: text for a terminal, JSON, CSV and Markdown for a pull request."""

from collections.abc import Sequence
from typing import Any, Final

from dbbench.choices import Decimal
from dbbench.commands.wire.changes import Change
from dbbench.reports.csv_text import table as csv_table
from dbbench.reports.exported import mean_count
from dbbench.reports.json_text import SCHEMA, ascii_text
from dbbench.reports.text import MAX_TEXT, shown
from dbbench.reports.wire.markdown import table
from dbbench.wording import count

MAX_LINES: Final = 200  # of one kind; all of them are in the JSON report

_HEADINGS: Final = ("driver", "layer", "scenario", "change", "because")


def verdict(changes: Sequence[Change]) -> str:
    """The verdict: "fail" where something grew, else "pass"."""
    return "fail" if any(change.grew for change in changes) else "pass"


def verdict_sentence(changes: Sequence[Change]) -> str:
    """What the gate decides, and why."""
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
    """Write one document, ASCII only; where base or head is null, that side does not have the row."""
    return ascii_text(
        {"schema": SCHEMA, "verdict": verdict(changes), "changes": [_record(change) for change in changes]}
    )


def csv_report(changes: Sequence[Change], *, decimal: Decimal = "point") -> str:
    """Write one line for each change."""
    return csv_table(Change.__struct_fields__, map(_record, changes), decimal)


def markdown_report(changes: Sequence[Change]) -> str:
    """Write the verdict and a table, with the changes that fail the gate first."""
    parts = [f"## dbbench gate --wire: {verdict(changes).upper()}", verdict_sentence(changes)]
    rows = [_row(change) for change in _first(changes)]
    if rows:
        parts.append(table(_HEADINGS, rows[:MAX_LINES]))
    if more := len(rows) - min(len(rows), MAX_LINES):
        parts.append(f"{count(more, 'more change')} in the JSON report.")
    return "\n\n".join(parts) + "\n"


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
    return {name: mean_count(value) if isinstance(value, float) else value for name, value in fields.items()}
