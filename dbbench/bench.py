"""The parent: starts workers, block by block, slice by slice, and gives records as they are measured.

set-up      schemas, prepare(); per cell and arm: equal results? how many operations make a slice?
block       one fresh worker per arm; cells in random order
cell        every arm opens its pool and warms up; rounds of one slice per arm in random order
"""

import math
import time
from array import array
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Self, TypeVar

import msgspec

from dbbench import messages
from dbbench.catalog import shown_path
from dbbench.errors import DbbenchError, ServerLostError, UsageError
from dbbench.histogram import Histogram
from dbbench.messages import Checked, Described, Done, Ran, RunSlice, Start, Started
from dbbench.plan import Arm, Cell, Plan
from dbbench.process import Worker, WorkerFailedError, WorkerLostError
from dbbench.records import Measurement, Problem, Slice
from dbbench.scenario import Description

WARM_UP_OPERATIONS: Final = 10  # per connection: psycopg prepares a statement at its 6th execution
WARM_UP_NS: Final = 30_000_000
SLICE_NS: Final = 25_000_000  # for the fastest arm: at least 20 ms, and a margin for a slow moment while it was timed
SLICE_OPERATIONS: Final = 20  # per connection, where sessions share the slice: its edges are then a few percent of it
LEAD_IN_NS: Final = 10_000_000  # before a slice, untimed: its worker was parked, and others have used the CPU's caches
LEAD_IN_OPERATIONS: Final = 10  # at most: by then an operation takes its usual time (docs/measurement.md)
LIMIT_NS: Final = 10_000_000_000  # a slice begins no operation after this
CHECKED_OPERATIONS: Final = 3
BUDGET_SLACK: Final = 0.1  # of the budget, to finish one more block
PATIENCE_S: Final = 60.0  # on top of what the settings allow a request to take
STEWARD: Final = "psycopg-sync"
_REPLY = TypeVar("_REPLY", bound=messages.Message)


@dataclass(frozen=True)
class Site:
    """Where a run takes place."""

    start: Start  # what a worker is told first; the driver is filled in
    create_schema: Callable[[int], str]
    alive: Callable[[], bool]
    run_id: str
    embedded: bool  # then it may be told to checkpoint, and keeps nothing after the run


def start_steward(site: Site) -> Worker:
    """Start the worker that loads scenarios, makes their tables and keeps them tidy."""
    run_id = "" if site.embedded else site.run_id
    worker = Worker("the steward", msgspec.structs.replace(site.start, driver=STEWARD, cpus=None, run_id=run_id))
    worker.reply(Started, PATIENCE_S)
    return worker


def describe(
    steward: Worker, paths: list[Path], overrides: Mapping[str, str]
) -> tuple[dict[Path, Description], list[Problem]]:
    """What the scenario files say of themselves, and a problem for each that cannot be loaded."""
    described: dict[Path, Description] = {}
    problems = []
    for path in paths:
        try:
            described[path] = steward.ask(messages.Describe(str(path), dict(overrides)), Described, PATIENCE_S).scenario
        except WorkerFailedError as error:
            if not error.scenario:
                raise UsageError(str(error)) from None  # a value that a parameter cannot take
            problems.append(Problem("scenario", str(error), scenario=shown_path(path)))
    return described, problems


