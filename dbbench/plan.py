"""What is measured, with which settings and in which order: plain data, decided before anything runs."""

import random
from typing import Any

import msgspec

from dbbench.choices import Arrival as Arrival
from dbbench.choices import Checkout as Checkout
from dbbench.choices import IdleMode as IdleMode
from dbbench.choices import Isolation as Isolation
from dbbench.choices import JsonLibrary as JsonLibrary
from dbbench.choices import Layer as Layer
from dbbench.choices import Loop as Loop
from dbbench.choices import PlacementMode as PlacementMode
from dbbench.choices import PoolerMode as PoolerMode
from dbbench.choices import TxEnd as TxEnd
from dbbench.units import milliseconds
from dbbench.wording import count

Value = int | str | bool | None
"""The value of a driver's setting."""


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
    """How an arm opens, uses and returns its connections."""

    pool: Pool = Pool()
    checkout: Checkout = "request"
    tx_end: TxEnd = "rollback"
    loop: Loop = "asyncio"
    pre_ping: bool = False  # SQLAlchemy's pool checks before each checkout whether the connection is alive
    statement_limit_s: float = 30.0  # after which the server ends a statement; waiting for a lock counts
    null_pool: bool = False  # SQLAlchemy's NullPool: a new connection for every checkout
    settings: dict[str, dict[str, Value]] = {}  # driver -> its settings that are not the default
    isolation: Isolation | None = None  # of transactions; None: the server's default
    json: JsonLibrary = "stdlib"  # with which SQLAlchemy reads and writes JSON
    processes: int = 1  # of the client, each with a pool of its own; sessions are spread over them

    def at_once(self, sessions: int) -> int:
        """The most connections that an arm has at a time: one for each session, as far as its pools have them."""
        least, more = divmod(sessions, self.processes)
        return more * self.in_process(least + 1) + (self.processes - more) * self.in_process(least)

    @property
    def capacity(self) -> int:
        """The most connections that its pools open."""
        return self.pool.capacity * self.processes

    def in_process(self, sessions: int) -> int:
        """The same for one process that has so many of the sessions."""
        return sessions if self.null_pool else min(sessions, self.pool.capacity)


class Load(msgspec.Struct, frozen=True):
    """What paces operations besides the previous answer, and how many sessions run them."""

    sessions: list[int] | None = None  # numbers of concurrent sessions, a cell for each; None: the scenario's own
    rate: float | None = None  # open loop: operations due per second; None: closed loop
    arrival: Arrival = "poisson"
    think_s: float = 0.0  # pause of a session after each of its operations

    @property
    def paced(self) -> bool:
        """Whether anything besides the driver decides how many operations run per second."""
        return self.rate is not None or self.think_s > 0


class Effort(msgspec.Struct, frozen=True):
    """How long a run measures, and the seed of its random choices."""

    budget_s: float | None = None  # limit for measuring, seconds; None where `blocks` decides
    blocks: int | None = None  # the exact number of blocks, instead of a budget
    precision: float | None = None  # half-width of a ratio's interval that suffices, as a share: 0.02 is 2%
    rounds: int | None = None  # slices of an arm in a cell and block; None: chosen to fit the budget
    seed: int | None = None  # None: drawn at random


class Arm(msgspec.Struct, frozen=True):
    """One thing under comparison: a driver with its settings, or, in a gate, an environment."""

    name: str
    driver: str  # empty: the cell's
    connections: Connections = Connections()
    bare: bool = False  # a hand-written loop instead of dbbench's own, for selfcheck
    busy_ns: int = 0  # busy-wait added to every operation, for selfcheck
    baseline: str = ""  # the arm that it is compared with, or itself; empty: the plan's
    params: dict[str, Any] = {}  # of the scenario, instead of the cell's
    path: str = ""  # of its own scenario's file, where scenarios are compared; empty: the cell's


class Cell(msgspec.Struct, frozen=True):
    """One workload at one concurrency; every arm is measured in every cell."""

    scenario: str
    layer: Layer
    sessions: int
    params: dict[str, Any]
    path: str  # the scenario's file; result files have it without the folders of this machine
    rows: int | None = None  # rows that one operation moves, where the scenario defines that
    driver: str = ""  # in a gate: the driver of both arms, which differ in their environment
    rtt_s: float | None = None  # simulated round-trip time of the network; None: no relay in between
    pooler: "Pooler | None" = None  # in front of the server
    baseline: str = ""  # the arm that the others are compared with, where the plan's baseline cannot be measured here
    instead: dict[str, str] = {}  # the same for other baselines: one that cannot be measured -> the arm in its place

    @property
    def label(self) -> str:
        """The cell's name in messages."""
        return ", ".join(
            filter(None, (self.scenario, self.layer, count(self.sessions, "session"), self.driver, self.way))
        )

    @property
    def way(self) -> str:
        """How the cell's connections reach the server: rtt=5ms, or pooler=transaction; empty: directly."""
        if self.rtt_s is not None:
            return f"rtt={milliseconds(self.rtt_s)}"
        return "" if self.pooler is None else f"pooler={self.pooler.name}"


class Pooler(msgspec.Struct, frozen=True):
    """A connection pooler between the drivers and the server."""

    mode: PoolerMode
    max_prepared_statements: int | None = None  # None: its default, or it does not support prepared statements
    via: bool = False  # the user's own, instead of one that is started for the run

    @property
    def name(self) -> str:
        """The pooler's name in reports."""
        most = self.max_prepared_statements
        return f"{self.mode}{',via' if self.via else ''}{'' if most is None else f',max_prepared_statements={most}'}"


