"""From options and descriptions of scenarios to a plan."""

import secrets
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Final

import msgspec

from dbbench import catalog
from dbbench.drivers import DRIVERS, check_layers
from dbbench.engine import pooler_arms
from dbbench.engine.arms import NO_NULL_POOL, check_reach, plain
from dbbench.engine.options import Options
from dbbench.engine.watcher import Watcher
from dbbench.errors import UsageError, nearest
from dbbench.plan import (
    Arm,
    Cell,
    Layer,
    Placement,
    Plan,
    Pooler,
    PoolerMode,
    Value,
)
from dbbench.result_lines import MAX_ROWS
from dbbench.scenario import Description
from dbbench.server import pgbouncer


def make_plan(
    options: Options,
    described: Mapping[Path, Description],
    place: Placement,
    watch: Watcher,
    via: Pooler | None = None,
) -> Plan:
    """The plan: cells of scenarios, layers and sessions, and everything else that the options decide.

    Raises UsageError where the options do not fit the scenarios or each other.
    """
    arms = arms_of(options)
    own = {name for arm in arms for name in arm.params}  # and not the cells'
    cells: list[Cell] = []
    for path, scenario in described.items():
        layers = _layers(options.layers, scenario, watch)
        params = {name: value for name, value in scenario.params.items() if name not in own}
        for layer in layers:
            cells.extend(
                Cell(scenario.name, layer, sessions, params, str(path), None if own else scenario.rows)
                for sessions in _sessions(options, arms, scenario, watch)
            )
    if described and not cells:
        raise UsageError(f"no scenario has the layer {' or '.join(options.layers or [])}")
    measured = {cell.layer for cell in cells}
    check_layers(options.drivers, measured)
    _check_reach(options.connections.settings, measured)
    check_reach(options.variations, sorted(measured))
    if any(arm.connections.null_pool for arm in arms) and not options.pooled and "raw" in measured:
        raise UsageError(NO_NULL_POOL, "--layer core,orm measures those")
    _check_app(arms, measured)
    if options.pooled:
        if any(cell.layer == "raw" for cell in cells):
            raise UsageError(
                "--pooler and --via measure SQLAlchemy's layers, core and orm: the pool of raw asyncpg resets "
                "the search path, without which dbbench's tables are not found through a pooler"
            )
        cells = pooler_arms.behind(cells, [via] if via else _poolers(options.pooler, watch))
    if options.rtts:
        cells = [msgspec.structs.replace(cell, rtt_s=rtt_s) for cell in cells for rtt_s in options.rtts]
    if (size := len(cells) * len(arms)) > MAX_ROWS:
        raise UsageError(f"{size:,} cells times drivers are more than {MAX_ROWS:,}", "name fewer --sessions or --layer")
    effort, load = options.effort, options.load
    budget_s, nominal_s = _budget(options)
    return Plan(
        arms=[_with_all(arm, own, described) for arm in arms],
        baseline=options.baseline if options.baseline in [arm.name for arm in arms] else arms[0].name,
        cells=cells,
        seed=secrets.randbelow(2**32) if effort.seed is None else effort.seed,
        rounds=[effort.rounds or 1] * len(cells),  # see rounds.settled()
        effort=msgspec.structs.replace(effort, budget_s=budget_s),
        placement=place,
        load=load,
        slice_s=open_slice_s(cells, len(arms), nominal_s, effort.blocks) if load.rate else None,
        compare_anyway=options.compare_anyway,
    )


def _with_all(arm: Arm, own: Collection[str], described: Mapping[Path, Description]) -> Arm:
    """The arm with the scenario's own values of parameters that other arms have values of their own for."""
    usual = {name: value for each in described.values() for name, value in each.params.items() if name in own}
    return msgspec.structs.replace(arm, params={**usual, **arm.params}) if usual else arm


def arms_of(options: Options) -> list[Arm]:
    """The arms: those that were asked for, or one for each driver, or behind a pooler several."""
    if options.pooled:
        return pooler_arms.matrix(options.drivers, options.connections)
    return options.arms or [plain(name, options.connections) for name in options.drivers]