@dataclass
class Bench:
    """One run. `set_up()` first, then `blocks()`; both give records while they go on."""

    plan: Plan
    site: Site
    steward: Worker
    say: Callable[[str], None]  # what is going on, for people
    measured_s: float = 0.0  # since the first block began
    _schemas: dict[str, str] = field(default_factory=dict)
    _resets: set[str] = field(default_factory=set)
    _shapes: dict[int, "_Shape"] = field(default_factory=dict)  # cell -> of its slices
    _excluded: set[tuple[int, str]] = field(default_factory=set)  # (cell, arm)
    _visited: int = 0  # cells, over all blocks
    _reported: set[tuple[int, str, str]] = field(default_factory=set)  # (cell, arm, message)
    facts: dict[str, dict[str, str]] = field(default_factory=dict)  # arm -> what its driver says of itself

    # Set-up

    def set_up(
        self, described: Mapping[Path, Description], workers: dict[str, Worker], stack: ExitStack
    ) -> Iterator[Problem]:
        """Make the tables, check that the arms give equal results, find how many operations make a slice.

        `workers` come from `start_workers`, and `stack` ends them.
        """
        yield from self._prepare(described)
        yield from self._check_and_time(workers, stack)

    def _prepare(self, described: Mapping[Path, Description]) -> Iterator[Problem]:
        """Make a schema for every scenario and run its prepare()."""
        for number, (path, scenario) in enumerate(described.items()):
            self.say(f"preparing {scenario.name}")
            schema = self._schemas[str(path)] = self.site.create_schema(number)
            if scenario.has_reset:
                self._resets.add(str(path))
            try:
                self._ask_steward(messages.Prepare(str(path), schema, scenario.params), Done)
            except WorkerFailedError as error:
                yield Problem("scenario", f"prepare failed: {error}", scenario=scenario.name)
                for index, cell in enumerate(self.plan.cells):
                    if cell.path == str(path):
                        self._excluded.update((index, arm.name) for arm in self.plan.arms)
        self._tidy()

    def _check_and_time(self, workers: dict[str, Worker], stack: ExitStack) -> Iterator[Problem]:
        """Check that the arms give equal results in every cell, and find how many operations make a slice."""
        for index, cell in enumerate(self.plan.cells):
            self.say(f"checking {cell.label}")
            results: dict[str, Checked] = {}
            fastest = math.inf
            if len(workers) < len(self.plan.arms):  # one was lost in the cell before
                workers.update(self.start_workers(f"set-up/{index}", stack))
            for arm in self._arms(index, workers):
                try:
                    results[arm.name], per_operation = self._try_out(index, workers[arm.name], first=not results)
                except (WorkerFailedError, WorkerLostError) as error:
                    yield self._excuse(index, arm, error, workers)
                else:
                    fastest = min(fastest, per_operation)
            if results:
                yield from self._differences(index, results)
                self._shapes[index] = _Shape.of(fastest, self.plan.connections(cell))

    def _try_out(self, index: int, worker: Worker, *, first: bool) -> tuple[Checked, float]:
        """Run single operations for what they return, then enough of them to know how long one takes."""
        cell = self.plan.cells[index]
        seeds = [f"{self.plan.seed}/check/{index}/{number}" for number in range(CHECKED_OPERATIONS)]
        worker.ask(messages.Open(cell, self._schemas[cell.path]), Done, self._patience)
        self._reset(cell)
        if first and cell.path not in self._resets:
            # What the first arm finds is what prepare() left, the next ones find what it left: once for nothing.
            worker.ask(messages.Check(seeds), Checked, self._patience)
        checked = worker.ask(messages.Check(seeds), Checked, self._patience)
        if cell.path in self._resets:
            found = self._ask_steward(messages.Fingerprint(self._schemas[cell.path]), Checked)
            checked = Checked([*checked.lines, *found.lines], checked.digest + found.digest)
        self._reset(cell)
        self._warm_up(worker, cell, f"{self.plan.seed}/check/{index}")
        ran = self._slice(worker, 5 * self.plan.connections(cell), f"{self.plan.seed}/time/{index}")
        worker.ask(messages.Close(), Done, self._patience)
        if not ran.latencies:
            raise WorkerFailedError(messages.Failed(ran.errors[0], scenario=True))
        return checked, ran.elapsed_ns / (len(ran.latencies) // 8)

    def _differences(self, index: int, results: Mapping[str, Checked]) -> Iterator[Problem]:
        """A problem for every arm whose results differ from those of the baseline."""
        reference = self.plan.baseline if self.plan.baseline in results else next(iter(results))
        expected = results[reference]
        for name, result in results.items():
            if result.digest != expected.digest:
                got, wanted = _first_difference(result.lines, expected.lines)
                message = f"{name} gave {got}, {reference} gave {wanted}"
                yield Problem("not comparable", message, self.plan.cells[index].scenario, index, name)

    # Measuring

    def blocks(self) -> Iterator[Measurement | Problem]:
        """Measure block after block, until the budget or the number of blocks is used up."""
        began = time.monotonic()
        block = 0
        while self._goes_on(block):
            yield from self._block(block, began)
            block += 1
            self.measured_s = time.monotonic() - began

    def progress(self) -> tuple[float, float | None]:
        """How much of the measuring is done (0 to 1), and how many seconds are left if that can be known."""
        if self.plan.budget_s is not None:
            return self.measured_s / self.plan.budget_s, max(0.0, self.plan.budget_s - self.measured_s)
        assert self.plan.blocks is not None
        done = self._visited / (self.plan.blocks * len(self.plan.cells))
        return done, self.measured_s / done - self.measured_s if done else None

    def _goes_on(self, block: int) -> bool:
        """Whether another block is due: with a budget, as long as it would end by then or nearest to it."""
        if len(self._excluded) == len(self.plan.cells) * len(self.plan.arms):
            return False
        if self.plan.blocks is not None:
            return block < self.plan.blocks
        assert self.plan.budget_s is not None
        if block == 0:
            return True
        next_end = self.measured_s * (block + 1) / block
        nearer = next_end - self.plan.budget_s < self.plan.budget_s - self.measured_s
        return nearer or next_end <= self.plan.budget_s * (1 + BUDGET_SLACK)

    def _block(self, block: int, began: float) -> Iterator[Measurement | Problem]:
        self.say(f"block {block + 1}")
        self._tidy()
        with ExitStack() as stack:
            workers = self.start_workers(block, stack)
            for index in self.plan.cell_order(block):
                self._visited += 1
                for record in self._visit(block, index, workers):
                    self.measured_s = time.monotonic() - began
                    yield record
                if not self.site.alive():
                    raise ServerLostError("the server went away")

    def _visit(self, block: int, index: int, workers: dict[str, Worker]) -> Iterator[Measurement | Problem]:
        """Measure all arms in one cell, slice by slice in turns."""
        cell = self.plan.cells[index]
        slices: dict[str, _Slices] = {}
        for arm in self._arms(index, workers):
            try:
                workers[arm.name].ask(messages.Open(cell, self._schemas[cell.path]), Done, self._patience)
                self._warm_up(workers[arm.name], cell, f"{self.plan.seed}/{block}/{index}")
            except (WorkerFailedError, WorkerLostError) as error:
                yield self._excuse(index, arm, error, workers)
        for round_ in range(self.plan.rounds[index]):
            for arm in self.plan.arm_order(block, index, round_):
                if arm not in self._arms(index, workers):
                    continue
                try:
                    self._reset(cell)
                    seed = f"{self.plan.seed}/{block}/{index}/{round_}"
                    shape = self._shapes[index]
                    ran = self._slice(workers[arm.name], shape.operations, seed, lead_in=shape.lead_in)
                except (WorkerFailedError, WorkerLostError) as error:
                    yield self._excuse(index, arm, error, workers)
                    continue
                position = sum(len(done.slices) for done in slices.values())
                slices.setdefault(arm.name, _Slices()).add(position, round_, ran)
                yield from self._errors(index, arm, ran)
        for arm in self._arms(index, workers):
            try:
                workers[arm.name].ask(messages.Close(), Done, self._patience)
            except (WorkerFailedError, WorkerLostError) as error:
                yield self._excuse(index, arm, error, workers)
        for name, done in slices.items():
            yield done.measurement(block, index, name, workers)

    def start_workers(self, block: int | str, stack: ExitStack) -> dict[str, Worker]:
        """One fresh worker per arm, started in random order, all with the same hash seed; `stack` ends them."""
        rng = self.plan.rng(block, "start")
        environment = {"PYTHONHASHSEED": str(rng.randrange(2**32))}
        workers = {}
        for arm in rng.sample(self.plan.arms, len(self.plan.arms)):
            start = msgspec.structs.replace(self.site.start, driver=arm.driver)
            workers[arm.name] = stack.enter_context(Worker(arm.name, start, environment))
        for name, worker in workers.items():
            self.facts[name] = worker.reply(Started, PATIENCE_S).facts
        return workers

    def _arms(self, index: int, workers: Mapping[str, Worker]) -> list[Arm]:
        """The arms that can still be measured in the cell."""
        return [arm for arm in self.plan.arms if arm.name in workers and (index, arm.name) not in self._excluded]

    def _excuse(
        self, index: int, arm: Arm, error: WorkerFailedError | WorkerLostError, workers: dict[str, Worker]
    ) -> Problem:
        """Leave the arm out of the cell from now on, and say why."""
        self._excluded.add((index, arm.name))
        lost = isinstance(error, WorkerLostError)
        if lost:
            del workers[arm.name]
        if not self.site.alive():
            raise ServerLostError("the server went away") from error
        return Problem(
            "worker lost" if lost else "operation", str(error), self.plan.cells[index].scenario, index, arm.name
        )

    def _errors(self, index: int, arm: Arm, ran: Ran) -> Iterator[Problem]:
        """Report every kind of error once for each arm and cell."""
        for message in ran.errors:
            key = (index, arm.name, message)
            if key not in self._reported:
                self._reported.add(key)
                yield Problem("errors", message, self.plan.cells[index].scenario, index, arm.name)

    def _warm_up(self, worker: Worker, cell: Cell, seed: str) -> None:
        """By operations per connection first, then by time."""
        operations = WARM_UP_OPERATIONS * self.plan.connections(cell)
        ran = self._slice(worker, operations, f"{seed}/warm-up", freeze=True)
        if ran.elapsed_ns < WARM_UP_NS:
            more = math.ceil(operations * (WARM_UP_NS / ran.elapsed_ns - 1))
            self._slice(worker, more, f"{seed}/warm-up more", freeze=True)

    def _slice(self, worker: Worker, operations: int, seed: str, *, lead_in: int = 0, freeze: bool = False) -> Ran:
        request = RunSlice(operations, seed, LIMIT_NS, lead_in, freeze)
        return worker.ask(request, Ran, self._patience + LIMIT_NS / 1e9)

    def _reset(self, cell: Cell) -> None:
        if cell.path in self._resets:
            self._ask_steward(messages.Reset(cell.path, self._schemas[cell.path], cell.params), Done)

    def _tidy(self) -> None:
        self._ask_steward(messages.Tidy(list(self._schemas.values()), self.site.embedded), Done)

    def _ask_steward(self, request: messages.Request, kind: type[_REPLY]) -> _REPLY:
        """Ask the steward, who may take any time. Without it, or without a server, the run cannot go on."""
        try:
            return self.steward.ask(request, kind, None)
        except WorkerLostError as error:
            raise DbbenchError(str(error)) from error
        except WorkerFailedError as error:
            if not self.site.alive():
                raise ServerLostError("the server went away") from error
            raise

    @property
    def _patience(self) -> float:
        return PATIENCE_S + self.plan.pool.timeout


@dataclass(frozen=True)
class _Shape:
    """How many operations make a slice, the same for all arms, and how many go before it."""

    operations: int
    lead_in: int

    @classmethod
    def of(cls, ns_per_operation: float, connections: int) -> Self:
        """The shape for a cell whose fastest arm needs so long, with so many connections busy."""
        edges = SLICE_OPERATIONS * connections if connections > 1 else 1
        return cls(
            operations=max(edges, math.ceil(SLICE_NS / ns_per_operation)),
            lead_in=min(LEAD_IN_OPERATIONS, round(LEAD_IN_NS / ns_per_operation)),
        )


@dataclass
class _Slices:
    """What an arm has done in a cell so far in this block."""

    slices: list[Slice] = field(default_factory=list)
    histogram: Histogram = field(default_factory=Histogram)
    max_ns: int = 0
    sum_ns: int = 0

    def add(self, position: int, round_: int, ran: Ran) -> None:
        latencies = array("q", ran.latencies)
        self.histogram.record_all(latencies)
        self.max_ns = max(self.max_ns, max(latencies, default=0))
        self.sum_ns += sum(latencies)
        self.slices.append(Slice(position, round_, len(latencies), ran.failed, ran.elapsed_ns, ran.cpu_ns))

    def measurement(self, block: int, index: int, arm: str, workers: Mapping[str, Worker]) -> Measurement:
        worker: dict[str, int] = {}
        if arm in workers:
            worker = {"pid": workers[arm].pid, "started": list(workers).index(arm)}
        counts = dict(self.histogram.counts)
        return Measurement(block, index, arm, self.slices, counts, self.max_ns, self.sum_ns, worker)


def _first_difference(lines: list[str], others: list[str]) -> tuple[Any, Any]:
    for line, other in zip(lines, others, strict=False):
        if line != other:
            return line, other
    return f"{len(lines)} values", f"{len(others)} values"
