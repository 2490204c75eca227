"""Measuring: block by block, slice by slice, in the plan's random order -> records.

block       one fresh worker per arm; cells in random order
cell        every arm opens its pool and warms up; rounds of one slice per arm in random order
"""

from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from operator import sub
from typing import Any, Final

import msgspec

from dbbench.analysis.ratios import blocks, family, log_ratios
from dbbench.analysis.rows import NS_PER_S
from dbbench.child import WorkerFailedError, WorkerLostError
from dbbench.engine.clocks import Disturbances
from dbbench.engine.rounds import EARLY_SHARE, Visit, chosen_again, first_look
from dbbench.engine.setup import Shape
from dbbench.engine.workers import Workers
from dbbench.errors import ServerLostError
from dbbench.messages import Ran
from dbbench.plan import Plan
from dbbench.records import DISTRIBUTIONS, MAX_SECONDS, Measurement, Problem, Second, Slice
from dbbench.stats.histogram import Histogram
from dbbench.stats.sequential import closed

_NO_DISTRIBUTIONS: Final[dict[str, Any]] = {name: {} for name in DISTRIBUTIONS}
OPENING_ROUND: Final = -1  # the round number with which the order is drawn in which arms open a cell
_EARLY_SLACK: Final = 1.5  # times the time that early cells should take, before the others begin whatever is decided
BUDGET_SLACK: Final = 0.1  # share of the budget that may be added to finish one more block


def decided_cells(plan: Plan, measured: Sequence[Measurement]) -> set[int]:
    """The cells that need no more blocks: those decided at one of the planned looks (see stats/sequential.py)."""
    if not plan.adaptive or not plan.compared:
        return set()
    return closed(blocks(plan, measured), family(plan), precision=plan.effort.precision, early=plan.early)


