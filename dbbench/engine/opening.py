"""How every measurement begins: reach a server, load the scenarios, make the plan."""

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, Final

import msgspec

from dbbench import __version__, catalog, result_file
from dbbench.address import Address
from dbbench.drivers import DRIVERS, check_installed
from dbbench.engine import idle, placement, pooler_arms
from dbbench.engine.options import Options
from dbbench.engine.planning import (
    arms_of,
    check_params,
    connections_needed,
    make_plan,
)
from dbbench.engine.resolving import resolved
from dbbench.engine.routes import Routes
from dbbench.engine.site import AT_HOME, Homes, Site, Worker, describe, start_tables_worker
from dbbench.engine.watcher import Watcher
from dbbench.engine.workers import Workers
from dbbench.errors import DbbenchError, ScenarioError
from dbbench.messages import Start
from dbbench.plan import Placement, Plan
from dbbench.records import Header, Problem
from dbbench.relay.handle import refuse_tls
from dbbench.scenario import Description
from dbbench.server import own_pooler, pgbouncer
from dbbench.server.leftovers import find_folders
from dbbench.server.own_pooler import OwnPooler
from dbbench.server.schemas import application, connect
from dbbench.server.sentry import Sentry
from dbbench.server.target import Target, connected
from dbbench.wording import count

_SESSIONS: Final = 100  # of a scenario, where none are asked for and each may open a connection
_SPARE_CONNECTIONS: Final = 10  # of the embedded server: for the parent, for the tables, and some to spare


@dataclass(frozen=True)
class Opened:
    """What a measurement works with: workers on a server, and the descriptions of the scenarios."""

    workers: Workers
    described: Mapping[Path, Description]
    problems: list[Problem]  # scenarios that cannot be loaded
    routes: Routes


OpenSite = Callable[[Options, str, Homes, Watcher], contextlib.AbstractContextManager[Site]]
"""Opens the site of a run (see workers.Site): (options, id of the run, homes, watcher)."""


@contextlib.contextmanager
def opened_site(options: Options, run_id: str, homes: Homes, watch: Watcher) -> Iterator[Site]:
    """Start or reach a server; the site says how workers are started on it.

    Raises DbbenchError when there is no server.
    """
    embedded = options.address is None
    if options.address is not None and options.rtts:
        refuse_tls(options.address)
    local = embedded or _local(options)
    processes = max(arm.connections.processes for arm in arms_of(options)) if options.drivers else 1
    place = placement.choose(options.placement, embedded=embedded, local=local, processes=processes)
    with (
        _server(options, place, watch) as server,
        connected(server.address, run_id, watch.problem, thrown_away=embedded) as target,
        _sentry(options, server.address, run_id) as sentry,
        _awake(options, place, target, local=local) as place,
    ):
        _mention_leftovers(0 if embedded else target.left_behind(), watch)
        yield Site(
            start=Start(
                driver="",
                address=server.address,
                application=application(run_id),
                connections=options.connections,
                session=target.session_settings(options.connections.statement_limit_s),
                cpus=place.client_cpus,
                search_path=options.search_path,
            ),
            placement=place,
            create_schema=target.create_schema,
            alive=lambda: server.alive() and target.alive(),
            via=_via(options, run_id, watch),
            sentry=sentry,
            check_connections=partial(
                target.preflight,
                allow_production=embedded or options.allow_production,
                allow_remote=embedded or options.allow_remote,
            ),
            obituary=server.last_words,
            prepare_limit_s=options.prepare_limit_s,
            describe=lambda: {"embedded": embedded, **target.describe()},
            embedded=embedded,
            homes=homes,
        )


def _via(options: Options, run_id: str, watch: Watcher) -> OwnPooler | None:
    """The user's own pooler, if there is one."""
    if options.via is None or options.address is None:
        return None
    watch.say("looking at the pooler")
    found = own_pooler.checked(options.via, options.address, application(run_id))
    if found.told == own_pooler.UNNOTICED:
        watch.note(f"--via {options.via}: {found.told}: its connections end at the server")
    return found


@contextlib.contextmanager
def _awake(options: Options, place: Placement, target: Target, *, local: bool) -> Iterator[Placement]:
    """The placement with the CPUs that are kept awake; they are."""
    pid = target.backend_pid if local and options.address is not None else None
    chosen = idle.choose(options.idle, place, local=local, server_pid=pid, paced=options.load.paced)
    with idle.awake(chosen.awake_cpus or ()):
        yield chosen


