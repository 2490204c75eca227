"""What every measurement begins with: options, a server, a steward, the scenarios, and the plan made of them."""

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

import msgspec

from dbbench import __version__, catalog, records
from dbbench.address import Address
from dbbench.child import WorkerProcess
from dbbench.drivers import DRIVERS
from dbbench.engine import machine, placement, pooler_arms
from dbbench.engine.options import Options
from dbbench.engine.planning import (
    connections_needed,
    make_plan,
)
from dbbench.engine.routes import Routes, routed
from dbbench.engine.watcher import Watcher
from dbbench.engine.workers import AtHome, Homes, Site, Workers, describe, start_steward
from dbbench.errors import DbbenchError, ScenarioError
from dbbench.messages import Start
from dbbench.plan import (
    Placement,
    Plan,
)
from dbbench.records import Header, Problem
from dbbench.relay.handle import refuse_tls
from dbbench.scenario import Description
from dbbench.server.target import Target, application, connected

_SPARE_CONNECTIONS: Final = 10  # of the embedded server: the parent's, the steward's, and room


@dataclass(frozen=True)
class Gathered:
    """What a run works with: the crew on a server, and what the scenarios say of themselves."""

    crew: Workers
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
            plan = arrange(make_plan(options, described, place, watch))
            target.preflight(connections_needed(plan), allow_production=embedded or options.allow_production)
            everyones = {arm.name: stewards.get(arm.name, stewards[homes.stewards[0]]) for arm in plan.arms}
            crew = Workers(plan, site, everyones)
            with routed(crew) as routes:
                yield Gathered(crew, target, described, problems, routes)


def _described(
    stewards: Mapping[str, WorkerProcess], options: Options, homes: Homes
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
        environment={**machine.describe(dict.fromkeys(distributions)), "other_runs": other_runs},
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
        arms, ways = len(pooler_arms.matrix(options.drivers)), len(pooler_arms.PREPARED_STATEMENTS)
        pooled = ways * len(options.scenarios) * pooler_arms.server_connections(options.pooler, options.pool)
        most = arms * (options.pool.capacity + pooled) + _SPARE_CONNECTIONS
    with embedded_server(cpus=place.server_cpus, max_connections=most) as server:
        yield _Server(server.address, server.alive)


def _local(options: Options) -> bool:
    return options.address is not None and options.address.is_local
