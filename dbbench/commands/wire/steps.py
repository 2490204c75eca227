"""The `wire` command as a list of steps: every driver runs its operations through the relay, which counts.

Nothing is timed here. One session, so that what passes between two questions to the relay is one operation's.
"""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from typing import Final

import msgspec

from dbbench import messages, result_file
from dbbench.analysis.rows import params_text
from dbbench.child import WorkerFailedError, WorkerLostError
from dbbench.commands.wire.counting import connect_statements, exchange, row, trace
from dbbench.commands.wire.result import WireResult, WireRow
from dbbench.drivers import DRIVERS
from dbbench.engine.machine import installed
from dbbench.engine.opening import Opened, opened, problem_line
from dbbench.engine.options import Options
from dbbench.engine.setup import SetUp
from dbbench.engine.watcher import Watcher
from dbbench.engine.workers import Workers
from dbbench.errors import DbbenchError
from dbbench.messages import Done, Route
from dbbench.plan import Cell, Plan
from dbbench.records import Problem
from dbbench.relay.frame import Frame
from dbbench.relay.handle import RelayProcess, refuse_tls
from dbbench.server.target import redacted

OPERATIONS: Final = 20  # counts have no noise, but operations may differ from each other
WARM_UP: Final = 20  # operations: psycopg prepares a statement at its 6th execution, for every combination of types


@dataclass(frozen=True)
class Counted:
    """What one arm put on the wire in one cell."""

    arm: str
    row: WireRow


def execute_wire(options: Options, operations: int, watch: Watcher) -> WireResult:
    """Count what every driver exchanges with the server for an operation of every scenario and layer.

    Raises DbbenchError when nothing could be counted at all.
    """
    if options.address is not None:
        refuse_tls(options.address)
    with opened(options, result_file.new_id(), watch, single) as found:
        counted, problems = count_all(found, operations, watch)
        if not counted:
            raise DbbenchError("nothing could be counted")
        plan = found.workers.plan
        return WireResult(
            rows=[one.row for one in counted],
            tx_end=plan.shared.tx_end,
            pool_pre_ping=plan.shared.pre_ping,
            settings=plan.settings,
            versions={name: _version(name) for name in plan.drivers},
            server=str(found.workers.site.describe()["settings"]["server_version"]),
            problems=problems,
        )


def single(plan: Plan) -> Plan:
    """A run's plan for counting: each scenario and layer once, with one session and nothing in between."""
    once: dict[tuple[str, str, str], Cell] = {}
    for cell in plan.cells:
        once.setdefault((cell.path, cell.layer, cell.driver), single_session(cell))
    return msgspec.structs.replace(plan, cells=list(once.values()), rounds=[1] * len(once))


def single_session(cell: Cell) -> Cell:
    """The cell with one session and nothing in between."""
    return msgspec.structs.replace(cell, sessions=1, rtt_s=None, pooler=None)


def count_all(found: Opened, operations: int, watch: Watcher) -> tuple[list[Counted], list[str]]:
    """Make the tables and count, in every cell, with every arm. Also gives what could not be counted, a line each."""
    workers, problems = found.workers, list(found.problems)
    with ExitStack() as stack:
        set_up = SetUp(workers, watch.say, watch.note)
        problems += set_up.prepare(found.described)
        counted = []
        counting = Counting(workers, found.routes.relay, operations)
        for index, cell in enumerate(workers.plan.cells):
            watch.say(f"counting {cell.label}")
            if not workers.complete:
                workers.start(f"wire/{index}", stack)
            for arm in workers.arms(index):
                try:
                    counted.append(Counted(arm.name, counting.row(index, arm.name)))
                except (WorkerFailedError, WorkerLostError) as error:
                    problems.append(workers.exclude(index, arm.name, error))
    return counted, list(_said(problems, workers, watch))


def _said(problems: Sequence[Problem], workers: Workers, watch: Watcher) -> Iterator[str]:
    for problem in problems:
        line = redacted(problem_line(problem), workers.site.start.address.password)
        watch.problem(line)
        yield line


@dataclass
class Counting:
    """Counts with the relay, which records what passes between two questions."""

    workers: Workers
    relay: RelayProcess
    operations: int

    def __post_init__(self) -> None:
        """Open the way that is recorded, for every cell."""
        self._route = Route(self.relay.listen(record=True))

    def row(self, index: int, arm: str) -> WireRow:
        """Count one arm in one cell.

        Raises WorkerFailedError where an operation failed, or what passed was no PostgreSQL protocol.
        """
        workers = replace(self.workers, route=lambda *_: self._route)
        plan = workers.plan
        cell, seed = single_session(plan.cells[index]), f"{plan.seed}/wire/{index}"
        workers.reset(cell, arm)
        self._passed()
        workers.open(cell, arm)
        workers.ask(arm, messages.Connect(), Done)
        connect = self._passed()
        run = partial(self._operations, arm)
        first = run(1, f"{seed}/first")
        run(WARM_UP, f"{seed}/warm-up")
        each = [run(1, f"{seed}/{number}") for number in range(self.operations)]
        workers.close(arm)
        self._passed()
        made = row(
            scenario=cell.scenario,
            layer=cell.layer,
            params=params_text(cell),
            driver=cell.driver or arm,
            tx_end=plan.shared.tx_end,
            exchanges=[exchange(frames) for frames in each],
            connect=exchange(connect),
            connect_statements=connect_statements(connect),
            first=exchange(first),
            trace=trace(each[-1]),
        )
        return msgspec.structs.replace(made, settings=plan.settings.get(made.driver, {}))

    def _operations(self, arm: str, number: int, seed: str) -> list[Frame]:
        """Run operations, and give what passed meanwhile."""
        ran = self.workers.slice(arm, number, seed)
        if ran.failures:
            raise WorkerFailedError(messages.Failed(ran.errors[0], scenario=True))
        return self._passed()

    def _passed(self) -> list[Frame]:
        """What passed since the last time."""
        recorded = self.relay.cut()
        for problem in recorded.problems:
            raise WorkerFailedError(messages.Failed(problem, scenario=False))
        return recorded.frames


def _version(driver: str) -> str:
    """The version of the driver's first package that is installed."""
    return next(filter(None, map(installed, DRIVERS[driver].distributions)), "")
