"""The measurements that a self-check is made of: point reads with one session, each on a server of its own."""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

from dbbench import catalog, result_file
from dbbench.analysis.ratios import log_ratios
from dbbench.engine.blocks import Blocks
from dbbench.engine.opening import opened
from dbbench.engine.options import Options
from dbbench.engine.rounds import settled
from dbbench.engine.setup import SetUp
from dbbench.engine.watcher import Watcher
from dbbench.engine.workers import Workers
from dbbench.plan import Connections, Effort, Layer, Load, PlacementMode, Plan, Pool
from dbbench.records import Measurement, Problem

SCENARIO: Final = "point_reads"
RUN_S: Final = 60.0  # of a run whose sensitivity is asked for
ONE_CONNECTION: Final = Connections(Pool(1, 0))


@dataclass
class Stage:
    """One measurement of the self-check."""

    workers: Workers
    measurements: list[Measurement]
    seconds: float
    problems: list[Problem]

    @property
    def plan(self) -> Plan:
        """What was measured."""
        return self.workers.plan

    def time_per_operation_ns(self, arm: str) -> float:
        """Of all slices of the arm."""
        slices = [part for one in self.measurements if one.arm == arm for part in one.slices]
        return sum(part.usage.elapsed_ns for part in slices) / sum(part.usage.operations for part in slices)

    def logs(self, arm: str, against: str, cell: int = 0) -> list[float]:
        """The ln of how many times the time of the other arm this arm took, by block."""
        plan = self.plan.against(against)
        return [value for value in log_ratios(plan, self.measurements).get((cell, arm), []) if value is not None]


def options(
    layers: list[Layer],
    drivers: Sequence[str],
    placement: PlacementMode,
    seed: int | None,
    connections: Connections = ONE_CONNECTION,
    *,
    budget_s: float = RUN_S,
    sessions: Sequence[int] = (1,),
) -> Options:
    """Point reads."""
    return Options(
        scenarios=[catalog.builtin()[SCENARIO]],
        drivers=list(drivers),
        baseline=drivers[0],
        layers=layers,
        connections=connections,
        load=Load(sessions=list(sessions)),
        effort=Effort(budget_s=budget_s, seed=seed),
        placement=placement,
    )


@contextlib.contextmanager
def set_up(asked: Options, watch: Watcher, arrange: Callable[[Plan], Plan], problems: list[Problem]) -> Iterator[SetUp]:
    """A server, the table and the size of slices."""
    with opened(asked, result_file.new_id(), _Hushed(watch), arrange) as found:
        made = SetUp(found.workers, lambda _: None, lambda _: None)
        with contextlib.ExitStack() as stack:
            problems.extend(found.workers.start("set-up", stack))
            problems.extend(found.problems)
            problems.extend(made.run(found.described, stack))
        yield made


def measure(asked: Options, watch: Watcher, arrange: Callable[[Plan], Plan]) -> Stage:
    """Measure one stage."""
    problems: list[Problem] = []
    measurements: list[Measurement] = []
    with set_up(asked, watch, arrange, problems) as made:
        workers = replace(made.workers, plan=settled(made.plan(), made.costs()))
        bench = Blocks(workers, made.shapes, lambda _: None)
        for record in bench.blocks():
            watch.advance(*bench.progress())
            if isinstance(record, Problem):
                problems.append(record)
            else:
                measurements.append(record)
    return Stage(workers, measurements, bench.measured_s, problems)


@dataclass(frozen=True)
class _Hushed:
    """Passes on what must be said and keeps the steps of a stage to itself."""

    watch: Watcher

    def say(self, what: str) -> None:
        """Keep it."""

    def advance(self, fraction: float, left_s: float | None) -> None:
        """Pass it on."""
        self.watch.advance(fraction, left_s)

    def note(self, text: str) -> None:
        """Pass it on."""
        self.watch.note(text)

    def problem(self, text: str) -> None:
        """Pass it on."""
        self.watch.problem(text)
