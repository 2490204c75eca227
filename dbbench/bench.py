"""Measuring: block by block, slice by slice, in the order that the plan draws -> records.

block       one fresh worker per arm; cells in random order
cell        every arm opens its pool and warms up; rounds of one slice per arm in random order
"""

import time
from array import array
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Final

from dbbench import messages
from dbbench.crew import Crew
from dbbench.errors import ServerLostError
from dbbench.histogram import Histogram
from dbbench.messages import Done, Ran
from dbbench.plan import Arm
from dbbench.process import Worker, WorkerFailedError, WorkerLostError
from dbbench.records import Measurement, Problem, Slice
from dbbench.setup import Shape

BUDGET_SLACK: Final = 0.1  # of the budget, to finish one more block


@dataclass
class Bench:
    """The blocks of one run."""

    crew: Crew
    shapes: Mapping[int, Shape]  # cell -> of its slices
    say: Callable[[str], None]  # what is going on, for people
    measured_s: float = 0.0  # since the first block began
    _visited: int = 0  # cells, over all blocks
    _reported: set[tuple[int, str, str]] = field(default_factory=set)  # (cell, arm, message)

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
        if self.crew.plan.budget_s is not None:
            return self.measured_s / self.crew.plan.budget_s, max(0.0, self.crew.plan.budget_s - self.measured_s)
        assert self.crew.plan.blocks is not None
        done = self._visited / (self.crew.plan.blocks * len(self.crew.plan.cells))
        return done, self.measured_s / done - self.measured_s if done else None

    def _goes_on(self, block: int) -> bool:
        """Whether another block is due: with a budget, as long as it would end by then or nearest to it."""
        if len(self.crew.excluded) == len(self.crew.plan.cells) * len(self.crew.plan.arms):
            return False
        if self.crew.plan.blocks is not None:
            return block < self.crew.plan.blocks
        assert self.crew.plan.budget_s is not None
        if block == 0:
            return True
        next_end = self.measured_s * (block + 1) / block
        nearer = next_end - self.crew.plan.budget_s < self.crew.plan.budget_s - self.measured_s
        return nearer or next_end <= self.crew.plan.budget_s * (1 + BUDGET_SLACK)

    def _block(self, block: int, began: float) -> Iterator[Measurement | Problem]:
        self.say(f"block {block + 1}")
        self.crew.tidy()
        with ExitStack() as stack:
            workers = self.crew.start_workers(block, stack)
            for index in self.crew.plan.cell_order(block):
                self._visited += 1
                for record in self._visit(block, index, workers):
                    self.measured_s = time.monotonic() - began
                    yield record
                if not self.crew.site.alive():
                    raise ServerLostError("the server went away")

    def _visit(self, block: int, index: int, workers: dict[str, Worker]) -> Iterator[Measurement | Problem]:
        """Measure all arms in one cell, slice by slice in turns."""
        cell = self.crew.plan.cells[index]
        slices: dict[str, _Slices] = {}
        for arm in self.crew.arms(index, workers):
            try:
                workers[arm.name].ask(messages.Open(cell, self.crew.schemas[cell.path]), Done, self.crew.patience)
                self.crew.warm_up(workers[arm.name], cell, f"{self.crew.plan.seed}/{block}/{index}")
            except (WorkerFailedError, WorkerLostError) as error:
                yield self.crew.excuse(index, arm, error, workers)
        for round_ in range(self.crew.plan.rounds[index]):
            for arm in self.crew.plan.arm_order(block, index, round_):
                if arm not in self.crew.arms(index, workers):
                    continue
                try:
                    self.crew.reset(cell)
                    seed = f"{self.crew.plan.seed}/{block}/{index}/{round_}"
                    shape = self.shapes[index]
                    ran = self.crew.slice(workers[arm.name], shape.operations, seed, lead_in=shape.lead_in)
                except (WorkerFailedError, WorkerLostError) as error:
                    yield self.crew.excuse(index, arm, error, workers)
                    continue
                position = sum(len(done.slices) for done in slices.values())
                slices.setdefault(arm.name, _Slices()).add(position, round_, ran)
                yield from self._errors(index, arm, ran)
        for arm in self.crew.arms(index, workers):
            try:
                workers[arm.name].ask(messages.Close(), Done, self.crew.patience)
            except (WorkerFailedError, WorkerLostError) as error:
                yield self.crew.excuse(index, arm, error, workers)
        for name, done in slices.items():
            yield done.measurement(block, index, name, workers)

    def _errors(self, index: int, arm: Arm, ran: Ran) -> Iterator[Problem]:
        """Report every kind of error once for each arm and cell."""
        for message in ran.errors:
            key = (index, arm.name, message)
            if key not in self._reported:
                self._reported.add(key)
                yield Problem("errors", message, self.crew.plan.cells[index].scenario, index, arm.name)


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
