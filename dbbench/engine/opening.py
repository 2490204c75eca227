"""What every measurement begins with: options, a server, a steward, the scenarios, and the plan made of them."""

import contextlib
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Final

import msgspec

from dbbench import __version__, catalog, environment, placement, poolers, records
from dbbench.address import Address
from dbbench.crew import AtHome, Crew, Homes, Site, describe, start_steward
from dbbench.drivers import DEFAULT as DEFAULT_DRIVERS
from dbbench.drivers import DRIVERS
from dbbench.errors import DbbenchError, ScenarioError, UsageError
from dbbench.messages import Start
from dbbench.naming import nearest
from dbbench.plan import (
    MAX_BUDGET_S,
    NOMINAL_BUDGET_S,
    POOLER_BUDGET_S,
    Arm,
    Arrival,
    Cell,
    Checkout,
    Layer,
    Loop,
    Placement,
    PlacementMode,
    Plan,
    Pool,
    Pooler,
    PoolerMode,
    TxEnd,
    Value,
    open_slice_s,
    rounds_for,
)
from dbbench.process import Worker
from dbbench.progress import Watcher
from dbbench.records import Header, Problem
from dbbench.relay.handle import refuse_tls
from dbbench.routes import Routes, routed
from dbbench.scenario import Description
from dbbench.server import pooler
from dbbench.server.target import Target, application, connected

_SPARE_CONNECTIONS: Final = 10  # of the embedded server: the parent's, the steward's, and room


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


@dataclass(frozen=True)
class Gathered:
    """What a run works with: the crew on a server, and what the scenarios say of themselves."""

    crew: Crew
    target: Target
    described: Mapping[Path, Description]
    problems: list[Problem]  # scenarios that cannot be loaded
    routes: Routes


@contextlib.contextmanager
def gathered(
    options: Options,
    run_id: str,
    watch: Watcher,
    arrange: Callable[[Plan], Plan] = lambda plan: plan,
    homes: Homes = AtHome(),  # noqa: B008 - it is empty
) -> Iterator[Gathered]:
    """Start the server and the stewards, load the scenarios, make the plan; `arrange` has the last word on the plan.

    Nothing of it is left at the end. Raises DbbenchError when there is nothing to measure, or no way to.
    """
    embedded = options.address is None
    if options.address is not None and options.rtts:
        refuse_tls(options.address)
    place = placement.choose(options.placement, embedded=embedded, local=embedded or _local(options))
    with _server(options, place, watch) as server, connected(server.address, run_id) as target:
        start = Start(
            driver="",
            address=server.address,
            application=application(run_id),
            pool=options.pool,
            checkout=options.checkout,
            tx_end=options.tx_end,
            loop=options.loop,
            cpus=place.client_cpus,
        )
        site = Site(start, target.create_schema, lambda: server.alive() and target.alive(), run_id, embedded, homes)
        with contextlib.ExitStack() as stack:
            watch.say("loading scenarios")
            stewards = {arm: stack.enter_context(start_steward(site, arm)) for arm in homes.stewards}
            described, problems = _described(stewards, options, homes)
            if not described:
                for problem in problems:
                    watch.problem(problem_line(problem))
                raise DbbenchError("there is no scenario left to measure")
            plan = arrange(_plan(options, described, place, watch))
            target.preflight(_connections(plan), allow_production=embedded or options.allow_production)
            everyones = {arm.name: stewards.get(arm.name, stewards[homes.stewards[0]]) for arm in plan.arms}
            crew = Crew(plan, site, everyones)
            with routed(crew) as routes:
                yield Gathered(crew, target, described, problems, routes)


def _described(
    stewards: Mapping[str, Worker], options: Options, homes: Homes
) -> tuple[dict[Path, Description], list[Problem]]:
    """What the scenarios say of themselves, at every steward's home."""
    by_arm = {
        arm: describe(steward, {path: homes.path(arm, str(path)) for path in options.scenarios}, options.params)
        for arm, steward in stewards.items()
    }
    (first, (described, problems)), *others = by_arm.items()
    if not others:
        return described, problems
    for arm, (_, found) in by_arm.items():
        for problem in found:
            raise ScenarioError(f"{arm}: {problem.message}")
    return {path: _agreed([(arm, by_arm[arm][0][path]) for arm in by_arm]) for path in by_arm[first][0]}, []