def check_settings(options: Options) -> None:
    """UsageError where a driver has settings and is not measured."""
    for driver in options.connections.settings:
        if driver not in options.drivers:
            raise UsageError(f"--driver-set {driver}: {driver} is not measured; --driver {driver} adds it")


def _check_app(arms: Sequence[Arm], measured: Collection[Layer]) -> None:
    """UsageError for settings that an application decides itself."""
    theirs = [arm.connections for arm in arms if arm.connections.checkout != "request"]
    theirs += [arm.connections for arm in arms if arm.connections.tx_end != "rollback"]
    if "app" in measured and theirs:
        raise UsageError(
            "--checkout and --tx-end change nothing at the app layer: an application opens and ends its own sessions",
            "leave them out",
        )


def _check_reach(settings: Mapping[str, Mapping[str, Value]], measured: Collection[Layer]) -> None:
    """UsageError for a setting of a driver that changes nothing at the layers that are measured."""
    for driver, names in settings.items():
        for name in names:
            layers = DRIVERS[driver].settings[name].layers
            if measured and not set(layers) & set(measured):
                raise UsageError(
                    f"--driver-set {driver}.{name} changes nothing at the {' and '.join(sorted(measured))} layer",
                    f"it is for --layer {','.join(layers)}",
                )


def _poolers(mode: PoolerMode | None, watch: Watcher) -> list[Pooler]:
    """The poolers to measure: the variants that the installed version supports."""
    assert mode is not None
    installed = pgbouncer.version(pgbouncer.find())
    follows = pgbouncer.supports_prepared_statements(installed)
    if mode == "transaction" and not follows:
        version = ".".join(map(str, installed))
        watch.note(f"PgBouncer {version} does not support prepared statements; {pgbouncer.FOLLOWERS} do")
    return pooler_arms.variants(mode, follows_prepared_statements=follows)


def _budget(options: Options) -> tuple[float | None, float]:
    """The seconds that measuring may take, None where the number of blocks decides, and the seconds to plan for."""
    if options.effort.blocks is not None:
        return None, NOMINAL_BUDGET_S
    if options.effort.precision is not None:
        return options.effort.budget_s or MAX_BUDGET_S, min(
            options.effort.budget_s or NOMINAL_BUDGET_S, NOMINAL_BUDGET_S
        )
    usual_s = POOLER_BUDGET_S if options.pooled else max(NOMINAL_BUDGET_S, ARM_BUDGET_S * len(options.arms))
    budget_s = options.effort.budget_s or usual_s
    return budget_s, budget_s


def _sessions(options: Options, arms: Sequence[Arm], scenario: Description, watch: Watcher) -> list[int]:
    """The numbers of sessions to measure, without those that leave a process idle or a session without its connection.

    Raises UsageError where none is left.
    """
    most = max(arm.connections.processes for arm in arms)
    full = [max(arm.connections.capacity for arm in arms)] if options.pooled or most > 1 else None
    wanted = options.load.sessions or full or scenario.sessions
    few = [number for number in wanted if number < most]
    held = [arm.connections for arm in arms if arm.connections.checkout == "session"]
    many = [number for number in wanted if any(each.at_once(number) < number for each in held)]
    if few and len(few) == len(wanted):
        raise UsageError(
            f"{scenario.name}: {most} processes need a session each, and {max(few)} were asked for",
            f"--sessions {max(arm.connections.capacity for arm in arms)} fills their pools",
        )
    if few:
        watch.note(f"{scenario.name}: {', '.join(map(str, few))} sessions are fewer than {most} processes: left out")
    if many:
        pools = min(each.capacity for each in held)
        watch.note(
            f"{scenario.name}: {', '.join(map(str, many))} sessions cannot hold a connection each "
            f"with a pool of {pools}: left out"
        )
    return [number for number in wanted if number not in (*few, *many)]


def _layers(wanted: list[Layer] | None, scenario: Description, watch: Watcher) -> list[Layer]:
    """The layers to measure: those asked for, by default the ORM, or the first layer of a scenario without it."""
    if wanted is None:
        return ["orm"] if "orm" in scenario.layers else scenario.layers[:1]
    missing = [layer for layer in wanted if layer not in scenario.layers]
    if missing:
        watch.note(f"{scenario.name} has no {' and no '.join(missing)}: left out")
    return [layer for layer in wanted if layer in scenario.layers]


