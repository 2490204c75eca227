"""The records of a run: frozen data, one per line of the result file (result_file.py writes and reads it)."""

from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta

from dbbench.plan import Layer, Plan, TxEnd, Value
from dbbench.stats.histogram import MAX_BUCKET
from dbbench.texts import clean as clean
from dbbench.units import MOST_BLOCKS

MAX_BLOCKS: Final = MOST_BLOCKS
USUAL_TRIALS: Final = 40  # of a search: 17 doublings from 1 to 100,000, 7 halvings to 1%, both ends again, and noise
MAX_TRIALS: Final = 1_000  # of a search that is read
MAX_SECONDS: Final = 1_000  # of a slice of an open loop
MAX_FAILURES: Final = 1_000  # kinds of failures of an arm in a cell and block
TRACE_LINES: Final = 10_000  # of one operation that are kept
TRACE_BYTES: Final = 150  # of the detail of each

Count = Annotated[int, Meta(ge=0, le=2**63 - 1)]
Bucket = Annotated[int, Meta(ge=0, le=MAX_BUCKET)]
Mean = Annotated[float, Meta(ge=0, le=1e18)]
Number = Annotated[float, Meta(ge=-1e9, le=1e9)]
Rate = Annotated[float, Meta(ge=1e-6, le=1e18)]


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
    round_trips: dict[str, list[float | None]] = {}  # arm -> by cell, per operation, where the relay counted


class Bounds(msgspec.Struct, frozen=True):
    """The range of rates to search, and the precision."""

    min_rate: Rate  # operations per second
    max_rate: Rate
    precision: Annotated[float, Meta(gt=0, le=1e3)]  # a share: with 0.05, the rate that failed is at most 5% above
    max_trials: Annotated[int, Meta(ge=1, le=MAX_TRIALS)] = USUAL_TRIALS


class SearchHeader(Header, frozen=True, tag="capacity", kw_only=True):
    """The first line of a search for the capacity."""

    objective: Annotated[str, Meta(pattern=r"^(p50|p90|p95|p99|p99\.9|max|mean) <=? \d+(\.\d+)? (µs|ms|s)$")]
    bounds: Bounds


class PoolHeader(Header, frozen=True, tag="pool", kw_only=True):
    """The first line of a search for the smallest pool."""

    limit_us: Annotated[float, Meta(gt=0, le=1e12)]  # of the wait for a connection, its p99
    most: Annotated[int, Meta(ge=1, le=1_000_000)]  # the largest pool to try


class WireHeader(Header, frozen=True, tag="wire"):
    """The first line of counts on the wire; with `plan.gate` those of a gate's two sides."""

    traced: bool = False  # whether the messages of operations are to be shown; they explain counts in any case


class SelfCheckHeader(Record, frozen=True, tag="selfcheck"):
    """The first line of a self-check, which has several plans."""

    schema: int
    id: str
    started: str  # UTC, ISO 8601
    dbbench: str  # version
    environment: dict[str, Any]
    stage_s: Annotated[float, Meta(ge=0)]  # seconds for each noise floor
    seed: int | None = None


AnyHeader = Header | SearchHeader | PoolHeader | WireHeader | SelfCheckHeader


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
    ready_ns: Count = 0  # open loop, Linux: time that the client could have run and had no CPU


class Second(msgspec.Struct, frozen=True):
    """The operations that were due in one second of a slice of an open loop, and that succeeded."""

    second: Count  # 0-based, from the start of the slice
    operations: Count
    sum_ns: Count  # of their response times
    max_ns: Count
    p50_ns: Count | None = None  # where there are enough operations: see Histogram.percentile
    p95_ns: Count | None = None
    p99_ns: Count | None = None


class Slice(msgspec.Struct, frozen=True):
    """One uninterrupted sequence of operations of one arm in one cell."""

    position: Count  # 0-based among all slices of the cell in this block: the order in which they ran
    round: Count  # slices of one round ran close together in time and are compared with each other
    usage: Usage
    began_ns: Count = 0  # its start, from the start of the first block
    seconds: Annotated[list[Second], Meta(max_length=MAX_SECONDS)] = []  # open loop


