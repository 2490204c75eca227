"""The records of a run: frozen data, one per line of the result file (result_file.py writes and reads it)."""

import re
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta

from dbbench.plan import Plan
from dbbench.stats.histogram import MAX_BUCKET

MAX_BLOCKS: Final = 10_000

Count = Annotated[int, Meta(ge=0, le=2**63 - 1)]
Bucket = Annotated[int, Meta(ge=0, le=MAX_BUCKET)]


class Record(msgspec.Struct, frozen=True, tag_field="type"):
    """A line of the result file."""


class Side(msgspec.Struct, frozen=True):
    """One of the two environments of a gate."""

    label: str  # its name in reports: "asyncpg==0.31.0", "main (3f9c2a1)"
    python: str  # "CPython 3.11.7"
    packages: dict[str, str] = {}  # distribution -> version


class Header(Record, frozen=True, tag="run"):
    """The first line: the plan, and the machine and server."""

    schema: int
    id: str
    started: str  # UTC, ISO 8601
    dbbench: str  # version
    plan: Plan
    environment: dict[str, Any]  # this machine and its packages
    server: dict[str, Any]  # version, where, settings
    drivers: dict[str, dict[str, str]]  # arm -> facts about its driver: versions, libpq, what its pool does on release
    sides: dict[str, Side] = {}  # in a gate: arm -> its environment
    round_trips: dict[str, list[float | None]] = {}  # with --rtt: arm -> by cell, per operation, counted by the relay


class Usage(msgspec.Struct, frozen=True):
    """The totals of a slice, counted in the worker and passed on unchanged to the result file."""

    operations: Count  # that succeeded
    errors: Count  # operations that failed
    elapsed_ns: Count  # for all operations; with several busy connections, at the pace of the slice's middle (load.py)
    cpu_ns: Count  # user and system time of the client process
    system_ns: Count = 0  # the part of cpu_ns spent in the kernel
    latency_ns: Count = 0  # sum over the operations that succeeded; open loop: of response times
    connects: Count = 0  # connections opened during the slice
    not_started: Count = 0  # open loop: operations that were due but never began


class Slice(msgspec.Struct, frozen=True):
    """One uninterrupted sequence of operations of one arm in one cell."""

    position: Count  # 0-based among all slices of the cell in this block: the order in which they ran
    round: Count  # slices of one round ran close together in time and are compared with each other
    usage: Usage
    began_ns: Count = 0  # its start, from the start of the first block


Distribution = Annotated[dict[Bucket, Count], Meta(max_length=MAX_BUCKET + 1)]  # bucket -> samples, see histogram.py


class Measurement(Record, frozen=True, tag="measurement"):
    """One arm in one cell in one block."""

    block: Annotated[int, Meta(ge=0, lt=MAX_BLOCKS)]
    cell: Count  # index into plan.cells
    arm: str
    slices: list[Slice]
    latency: Distribution  # of operations that succeeded; open loop: response time, from when the operation was due
    max_ns: Count  # the exact latency of the slowest operation
    sum_ns: Count  # of all latencies
    worker: Annotated[dict[str, int], Meta(max_length=32)] = {}  # process id, position in the start order, hash seed
    wait: Distribution = {}  # of operations, for a connection; empty where sessions hold theirs
    query: Distribution = {}  # the rest of the operation, from when it began
    service: Distribution = {}  # open loop: latency from when the operation began
    lag: Distribution = {}  # open loop: from when the operation was due to when it began
    loop_lag: Distribution = {}  # async drivers: how late the event loop ran a timer, in untimed slices
    failures: Annotated[dict[str, Count], Meta(max_length=1000)] = {}  # SQLSTATE or exception class -> operations
    peak_bytes: Count = 0  # resident memory of the client process


DISTRIBUTIONS: Final = tuple(field.name for field in msgspec.structs.fields(Measurement) if field.type == Distribution)


class Problem(Record, frozen=True, tag="problem"):
    """Something that could not be measured or trusted, and why."""

    kind: Literal["scenario", "operation", "not comparable", "different", "worker lost", "server lost", "errors"]
    message: str  # one line, with the scenario's file and line where known
    scenario: str = ""
    cell: Count | None = None  # index into plan.cells
    arm: str | None = None  # None: all arms


class BreakEven(Record, frozen=True, tag="break-even"):
    """The measured ratio at the round-trip time above which an arm should tie with the baseline."""

    cell: Count  # index into plan.cells: the one with the lowest round-trip time
    arm: str
    rtt_s: Annotated[float, Meta(ge=0)]
    ratio: float  # mean latency, arm / baseline
    ratio_low: float | None  # ends of its interval
    ratio_high: float | None


class End(Record, frozen=True, tag="end"):
    """The last line: how the run ended. A file without one is incomplete."""

    status: Literal["complete", "degraded", "interrupted", "failed"]
    finished: str  # UTC, ISO 8601
    measured_s: float  # seconds from the first block to the last, without the set-up
    reason: str = ""


class Run(msgspec.Struct, frozen=True):
    """A whole result file in memory."""

    header: Header
    measurements: list[Measurement]
    problems: list[Problem]
    end: End | None
    warnings: list[str] = []
    break_evens: list[BreakEven] = []

    @property
    def status(self) -> str:
        """How the run ended; "incomplete" without an End."""
        return self.end.status if self.end else "incomplete"


# Characters that control a terminal: C0 and C1 controls, DEL, and the controls of writing direction.
_BREAKS: Final = re.compile("[\t\n\v\f\r\x85\u2028\u2029]+")
_CONTROLS: Final = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")


def clean(text: str) -> str:
    """The text, safe to print on a terminal: one line, no control characters."""
    return _CONTROLS.sub("", _BREAKS.sub(" ", text))
