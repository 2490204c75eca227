"""What a measurement was asked to do: plain data, from the command line."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from dbbench.address import Address
from dbbench.drivers import DEFAULT as DEFAULT_DRIVERS
from dbbench.plan import Arrival, Checkout, Layer, Loop, PlacementMode, Pool, PoolerMode, TxEnd, Value


@dataclass(frozen=True)
class Options:
    """What `dbbench run` was asked to do, checked as far as that needs neither scenarios nor a server."""

    scenarios: list[Path]
    drivers: list[str] = field(default_factory=lambda: list(DEFAULT_DRIVERS))
    baseline: str = DEFAULT_DRIVERS[0]
    layers: list[Layer] | None = None  # None: orm, where the scenario has it
    sessions: list[int] | None = None  # None: the scenario's own
    address: Address | None = None  # None: the embedded server
    allow_production: bool = False
    tx_end: TxEnd = "rollback"
    checkout: Checkout = "request"
    pool: Pool = field(default_factory=Pool)
    loop: Loop = "asyncio"
    placement: PlacementMode | None = None
    params: Mapping[str, str] = field(default_factory=dict)
    budget_s: float | None = None  # None: NOMINAL_BUDGET_S, or MAX_BUDGET_S with a precision
    blocks: int | None = None  # instead of a budget
    precision: float | None = None  # half-width of the intervals that is enough, as a share
    think_s: float = 0.0
    rate: float | None = None  # open loop: operations per second
    arrival: Arrival = "poisson"
    seed: int | None = None
    output: Path | None = None
    rtts: list[float] = field(default_factory=list)  # seconds of network latency; empty: no relay in between
    pooler: PoolerMode | None = None
    pre_ping: bool = False
    settings: Mapping[str, dict[str, Value]] = field(default_factory=dict)  # driver -> its settings