Distribution = Annotated[dict[Bucket, Count], Meta(max_length=MAX_BUCKET + 1)]  # bucket -> samples, see histogram.py
Failures = Annotated[dict[str, Count], Meta(max_length=MAX_FAILURES)]  # SQLSTATE or exception class -> operations


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
    failures: Failures = {}
    peak_bytes: Count = 0  # resident memory of the client process
    disturbed: str = ""  # why nothing is concluded from it: the machine was suspended, say


DISTRIBUTIONS: Final = tuple(field.name for field in msgspec.structs.fields(Measurement) if field.type == Distribution)


class Problem(Record, frozen=True, tag="problem"):
    """Something that could not be measured or trusted, and why."""

    kind: Literal[
        "scenario", "operation", "not comparable", "different", "worker lost", "server lost", "errors", "disturbed",
        "outage",
    ]  # fmt: skip
    message: str  # one line, with the scenario's file and line where known
    scenario: str = ""
    cell: Count | None = None  # index into plan.cells
    arm: str | None = None  # None: all arms
    code: str = ""  # of operations that failed in the check: SQLSTATE or exception class
    operations: Count = 0  # that failed in the check
    seconds: Annotated[float, Meta(ge=0, le=1e9)] = 0.0  # of an outage: how long the server was away


class BreakEven(Record, frozen=True, tag="break-even"):
    """The measured ratio at the round-trip time above which an arm should tie with the baseline."""

    cell: Count  # index into plan.cells: the one with the lowest round-trip time
    arm: str
    rtt_s: Annotated[float, Meta(ge=0)]
    ratio: float  # mean latency, arm / baseline
    ratio_low: float | None  # ends of its interval
    ratio_high: float | None


class Trial(Record, frozen=True, tag="trial"):
    """A few seconds of one arm at one rate, in a search for the capacity."""

    arm: str
    rate: Rate  # operations that were due per second
    held: bool
    value_us: Annotated[float, Meta(ge=0, le=1e15)] | None  # what the objective is about; None: too few operations
    operations: Count  # that succeeded
    errors: Count
    not_started: Count  # that were due and never begun


class PoolTrial(Record, frozen=True, tag="pool trial"):
    """A few seconds of one arm with pools of one size, in a search for the smallest."""

    arm: str
    size: Count  # connections that the pool of each process keeps
    overflow: Count  # and opens beyond those
    held: bool
    wait_p99_us: Annotated[float, Meta(ge=0, le=1e15)] | None  # for a connection; None: too few operations
    late: Count  # operations that waited as long as the limit, or longer
    busy: Annotated[float, Meta(ge=0, le=1e9)]  # connections of each process in use on average
    operations: Count  # that succeeded
    errors: Count
    not_started: Count  # open loop: that were due and never begun
    ops_per_second: Annotated[float, Meta(ge=0, le=1e12)]


class Exchange(msgspec.Struct, frozen=True):
    """What one operation, or one connect, exchanged with the server."""

    round_trips: Count  # how often the client waited for the server
    sent: dict[str, Count]  # message -> number
    received: dict[str, Count]
    bytes_sent: Count
    bytes_received: Count
    statements: dict[str, Count]  # command tag without its numbers, like SELECT or DEALLOCATE ALL -> number
    prepares: Count  # Parse messages: statements that the server had to parse and analyse


class TraceLine(msgspec.Struct, frozen=True, array_like=True):
    """One message of a trace; there are many, so a file has their values without names."""

    from_client: bool
    kind: str
    size: Count
    round_trip: Count  # that it lies in, from 1; 0: in none, as a Terminate has no answer
    detail: str = ""  # SQL, statement name, tag or SQLSTATE; its beginning


