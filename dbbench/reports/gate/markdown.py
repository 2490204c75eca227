"""Markdown as GitHub renders it, for pull request comments and job summaries.

Data never begins a line, and what it contains is escaped, so that no name becomes formatting, a link or a mention.
"""

import re
from collections.abc import Sequence
from itertools import accumulate
from typing import Final

from dbbench.commands.gate.result import Finding, GateResult, GateVerdict
from dbbench.reports.columns import NOTHING
from dbbench.reports.gate.sentences import (
    METRICS,
    WORDS,
    loss,
    no_packages,
    packages,
    remarks,
    times,
    urgent_first,
    verdict_sentence,
)
from dbbench.reports.markdown_text import escaped, line
from dbbench.reports.text import MAX_TEXT, share, shown
from dbbench.wording import are, count

# "Body is too long (maximum is 65536 characters)", GitHub's API answers to a longer comment. Bytes are at least as many
# as characters, and an action that posts this may want to add a line.
COMMENT_BYTES: Final = 65_000
# "$GITHUB_STEP_SUMMARY upload aborted, supports content up to a size of 1024k": per step, in bytes.
# docs.github.com/actions/reference/workflow-commands-for-github-actions#adding-a-job-summary
SUMMARY_BYTES: Final = 1024 * 1024

_HEADINGS: Final = (
    "scenario", "layer", "sessions", "driver", "metric", "base", "head", "loss", "tolerance", "verdict",
)  # fmt: skip
_NUMBERS: Final = ("sessions", "base", "head", "loss", "tolerance")  # to the right
_NOTE_BYTES: Final = 80  # for the line that says how much was left out
_SHARE: Final = 8  # of what is left, each section below the findings may have one in so many
# GitHub looks for these in the text that was rendered, where an entity is a character again. What it looks for ends at
# a zero-width space; Renovate and Dependabot quote release notes in the same way.
_LIVELY: Final = re.compile(r"&#64;|&#35;|:(?=//)|\bwww(?=\.)|\bGH(?=-)|\$", re.IGNORECASE)
_ZERO_WIDTH_SPACE: Final = "&#8203;"


def report(result: GateResult, limit: int = COMMENT_BYTES) -> str:
    """Write the verdict, a table of the findings, the packages, the problems and the conditions.

    At most `limit` bytes of UTF-8: what does not fit is left out line by line, the least urgent first, and a line says
    how much that is. The verdict and its sentence always stay; with the longest names, all of "@", that is 20 KB.
    """
    opening = [f"## dbbench gate: {WORDS[result.verdict]}", inert(verdict_sentence(result)), _compared(result)]
    room = limit - size("\n\n".join(opening)) - 1  # the last line's end
    most = max(0, room) // _SHARE
    below = [section(result, most) for section in (_remarks, _packages, _problems, _conditions)]
    room -= sum(2 + size(part) for part in below if part)
    parts = [*opening, _findings(result, room - 2), *below]
    return "\n\n".join(part for part in parts if part) + "\n"


def inert(text: str) -> str:
    """Make text mean itself on GitHub, on one line."""
    return _LIVELY.sub(_broken, escaped(text))


def size(text: str) -> int:
    """The size in bytes, which GitHub's limits are in."""
    return len(text.encode())


def _broken(match: re.Match[str]) -> str:
    found = match.group()
    return "&#36;" if found == "$" else found + _ZERO_WIDTH_SPACE  # $ begins a formula


# --- sections: each as many lines as there is room for ---------------------------------------------------------------


def _compared(result: GateResult) -> str:
    base, head = (inert(shown(side.label)) for side in (result.base, result.head))
    blocks = count(result.blocks, "block")
    return f"Base: **{base}**, head: **{head}**, {blocks}. A loss is what head needs more than base."


def _findings(result: GateResult, room: int) -> str:
    lines = [line(_row(finding)) for finding in urgent_first(result.findings)]
    ruler = line("---:" if heading in _NUMBERS else "---" for heading in _HEADINGS)
    return _table([line(_HEADINGS), ruler], lines, room) if lines else ""


def _row(finding: Finding) -> list[str]:
    row = finding.row
    (base, head), unit = times([finding.base_us, finding.head_us])
    verdict = f"**{WORDS[row.verdict]}**" if row.verdict is GateVerdict.FAIL else row.verdict.value
    return [
        inert(", ".join(filter(None, [shown(row.scenario), shown(row.params)]))),
        inert(shown(row.layer)),
        f"{row.sessions:,}",
        inert(shown(row.driver)),
        METRICS[row.metric],
        *(time if time == NOTHING else f"{time} {unit}" for time in (base, head)),
        loss(finding),
        share(finding.tolerance),
        verdict,
    ]


def _packages(result: GateResult, room: int) -> str:
    differences = packages(result)
    if not differences:
        return no_packages(result)
    head = [line(("different package", "base", "head")), line(["---"] * 3)]
    return _table(head, [line(map(inert, difference)) for difference in differences], room)


def _remarks(result: GateResult, room: int) -> str:
    return _list("Note", list(remarks(urgent_first(result.findings), within=False)), room)


def _problems(result: GateResult, room: int) -> str:
    return _list("Problem", [shown(problem, MAX_TEXT) for problem in result.problems], room)


def _conditions(result: GateResult, room: int) -> str:
    opening, ending = "<details><summary>Conditions</summary>\n\n", "\n\n</details>"  # Markdown needs the empty lines
    facts = [(shown(word), shown(text, MAX_TEXT)) for word, text in result.conditions if text]
    head = [line(("condition", "")), line(["---"] * 2)]
    table = _table(head, [line(map(inert, fact)) for fact in facts], room - size(opening + ending))
    return f"{opening}{table}{ending}" if facts else ""


def _list(word: str, texts: Sequence[str], room: int) -> str:
    """Write as many items as fit, each beginning with the word: what a text begins with could mean something there."""
    lines = [f"- {word}: {inert(text)}" for text in texts]
    fitting = _fitting(lines, room + 1)  # no line precedes the first
    return "\n".join([*fitting, *_left_out(len(lines) - len(fitting), f"- {word}: ")])


def _table(head: Sequence[str], lines: Sequence[str], room: int) -> str:
    """Write as many lines of a table as fit, and below it how many did not."""
    fitting = _fitting(lines, room - size("\n".join(head)))
    table = ["\n".join([*head, *fitting])] if fitting else []
    return "\n\n".join([*table, *_left_out(len(lines) - len(fitting))])


def _fitting(lines: Sequence[str], room: int) -> list[str]:
    """As many of the first lines as fit, each after a line's end, and leave room to say how many did not."""
    sizes = list(accumulate(size(text) + 1 for text in lines))
    if not lines or sizes[-1] <= room:
        return list(lines)
    return [text for text, so_far in zip(lines, sizes, strict=True) if so_far <= room - _NOTE_BYTES]


def _left_out(more: int, beginning: str = "") -> list[str]:
    return [f"{beginning}{more:,} more {are(more)} left out for size."] if more else []