def check_params(params: Mapping[str, str], described: Mapping[Path, Description]) -> None:
    """Raise UsageError for a --set that names no parameter of any scenario."""
    names = {scenario.name for scenario in described.values()}
    known = {name: None for scenario in described.values() for name in scenario.params}
    known.update({f"{scenario.name}.{name}": None for scenario in described.values() for name in scenario.params})
    for key in params:
        scenario, _, _ = key.rpartition(".")
        if scenario in catalog.builtin() and scenario not in names:
            continue  # a default in pyproject.toml may be meant for scenarios that are not run today
        if described and key not in known:
            plain = [name for name in known if "." not in name]
            raise UsageError(f"--set {key}: no parameter of these scenarios", nearest(key, plain))


def connections_needed(plan: Plan, *, turns: bool = False) -> int:
    """The most connections open at once: of the arms and poolers, one per schema for the tables, one for the parent.

    With `turns` one arm has connections at a time.
    """
    scenarios = len({cell.path for cell in plan.cells})
    schemas = scenarios * (len(plan.arms) if plan.gate else len({repr(arm.params) for arm in plan.arms}))
    pooled = sum(
        plan.most_connections  # one arm is busy at a time, and the pooler's server connections are for all
        if way.via and way.mode == "transaction"
        else len(plan.arms) * scenarios * pooler_arms.server_connections(way.mode, plan.shared.pool)
        for way in {cell.pooler for cell in plan.cells if cell.pooler}
    )
    sessions = max((cell.sessions for cell in plan.cells), default=0)
    pooling = [arm.connections.at_once(sessions) for arm in plan.arms if not arm.connections.null_pool]
    kept = max(pooling, default=0) if turns else sum(pooling)
    # Without a pool an arm has connections only while its turn lasts.
    passing = max((arm.connections.at_once(sessions) for arm in plan.arms if arm.connections.null_pool), default=0)
    return kept + passing + schemas + pooled + 1


NOMINAL_BUDGET_S: Final = 60.0
ARM_BUDGET_S: Final = 20.0  # where more arms are asked for than there are drivers by default
POOLER_BUDGET_S: Final = 180.0  # each driver has up to four arms there
MAX_BUDGET_S: Final = 900.0  # default limit of a run that goes on until it is precise enough
WANTED_BLOCKS: Final = 12  # the intervals of ten rows need 9 blocks, and 11 at the first look


# Rough durations where an operation takes 1.5 ms, for what is said before anything has been measured.
WORKER_START_S: Final = 0.4
OPEN_S: Final = 0.15
WARM_UP_S_PER_CONNECTION: Final = 0.015
_LEAST_CHECK_S: Final = 30.0
_MARGIN_S: Final = 5.0  # beyond the time that a statement may take


def check_limit_s(plan: Plan) -> float | None:
    """How long the set-up may check one driver in one cell, seconds; None: as long as it takes.

    That is the driver's share of the budget: after a longer check there would be no time to measure it. But a statement
    that never ends is the server's to end, which says so.
    """
    if plan.effort.budget_s is None:
        return None
    statement_s = max(arm.connections.statement_limit_s for arm in plan.arms)
    return max(_LEAST_CHECK_S, plan.effort.budget_s / len(plan.arms), statement_s + _MARGIN_S)


_MIN_OPEN_SLICE_S: Final = 2.0  # in a shorter slice a queue has no time to build up
_MAX_OPEN_SLICE_S: Final = 10.0


def open_slice_s(cells: Sequence[Cell], arms: int, budget_s: float, blocks: int | None) -> float:
    """The seconds over which operations are due in a slice of an open loop, with one slice per arm, cell and block.

    Chosen so that the wanted number of blocks fits in the budget. Queues build up over seconds, not milliseconds.
    """
    slices = (blocks or WANTED_BLOCKS) * arms * max(1, len(cells))
    return min(_MAX_OPEN_SLICE_S, max(_MIN_OPEN_SLICE_S, budget_s / slices))
