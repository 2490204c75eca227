"""What github-action-benchmark reads with `tool: customSmallerIsBetter`: a list of values to chart over time."""

from typing import Any, Final

from dbbench.commands.gate.result import Finding, GateResult, GateRow, Metric
from dbbench.reports.exported import rounded
from dbbench.reports.gate.bmf import benchmark
from dbbench.reports.gate.sentences import METRICS, loss
from dbbench.reports.json_text import ascii_text
from dbbench.reports.text import number, share

UNITS: Final[dict[Metric, str]] = {"time": "us/op", "cpu": "us/op", "p95": "us", "p99": "us"}

_DIGITS: Final = 3
# The action writes names as `code` into a Markdown table of a comment, where these would end the code or the cell.
_CODE: Final = str.maketrans("`|", "'/")


def report(result: GateResult) -> str:
    """Write one entry per finding with a value in head, in microseconds; the others are left out."""
    return ascii_text([_entry(finding) for finding in result.findings if number(finding.head_us) is not None])


def _entry(finding: Finding) -> dict[str, Any]:
    row = finding.row
    entry = {
        "name": f"{benchmark(row)}: {METRICS[row.metric]}".translate(_CODE),
        "unit": UNITS[row.metric],
        "value": rounded(finding.head_us, _DIGITS),
        "range": _range(row, number(finding.head_us)),
        "extra": "\n".join(_extra(finding)),
    }
    return {name: value for name, value in entry.items() if value is not None}


def _range(row: GateRow, head_us: float | None) -> str | None:
    """Half the width of the interval, carried over to head's value: relative to base, times what base would be."""
    loss_, low, high = number(row.loss), number(row.loss_low), number(row.loss_high)
    if head_us is None or loss_ is None or low is None or high is None or loss_ <= -1:
        return None
    half = rounded((high - low) / 2 / (1 + loss_) * head_us, _DIGITS)
    return None if half is None else f"± {half:g}"


def _extra(finding: Finding) -> list[str]:
    base_us = rounded(finding.base_us, _DIGITS)
    return [
        f"loss: {loss(finding)}, tolerance {share(finding.tolerance)}",
        f"verdict: {finding.row.verdict.value}",
        f"base: {'not known' if base_us is None else f'{base_us:g} {UNITS[finding.row.metric]}'}",
    ]
