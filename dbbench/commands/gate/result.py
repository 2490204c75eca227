"""The result of a gate: plain data, from which every report of the gate is made."""

from enum import StrEnum
from typing import Final, Literal

import msgspec

from dbbench.records import Side as Side

BASE: Final = "base"  # names of the two arms
HEAD: Final = "head"
ARMS: Final = (BASE, HEAD)

SAME: Final = "the same in base and head"
Metric = Literal["time", "cpu", "p95", "p99"]


class GateVerdict(StrEnum):
    """The gate's verdict, on a row and on the whole table."""

    PASS = "pass"  # noqa: S105 - no password
    FAIL = "fail"
    INCONCLUSIVE = "inconclusive"
    ADVISORY = "advisory"  # for a row that is shown but not part of the verdict


class GateRow(msgspec.Struct, frozen=True):
    """One metric of one driver in one cell. These fields, in this order, are the keys of a JSON cell and the CSV.

    Losses are shares: 0.05 is 5% more time (or CPU time) per operation in head than in base, -0.05 is 5% less. None:
    not known.
    """

    scenario: str
    layer: str
    sessions: int
    driver: str
    metric: Metric
    loss: float | None  # the estimated centre of the blocks, which are weighted by how steady they were
    loss_low: float | None  # ends of its interval, each with a confidence of 95% for the whole table at once
    loss_high: float | None
    p_adjusted: float | None  # for head being no slower; adjusted for all rows and looks, so a FAIL has at most 0.01
    verdict: GateVerdict
    params: str  # of the scenario: rows=10000


class Finding(msgspec.Struct, frozen=True):
    """A row, with further facts for reports."""

    row: GateRow
    tolerance: float  # largest acceptable loss, as a share
    base_us: float | None  # of the metric, microseconds: totals of the run, so their ratio need not be the loss
    head_us: float | None
    detectable: float | None  # smallest loss that this many blocks would have detected, as a share
    blocks_wanted: int | None  # estimated number of blocks that would decide an inconclusive row
    reason: str  # why there is no loss, or why the row is advisory; often empty
    wire: str = ""  # what base and head put on the wire differently; SAME, or empty where that was not counted


class Difference(msgspec.Struct, frozen=True):
    """A package whose version differs between the sides. None: not installed."""

    package: str
    base: str | None
    head: str | None


class GateResult(msgspec.Struct, frozen=True):
    """The result of a whole gate."""

    verdict: GateVerdict  # pass, fail or inconclusive
    blocks: int
    findings: list[Finding]  # in the order of the plan
    base: Side
    head: Side
    differences: list[Difference]  # of the installed packages; Python itself is in the sides
    problems: list[str]  # one line each
    conditions: list[tuple[str, str]]  # name and text: server, placement, settings, run, ...
    run_id: str
    started: str  # UTC, ISO 8601
    measured_s: float
    status: str  # complete, degraded, interrupted, failed, incomplete
    dbbench: str = ""  # its version
    server: str = ""  # its version
    budget_hint: str = ""  # what would decide an inconclusive gate, in one sentence; empty otherwise