@contextlib.contextmanager
def _sentry(options: Options, address: Address, run_id: str) -> Iterator[Sentry | None]:
    """A sentry, where a server that goes away is to be waited for."""
    if options.on_disconnect == "abort":
        yield None
        return
    with Sentry(partial(connect, address, application(run_id))) as sentry:
        yield sentry


def _mention_leftovers(schemas: int, watch: Watcher) -> None:
    """Tell the user what killed runs have left behind."""
    folders = len(find_folders())
    found = [count(number, what) for number, what in ((folders, "folder"), (schemas, "schema")) if number]
    if found:
        way_out = "dbbench clean --url URL" if schemas else "dbbench clean"
        watch.note(f"killed runs have left {' and '.join(found)} behind: {way_out} removes that")


@contextlib.contextmanager
def opened(
    options: Options,
    run_id: str,
    watch: Watcher,
    arrange: Callable[[Plan], Plan] = lambda plan: plan,
    homes: Homes = AT_HOME,
    open_site: OpenSite = opened_site,
    *,
    turns: bool = False,
) -> Iterator[Opened]:
    """Reach the server, load the scenarios, make the plan, to which `arrange` makes the last changes.

    With `turns` one arm has connections at a time. Everything is cleaned up at the end. Raises DbbenchError when there
    is nothing to measure, or no way to measure it.
    """
    if homes is AT_HOME:
        check_installed(arm.driver for arm in arms_of(options))
    with open_site(options, run_id, homes, watch) as site, contextlib.ExitStack() as stack:
        watch.say("loading scenarios")
        tables = {arm: stack.enter_context(start_tables_worker(site, arm)) for arm in homes.tables_for}
        described, problems = _described(tables, options, homes)
        if not described:
            for problem in problems:
                watch.problem(problem_line(problem))
            raise DbbenchError("there is no scenario left to measure")
        check_params(options.params, described)
        if problems and any(arm.path for arm in options.arms):
            raise ScenarioError(problems[0].message)
        params_of = partial(_params, tables[homes.tables_for[0]], homes, options)
        options, measured = resolved(options, described, params_of)
        plan = arrange(make_plan(options, measured, site.placement, watch, site.via.pooler if site.via else None))
        site.check_connections(connections_needed(plan, turns=turns) + (site.sentry is not None))

        def of_arms() -> dict[str, Worker]:
            return {arm.name: tables.get(arm.name, tables[homes.tables_for[0]]) for arm in plan.arms}

        def renewed() -> dict[str, Worker]:
            for arm, worker in tables.items():
                worker.__exit__(None, None, None)
                tables[arm] = stack.enter_context(start_tables_worker(site, arm))
            return of_arms()

        schemas: dict[tuple[str, str], str] = {}
        routes = Routes(site.start, plan, schemas, stack, site.via)

        def alive() -> bool:
            routes.check()
            return site.alive()

        yield Opened(
            Workers(plan, replace(site, alive=alive), of_arms(), schemas, routes, renewed), measured, problems, routes
        )


def _params(
    worker: Worker, homes: Homes, options: Options, path: Path, overrides: Mapping[str, str]
) -> Mapping[str, Any]:
    """The parameters of a scenario with other values of some."""
    own = {path: homes.path(homes.tables_for[0], str(path))}
    described, _ = describe(worker, own, {**options.params, **overrides})
    return described[path].params


def _described(
    tables: Mapping[str, Worker], options: Options, homes: Homes
) -> tuple[dict[Path, Description], list[Problem]]:
    """The scenarios' descriptions, on which all homes must agree, and a problem for each that cannot be loaded."""
    by_arm = {
        arm: describe(worker, {path: homes.path(arm, str(path)) for path in options.scenarios}, options.params)
        for arm, worker in tables.items()
    }
    (first, (described, problems)), *others = by_arm.items()
    if not others:
        return described, problems
    for arm, (_, found) in by_arm.items():
        for problem in found:
            raise ScenarioError(f"{arm}: {problem.message}")
    return {path: _agreed([(arm, by_arm[arm][0][path]) for arm in by_arm]) for path in by_arm[first][0]}, []


