"""Workflow commands of GitHub Actions: what grew on the wire, as annotations of the run."""

from collections.abc import Sequence
from typing import Final

from dbbench.commands.wire.changes import Change
from dbbench.reports.gate.annotations import MAX_OF_A_KIND, command
from dbbench.reports.text import MAX_TEXT, shown
from dbbench.reports.wire.gate import verdict, verdict_sentence
from dbbench.wording import count

_TITLE: Final = "dbbench gate --wire"


def report(changes: Sequence[Change]) -> str:
    """Write an error for each place where head does more, as many as GitHub shows, or a notice that there is none."""
    grown = [change for change in changes if change.grew]
    if not grown:
        lines = [command("notice", f"{_TITLE}: {verdict(changes).upper()}", verdict_sentence(changes))]
    else:
        named = grown if len(grown) <= MAX_OF_A_KIND else grown[: MAX_OF_A_KIND - 1]
        lines = [command("error", _title(change), shown(change.sentence, MAX_TEXT)) for change in named]
        if more := len(grown) - len(named):
            lines.append(
                command("error", _TITLE, f"{count(more, 'more place')}: the report of the gate has all of them")
            )
    return "".join(f"{line}\n" for line in lines)


def _title(change: Change) -> str:
    return f"{_TITLE}: FAIL in {shown(change.scenario)}, {shown(change.driver)}"
