"""The `gate` command as a list of steps: two environments, one run, one verdict."""

import contextlib
import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from operator import attrgetter
from pathlib import Path
from typing import Final

import msgspec

from dbbench import result_file
from dbbench.commands.gate.counts import counted
from dbbench.commands.gate.findings import differences
from dbbench.commands.gate.homes import GateHomes, homes
from dbbench.commands.gate.judging import LOOKS, Judged, Key, is_over, look_at
from dbbench.commands.gate.requirements import parse
from dbbench.commands.gate.result import ARMS, BASE, Difference, GateVerdict
from dbbench.commands.gate.sides import Environment, Wanted, environments
from dbbench.commands.gate.tables import tables
from dbbench.commands.recording import Ended, recording
from dbbench.commands.run import Purpose, execute
from dbbench.commands.wire.changes import Change, changes
from dbbench.commands.wire.explain import amount
from dbbench.commands.wire.steps import OPERATIONS, count_all, single, wire_header
from dbbench.drivers import DRIVERS
from dbbench.engine.opening import opened
from dbbench.engine.options import Options
from dbbench.engine.planning import check_settings
from dbbench.engine.routes import Routes
from dbbench.engine.setup import SetUp
from dbbench.engine.watcher import Watcher
from dbbench.errors import CannotStartError, DbbenchError, ExitCode, NotComparableError, UsageError
from dbbench.plan import Arm, Cell, Connections, Gate, Plan
from dbbench.records import Counts, Measurement, Problem, Side, WireRow, status
from dbbench.wording import count

_SHOWN_DIFFERENCES: Final = 8
_ONE_SIDE: Final = "not everything was counted on both sides: there is no verdict"
_SHORT: Final = {GateVerdict.PASS: "ok", GateVerdict.FAIL: "FAIL", GateVerdict.INCONCLUSIVE: "?"}


@dataclass(frozen=True)
class Request:
    """What `dbbench gate` was asked to do."""

    wanted: Wanted
    options: Options  # of the run; its drivers are those to measure, empty: those that both sides have
    tolerances: Mapping[str, float]  # METRIC or SCENARIO.METRIC -> share
    connections: Mapping[str, Connections] = field(
        default_factory=dict
    )  # side -> its own; empty: the options' for both


def execute_gate(request: Request, watch: Watcher) -> Ended:
    """Make the environments, measure, and write the result file.

    Raises DbbenchError, and leaves no file, when nothing could be measured at all.
    """
    with _sides(request, watch) as (options, purpose):
        return execute(options, watch, replace(purpose, count=counted_sides))


def counted_sides(set_up: SetUp, routes: Routes, watch: Watcher) -> list[WireRow]:
    """Count both sides before they are timed, and say what is different."""
    rows = list(counted(set_up, routes, watch.say, watch.note))
    base, head = ([row for row in rows if row.arm == arm] for arm in ARMS)
    for change in changes(base, head):
        if change.counts:
            watch.note(f"on the wire: {change.sentence}")
    return rows


def count_gate(request: Request, watch: Watcher) -> Ended:
    """Make the environments, count what both put on the wire, and write the result file.

    Raises DbbenchError where one side could not be counted: what is missing is no gain. What was counted is kept.
    """
    started, run_id = datetime.now(UTC), result_file.new_id()
    with (
        _sides(request, watch) as (options, purpose),
        recording(options.output, started, run_id, watch, {"different": ExitCode.OK}) as journal,
        opened(options, run_id, watch, lambda plan: single(purpose.arrange(plan)), purpose.homes) as found,
    ):
        rows, problems = [], []
        for number, one in enumerate(count_all(found, OPERATIONS, watch)):
            if not number:
                top = wire_header(found.workers, run_id, started)
                journal.write(msgspec.structs.replace(top, sides=dict(purpose.sides)))
            if isinstance(one, Problem):
                problems.append(one)
                journal.report(one, found.workers.site.start.address.password, watch)
            else:
                rows.append(one)
                journal.write(msgspec.structs.replace(one, trace=[], untraced=0))
        _check_both_sides(problems)
    if journal.cause is not None:
        raise journal.cause
    base, head = ([row for row in rows if row.arm == arm] for arm in ARMS)
    for one, other in zip(base, head, strict=True):
        trips = f"{amount(one.round_trips)} and {amount(other.round_trips)} round trips per operation"
        watch.note(f"{one.scenario}, {one.driver}, {one.layer}: {trips}")
    return Ended(journal.path, journal.exit_code)