def _agreed(sides: Sequence[tuple[str, Description]]) -> Description:
    """What two revisions of a scenario have in common: the last one's parameters and sessions, the layers of both.

    Raises ScenarioError where they are not the same work: a parameter has another value, or no layer is common.
    """
    (first, one), (last, other) = sides[0], sides[-1]
    for name, value in one.params.items():
        if other.params.get(name) != value:
            raise ScenarioError(
                f"{one.name}: {name} is {value!r} in {first} and {other.params.get(name)!r} in {last}: "
                f"not the same work",
                f"--set {name}=VALUE sets it on both sides",
            )
    layers = [layer for layer in other.layers if layer in one.layers]
    if not layers:
        raise ScenarioError(f"{one.name}: {first} and {last} have no layer in common")
    return msgspec.structs.replace(other, layers=layers, has_reset=one.has_reset or other.has_reset)


def header(workers: Workers, run_id: str, started: datetime, *, other_runs: bool) -> Header:
    """The first record of the result file: the conditions of the measurement. The workers must have started."""
    plan = workers.plan
    distributions = [name for driver in plan.drivers for name in DRIVERS[driver].distributions]
    return Header(
        schema=result_file.SCHEMA,
        id=run_id,
        started=started.isoformat(timespec="seconds"),
        dbbench=__version__,
        plan=public(plan),
        environment={**workers.site.describe_machine(dict.fromkeys(distributions)), "other_runs": other_runs},
        server={**workers.site.describe(), **_pooler(workers)},
        drivers=workers.facts,
    )


def _pooler(workers: Workers) -> dict[str, str]:
    """Which pooler stands in front of the server in some cells, with its version where that is known."""
    if all(cell.pooler is None for cell in workers.plan.cells):
        return {}
    if workers.site.via is not None:
        return {"pooler": f"a pooler of your own ({workers.site.via.told})"}
    return {"pooler": pgbouncer.describe(pgbouncer.find())}


def public(plan: Plan) -> Plan:
    """The plan as the result file stores it: without paths of this machine."""
    cells = [msgspec.structs.replace(cell, path=catalog.shown_path(Path(cell.path))) for cell in plan.cells]
    arms = [
        msgspec.structs.replace(arm, path=catalog.shown_path(Path(arm.path))) if arm.path else arm for arm in plan.arms
    ]
    return msgspec.structs.replace(plan, cells=cells, arms=arms)


def problem_line(problem: Problem) -> str:
    """One line about a problem: where it occurred and its message."""
    where = " ".join(part for part in (problem.scenario, problem.arm) if part)
    return f"{where}: {problem.message}" if where else problem.message


@dataclass(frozen=True)
class _Server:
    address: Address
    alive: Callable[[], bool] = lambda: True
    last_words: Callable[[], str] = lambda: ""


@contextlib.contextmanager
def _server(options: Options, place: Placement, watch: Watcher) -> Iterator[_Server]:
    """The embedded server, or the user's own."""
    if options.address is not None:
        yield _Server(options.address)
        return
    from dbbench.server.embedded import embedded_server

    watch.say("starting PostgreSQL")
    with embedded_server(cpus=place.server_cpus, max_connections=_most_connections(options)) as server:
        yield _Server(server.address, server.alive, server.last_words)


def _most_connections(options: Options) -> int:
    """The connections that an embedded server must allow, which starts before the scenarios are known."""
    pool, sessions, arms = options.connections.pool, options.load.sessions, arms_of(options)
    if options.pooler is not None:  # --via has no embedded server
        ways = len(pooler_arms.PREPARED_STATEMENTS)
        pooled = ways * len(options.scenarios) * pooler_arms.server_connections(options.pooler, pool)
        return len(arms) * (pool.capacity + pooled) + max(sessions or [0]) + _SPARE_CONNECTIONS
    kept = [arm.connections.capacity for arm in arms if not arm.connections.null_pool]
    # The server may still be closing the connections of a NullPool when the next are opened.
    passing = 2 * max(sessions or [_SESSIONS]) if len(kept) < len(arms) else 0
    return max(2 * pool.capacity, sum(kept)) + passing + _SPARE_CONNECTIONS


def _local(options: Options) -> bool:
    return options.address is not None and options.address.is_local
