"""JUnit XML, which every CI system shows: one suite, one case per finding.

A case fails only where the gate fails it. What is inconclusive is skipped, not an error: a build must turn red for a
loss that was found, and a skipped case says as clearly that nothing was decided. What could not be measured is an
error. Advisory rows pass, and say what they found in their output.
"""

import io
import re
from typing import Final

from junitparser import Error, Failure, JUnitXml, Skipped, TestCase, TestSuite

from dbbench.commands.gate.result import Finding, GateResult, GateVerdict
from dbbench.reports.gate.sentences import METRICS, row_sentence, verdict_sentence, what_would_decide
from dbbench.reports.text import MAX_TEXT, number, shown
from dbbench.wording import count

# XML 1.0 (2.2) has no place for these, not even escaped; of the others that it excludes, `shown` leaves nothing.
_ILLEGAL: Final = re.compile("[\ufffe\uffff]")


def report(result: GateResult) -> str:
    """Write one document."""
    suite = TestSuite("dbbench gate")
    suite.timestamp = _xml(shown(result.started))
    for name, value in _properties(result):
        suite.add_property(name, _xml(value))
    seconds = (number(result.measured_s) or 0.0) / max(1, len(result.findings))
    suite.add_testcases([_case(finding, seconds) for finding in result.findings])
    document = JUnitXml("dbbench gate")
    document.add_testsuite(suite)
    document.update_statistics()  # type: ignore[no-untyped-call] # the library annotates no method without arguments
    file = io.BytesIO()
    document.write(file, pretty=True)
    return file.getvalue().decode()


def _properties(result: GateResult) -> list[tuple[str, str]]:
    return [
        ("verdict", result.verdict.value),
        ("summary", verdict_sentence(result)),
        ("base", shown(result.base.label)),
        ("base python", shown(result.base.python)),
        ("head", shown(result.head.label)),
        ("head python", shown(result.head.python)),
        ("run", shown(result.run_id)),
        ("status", shown(result.status)),
        ("blocks", str(result.blocks)),
        *(("problem", shown(problem, MAX_TEXT)) for problem in result.problems),
    ]


def _case(finding: Finding, seconds: float) -> TestCase:
    row = finding.row
    where = [shown(row.layer), count(row.sessions, "session"), shown(row.driver), METRICS[row.metric]]
    case = TestCase(_xml(", ".join(where)), _xml(f"dbbench.{shown(row.scenario)}"), round(seconds, 3))
    said = _xml(row_sentence(finding))
    if row.verdict is GateVerdict.ADVISORY:
        case.system_out = f"advisory: {said}{_because(finding)}"
    elif number(row.loss) is None and finding.reason:
        case.result = Error(said, "not measured")
    elif row.verdict is GateVerdict.FAIL:
        case.result = Failure(said, "loss")
    elif row.verdict is GateVerdict.INCONCLUSIVE:
        case.result = Skipped("; ".join(filter(None, [f"inconclusive: {said}", what_would_decide(finding)])))
    for told in case.result:
        told.text = told.message  # some systems show the message only, some the text only
    return case


def _because(finding: Finding) -> str:
    """Why the row is advisory: the sentence of a row with a loss does not say it."""
    known = finding.reason and number(finding.row.loss) is not None
    return _xml(f"; {shown(finding.reason, MAX_TEXT)}") if known else ""


def _xml(text: str) -> str:
    return _ILLEGAL.sub("", text)
