"""The `wire` command as a list of steps: every driver runs its operations through the relay, which counts.

Nothing is timed here. One session, so that what passes between two questions to the relay is one operation's.
"""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from typing import Final

import msgspec

from dbbench import messages, result_file
from dbbench.analysis.rows import params_text
from dbbench.child import WorkerFailedError, WorkerLostError
from dbbench.commands.recording import Ended, recording
from dbbench.commands.wire.counting import connect_statements, exchange, row, trace
from dbbench.engine.opening import Opened, header, opened
from dbbench.engine.options import Options
from dbbench.engine.setup import SetUp
from dbbench.engine.watcher import Watcher
from dbbench.engine.workers import Workers
from dbbench.errors import DbbenchError, ExitCode
from dbbench.messages import Done, Route
from dbbench.plan import Cell, Plan
from dbbench.records import Problem, WireHeader, WireRow
from dbbench.relay.frame import Frame
from dbbench.relay.handle import RelayProcess, refuse_tls

OPERATIONS: Final = 20  # counts have no noise, but operations may differ from each other
WARM_UP: Final = 20  # operations: psycopg prepares a statement at its 6th execution, for every combination of types


def execute_wire(options: Options, operations: int, watch: Watcher, *, trace: bool = False) -> Ended:
    """Count what every driver exchanges with the server for an operation of every scenario and layer.

    Writes the result file as it goes; `trace`: the messages of one operation each are to be shown. Raises DbbenchError,
    and leaves no file, when nothing could be counted at all.
    """
    if options.address is not None:
        refuse_tls(options.address)
    started, run_id = datetime.now(UTC), result_file.new_id()
    codes = {"not comparable": ExitCode.INCONCLUSIVE}  # each driver's counts are true of what it did
    with (
        recording(options.output, started, run_id, watch, codes) as journal,
        opened(options, run_id, watch, single) as found,
    ):
        secret = found.workers.site.start.address.password
        for number, record in enumerate(count_all(found, operations, watch)):
            if not number:
                journal.write(wire_header(found.workers, run_id, started, traced=trace))
            if isinstance(record, Problem):
                journal.report(record, secret, watch)
            else:
                journal.write(record)
        if not journal.measured:
            raise DbbenchError("nothing could be counted")
    return Ended(journal.path, journal.exit_code)


def wire_header(workers: Workers, run_id: str, started: datetime, *, traced: bool = False) -> WireHeader:
    """The first line of the file; counts are the same whatever else the machine does."""
    return WireHeader(**msgspec.structs.asdict(header(workers, run_id, started, other_runs=False)), traced=traced)


def single(plan: Plan) -> Plan:
    """A run's plan for counting: each scenario and layer once, with one session and nothing in between."""
    once: dict[tuple[str, str, str], Cell] = {}
    for cell in plan.cells:
        once.setdefault((cell.path, cell.layer, cell.driver), single_session(cell))
    return msgspec.structs.replace(plan, cells=list(once.values()), rounds=[1] * len(once))


def single_session(cell: Cell) -> Cell:
    """The cell with one session and nothing in between."""
    return msgspec.structs.replace(cell, sessions=1, rtt_s=None, pooler=None)


def count_all(found: Opened, operations: int, watch: Watcher) -> Iterator[WireRow | Problem]:
    """Make the tables, check and count, in every cell, with every arm; what cannot be counted is a problem.

    The workers have started when the first record comes.
    """
    workers = found.workers
    with ExitStack() as stack:
        set_up = SetUp(workers, watch.say, watch.note, compares=False, anyway=workers.plan.gate is not None)
        problems = [*found.problems, *set_up.prepare(found.described)]
        counting = Counting(workers, found.routes.relay, operations)
        for index, cell in enumerate(workers.plan.cells):
            watch.say(f"counting {cell.label}")
            if not workers.complete:
                problems += workers.start(f"wire/{index}", stack)
            problems += set_up.check(index, stack)
            yield from problems
            problems = []
            for arm in workers.arms(index):
                yield _counted(counting, index, arm.name)


def _counted(counting: "Counting", index: int, arm: str) -> WireRow | Problem:
    try:
        return counting.row(index, arm)
    except (WorkerFailedError, WorkerLostError) as error:
        return counting.workers.exclude(index, arm, error)


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

        Raises WorkerFailedError where an operation failed or sent nothing, or what passed was no PostgreSQL protocol.
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
        counted = [exchange(frames) for frames in each]
        if not any(one.round_trips for one in counted):
            nothing = f"{cell.layer} makes no round trip: there is nothing to count"
            raise WorkerFailedError(messages.Failed(nothing, scenario=True, unfit=True))
        (own,) = [each for each in plan.arms if each.name == arm]
        made = row(
            arm=arm,
            scenario=cell.scenario,
            layer=cell.layer,
            params=params_text(cell),
            driver=cell.driver or arm,
            tx_end=own.connections.tx_end,
            exchanges=counted,
            connect=exchange(connect),
            connect_statements=connect_statements(connect),
            first=exchange(first),
            trace=trace(each[-1]),
        )
        later = {sql for frames in each for sql in connect_statements(frames)}
        return msgspec.structs.replace(
            made,
            settings=own.connections.settings.get(cell.driver or own.driver, {}),
            untraced=len(each[-1]) - len(made.trace),
            first_only=[sql for sql in dict.fromkeys(connect_statements(first)) if sql not in later],
        )

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
