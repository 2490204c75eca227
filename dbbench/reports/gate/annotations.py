"""Workflow commands of GitHub Actions: what failed and what is open, as annotations of the run.

Every line is one command. The runner reads a command only at the beginning of a line, and names cannot break a line.
"""

from collections.abc import Sequence
from typing import Final

from dbbench.commands.gate.result import Finding, GateResult, GateVerdict
from dbbench.reports.gate.sentences import WORDS, row_sentence, verdict_sentence, what_would_decide
from dbbench.reports.text import shown

# GitHub shows 10 errors, 10 warnings and 10 notices of a step, and drops the rest without a word
# (github.com/orgs/community/discussions/26680).
MAX_OF_A_KIND: Final = 10

_TITLE: Final = "dbbench gate"


def report(result: GateResult) -> str:
    """Write an error for each failing row, a warning for each inconclusive one, or a notice that all is well."""
    failing, undecided = (_having(result, each) for each in (GateVerdict.FAIL, GateVerdict.INCONCLUSIVE))
    lines = [*_kind("error", failing, "fail"), *_kind("warning", undecided, "are inconclusive")]
    if not {GateVerdict.FAIL: failing, GateVerdict.INCONCLUSIVE: undecided}.get(result.verdict):
        # The pass; and a verdict that no row explains must be seen, too.
        title = f"{_TITLE}: {WORDS[result.verdict]}"
        lines.insert(0, command(_LEVELS[result.verdict], title, verdict_sentence(result)))
    return "".join(f"{line}\n" for line in lines)


_LEVELS: Final = {
    GateVerdict.PASS: "notice",
    GateVerdict.FAIL: "error",
    GateVerdict.INCONCLUSIVE: "warning",
    GateVerdict.ADVISORY: "notice",
}


def _having(result: GateResult, verdict: GateVerdict) -> list[Finding]:
    return [finding for finding in result.findings if finding.row.verdict is verdict]


def _kind(level: str, findings: Sequence[Finding], are: str) -> list[str]:
    """Write a line for each, as many as GitHub shows; where there are more, the last one says how many."""
    named = findings if len(findings) <= MAX_OF_A_KIND else findings[: MAX_OF_A_KIND - 1]
    lines = [command(level, _title(finding), _message(finding)) for finding in named]
    if more := len(findings) - len(named):
        lines.append(command(level, _TITLE, f"{more:,} more comparisons {are}: the report of the gate has all of them"))
    return lines


def _title(finding: Finding) -> str:
    row = finding.row
    return f"{_TITLE}: {WORDS[row.verdict]} in {shown(row.scenario)}, {shown(row.driver)}"


def _message(finding: Finding) -> str:
    decide = what_would_decide(finding) if finding.row.verdict is GateVerdict.INCONCLUSIVE else ""
    return "; ".join(filter(None, [row_sentence(finding), decide]))


def command(level: str, title: str, message: str) -> str:
    """Write one line: an annotation of the level "error", "warning" or "notice"."""
    return f"::{level} title={_property(title)}::{_data(message)}"


def _data(text: str) -> str:
    """Escape as GitHub's own toolkit does (github.com/actions/toolkit, packages/core/src/command.ts)."""
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    """Escape what would end a property, too."""
    return _data(text).replace(":", "%3A").replace(",", "%2C")
