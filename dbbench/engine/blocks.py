"""Measuring: block by block, slice by slice, in the order that the plan draws -> records.

block       one fresh worker per arm; cells in random order
cell        every arm opens its pool and warms up; rounds of one slice per arm in random order
"""

import time
from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from operator import sub
from typing import Any, Final

import msgspec

from dbbench import messages
from dbbench.analysis.ratios import family, log_ratios
from dbbench.child import WorkerFailedError, WorkerLostError, WorkerProcess
from dbbench.engine.setup import Shape
from dbbench.engine.workers import Workers
from dbbench.errors import ServerLostError
from dbbench.messages import Closed, Ran
from dbbench.plan import Arm, Plan
from dbbench.records import Measurement, Problem, Slice
from dbbench.stats.histogram import Histogram
from dbbench.stats.sequential import Table, closed

_NO_DISTRIBUTIONS: Final[dict[str, Any]] = {
    name: {} for name in ("latency", "wait", "query", "service", "lag", "loop_lag")
}
_OPENING: Final = -1  # as a round: before the first
BUDGET_SLACK: Final = 0.1  # of the budget, to finish one more block


def decided_cells(plan: Plan, measured: Sequence[Measurement]) -> set[int]:
    """The cells that need no more blocks: those that are decided at one of the looks that were planned."""
    if not plan.adaptive or len(plan.arms) == 1:
        return set()
    return closed(log_ratios(plan, measured), family(plan), precision=plan.precision)


@dataclass
class Blocks:
    """The blocks of one run."""

    crew: Workers
    shapes: Mapping[int, Shape]  # cell -> of its slices
    say: Callable[[str], None]  # what is going on, for people
    look: Callable[[Plan, Sequence[Measurement]], set[int]] = decided_cells  # after a block: which need no more
    measured_s: float = 0.0  # since the first block began
    closed: set[int] = field(default_factory=set)  # cells that need no more blocks
    _last_block_s: float = 0.0
    _visited: int = 0  # cells, over all blocks
    measured: list[Measurement] = field(default_factory=list)  # as much as is looked at: the parent stays small
    _reported: set[tuple[int, str, str]] = field(default_factory=set)  # (cell, arm, message)

    def blocks(self) -> Iterator[Measurement | Problem]:
        """Measure block after block, until the budget or the blocks are used up, or nothing is left to decide."""
        began = time.monotonic()
        block = 0
        while self._goes_on(block):
            before = self.measured_s
            yield from self._block(block, began)
            block += 1
            self.measured_s = time.monotonic() - began
            self._last_block_s = self.measured_s - before
            self.closed = self.look(self.crew.plan, self.measured)

    @property
    def log_ratios(self) -> Table:
        """What has been found so far: see compare.log_ratios."""
        return log_ratios(self.crew.plan, self.measured)

    @property
    def decided(self) -> bool:
        """Whether every cell that can be measured is closed."""
        arms = self.crew.plan.arms
        open_ = {
            index
            for index in range(len(self.crew.plan.cells))
            if any((index, arm.name) not in self.crew.excluded for arm in arms)
        }
        return bool(self.closed) and open_ <= self.closed

    def progress(self) -> tuple[float, float | None]:
        """How much of the measuring is done (0 to 1), and how many seconds are left if that can be known."""
        if self.crew.plan.budget_s is not None:
            left_s = max(0.0, self.crew.plan.budget_s - self.measured_s)
            # How long a precision takes is not known before.
            return self.measured_s / self.crew.plan.budget_s, None if self.crew.plan.precision else left_s
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
        if self.decided:
            return False
        next_end = self.measured_s + self._last_block_s
        nearer = next_end - self.crew.plan.budget_s < self.crew.plan.budget_s - self.measured_s
        return nearer or next_end <= self.crew.plan.budget_s * (1 + BUDGET_SLACK)

    def _block(self, block: int, began: float) -> Iterator[Measurement | Problem]:
        self.say(f"block {block + 1}")
        self.crew.tidy()
        with ExitStack() as stack:
            workers = self.crew.start_workers(block, stack)
            for index in self.crew.plan.cell_order(block):
                if index in self.closed:
                    continue
                self._visited += 1
                for record in self._visit(block, index, workers):
                    self.measured_s = time.monotonic() - began
                    if isinstance(record, Measurement):
                        keeps = self.crew.plan.gate or self.crew.plan.cells[index].rtt_s is not None
                        kept = {"latency": record.latency} if keeps else {}
                        self.measured.append(msgspec.structs.replace(record, **{**_NO_DISTRIBUTIONS, **kept}))
                    yield record
                if not self.crew.site.alive():
                    raise ServerLostError("the server went away")

    def _visit(self, block: int, index: int, workers: dict[str, WorkerProcess]) -> Iterator[Measurement | Problem]:
        """Measure all arms in one cell, slice by slice in turns."""
        slices: dict[str, _Slices] = {}
        yield from self._open(block, index, workers, slices)
        for round_ in range(self.crew.plan.rounds[index]):
            for arm in self.crew.plan.arm_order(block, index, round_):
                if arm in self.crew.arms(index, workers):
                    yield from self._slice(f"{block}/{index}/{round_}", index, arm, workers, slices)
        for arm in self.crew.arms(index, workers):
            try:
                closed = workers[arm.name].ask(messages.Close(), Closed, self.crew.patience)
                slices[arm.name].peak_bytes = closed.peak_bytes
            except (WorkerFailedError, WorkerLostError) as error:
                yield self.crew.excuse(index, arm, error, workers)
        for name, done in slices.items():
            if done.slices:
                yield done.measurement(block, index, name, workers)

    def _open(
        self, block: int, index: int, workers: dict[str, WorkerProcess], slices: dict[str, "_Slices"]
    ) -> Iterator[Problem]:
        """Have all arms open the cell and warm up, in random order: the last one is the warmest when it begins."""
        cell = self.crew.plan.cells[index]
        there = self.crew.arms(index, workers)
        for arm in self.crew.plan.arm_order(block, index, _OPENING):
            if arm not in there:
                continue
            worker = workers[arm.name]
            try:
                self.crew.open(worker, cell, arm.name)
                lags = self.crew.warm_up(worker, cell, f"{self.crew.plan.seed}/{block}/{index}")
            except (WorkerFailedError, WorkerLostError) as error:
                yield self.crew.excuse(index, arm, error, workers)
            else:
                slices[arm.name] = _Slices(loop_lag=_distribution(array("q", lags)))

    def _slice(
        self, path: str, index: int, arm: Arm, workers: dict[str, WorkerProcess], slices: dict[str, "_Slices"]
    ) -> Iterator[Problem]:
        """Have one arm run one slice; `path` is block/cell/round."""
        plan, shape = self.crew.plan, self.shapes[index]
        try:
            self.crew.reset(plan.cells[index], arm.name)
            seed = f"{plan.seed}/{path}"
            ran = self.crew.slice(workers[arm.name], shape.operations, seed, lead_in=shape.lead_in, pace=plan.pace)
        except (WorkerFailedError, WorkerLostError) as error:
            yield self.crew.excuse(index, arm, error, workers)
            return
        position = sum(len(done.slices) for done in slices.values())
        slices[arm.name].add(position, int(path.rpartition("/")[2]), ran)
        yield from self._errors(index, arm, ran)

    def _errors(self, index: int, arm: Arm, ran: Ran) -> Iterator[Problem]:
        """Report every kind of error once for each arm and cell."""
        for message in ran.errors:
            # Behind a pooler every connection fails with names of its own: the first says it all.
            key = (index, arm.name, "" if self.crew.plan.cells[index].pooler else message)
            if key not in self._reported:
                self._reported.add(key)
                yield Problem("errors", message, self.crew.plan.cells[index].scenario, index, arm.name)


