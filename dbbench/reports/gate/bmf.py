"""Bencher Metric Format (bencher.dev/docs/reference/bencher-metric-format), for `bencher run --adapter json`.

A benchmark is "scenario/layer/sessions/driver/parameters". Its measures, named by their slugs:

- latency: head's time per operation, in nanoseconds; Bencher's own measure
- cpu-time, p95-latency, p99-latency: the other metrics in head, in nanoseconds
- time-loss, cpu-loss, p95-loss, p99-loss: how much more head needs than base, as a share, with its interval

A threshold on a loss is better than one on a time: base was measured at the same time on the same machine.
"""

from typing import Final

from dbbench.commands.gate.result import GateResult, GateRow, Metric
from dbbench.reports.exported import rounded
from dbbench.reports.json_text import ascii_text
from dbbench.reports.text import shown

MEASURES: Final[dict[Metric, str]] = {
    "time": "latency",
    "cpu": "cpu-time",
    "p95": "p95-latency",
    "p99": "p99-latency",
}

_NS_PER_US: Final = 1_000
_LOSS_DIGITS: Final = 5
_US_DIGITS: Final = 3


def report(result: GateResult) -> str:
    """Write one document; it leaves out what could not be measured."""
    document: dict[str, dict[str, dict[str, float]]] = {}
    for finding in result.findings:
        row = finding.row
        measures = document.setdefault(benchmark(row), {})
        if (head_us := rounded(finding.head_us, _US_DIGITS)) is not None:
            measures[MEASURES[row.metric]] = {"value": round(head_us * _NS_PER_US)}
        if values := _loss(row):
            measures[f"{row.metric}-loss"] = values
    return ascii_text({name: measures for name, measures in document.items() if measures})


def benchmark(row: GateRow) -> str:
    """The name of what was measured, the same in every run."""
    params = [shown(row.params)] if row.params else []
    return "/".join([shown(row.scenario), shown(row.layer), str(row.sessions), shown(row.driver), *params])


def _loss(row: GateRow) -> dict[str, float]:
    """The loss and the ends of its interval, which the format takes only with a value between them."""
    value = rounded(row.loss, _LOSS_DIGITS)
    ends = {
        "lower_value": rounded(row.loss_low, _LOSS_DIGITS),
        "upper_value": rounded(row.loss_high, _LOSS_DIGITS),
    }
    return {} if value is None else {"value": value, **{name: end for name, end in ends.items() if end is not None}}
