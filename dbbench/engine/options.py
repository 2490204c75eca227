"""The options of a measurement: plain data, from the command line."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from dbbench.address import Address
from dbbench.choices import OnDisconnect
from dbbench.drivers import DEFAULT as DEFAULT_DRIVERS
from dbbench.engine.arms import Variation
from dbbench.engine.site import PREPARE_LIMIT_S
from dbbench.plan import Arm, Connections, Effort, IdleMode, Layer, Load, PlacementMode, PoolerMode


@dataclass(frozen=True)
class Options:
    """The options of a measuring command, checked as far as possible without scenarios or a server."""

    scenarios: list[Path]
    drivers: list[str] = field(default_factory=lambda: list(DEFAULT_DRIVERS))
    baseline: str = DEFAULT_DRIVERS[0]
    layers: list[Layer] | None = None  # None: orm, where the scenario has it
    params: Mapping[str, str] = field(default_factory=dict)
    address: Address | None = None  # None: the embedded server
    allow_production: bool = False
    allow_remote: bool = False
    connections: Connections = field(default_factory=Connections)  # of every arm
    load: Load = field(default_factory=Load)
    effort: Effort = field(default_factory=Effort)
    placement: PlacementMode | None = None
    idle: IdleMode | None = None  # None: CPUs are kept awake where the server is local
    rtts: list[float] = field(default_factory=list)  # simulated round-trip times, seconds; empty: no relay in between
    pooler: PoolerMode | None = None
    via: Address | None = None  # of a pooler of the user's own in front of the server
    prepare_limit_s: float = PREPARE_LIMIT_S  # for a scenario's prepare(), its reset(), and a vacuum
    on_disconnect: OnDisconnect = "abort"  # or wait for a server that goes away while it is measured
    compare_anyway: bool = False  # also arms whose results differ
    arms: list[Arm] = field(default_factory=list)  # empty: one for each driver
    variations: list[Variation] = field(default_factory=list)  # by which those came about
    output: Path | None = None
    search_path: list[str] = field(default_factory=list)  # folders of the user's modules: see project.search_path

    @property
    def pooled(self) -> bool:
        """Whether a pooler stands in front of the server in some cells."""
        return self.pooler is not None or self.via is not None
