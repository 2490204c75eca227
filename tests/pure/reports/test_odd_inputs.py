"""Sentences that hold whatever was found: one of anything, nothing at all, all of it failed, ended early."""

import re
from collections.abc import Iterator
from typing import Any, Final

import msgspec
import pytest
from builders import cell, explained, measurements, plan, run
from found import found

from dbbench.analysis.analysis import analyse
from dbbench.commands.capacity.result import Answer
from dbbench.commands.gate.result import Finding, GateResult, GateVerdict
from dbbench.commands.stored.compare import LeftOut
from dbbench.commands.stored.history import unreadable
from dbbench.commands.wire.result import WireResult
from dbbench.records import End, Problem, Run
from dbbench.reports import report

COUNTED: Final = (
    "block|cell|comparison|driver|file|line|message|operation|package|problem|row|run|session|statement|trial"
)
PLURALS: Final = re.compile(
    rf"(?<![\d.,-])1 (?:more |other )?(?:{COUNTED})s\b|(?<![\d.,])1 (?:more )?are\b|\b1 (?:\w+ )?were\b"
)
MEANS: Final = {"psycopg": 300.0, "asyncpg": 200.0, "psycopg2": 301.0}
ALONE: Final = {"psycopg": 300.0}


def failed(arms: int, message: str = "no such table") -> list[Problem]:
    return [Problem("operation", message, "point_reads", 0, arm) for arm in list(MEANS)[:arms]]


def ended(of: Run, status: Any, reason: str = "") -> Run:
    return msgspec.structs.replace(of, end=End(status, "2026-11-23T03:16:01+00:00", 3.0, reason))


def runs() -> Iterator[tuple[str, Run]]:
    alone = plan(arms=["psycopg"])
    yield "one block", run(measured=measurements(MEANS, blocks=1))
    yield "one block was asked for", run(plan(blocks=1), measurements(MEANS, blocks=1))
    yield "one driver", run(alone, measurements(ALONE))
    yield "one driver, one block", run(alone, measurements(ALONE, blocks=1))
    yield "one session", run(plan([cell(sessions=1)]), measurements(MEANS))
    yield "nothing", run(plan([]), [])
    yield "nothing measured", ended(run(measured=[]), "interrupted", "SIGINT")
    yield "no end", run(measured=[], end=None)
    yield "interrupted", ended(run(measured=measurements(MEANS, blocks=1)), "interrupted", "SIGINT")
    yield "all failed", run(measured=[], problems=failed(3))
    yield "one failed", run(measured=measurements({"psycopg": 300.0, "asyncpg": 200.0}), problems=failed(3)[2:])
    yield "the only one failed", run(alone, [], failed(1))
    yield "21 problems", run(problems=[Problem("errors", f"number {number}") for number in range(21)])
    yield "one operation failed", run(measured=[
        explained(one, failures={"40001": 1}) for one in measurements(MEANS, blocks=1, errors=1)
    ])  # fmt: skip


RUNS: Final = dict(runs())


@pytest.mark.parametrize("format_", ["table", "markdown"])
@pytest.mark.parametrize("name", RUNS)
def test_a_run_says_what_is_so(name: str, format_: str) -> None:
    shown = " ".join(report("run", format_)(analyse(RUNS[name]), details=True).split())

    assert shown
    assert not PLURALS.search(shown)
    measured = bool(RUNS[name].measurements)
    assert ("ops/s" in shown) == measured or name == "nothing"
    assert ("closed loop" in shown) == measured or not RUNS[name].header.plan.cells


def gate(verdict: GateVerdict, findings: list[Finding], **changes: Any) -> GateResult:
    of: GateResult = found()["gate"][1]
    return msgspec.structs.replace(of, verdict=verdict, findings=findings, **changes)


def gates() -> Iterator[tuple[str, GateResult]]:
    fails, open_, unmeasured = found()["gate"][1].findings
    nothing = msgspec.structs.replace(unmeasured, base_us=None, head_us=None)
    yield "one fails", gate(GateVerdict.FAIL, [fails], blocks=1)
    yield "one is open", gate(GateVerdict.INCONCLUSIVE, [open_], blocks=1)
    yield "one is left open", gate(GateVerdict.FAIL, [fails, open_])
    yield "nothing", gate(GateVerdict.INCONCLUSIVE, [], blocks=0)
    yield "all failed", gate(GateVerdict.INCONCLUSIVE, [nothing])
    yield "21 problems", gate(GateVerdict.FAIL, [fails], problems=[f"number {number}" for number in range(21)])
    different = [msgspec.structs.replace(found()["gate"][1].differences[0], package=f"p{n}") for n in range(31)]
    yield "31 packages", gate(GateVerdict.FAIL, [fails], differences=different)


GATES: Final = dict(gates())


@pytest.mark.parametrize("format_", ["table", "markdown", "annotations", "junit"])
@pytest.mark.parametrize("name", GATES)
def test_a_gate_says_what_is_so(name: str, format_: str) -> None:
    shown = " ".join(report("gate", format_)(GATES[name]).split())

    assert not PLURALS.search(shown)
    if format_ == "table":
        assert ("with interval" in shown) == (name not in ("nothing", "all failed"))


def test_a_search_in_which_every_driver_failed_has_no_table() -> None:
    of: Answer = found()["capacity"][1]
    shown = report("capacity", "table")
    none = msgspec.structs.replace(of, drivers=[of.drivers[-1]])

    assert "outcome" in shown(of)
    assert "outcome" not in shown(none)
    assert "psycopg-sync was left out (see below)." in shown(none)
    assert "raised KeyError" in shown(none)


def test_counts_of_one_operation_are_singular() -> None:
    of: WireResult = found()["wire"][1]
    one = msgspec.structs.replace(of, rows=[msgspec.structs.replace(row, operations=1, untraced=1) for row in of.rows])
    shown = report("wire", "table")(one, trace=True)

    assert "1 operation each" in shown
    assert "1 more message was not kept" in shown
    assert not PLURALS.search(" ".join(shown.split()))


def test_one_line_too_many_is_singular() -> None:
    compared = found()["compare"][1]
    left_out = [LeftOut("point_reads", "orm", 1, "", f"driver{number}", "only in base") for number in range(31)]
    comparison = msgspec.structs.replace(compared, left_out=left_out)
    entries = [*found()["history"][1], *(unreadable(f"{number}.jsonl", "is empty") for number in range(31))]

    assert "1 more is in the JSON" in report("compare", "table")(comparison)
    assert "1 more file cannot be read" in report("history", "table")(entries)