@dataclass
class Blocks:
    """The blocks of one run."""

    workers: Workers
    shapes: Mapping[int, Shape]  # cell -> the shape of its slices
    say: Callable[[str], None]  # shows the user what is going on
    look: Callable[[Plan, Sequence[Measurement]], set[int]] = decided_cells  # after a block: cells that need no more
    advance: Callable[[float, float | None], None] = lambda _done, _left_s: None  # is told of progress, often
    measured_s: float = 0.0  # since the first block began
    begun: int = 0  # blocks
    closed: set[int] = field(default_factory=set)  # cells that need no more blocks
    _began_ns: int = 0  # when the first block began, by the clock of the slices
    _last_block_s: float = 0.0
    _away_s: float = 0.0  # that the server was away, which does not count
    _visited: float = 0.0  # visits to cells, over all blocks, also of the one that goes on
    measured: list[Measurement] = field(default_factory=list)  # without unused distributions, so the parent stays small
    _reported: set[tuple[int, str, str]] = field(default_factory=set)  # (cell, arm, message)
    _visits: dict[int, list[Visit]] = field(default_factory=dict)  # cell -> what its visits took
    _starting_s: float = 0.0  # that workers took to start, over all blocks

    def __post_init__(self) -> None:
        """Begin with the rounds of the plan."""
        self.rounds = dict(enumerate(self.workers.plan.rounds))

    def blocks(self) -> Iterator[Measurement | Problem]:
        """Measure block after block, until the budget or the blocks are used up, or nothing is left to decide."""
        self._began_ns = self.workers.site.clock_ns()
        if self._goes_on(0):
            self._tell()
        while self._goes_on(self.begun):
            before = self.measured_s
            self.begun += 1
            try:
                yield from self._block(self.begun - 1)
            except ServerLostError as lost:
                yield self._outage(lost)
            self._tell()
            self._last_block_s = self.measured_s - before
            self.closed = self.look(self.workers.plan, self.measured)
            self.rounds |= self._chosen_again()

    def _chosen_again(self) -> dict[int, int]:
        """The rounds of the open cells in the next block."""
        starting_s = self._starting_s / self.begun
        return chosen_again(self.workers.plan, self.measured, self._visits, self.closed, starting_s, self.measured_s)

    def _due(self, block: int) -> list[int]:
        """The cells that this block visits, in order: the open ones; at first only those that come early."""
        plan = self.workers.plan
        open_ = [index for index in plan.cell_order(block) if index not in self.closed]
        early = [index for index in open_ if index in plan.early and index in self._measurable]
        most_s = _EARLY_SLACK * EARLY_SHARE * (plan.effort.budget_s or 0.0)
        return early if early and block < first_look(plan) and self.measured_s <= most_s else open_

    @property
    def _measurable(self) -> set[int]:
        """The cells in which any arm can still be measured."""
        arms, excluded = self.workers.plan.arms, self.workers.excluded
        return {index for index in self.shapes if any((index, arm.name) not in excluded for arm in arms)}

    def _outage(self, lost: ServerLostError) -> Problem:
        """Wait until the server is back, where that is asked for; else raise what says that it is lost."""
        if self.workers.site.sentry is None:
            raise lost
        self.say("waiting for the server to come back")
        away_s = self.workers.wait_for_server()
        self._away_s += away_s
        return Problem(
            "outage",
            f"the server was away for {away_s:.1f} s in block {self.begun}: what had not been finished is left out",
            seconds=away_s,
        )

    def _tell(self) -> None:
        """Note the time, and tell of progress; never while a slice runs."""
        self.measured_s = (self.workers.site.clock_ns() - self._began_ns) / 1e9 - self._away_s
        self.advance(*self.progress())

    @property
    def late(self) -> bool:
        """Whether the time is up, and slices that have not begun are left out.

        A gate finishes its blocks: those of few rounds do not show how noisy they are.
        """
        budget_s = self.workers.plan.effort.budget_s
        if budget_s is None or self.workers.plan.gate is not None:
            return False
        return self.measured_s > budget_s * (1 + BUDGET_SLACK)

    @property
    def log_ratios(self) -> Mapping[tuple[int, str], Sequence[float | None]]:
        """The table of results so far: see analysis.ratios.log_ratios."""
        return log_ratios(self.workers.plan, self.measured)

    @property
    def decided(self) -> bool:
        """Whether every cell that can be measured is closed, and something was compared."""
        compared = any(value is not None for values in self.log_ratios.values() for value in values)
        return compared and self._measurable <= self.closed

    def progress(self) -> tuple[float, float | None]:
        """The share of the measuring that is done (0 to 1), and the seconds left, or None where they are not known."""
        if self.workers.plan.effort.budget_s is not None:
            left_s = max(0.0, self.workers.plan.effort.budget_s - self.measured_s)
            # How long it takes to reach a precision is not known beforehand.
            return (
                min(1.0, self.measured_s / self.workers.plan.effort.budget_s),
                None if self.workers.plan.effort.precision else left_s,
            )
        assert self.workers.plan.effort.blocks is not None
        done = self._visited / (self.workers.plan.effort.blocks * len(self.workers.plan.cells))
        return done, self.measured_s / done - self.measured_s if done else None

    def _goes_on(self, block: int) -> bool:
        """Whether another block is due: with a budget, if one that takes as long as the last would end in time."""
        if not self._measurable:
            return False
        if self.workers.plan.effort.blocks is not None:
            return block < self.workers.plan.effort.blocks
        assert self.workers.plan.effort.budget_s is not None
        if block == 0:
            return True
        if self.decided:
            return False
        return self.measured_s + self._last_block_s <= self.workers.plan.effort.budget_s * (1 + BUDGET_SLACK)

    def _block(self, block: int) -> Iterator[Measurement | Problem]:
        self.say(f"block {block + 1}")
        began_ns = self.workers.site.clock_ns()
        self.workers.tidy()
        with self.workers.started(block) as lost:
            self._starting_s += (self.workers.site.clock_ns() - began_ns) / 1e9
            yield from lost
            for index in self._due(block):
                if block and self.late:  # the first block visits every cell
                    return
                visited = self._visited
                for record in self._visit(block, index):
                    if isinstance(record, Measurement):
                        self._keep(index, record)
                    yield record
                self._visited = visited + 1
                self._tell()
                self.workers.check_server()

    def _visit(self, block: int, index: int) -> Iterator[Measurement | Problem]:
        """Measure all arms in one cell; a failure is reported once, not in every block."""
        if index not in self.shapes:  # no arm could be measured there
            return
        visited = self._visited

        def goes_on(done: float) -> bool:
            self._visited = visited + done
            self._tell()
            return not self.late

        visit = _VisitOfCell(
            self.workers, self.shapes[index], block, index, self.rounds[index], self._began_ns, goes_on
        )
        for record in visit.run():
            if isinstance(record, Problem) and record.kind == "errors":
                # Behind a pooler the message of each failed connection has another name in it: report only the first.
                key = (index, record.arm or "", "" if self.workers.plan.cells[index].pooler else record.message)
                if key in self._reported:
                    continue
                self._reported.add(key)
            yield record
        if visit.took:
            self._visits.setdefault(index, []).append(visit.took)

    def _keep(self, index: int, record: Measurement) -> None:
        """Keep the parts of a measurement that are used later; what was disturbed decides nothing."""
        if record.disturbed:
            return
        keeps = self.workers.plan.gate or self.workers.plan.cells[index].rtt_s is not None
        kept = {"latency": record.latency} if keeps else {}
        self.measured.append(msgspec.structs.replace(record, **{**_NO_DISTRIBUTIONS, **kept}))