class WireRow(Record, frozen=True, tag="counts"):
    """What one arm puts on the wire in one cell; everything but the connect is per operation, and warm."""

    arm: str
    scenario: str
    layer: Layer
    params: str
    driver: str
    tx_end: TxEnd
    operations: Count  # that were counted
    round_trips: Mean
    sent: dict[str, Mean]
    received: dict[str, Mean]
    bytes_sent: Mean
    bytes_received: Mean
    statements: dict[str, Mean]
    prepares_per_100: Mean
    spread: tuple[Count, Count]  # fewest and most round trips of an operation
    connect: Exchange  # of the first connection: start-up, log-in, and the questions of driver and SQLAlchemy
    connect_statements: list[str]  # what was asked meanwhile, in order
    first: Exchange  # the first operation on a new connection
    settings: dict[str, Value] = {}  # of the driver, where they are not the defaults
    trace: Annotated[list[TraceLine], Meta(max_length=TRACE_LINES)] = []  # the last operation, message by message
    untraced: Count = 0  # messages of that operation beyond these
    first_only: list[str] = []  # the SQL that the first operation on a new connection sends, and no later one


class Overhead(Record, frozen=True, tag="overhead"):
    """What dbbench's loop costs: its time per operation relative to the bare loop's, with its 95% interval."""

    driver: str
    layer: Layer
    ratio: Number
    low: Number | None
    high: Number | None
    sessions: int = 1


class NoiseFloor(Record, frozen=True, tag="noise floor"):
    """What identical arms look like."""

    placement: str
    half_width: Number | None  # of the ratio's 95% interval, as a share
    false_alarm_rate: Number  # share of resampled tables in which an arm is called faster or slower
    seconds: Number
    blocks: Count
    block_sd: Number  # of the blocks' ln ratios
    injected: Number  # slow-down, as a share of the operation's time
    measured: Number  # the same, as found
    measured_low: Number | None
    measured_high: Number | None


class Sensitivity(Record, frozen=True, tag="sensitivity"):
    """What a run of a minute would find."""

    placement: str
    smallest_effect: Number | None  # slow-down found with 95% power, as a share; None: none up to 50%
    seconds: Number
    blocks: Count


class Pgbench(Record, frozen=True, tag="pgbench"):
    """A driver against PostgreSQL's own C client, on the same query, one session, prepared."""

    driver: str
    pgbench_us: Number  # per operation
    driver_us: Number
    tax: Number  # of the driver: how much more time it takes, as a share
    low: Number | None
    high: Number | None


Finding = Overhead | NoiseFloor | Sensitivity | Pgbench


class End(Record, frozen=True, tag="end"):
    """The last line: how the run ended. A file without one is incomplete."""

    status: Literal["complete", "degraded", "interrupted", "failed"]
    finished: str  # UTC, ISO 8601
    measured_s: float  # seconds from the first block to the last, without the set-up
    reason: str = ""


class Run(msgspec.Struct, frozen=True):
    """A whole result file of `run` or `gate` in memory."""

    header: Header
    measurements: list[Measurement]
    problems: list[Problem]
    end: End | None
    warnings: list[str] = []
    break_evens: list[BreakEven] = []
    counts: list[WireRow] = []  # of a gate that timed: what both sides put on the wire
    disturbed: list[Measurement] = []  # from which nothing is concluded; they are not among the others

    @property
    def status(self) -> str:
        """How the run ended; "incomplete" without an End."""
        return status(self.end)


class Search(msgspec.Struct, frozen=True):
    """A whole result file of `capacity` in memory."""

    header: SearchHeader
    trials: list[Trial]
    problems: list[Problem]
    end: End | None
    warnings: list[str] = []


class PoolSearch(msgspec.Struct, frozen=True):
    """A whole result file of `pool` in memory."""

    header: PoolHeader
    trials: list[PoolTrial]
    problems: list[Problem]
    end: End | None
    warnings: list[str] = []


class Counts(msgspec.Struct, frozen=True):
    """A whole result file of `wire`, or of `gate --wire`, in memory."""

    header: WireHeader
    rows: list[WireRow]
    problems: list[Problem]
    end: End | None
    warnings: list[str] = []


class SelfChecked(msgspec.Struct, frozen=True):
    """A whole result file of `selfcheck` in memory."""

    header: SelfCheckHeader
    findings: list[Finding]
    problems: list[Problem]
    end: End | None
    warnings: list[str] = []


Stored = Run | Search | PoolSearch | Counts | SelfChecked


def status(end: End | None) -> str:
    """How a command ended; "incomplete" without an End."""
    return end.status if end else "incomplete"