@dataclass
class _Slices:
    """What an arm has done in a cell so far in this block."""

    loop_lag: dict[int, int]
    slices: list[Slice] = field(default_factory=list)
    latency: Histogram = field(default_factory=Histogram)
    wait: Histogram = field(default_factory=Histogram)
    query: Histogram = field(default_factory=Histogram)
    service: Histogram = field(default_factory=Histogram)
    lag: Histogram = field(default_factory=Histogram)
    failures: Counter[str] = field(default_factory=Counter)
    max_ns: int = 0
    sum_ns: int = 0
    peak_bytes: int = 0

    def add(self, position: int, round_: int, ran: Ran) -> None:
        latencies, waits = array("q", ran.latencies), array("q", ran.waits)
        services = latencies if ran.services is None else array("q", ran.services)
        latency_ns = sum(latencies)
        self.latency.record_all(latencies)
        self.max_ns = max(self.max_ns, max(latencies, default=0))
        self.sum_ns += latency_ns
        self.wait.record_all(waits)
        self.query.record_all(map(sub, services, waits) if waits else services)
        if ran.services is not None:
            self.service.record_all(services)
            self.lag.record_all(map(sub, latencies, services))
        self.failures.update(ran.failures)
        self.slices.append(
            Slice(
                position=position,
                round=round_,
                operations=len(latencies),
                errors=ran.failed,
                elapsed_ns=ran.elapsed_ns,
                cpu_ns=ran.cpu_ns,
                system_ns=min(ran.system_ns, ran.cpu_ns),  # two clocks of different grain
                latency_ns=latency_ns,
                connects=ran.connects,
                not_started=ran.not_started,
            )
        )

    def measurement(self, block: int, index: int, arm: str, workers: Mapping[str, WorkerProcess]) -> Measurement:
        worker: dict[str, int] = {}
        if arm in workers:
            worker = {"pid": workers[arm].pid, "started": list(workers).index(arm)}
        return Measurement(
            block=block,
            cell=index,
            arm=arm,
            slices=self.slices,
            latency=self.latency.counts,
            max_ns=self.max_ns,
            sum_ns=self.sum_ns,
            worker=worker,
            wait=self.wait.counts,
            query=self.query.counts,
            service=self.service.counts,
            lag=self.lag.counts,
            loop_lag=self.loop_lag,
            failures=dict(self.failures),
            peak_bytes=self.peak_bytes,
        )


def _distribution(values: Iterable[int]) -> dict[int, int]:
    histogram = Histogram()
    histogram.record_all(values)
    return histogram.counts