@dataclass
class _VisitOfCell:
    """All arms in one cell of one block: each opens its pool and warms up, then they take turns, slice by slice."""

    workers: Workers
    shape: Shape
    block: int
    index: int
    rounds: int
    began_ns: int  # when the first block began
    goes_on: Callable[[float], bool]  # is told the share that is done, and says whether there is time for more
    slices: dict[str, "_Slices"] = field(default_factory=dict)  # arm -> its slices
    took: Visit | None = None  # once its rounds are over

    def __post_init__(self) -> None:
        """Begin to watch the clocks."""
        self.disturbances = Disturbances(self.workers.site.read_clocks)

    def run(self) -> Iterator[Measurement | Problem]:
        """Yield problems as they occur, then the measurements of all arms."""
        clock_ns = self.workers.site.clock_ns
        came_ns = clock_ns()
        yield from self._open()
        opened_ns, rounds = clock_ns(), 0
        for round_ in range(self.rounds):
            if not self.goes_on(round_ / self.rounds) and round_:  # no visit without a round
                break
            for arm in self.workers.plan.arm_order(self.block, self.index, round_):
                if arm in self.workers.arms(self.index):
                    yield from self._slice(round_, arm.name)
            rounds += 1
        self.took = Visit((opened_ns - came_ns) / 1e9, (clock_ns() - opened_ns) / 1e9, rounds)
        started = {arm: number for number, arm in enumerate(self.workers.running)}
        for arm in self.workers.arms(self.index):
            try:
                self.slices[arm.name].peak_bytes = self.workers.close(arm.name).peak_bytes
            except (WorkerFailedError, WorkerLostError) as error:
                yield self.workers.exclude(self.index, arm.name, error)
        if disturbed := self.disturbances.found():
            scenario = self.workers.plan.cells[self.index].scenario
            yield Problem("disturbed", f"block {self.block + 1} is left out: {disturbed}", scenario, self.index)
        for name, done in self.slices.items():
            if done.slices:
                worker = self.workers.running.get(name)
                facts = {"pid": worker.pid, "started": started[name]} if worker else {}
                made = done.measurement(self.block, self.index, name, facts)
                yield msgspec.structs.replace(made, disturbed=disturbed)

    def _open(self) -> Iterator[Problem]:
        """Have all arms open the cell and warm up, in random order: the last one is the warmest when slices begin."""
        workers, cell = self.workers, self.workers.plan.cells[self.index]
        there = workers.arms(self.index)
        for arm in workers.plan.arm_order(self.block, self.index, OPENING_ROUND):
            if arm not in there:
                continue
            try:
                workers.open(cell, arm.name)
                lags = workers.warm_up(cell, arm.name, f"{workers.plan.seed}/{self.block}/{self.index}")
                workers.running[arm.name].disturbance()  # what happened before the slices does not matter
            except (WorkerFailedError, WorkerLostError) as error:
                yield workers.exclude(self.index, arm.name, error)
            else:
                self.goes_on(0.0)
                self.slices[arm.name] = _Slices(loop_lag=_distribution(array("q", lags)))

    def _slice(self, round_: int, arm: str) -> Iterator[Problem]:
        """Have one arm run one slice."""
        plan = self.workers.plan
        cell = plan.cells[self.index]
        try:
            self.workers.reset(cell, arm)
            seed = f"{plan.seed}/{self.block}/{self.index}/{round_}"
            ran = self.workers.slice(arm, self.shape.operations, seed, lead_in=self.shape.lead_in, load=plan.load)
        except (WorkerFailedError, WorkerLostError) as error:
            yield self.workers.exclude(self.index, arm, error)
            return
        if ran.errors and self.workers.was_away:
            raise self.workers.server_lost()
        self.disturbances.add(self.workers.running[arm].disturbance())
        position = sum(len(done.slices) for done in self.slices.values())
        self.slices[arm].add(position, round_, max(0, ran.began_ns - self.began_ns), ran)
        for message in ran.errors:
            yield Problem("errors", message, cell.scenario, self.index, arm)


@dataclass
class _Slices:
    """An arm's slices so far, in one cell of one block."""

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

    def add(self, position: int, round_: int, began_ns: int, ran: Ran) -> None:
        latencies, waits = array("q", ran.latencies), array("q", ran.waits)
        services = latencies if ran.services is None else array("q", ran.services)
        self.latency.record_all(latencies)
        self.max_ns = max(self.max_ns, max(latencies, default=0))
        self.sum_ns += ran.usage.latency_ns
        self.wait.record_all(waits)
        self.query.record_all(map(sub, services, waits) if waits else services)
        if ran.services is not None:
            self.service.record_all(services)
            self.lag.record_all(map(sub, latencies, services))
        self.failures.update(ran.failures)
        seconds = [] if ran.services is None else by_second(ran.began_ns, array("q", ran.ends), latencies)
        self.slices.append(Slice(position, round_, ran.usage, began_ns, seconds))

    def measurement(self, block: int, index: int, arm: str, worker: dict[str, int]) -> Measurement:
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


def by_second(began_ns: int, ends: Sequence[int], latencies: Sequence[int]) -> list[Second]:
    """The operations of an open loop by the second in which they were due; `ends` are when they completed."""
    found: dict[int, list[int]] = {}
    for end, latency in zip(ends, latencies, strict=True):
        found.setdefault(max(0, end - latency - began_ns) // NS_PER_S, []).append(latency)
    made = []
    for second, own in sorted(found.items())[:MAX_SECONDS]:
        times = Histogram()
        times.record_all(own)
        percentiles = [times.percentile(q) for q in (0.5, 0.95, 0.99)]
        made.append(Second(second, len(own), sum(own), max(own), *percentiles))
    return made


def _distribution(values: Iterable[int]) -> dict[int, int]:
    histogram = Histogram()
    histogram.record_all(values)
    return histogram.counts
