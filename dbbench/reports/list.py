"""The scenarios or drivers that there are, for people and as JSON."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.padding import Padding

from dbbench.reports.console import INDENT, plain
from dbbench.reports.json_text import ascii_text
from dbbench.texts import cut


def json_report(rows: Sequence[Mapping[str, Any]]) -> str:
    """Write a list with an object for each."""
    return ascii_text(rows)


def render(rows: Sequence[Mapping[str, Any]], console: Console) -> None:
    """Print on the console: each name, below it the summary and the facts."""
    for name, summary, *facts in (row.items() for row in rows):
        console.print(plain(str(name[1]), console, "bold"))
        text = "; ".join(f"{label} {_shown(value)}" for label, value in facts)
        for line in (str(summary[1]), text):
            console.print(Padding(plain(cut(line), console), INDENT))


def _shown(value: object) -> str:
    match value:
        case bool():
            return "yes" if value else "no"
        case list():
            return ", ".join(map(str, value))
        case dict():
            return " ".join(f"{name}={default}" for name, default in value.items())
    return str(value)
