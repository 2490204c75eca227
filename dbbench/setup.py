"""What comes before anything is measured: tables, equal results, and how many operations make a slice."""

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Self

from dbbench import messages
from dbbench.crew import Crew
from dbbench.messages import Checked, Closed, Done
from dbbench.plan import Cell, Plan
from dbbench.process import Worker, WorkerFailedError, WorkerLostError
from dbbench.records import Problem
from dbbench.scenario import Description

SLICE_NS: Final = 25_000_000  # for the fastest arm: at least 20 ms, and a margin for a slow moment while it was timed
SLICE_OPERATIONS: Final = 10  # per connection, where sessions share the slice: 8 of them in its middle, which counts
QUEUED_OPERATIONS: Final = 2  # more, per session beyond the connections: the first finds no queue yet
LEAD_IN_NS: Final = 10_000_000  # before a slice, untimed: its worker was parked, and others have used the CPU's caches
LEAD_IN_OPERATIONS: Final = 10  # at most: by then an operation takes its usual time (docs/measurement.md)
CHECKED_OPERATIONS: Final = 3


@dataclass(frozen=True)
class Shape:
    """How many operations make a slice, the same for all arms, and how many go before it."""

    operations: int
    lead_in: int

    @classmethod
    def of(cls, ns_per_operation: float, cell: Cell, plan: Plan) -> Self:
        """The shape for a cell whose fastest arm needs so long for an operation."""
        if plan.rate is not None:
            assert plan.slice_s is not None
            operations = max(1, round(plan.rate * plan.slice_s))
        else:
            paced_ns = ns_per_operation + plan.think_s * 1e9 / cell.sessions
            connections = plan.connections(cell)
            enough = SLICE_OPERATIONS * connections + QUEUED_OPERATIONS * (cell.sessions - connections)
            operations = max(enough if cell.sessions > 1 or plan.think_s else 1, math.ceil(SLICE_NS / paced_ns))
        return cls(operations, lead_in=min(LEAD_IN_OPERATIONS, round(LEAD_IN_NS / ns_per_operation)))


@dataclass
class SetUp:
    """The set-up of one run; afterwards `shapes` has what the blocks need."""

    crew: Crew
    say: Callable[[str], None]  # what is going on, for people
    note: Callable[[str], None]  # what they should know
    shapes: dict[int, Shape] = field(default_factory=dict)  # cell -> of its slices
    per_operation_ns: dict[tuple[int, str], float] = field(default_factory=dict)  # (cell, arm), roughly

    def run(
        self, described: Mapping[Path, Description], workers: dict[str, Worker], stack: ExitStack
    ) -> Iterator[Problem]:
        """Make the tables, check that the arms give equal results, find how many operations make a slice.

        `workers` come from the crew, and `stack` ends them.
        """
        yield from self._prepare(described)
        yield from self._check_and_time(workers, stack)

    def _prepare(self, described: Mapping[Path, Description]) -> Iterator[Problem]:
        """Make a schema for every scenario and run its prepare()."""
        for number, (path, scenario) in enumerate(described.items()):
            self.say(f"preparing {scenario.name}")
            schema = self.crew.schemas[str(path)] = self.crew.site.create_schema(number)
            if scenario.has_reset:
                self.crew.resets.add(str(path))
            try:
                self.crew.ask_steward(messages.Prepare(str(path), schema, scenario.params), Done)
            except WorkerFailedError as error:
                yield Problem("scenario", f"prepare failed: {error}", scenario=scenario.name)
                for index, cell in enumerate(self.crew.plan.cells):
                    if cell.path == str(path):
                        self.crew.excluded.update((index, arm.name) for arm in self.crew.plan.arms)
        self.crew.tidy()

    def _hopeless(self, index: int) -> bool:
        """Whether prepare() failed for the cell."""
        return all((index, arm.name) in self.crew.excluded for arm in self.crew.plan.arms)

    def _check_and_time(self, workers: dict[str, Worker], stack: ExitStack) -> Iterator[Problem]:
        """Check that the arms give equal results in every cell, and find how many operations make a slice."""
        for index, cell in enumerate(self.crew.plan.cells):
            if self._hopeless(index):
                continue
            self.say(f"checking {cell.label}")
            results: dict[str, Checked] = {}
            if len(workers) < len(self.crew.plan.arms):  # one was lost in the cell before
                workers.update(self.crew.start_workers(f"set-up/{index}", stack))
            for arm in self.crew.arms(index, workers):
                try:
                    checked, self.per_operation_ns[index, arm.name] = self._try_out(
                        index, workers[arm.name], first=not results
                    )
                except (WorkerFailedError, WorkerLostError) as error:
                    yield self.crew.excuse(index, arm, error, workers)
                else:
                    results[arm.name] = checked
            if results:
                yield from self._differences(index, results)
                if cell.path not in self.crew.resets and all(map(_nothing, results.values())):
                    self.note(f"{cell.scenario}, {cell.layer}: returns nothing, so there was nothing to compare")
                fastest = min(self.per_operation_ns[index, name] for name in results)
                self.shapes[index] = Shape.of(fastest, cell, self.crew.plan)

    def _try_out(self, index: int, worker: Worker, *, first: bool) -> tuple[Checked, float]:
        """Run single operations for what they return, then enough of them to know how long one takes."""
        cell = self.crew.plan.cells[index]
        seeds = [f"{self.crew.plan.seed}/check/{index}/{number}" for number in range(CHECKED_OPERATIONS)]
        worker.ask(messages.Open(cell, self.crew.schemas[cell.path]), Done, self.crew.patience)
        self.crew.reset(cell)
        if first and cell.path not in self.crew.resets:
            # What the first arm finds is what prepare() left, the next ones find what it left: once for nothing.
            worker.ask(messages.Check(seeds), Checked, self.crew.patience)
        checked = worker.ask(messages.Check(seeds), Checked, self.crew.patience)
        if cell.path in self.crew.resets:
            found = self.crew.ask_steward(messages.Fingerprint(self.crew.schemas[cell.path]), Checked)
            checked = Checked([*checked.lines, *found.lines], checked.digest + found.digest)
        self.crew.reset(cell)
        self.crew.warm_up(worker, cell, f"{self.crew.plan.seed}/check/{index}")
        ran = self.crew.slice(worker, 5 * self.crew.plan.connections(cell), f"{self.crew.plan.seed}/time/{index}")
        worker.ask(messages.Close(), Closed, self.crew.patience)
        if not ran.latencies:
            raise WorkerFailedError(messages.Failed(ran.errors[0], scenario=True))
        return checked, ran.elapsed_ns / (len(ran.latencies) // 8)

    def _differences(self, index: int, results: Mapping[str, Checked]) -> Iterator[Problem]:
        """A problem for every arm whose results differ from those of the baseline."""
        reference = self.crew.plan.baseline if self.crew.plan.baseline in results else next(iter(results))
        expected = results[reference]
        for name, result in results.items():
            if result.digest != expected.digest:
                got, wanted = _first_difference(result.lines, expected.lines)
                message = f"{name} gave {got}, {reference} gave {wanted}"
                yield Problem("not comparable", message, self.crew.plan.cells[index].scenario, index, name)


def _nothing(checked: Checked) -> bool:
    """Whether every operation returned None."""
    return all(line.endswith(": NoneType None") for line in checked.lines)


def _first_difference(lines: list[str], others: list[str]) -> tuple[str, str]:
    """What the two have instead of each other."""
    for line, other in zip(lines, others, strict=False):
        if line != other:
            return line, other
    return f"{len(lines)} values", f"{len(others)} values"
