"""What is measured, with which settings and in which order: plain data, settled before anything runs."""

import random
from typing import Any, Literal

import msgspec

from dbbench.wording import count

Layer = Literal["orm", "core", "raw"]
TxEnd = Literal["rollback", "commit", "autocommit"]
Checkout = Literal["request", "session"]
PlacementMode = Literal["split", "shared", "free"]
Loop = Literal["asyncio", "uvloop"]
Arrival = Literal["poisson", "constant"]
PoolerMode = Literal["transaction", "session"]
Value = int | str | bool | None
"""What a driver's setting may be set to."""


class Pool(msgspec.Struct, frozen=True):
    """Connection pool settings, the same for every layer."""

    size: int = 5
    max_overflow: int = 10
    timeout: float = 30.0  # seconds

    @property
    def capacity(self) -> int:
        """The most connections that one pool opens."""
        return self.size + self.max_overflow


class Connections(msgspec.Struct, frozen=True):
    """How an arm makes its connections, what it does on them, and how it gives them back."""

    pool: Pool = Pool()
    checkout: Checkout = "request"
    tx_end: TxEnd = "rollback"
    loop: Loop = "asyncio"
    pre_ping: bool = False  # SQLAlchemy's pool asks before each checkout whether the connection lives
    null_pool: bool = False  # SQLAlchemy's NullPool: a connection for every checkout
    settings: dict[str, dict[str, Value]] = {}  # driver -> which of its settings are not the default


class Load(msgspec.Struct, frozen=True):
    """What paces operations besides the previous answer, and how many sessions run them."""

    sessions: list[int] | None = None  # concurrent, each a cell; None: the scenario's own
    rate: float | None = None  # open loop: operations that are due per second; None: closed loop
    arrival: Arrival = "poisson"
    think_s: float = 0.0  # pause of a session after each of its operations

    @property
    def paced(self) -> bool:
        """Whether something else than the driver decides how many operations run per second."""
        return self.rate is not None or self.think_s > 0


class Effort(msgspec.Struct, frozen=True):
    """How long a run measures, and what it draws its random choices from."""

    budget_s: float | None = None  # seconds of measuring at most; None where `blocks` decides
    blocks: int | None = None  # exactly so many, instead of a budget
    precision: float | None = None  # half-width of a ratio's interval that is enough, as a share: 0.02 is 2%
    rounds: int | None = None  # slices of an arm in a cell and block; None: as many as the budget has time for
    seed: int | None = None  # None: drawn


class Arm(msgspec.Struct, frozen=True):
    """One thing under comparison: a driver with its settings, or, in a gate, an environment."""

    name: str
    driver: str  # empty: the cell's
    connections: Connections = Connections()
    bare: bool = False  # a hand-written loop instead of dbbench's own, for selfcheck
    busy_ns: int = 0  # busy-wait added to every operation, for selfcheck


class Cell(msgspec.Struct, frozen=True):
    """One workload at one concurrency; every arm is measured in every cell."""

    scenario: str
    layer: Layer
    sessions: int
    params: dict[str, Any]
    path: str  # the scenario's file: built-in ones are relative to the catalog, so that results name no home directory
    rows: int | None = None  # rows that one operation moves, where the scenario says so
    driver: str = ""  # of all arms, in a gate: what differs between them is the environment
    rtt_s: float | None = None  # network latency that is simulated, there and back; None: no relay in between
    pooler: "Pooler | None" = None  # in front of the server

    @property
    def label(self) -> str:
        """How messages name the cell."""
        return ", ".join(
            filter(None, (self.scenario, self.layer, count(self.sessions, "session"), self.driver, self.way))
        )

    @property
    def way(self) -> str:
        """How the cell's connections reach the server, where not directly: rtt=5ms, or pooler=transaction."""
        if self.rtt_s is not None:
            return f"rtt={milliseconds(self.rtt_s)}"
        return "" if self.pooler is None else f"pooler={self.pooler.name}"