def wire_changes(counts: Counts) -> list[Change]:
    """What differs between the two sides of a gate's counts.

    Raises DbbenchError where the file does not have both sides whole: what is missing is no gain.
    """
    _check_both_sides(counts.problems)
    if status(counts.end) != "complete":
        raise DbbenchError(_ONE_SIDE)
    base, head = ([row for row in counts.rows if row.arm == arm] for arm in ARMS)
    return changes(base, head)


def _check_both_sides(problems: Sequence[Problem]) -> None:
    """Raise DbbenchError where the problems allow no verdict; revisions may return something else on purpose."""
    kinds = {problem.kind for problem in problems} - {"different"}
    if kinds - {"not comparable"}:
        raise DbbenchError(_ONE_SIDE)
    if kinds:
        raise NotComparableError("the two sides do not return the same: there is no verdict")


@contextlib.contextmanager
def _sides(request: Request, watch: Watcher) -> Iterator[tuple[Options, Purpose]]:
    """The environments of both sides, and what a run is told to do with them."""
    project = request.wanted.project
    with environments(request.wanted, watch.say, watch.note) as (base, head), homes(base, head, project) as places:
        yield between(request, places, watch)


def between(request: Request, places: GateHomes, watch: Watcher) -> tuple[Options, Purpose]:
    """The options and the purpose of a run that compares two environments; says how they differ.

    Raises UsageError when no scenario is on both sides, or a driver that is not measured has settings; CannotStartError
    when no driver is on both sides.
    """
    base, head = (places.environments[arm] for arm in ARMS)
    _say_differences(differences(base.inventory.packages, head.inventory.packages), base, head, watch)
    scenarios = _on_both_sides(request.options.scenarios, places, watch)
    drivers = _drivers(request, base, head, watch)
    options = replace(request.options, scenarios=scenarios, drivers=drivers, baseline=drivers[0])
    check_settings(options)
    gate = Gate(dict(request.tolerances), same_work=request.wanted.project is None)
    sessions_given = options.load.sessions is not None
    purpose = Purpose(
        arrange=partial(
            _arranged,
            drivers,
            [Arm(side, "", request.connections.get(side, options.connections)) for side in ARMS],
            gate,
            sessions_given=sessions_given,
        ),
        homes=places,
        sides={arm: _side(environment) for arm, environment in places.environments.items()},
        look=partial(_look, watch),
        remark=lambda _blocks, _watch: None,  # the verdict says it all
    )
    return options, purpose


def _side(environment: Environment) -> Side:
    inventory = environment.inventory
    python = f"{inventory.implementation} {inventory.version}"
    return Side(environment.label, python, dict(inventory.packages))


def _say_differences(found: Sequence[Difference], base: Environment, head: Environment, watch: Watcher) -> None:
    watch.note(f"base: {base.label}; head: {head.label}")
    changes = [f"{each.package} {each.base or 'not there'} -> {each.head or 'not there'}" for each in found]
    one, other = (f"{side.inventory.implementation} {side.inventory.version}" for side in (base, head))
    if one != other:
        changes.insert(0, f"{one} -> {other}")
    more = [f"{len(changes) - _SHOWN_DIFFERENCES} more"] if len(changes) > _SHOWN_DIFFERENCES else []
    shown = ", ".join([*changes[:_SHOWN_DIFFERENCES], *more])
    watch.note(f"different packages: {shown}" if shown else "the installed packages are the same")


def _on_both_sides(scenarios: Sequence[Path], places: GateHomes, watch: Watcher) -> list[Path]:
    """The scenarios that both sides have a file of; UsageError where there is none."""
    kept = []
    for path in scenarios:
        missing = [arm for arm in ARMS if not Path(places.path(arm, str(path))).is_file()]
        if missing:
            watch.note(f"{path.name} is not in {' and not in '.join(missing)}: nothing to compare it with, left out")
        else:
            kept.append(path)
    if not kept:
        raise UsageError("no scenario is in both base and head", "commit it: uncommitted files are in neither")
    return kept


