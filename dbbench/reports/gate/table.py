"""The gate on a terminal: the verdict, a table per cell, and a sentence; below them packages, problems, conditions."""

from collections.abc import Sequence
from itertools import groupby
from typing import Final

from rich.console import Console
from rich.padding import Padding
from rich.text import Text

from dbbench.commands.gate.result import Finding, GateResult, GateVerdict
from dbbench.reports.columns import Column
from dbbench.reports.console import INDENT, plain, print_footer, print_table, print_title, prose
from dbbench.reports.gate.sentences import (
    SHORT,
    WORDS,
    cell,
    loss,
    no_packages,
    packages,
    remarks,
    times,
    verdict_sentence,
)
from dbbench.reports.run.footer import MAX_PROBLEMS
from dbbench.reports.text import MAX_TEXT, share, shown
from dbbench.wording import are, count

MAX_PACKAGES: Final = 30  # lines; all of them are in the JSON
MAX_WORD: Final = 16  # columns for the word before a condition

_STYLES: Final = {
    GateVerdict.PASS: "green",
    GateVerdict.FAIL: "red",
    GateVerdict.INCONCLUSIVE: "yellow",
    GateVerdict.ADVISORY: "dim",
}


def render(result: GateResult, console: Console, *, file: str = "") -> None:
    """Print on the console, which decides on colours; `file` names the result."""
    _print_verdict(result, console)
    console.print()
    for _, group in groupby(result.findings, _place):
        _print_cell(list(group), console)
        console.print()
    _print_packages(result, console)
    style = f"bold {_STYLES[result.verdict]}"
    sentence = [plain(f"{WORDS[result.verdict]}: ", console, style), plain(verdict_sentence(result), console)]
    console.print(Text.assemble(*sentence), width=prose(console))
    console.print()
    print_footer(_footer(result, file), console)


def _print_verdict(result: GateResult, console: Console) -> None:
    """Print the title line with the verdict, and what was compared."""
    title = [
        plain("dbbench gate: ", console, "bold"),
        plain(WORDS[result.verdict], console, f"bold {_STYLES[result.verdict]}"),
        plain(f" · {count(len(result.findings), 'comparison')} · {count(result.blocks, 'block')}", console, "dim"),
    ]
    console.print(Text.assemble(*title), width=prose(console))
    sides = [("base", result.base), ("head", result.head)]
    print_footer([(word, f"{shown(side.label)}, {shown(side.python)}") for word, side in sides], console)


def _place(finding: Finding) -> tuple[str, str, int, str]:
    row = finding.row
    return row.scenario, row.layer, row.sessions, row.params


def _print_cell(findings: Sequence[Finding], console: Console) -> None:
    name, *rest = cell(findings[0].row)
    params = shown(findings[0].row.params)
    print_title(name, [*rest, params] if params else rest, console)
    styles = {GateVerdict.PASS: ""} | {
        verdict: _STYLES[verdict] for verdict in GateVerdict if verdict is not GateVerdict.PASS
    }
    if any((finding.base_us, finding.head_us) != (None, None) for finding in findings):
        print_table(_columns(findings), console, [styles[finding.row.verdict] for finding in findings])
    for remark in remarks(findings, within=True):
        console.print(Padding(plain(remark, console), INDENT), width=prose(console))


def _columns(findings: Sequence[Finding]) -> list[Column]:
    """Lay out the rows of one cell, the driver first; the metric is a column where there is more than time."""
    values, unit = times([value for finding in findings for value in (finding.base_us, finding.head_us)])
    metrics = [SHORT[finding.row.metric] for finding in findings]
    return [
        Column("driver", "", [shown(finding.row.driver) for finding in findings]),
        *([Column("metric", "", metrics)] if set(metrics) != {SHORT["time"]} else []),
        Column("base", unit, values[0::2]),
        Column("head", unit, values[1::2]),
        Column("loss", "with interval", [loss(finding) for finding in findings]),
        Column("tolerance", "", [share(finding.tolerance) for finding in findings]),
        Column("verdict", "", [_verdict(finding) for finding in findings]),
    ]


def _verdict(finding: Finding) -> str:
    """The verdict of a row; a failure is in capitals, for where there are no colours."""
    verdict = finding.row.verdict
    return WORDS[verdict] if verdict is GateVerdict.FAIL else verdict.value


def _print_packages(result: GateResult, console: Console) -> None:
    differences = packages(result)
    if not differences:
        return
    names, base, head = ([difference[column] for difference in differences[:MAX_PACKAGES]] for column in range(3))
    print_title("different packages", [], console)
    print_table(
        [Column("package", "", names), Column("base", "version", base), Column("head", "version", head)], console
    )
    if more := len(differences) - len(names):
        console.print(
            Padding(plain(f"{more:,} more {are(more)} different; the JSON report has all of them.", console), INDENT)
        )
    console.print()


def _footer(result: GateResult, file: str) -> list[tuple[str, str]]:
    """What went wrong, and under which conditions the numbers hold."""
    problems = [("problem", shown(problem, MAX_TEXT)) for problem in result.problems[:MAX_PROBLEMS]]
    if (more := len(result.problems) - MAX_PROBLEMS) > 0:
        problems.append(("", f"{count(more, 'more problem')} {are(more)} in the JSON report"))
    facts = [
        *problems,
        *((shown(word, MAX_WORD), shown(text, MAX_TEXT)) for word, text in result.conditions),
        ("packages", "" if packages(result) else no_packages(result)),
        ("file", file),
    ]
    return [(word, text) for word, text in facts if text]
