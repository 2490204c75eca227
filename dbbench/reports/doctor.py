"""The checks of `dbbench doctor`: a list for people, and JSON."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Final

from rich.console import Console
from rich.table import Table

from dbbench.commands.check import Check
from dbbench.commands.doctor import ready
from dbbench.reports.console import plain, prose
from dbbench.reports.json_text import ascii_text

_STYLES: Final = {"ok": "green", "note": "yellow", "missing": "red", "problem": "red"}
READY: Final = "Everything is there that dbbench run needs."
NOT_READY: Final = "dbbench run needs what is missing or a problem here."


def json_report(checks: Sequence[Check]) -> str:
    """Write one JSON document: whether all is well, and every check."""
    return ascii_text({"ok": ready(checks), "checks": [asdict(check) for check in checks]})


def render(checks: Sequence[Check], console: Console) -> None:
    """Print on the console, which decides on colours: a line per check, its remedy below it."""
    grid = Table.grid(padding=(0, 2))
    grid.add_column(no_wrap=True)
    grid.add_column(no_wrap=True)
    grid.add_column(overflow="fold")
    for check in checks:
        style = _STYLES[check.status]
        grid.add_row(plain(check.status, console, style), plain(check.name, console), plain(check.detail, console))
        if check.remedy:
            grid.add_row("", "", plain(check.remedy, console, style))
    width = prose(console)
    console.print(grid, width=width)
    console.print()
    console.print(plain(READY if ready(checks) else NOT_READY, console, "bold"), width=width)