def _drivers(request: Request, base: Environment, head: Environment, watch: Watcher) -> list[str]:
    """The drivers to measure: those asked for, or the usual ones that both sides have and that may differ."""
    asked = request.options.drivers
    missing = {
        name: [arm for arm, side in zip(ARMS, (base, head), strict=True) if not _has(side, name)]
        for name in asked or DRIVERS
    }
    if asked:
        for name, arms in missing.items():
            if arms:
                raise CannotStartError(f"{name} is not installed in {' and '.join(arms)}", f"pip install {name} there")
        return list(asked)
    usual = Options(scenarios=[]).drivers
    there = [name for name in usual if not missing[name]]
    if not there:
        raise CannotStartError(f"none of {', '.join(usual)} is installed on both sides")
    if len(there) < len(usual):
        watch.note(f"measured with {', '.join(there)}: the others are not installed on both sides")
    return _concerned(request, there)


def _has(side: Environment, driver: str) -> bool:
    return any(name in side.inventory.packages for name in DRIVERS[driver].distributions)


def _concerned(request: Request, drivers: list[str]) -> list[str]:
    """Where nothing but drivers were named as requirements, those drivers alone."""
    if request.wanted.project is not None:
        return drivers
    named = {parse(text).name for text in (*request.wanted.base, *request.wanted.head)}
    families = [[name for name in drivers if each in DRIVERS[name].distributions] for each in named]
    if not families or not all(families):
        return drivers
    found = set(itertools.chain.from_iterable(families))
    return [name for name in drivers if name in found]


def _arranged(drivers: Sequence[str], arms: list[Arm], gate: Gate, plan: Plan, *, sessions_given: bool) -> Plan:
    """A run's plan as a gate's: base and head are the arms, and every driver has cells of its own."""
    cells = [
        msgspec.structs.replace(cell, driver=driver)
        for cell in (plan.cells if sessions_given else _one_each(plan))
        for driver in drivers
    ]
    rounds = [plan.effort.rounds or 1] * len(cells)  # until the cost of the cells is known
    return msgspec.structs.replace(plan, arms=arms, baseline=BASE, cells=cells, rounds=rounds, gate=gate)


def _one_each(plan: Plan) -> list[Cell]:
    """Of each scenario and layer the cell with the fewest sessions.

    Slices of many sessions are long, and a shared machine drifts over them: a gate of such cells is seldom conclusive.
    """
    fewest: dict[tuple[str, str], Cell] = {}
    for cell in sorted(plan.cells, key=attrgetter("sessions")):
        fewest.setdefault((cell.scenario, cell.layer), cell)
    return [cell for cell in plan.cells if cell is fewest[cell.scenario, cell.layer]]


def _look(watch: Watcher, plan: Plan, measured: Sequence[Measurement]) -> set[int]:
    """After a block: say what is known of every cell, and close all cells when the gate is over."""
    made = tables(plan, measured)
    judged = look_at(made.counted, made.tolerances)
    blocks = max(map(len, made.counted.values()), default=0)
    verdict_at = ", ".join(str(look.blocks) for look in LOOKS)
    watch.note(f"  after {count(blocks, 'block')} (verdict at {verdict_at}): {_standings(plan, judged)}")
    return set(range(len(plan.cells))) if is_over(made.counted, made.tolerances) else set()


def _standings(plan: Plan, judged: Mapping[Key, Judged]) -> str:
    """Every cell with its loss and its verdict so far, by scenario."""
    by_scenario: dict[str, list[str]] = {}
    for (index, metric), one in judged.items():
        cell = plan.cells[index]
        name = cell.driver if metric == "time" else f"{cell.driver} {metric}"
        loss = "not measured" if one.loss is None else f"{one.loss:+.1%} {_SHORT[one.verdict]}"
        by_scenario.setdefault(cell.scenario, []).append(f"{name} {loss}")
    return "; ".join(f"{scenario}: {', '.join(parts)}" for scenario, parts in by_scenario.items())
