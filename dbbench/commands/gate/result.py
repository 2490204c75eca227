"""What a gate found: plain data, from which every report of the gate is made."""

from enum import StrEnum
from typing import Final, Literal

import msgspec

from dbbench.records import Side as Side

BASE: Final = "base"  # names of the two arms
HEAD: Final = "head"
ARMS: Final = (BASE, HEAD)

Metric = Literal["time", "cpu", "p95", "p99"]


class GateVerdict(StrEnum):
    """What the gate says about a row, and about the whole table."""

    PASS = "pass"  # noqa: S105 - no password
    FAIL = "fail"
    INCONCLUSIVE = "inconclusive"
    ADVISORY = "advisory"  # of a row: shown, and no part of the verdict


class GateRow(msgspec.Struct, frozen=True):
    """One metric of one driver in one cell. These fields, in this order, are the keys of a JSON cell and the CSV.

    Losses are shares: 0.05 is 5% more time (or CPU time) per operation in head than in base, -0.05 is 5% less. None: it
    cannot be given.
    """

    scenario: str
    layer: str
    sessions: int
    driver: str
    metric: Metric
    loss: float | None  # the middle of the blocks, which count by how steady they were
    loss_low: float | None  # ends of its interval; each end holds for the whole table at once (95%)
    loss_high: float | None
    p_adjusted: float | None  # that head is no slower; for all rows and all looks, so that a FAIL has 0.01 at most
    verdict: GateVerdict


class Finding(msgspec.Struct, frozen=True):
    """A row and what people want to know besides."""

    row: GateRow
    params: str  # of the scenario: rows=10000
    tolerance: float  # loss that is still fine, as a share
    base_us: float | None  # of the metric, microseconds: totals of the run, so their ratio need not be the loss
    head_us: float | None
    detectable: float | None  # the loss that so many blocks would have found, as a share
    blocks_wanted: int | None  # that would decide it, where it is inconclusive; an estimate
    reason: str  # why there is no loss, or why the row is advisory; often empty


class Difference(msgspec.Struct, frozen=True):
    """A package that is not the same on both sides. None: not installed."""

    package: str
    base: str | None
    head: str | None


class GateResult(msgspec.Struct, frozen=True):
    """A whole gate."""

    verdict: GateVerdict  # pass, fail or inconclusive
    blocks: int
    findings: list[Finding]  # in the order of the plan
    base: Side
    head: Side
    differences: list[Difference]  # of the installed packages; Python itself is in the sides
    problems: list[str]  # one line each, for people
    conditions: list[tuple[str, str]]  # a word and a text: server, placement, settings, run, ...
    run_id: str
    started: str  # UTC, ISO 8601
    measured_s: float
    status: str  # complete, degraded, interrupted, failed, incomplete
    budget_hint: str = ""  # what would decide an inconclusive gate, as one sentence; empty otherwise