def _agreed(sides: Sequence[tuple[str, Description]]) -> Description:
    """What two states of a scenario have in common: the last one's parameters and sessions, the layers of both.

    Raises ScenarioError where they were not the same work: a parameter with another value, no layer in common.
    """
    (first, one), (last, other) = sides[0], sides[-1]
    for name, value in one.params.items():
        if other.params.get(name) != value:
            raise ScenarioError(
                f"{one.name}: {name} is {value!r} in {first} and {other.params.get(name)!r} in {last}: "
                f"not the same work; --set {name}=VALUE sets it on both sides"
            )
    layers = [layer for layer in other.layers if layer in one.layers]
    if not layers:
        raise ScenarioError(f"{one.name}: {first} and {last} have no layer in common")
    return msgspec.structs.replace(other, layers=layers, has_reset=one.has_reset or other.has_reset)


def header(found: Gathered, run_id: str, started: datetime, *, other_runs: bool) -> Header:
    """Under which conditions it is measured, as the result file keeps it; once the workers have started."""
    crew, plan = found.crew, found.crew.plan
    distributions = [name for driver in plan.drivers for name in DRIVERS[driver].distributions]
    return Header(
        schema=records.SCHEMA,
        id=run_id,
        started=started.isoformat(timespec="seconds"),
        dbbench=__version__,
        plan=public(plan),
        environment={**environment.describe(dict.fromkeys(distributions)), "other_runs": other_runs},
        server={"embedded": crew.site.embedded, **found.target.describe()},
        drivers=crew.facts,
    )


def public(plan: Plan) -> Plan:
    """The plan as the result file keeps it: without the folders of this machine."""
    cells = [msgspec.structs.replace(cell, path=catalog.shown_path(Path(cell.path))) for cell in plan.cells]
    return msgspec.structs.replace(plan, cells=cells)


def problem_line(problem: Problem) -> str:
    """One line about a problem: where, what."""
    where = " ".join(part for part in (problem.scenario, problem.arm) if part)
    return f"{where}: {problem.message}" if where else problem.message


@dataclass(frozen=True)
class _Server:
    address: Address
    alive: Callable[[], bool]


@contextlib.contextmanager
def _server(options: Options, place: Placement, watch: Watcher) -> Iterator[_Server]:
    """The embedded server, or the user's own."""
    if options.address is not None:
        yield _Server(options.address, lambda: True)
        return
    from dbbench.server.embedded import embedded_server

    watch.say("starting PostgreSQL")
    most = max(2, len(options.drivers)) * options.pool.capacity + _SPARE_CONNECTIONS
    if options.pooler is not None:
        arms, ways = len(poolers.matrix(options.drivers)), len(poolers.PREPARED_STATEMENTS)
        pooled = ways * len(options.scenarios) * poolers.server_connections(options.pooler, options.pool)
        most = arms * (options.pool.capacity + pooled) + _SPARE_CONNECTIONS
    with embedded_server(cpus=place.server_cpus, max_connections=most) as server:
        yield _Server(server.address, server.alive)


def _local(options: Options) -> bool:
    return options.address is not None and options.address.is_local


def _plan(options: Options, described: Mapping[Path, Description], place: Placement, watch: Watcher) -> Plan:
    """Cells of scenarios, layers and sessions, and everything else that the options say."""
    _check_params(options.params, described)
    cells: list[Cell] = []
    for path, scenario in described.items():
        layers = _layers(options.layers, scenario, watch)
        for layer in layers:
            cells.extend(
                Cell(scenario.name, layer, sessions, scenario.params, str(path), scenario.rows)
                for sessions in _sessions(options, scenario, watch)
            )
    if described and not cells:
        raise UsageError(f"no scenario has the layer {' or '.join(options.layers or [])}")
    arms = [Arm(name, name) for name in options.drivers]
    if options.pooler is not None:
        if any(cell.layer == "raw" for cell in cells):
            raise UsageError(
                "--pooler measures SQLAlchemy's layers, core and orm: the pool of raw asyncpg resets "
                "the search path, without which dbbench's tables are not found through a pooler"
            )
        cells = poolers.behind(cells, _poolers(options.pooler, watch))
        arms = poolers.matrix(options.drivers)
    if options.rtts:
        cells = [msgspec.structs.replace(cell, rtt_s=rtt_s) for cell in cells for rtt_s in options.rtts]
    budget_s, nominal_s = _budget(options)
    return Plan(
        arms=arms,
        baseline=options.baseline,
        cells=cells,
        seed=secrets.randbelow(2**32) if options.seed is None else options.seed,
        rounds=[1] * len(cells) if options.rate else rounds_for(cells, len(arms), options.pool, nominal_s),
        budget_s=budget_s,
        blocks=options.blocks,
        pool=options.pool,
        placement=place,
        checkout=options.checkout,
        tx_end=options.tx_end,
        loop=options.loop,
        precision=options.precision,
        think_s=options.think_s,
        rate=options.rate,
        arrival=options.arrival,
        slice_s=open_slice_s(cells, len(options.drivers), nominal_s, options.blocks) if options.rate else None,
        pre_ping=options.pre_ping,
        settings=dict(options.settings),
    )


