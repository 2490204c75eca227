"""What a self-check finds, and the last one on this machine, kept for the runs that come after it."""

import msgspec


class Overhead(msgspec.Struct, frozen=True):
    """What dbbench's loop costs: its time per operation relative to the bare loop's, with its 95% interval."""

    driver: str
    layer: str
    ratio: float
    low: float | None
    high: float | None


class NoiseFloor(msgspec.Struct, frozen=True):
    """What identical arms look like."""

    placement: str
    half_width: float | None  # of the ratio's 95% interval, as a share
    false_alarm_rate: float  # share of resampled tables in which an arm is called faster or slower
    seconds: float
    blocks: int
    block_sd: float  # of the blocks' ln ratios
    injected: float  # slow-down, as a share of the operation's time
    measured: float  # the same, as found
    measured_low: float | None
    measured_high: float | None


class Sensitivity(msgspec.Struct, frozen=True):
    """What a run of a minute would find."""

    placement: str
    smallest_effect: float | None  # slow-down found with 95% power, as a share; None: none up to 50%
    seconds: float
    blocks: int


class Pgbench(msgspec.Struct, frozen=True):
    """A driver against PostgreSQL's own C client, on the same query, one session, prepared."""

    driver: str
    pgbench_us: float  # per operation
    driver_us: float
    tax: float  # of the driver: how much more time it takes, as a share
    low: float | None
    high: float | None


class SelfCheck(msgspec.Struct, frozen=True):
    """How far this machine can be trusted."""

    harness_overhead: list[Overhead]
    noise_floor: list[NoiseFloor]
    sensitivity: list[Sensitivity]
    pgbench: Pgbench | None
    problems: list[str]
    measured: str = ""  # UTC, ISO 8601