class Placement(msgspec.Struct, frozen=True):
    """Which CPUs the client and the server run on; None: left to the scheduler."""

    mode: PlacementMode
    client_cpus: list[int] | None = None
    server_cpus: list[int] | None = None
    note: str = ""  # why this is not, or not all of, what was asked for
    awake_cpus: list[int] | None = None  # that are kept from halting (see engine/idle.py); None: all may
    idle_note: str = ""  # why none is kept awake, where one would have been


class Gate(msgspec.Struct, frozen=True):
    """What a gate requires of every cell."""

    tolerances: dict[str, float]  # "SCENARIO.METRIC" -> largest acceptable loss, as a share
    same_work: bool = True  # whether both sides must return the same; revisions may differ on purpose


class Plan(msgspec.Struct, frozen=True):
    """Everything that decides what a run does and, with the seed, in which order."""

    arms: list[Arm]
    baseline: str  # the name of an arm
    cells: list[Cell]
    seed: int
    rounds: list[int]  # by cell: the number of slices that every arm gets in a block
    effort: Effort
    placement: Placement
    load: Load = Load()
    slice_s: float | None = None  # open loop: the seconds over which operations are due in a slice
    early_end: bool = True  # whether a run with a budget ends as soon as every cell is decided
    early: list[int] = []  # cells that are measured alone at first, until their first look
    gate: Gate | None = None  # set: the arms are two environments, judged by commands/gate/judging.py
    compare_anyway: bool = (
        False  # whether arms are compared whose results differ; the difference is stored all the same
    )

    @property
    def same_results(self) -> bool:
        """Whether only arms that return the same are compared."""
        return not self.compare_anyway and (self.gate is None or self.gate.same_work)

    @property
    def paced(self) -> bool:
        """Whether drivers are compared by mean latency per operation instead of elapsed time per operation."""
        return self.load.paced

    @property
    def adaptive(self) -> bool:
        """Whether the run may stop early, at its looks; with a fixed number of blocks it is judged once, at the end."""
        return self.effort.blocks is None and self.early_end

    def baseline_of(self, index: int, arm: str) -> str:
        """The arm that an arm is compared with in a cell; itself, where others are compared with it or none is."""
        cell, (own,) = self.cells[index], [each.baseline for each in self.arms if each.name == arm]
        named = own or self.baseline
        return cell.baseline if named == self.baseline and cell.baseline else cell.instead.get(named, named)

    @property
    def groups(self) -> list[list[str]]:
        """The names of the arms that are compared with each other; the baseline comes first in each group."""
        found: dict[str, list[str]] = {}
        for arm in self.arms:
            baseline = arm.baseline or self.baseline
            found.setdefault(baseline, [baseline])
            if arm.name != baseline:
                found[baseline].append(arm.name)
        return list(found.values())

    @property
    def compared(self) -> int:
        """How many arms are compared with another one, in every cell."""
        return len(self.arms) - len(self.groups)

    def against(self, name: str) -> "Plan":
        """The plan with every cell's arms compared with this one."""
        cells = [msgspec.structs.replace(cell, baseline="", instead={}) for cell in self.cells]
        arms = [msgspec.structs.replace(arm, baseline="") for arm in self.arms]
        return msgspec.structs.replace(self, baseline=name, cells=cells, arms=arms)

    @property
    def shared(self) -> Connections:
        """The connections of the baseline; those of other arms are the same, except where their names say otherwise."""
        return next(arm.connections for arm in self.arms if arm.name == self.baseline)

    @property
    def settings(self) -> dict[str, dict[str, Value]]:
        """Driver -> its settings that are not the default and that all its arms share."""
        found = {}
        for driver in self.drivers:
            of_arms = [arm.connections.settings.get(driver, {}) for arm in self.arms if arm.driver in ("", driver)]
            common = {
                name: value
                for settings in of_arms[:1]
                for name, value in settings.items()
                if all((name, value) in others.items() for others in of_arms)
            }
            if common:
                found[driver] = common
        return found

    def own_settings(self, arm: Arm) -> dict[str, Value]:
        """The settings that distinguish the arm from other arms of its driver."""
        common = self.settings.get(arm.driver, {})
        own = arm.connections.settings.get(arm.driver, {})
        return {name: value for name, value in own.items() if name not in common}

    @property
    def drivers(self) -> list[str]:
        """The measured drivers, each once."""
        named = [arm.driver for arm in self.arms] + [cell.driver for cell in self.cells]
        return list(dict.fromkeys(filter(None, named)))

    def of(self, cell: Cell, arm: str) -> Cell:
        """The cell as an arm measures it: with its own parameters, and its own scenario."""
        (own,) = [each for each in self.arms if each.name == arm]
        if not own.params and not own.path:
            return cell
        return msgspec.structs.replace(cell, params={**cell.params, **own.params}, path=own.path or cell.path)

    def connections(self, cell: Cell) -> int:
        """The most connections that one arm uses at a time in the cell."""
        return max(arm.connections.at_once(cell.sessions) for arm in self.arms)

    @property
    def most_connections(self) -> int:
        """The most connections that an arm has at a time in any cell."""
        return max((self.connections(cell) for cell in self.cells), default=0)

    def rng(self, *path: object) -> random.Random:
        """A separate generator for every place in the run, so that no draw shifts another."""
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