def _poolers(mode: PoolerMode, watch: Watcher) -> list[Pooler]:
    """The poolers to measure: as many as the one that is installed can be."""
    installed = pooler.version(pooler.find())
    follows = pooler.supports_prepared_statements(installed)
    if mode == "transaction" and not follows:
        watch.note(f"PgBouncer {'.'.join(map(str, installed))} knows nothing of prepared statements; 1.21 and newer do")
    return poolers.variants(mode, follows_prepared_statements=follows)


def _budget(options: Options) -> tuple[float | None, float]:
    """Seconds that measuring may take, None where the number of blocks decides; and the seconds to plan for."""
    if options.blocks is not None:
        return None, NOMINAL_BUDGET_S
    if options.precision is not None:
        return options.budget_s or MAX_BUDGET_S, min(options.budget_s or NOMINAL_BUDGET_S, NOMINAL_BUDGET_S)
    budget_s = options.budget_s or (POOLER_BUDGET_S if options.pooler else NOMINAL_BUDGET_S)
    return budget_s, budget_s


def _sessions(options: Options, scenario: Description, watch: Watcher) -> list[int]:
    """The numbers of sessions to measure, without those that cannot hold a connection each."""
    wanted = options.sessions or ([options.pool.capacity] if options.pooler else scenario.sessions)
    possible = [number for number in wanted if options.checkout == "request" or number <= options.pool.capacity]
    if left_out := [number for number in wanted if number not in possible]:
        watch.note(
            f"{scenario.name}: {', '.join(map(str, left_out))} sessions cannot hold a connection each "
            f"with a pool of {options.pool.capacity}: left out"
        )
    return possible


def _layers(wanted: list[Layer] | None, scenario: Description, watch: Watcher) -> list[Layer]:
    """The layers to measure: those asked for, by default the ORM, or the first layer of a scenario without it."""
    if wanted is None:
        return ["orm"] if "orm" in scenario.layers else scenario.layers[:1]
    missing = [layer for layer in wanted if layer not in scenario.layers]
    if missing:
        watch.note(f"{scenario.name} has no {' and no '.join(missing)}: left out")
    return [layer for layer in wanted if layer in scenario.layers]


def _check_params(params: Mapping[str, str], described: Mapping[Path, Description]) -> None:
    """Every --set must mean something to some scenario."""
    names = {scenario.name for scenario in described.values()}
    known = {name: None for scenario in described.values() for name in scenario.params}
    known.update({f"{scenario.name}.{name}": None for scenario in described.values() for name in scenario.params})
    for key in params:
        scenario, _, _ = key.rpartition(".")
        if scenario in catalog.builtin() and scenario not in names:
            continue  # a default in pyproject.toml may be meant for scenarios that are not run today
        if described and key not in known:
            plain = [name for name in known if "." not in name]
            raise UsageError(f"--set {key}: no parameter of these scenarios; {nearest(key, plain)}")


def _connections(plan: Plan) -> int:
    """How many connections are open at once at most: the arms', the poolers', the stewards' one per schema, ours."""
    scenarios = len({cell.path for cell in plan.cells})
    schemas = scenarios * (len(plan.arms) if plan.gate else 1)
    ways = {cell.pooler for cell in plan.cells if cell.pooler}
    pooled = len(plan.arms) * scenarios * sum(poolers.server_connections(way.mode, plan.pool) for way in ways)
    return len(plan.arms) * max((plan.connections(cell) for cell in plan.cells), default=0) + schemas + pooled + 1