class Pooler(msgspec.Struct, frozen=True):
    """A connection pooler between the drivers and the server."""

    mode: PoolerMode
    max_prepared_statements: int | None = None  # None: it knows nothing of prepared statements, or its own default

    @property
    def name(self) -> str:
        """How reports name it."""
        most = self.max_prepared_statements
        return self.mode if most is None else f"{self.mode},max_prepared_statements={most}"


def milliseconds(seconds: float) -> str:
    """Write a short time as it is given on the command line: 5ms, 0.5ms, 0."""
    return f"{seconds * 1e3:.3f}".rstrip("0").rstrip(".") + "ms" if seconds else "0"


class Placement(msgspec.Struct, frozen=True):
    """Which CPUs the client and the server run on; None: left to the scheduler."""

    mode: PlacementMode
    client_cpus: list[int] | None = None
    server_cpus: list[int] | None = None
    note: str = ""  # why it is not what was asked for, or not the whole of it


class Gate(msgspec.Struct, frozen=True):
    """What a gate asks of every cell."""

    tolerances: dict[str, float]  # "SCENARIO.METRIC" -> loss that is still fine, as a share
    same_work: bool = True  # both sides must return the same; a revision may rightly return something else


class Plan(msgspec.Struct, frozen=True):
    """Everything that decides what a run does; with the seed, everything that decides its order."""

    arms: list[Arm]
    baseline: str  # the name of an arm
    cells: list[Cell]
    seed: int
    rounds: list[int]  # by cell: how many slices every arm gets in a block
    effort: Effort
    placement: Placement
    load: Load = Load()
    slice_s: float | None = None  # open loop: how long operations are due in a slice
    early_end: bool = True  # a run with a budget ends as soon as every cell is decided
    gate: Gate | None = None  # the arms are two environments, and judged as commands/gate/judging.py says

    @property
    def paced(self) -> bool:
        """Whether drivers are compared by the mean latency of their operations, not by elapsed time per operation."""
        return self.load.paced

    @property
    def adaptive(self) -> bool:
        """Whether the run may stop early, at its looks; a given number of blocks is looked at once, at the end."""
        return self.effort.blocks is None and self.early_end

    @property
    def shared(self) -> Connections:
        """The connections of the baseline: what the other arms have, too, unless their names say otherwise."""
        return next(arm.connections for arm in self.arms if arm.name == self.baseline)

    @property
    def settings(self) -> dict[str, dict[str, Value]]:
        """Driver -> its settings that are not the defaults and that all its arms have."""
        found = {}
        for driver in self.drivers:
            first, *others = [
                arm.connections.settings.get(driver, {}) for arm in self.arms if arm.driver in ("", driver)
            ]
            if common := {
                name: value for name, value in first.items() if all((name, value) in o.items() for o in others)
            }:
                found[driver] = common
        return found

    def own_settings(self, arm: Arm) -> dict[str, Value]:
        """The settings of the arm's driver that tell it from the driver's other arms."""
        common = self.settings.get(arm.driver, {})
        own = arm.connections.settings.get(arm.driver, {})
        return {name: value for name, value in own.items() if name not in common}

    @property
    def drivers(self) -> list[str]:
        """The drivers that are measured, each once."""
        named = [arm.driver for arm in self.arms] + [cell.driver for cell in self.cells]
        return list(dict.fromkeys(filter(None, named)))

    def connections(self, cell: Cell) -> int:
        """How many connections one arm has in use in the cell, at most."""
        return min(cell.sessions, max(arm.connections.pool.capacity for arm in self.arms))

    def rng(self, *path: object) -> random.Random:
        """A generator of its own for every place in the run, so that no draw shifts another."""
        return random.Random("/".join(str(part) for part in (self.seed, *path)))

    def cell_order(self, block: int) -> list[int]:
        """Indexes of the cells, in the order in which the block visits them."""
        order = list(range(len(self.cells)))
        self.rng(block).shuffle(order)
        return order

    def arm_order(self, block: int, cell: int, round_: int) -> list[Arm]:
        """The arms in the order in which they get their slices in this round."""
        order = list(self.arms)
        self.rng(block, cell, round_).shuffle(order)
        return order
