"""The set-up before anything is measured: tables, the check for equal results, the number of operations a slice."""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Final, Literal, Self

import msgspec

from dbbench import messages
from dbbench.analysis.differences import sentences
from dbbench.child import WorkerFailedError
from dbbench.engine.checking import AS_ASKED, NOTHING, CellCheck, Comparison, comparison
from dbbench.engine.workers import WARM_UP_NS, WARM_UP_OPERATIONS, Workers
from dbbench.messages import Checked, Done
from dbbench.plan import Cell, Plan
from dbbench.records import Problem
from dbbench.scenario import Description

SLICE_NS: Final = 10_000_000  # for the fastest arm: 8 ms, and a margin in case it was timed in a slow moment
SLICE_OPERATIONS: Final = 10  # per connection, where sessions share the slice; 8 of them in its middle, which counts
QUEUED_OPERATIONS: Final = 2  # added per session beyond the connections, since the first operation finds no queue yet
LEAD_IN_NS: Final = 4_000_000  # untimed, before a slice: the worker was idle and others have used the CPU's caches
LEAD_IN_OPERATIONS: Final = 4  # the most; what is slow after these is so for all drivers alike (docs/evidence.md)
_UNDEFINED_TABLE: Final = "42P01"
_NO_SCHEMA: Final = (
    "through --via a statement finds dbbench's tables only where SQLAlchemy writes it: select(Order), not text(...)"
)
COMPARE_ANYWAY: Final = "--compare-anyway compares them all the same"


@dataclass(frozen=True)
class Shape:
    """The number of operations in a slice, the same for all arms, and in the untimed lead-in before it."""

    operations: int
    lead_in: int

    @classmethod
    def of(cls, ns_per_operation: float, cell: Cell, plan: Plan) -> Self:
        """The shape for a cell whose fastest arm takes `ns_per_operation`."""
        if plan.load.rate is not None:
            assert plan.slice_s is not None
            operations = max(1, round(plan.load.rate * plan.slice_s))
        else:
            paced_ns = ns_per_operation + plan.load.think_s * 1e9 / cell.sessions
            connections = plan.connections(cell)
            enough = SLICE_OPERATIONS * connections + QUEUED_OPERATIONS * (cell.sessions - connections)
            operations = max(enough if cell.sessions > 1 or plan.load.think_s else 1, math.ceil(SLICE_NS / paced_ns))
        return cls(operations, lead_in=min(LEAD_IN_OPERATIONS, round(LEAD_IN_NS / ns_per_operation)))


@dataclass(frozen=True)
class Cost:
    """The rough cost of an arm's turn in a cell, in seconds."""

    slice_s: float
    warm_up_s: float


@dataclass
class SetUp:
    """The set-up of one run; afterwards `shapes` has what the blocks need."""

    workers: Workers
    say: Callable[[str], None]  # shows the user what is going on
    note: Callable[[str], None]  # tells the user something worth keeping
    compares: bool = True  # whether a cell is only worth measuring where arms can be compared
    anyway: bool = True  # whether the command has --compare-anyway
    shapes: dict[int, Shape] = field(default_factory=dict)  # cell -> the shape of its slices
    per_operation_ns: dict[tuple[int, str], float] = field(default_factory=dict)  # (cell, arm) -> a rough duration
    comparisons: dict[int, Comparison] = field(default_factory=dict)  # cell -> what is left to compare in it
    _schemas: int = 0  # made so far; arms may turn out to need fewer

    def run(self, described: Mapping[Path, Description], stack: ExitStack) -> Iterator[Problem]:
        """Make the tables, check that the arms return equal results, choose the number of operations in a slice.

        The workers must be running; `stack` ends those that are started in place of lost ones.
        """
        yield from self.prepare(described)
        yield from self._check_and_time(stack)

    def costs(self) -> list[Cost]:
        """The cost of each cell in a block; 0 for cells that cannot be measured."""
        return [self._cost(index, cell) for index, cell in enumerate(self.workers.plan.cells)]

    def _cost(self, index: int, cell: Cell) -> Cost:
        times = [self.per_operation_ns[key] for key in self.per_operation_ns if key[0] == index]
        if not times or index not in self.shapes:
            return Cost(0.0, 0.0)
        operation_s = sum(times) / len(times) / 1e9
        shape, connections = self.shapes[index], self.workers.plan.connections(cell)
        warm_up_s = WARM_UP_OPERATIONS * connections * operation_s + max(WARM_UP_NS / 1e9, connections * operation_s)
        return Cost((shape.operations + shape.lead_in) * operation_s, warm_up_s)

    def prepare(self, described: Mapping[Path, Description]) -> Iterator[Problem]:
        """Make a schema for every scenario, and have the scenario fill it."""
        alike: dict[str, list[str]] = {}
        for arm in self.workers.plan.arms:
            own = repr((arm.params, arm.path)) if self.workers.site.homes.same_tables else arm.name
            alike.setdefault(own, []).append(arm.name)
        groups = list(alike.values())
        for path, scenario in described.items():
            self.say(f"preparing {scenario.name}")
            if scenario.has_reset:
                self.workers.resets.add(str(path))
            failed = False
            for group in groups:
                for problem in self._fill(str(path), scenario, group):
                    failed = True
                    yield problem
            if len(groups) > 1 and not failed:
                self._share(str(path), scenario)
        self.workers.tidy()

    def _fill(self, path: str, scenario: Description, arms: Sequence[str]) -> Iterator[Problem]:
        """Make a schema with the scenario's tables for some arms; the first of them prepares the tables."""
        schema = self.workers.site.create_schema(self._schemas)
        self._schemas += 1
        self.workers.schemas.update(dict.fromkeys(((path, arm) for arm in arms), schema))
        try:
            arm = next(arm for arm in self.workers.plan.arms if arm.name == arms[0])
            own = self.workers.site.homes.path(arm.name, arm.path or path)
            params = {**scenario.params, **arm.params}
            self.workers.ask_tables(arm.name, messages.Prepare(own, schema, params), Done)
        except WorkerFailedError as error:
            blamed = arms[0] if len(arms) < len(self.workers.plan.arms) else None
            yield Problem("scenario", f"prepare failed: {error}", scenario=scenario.name, arm=blamed)
            for index, cell in enumerate(self.workers.plan.cells):
                if cell.path == path:
                    self.workers.excluded.update((index, arm) for arm in arms)

    def _share(self, path: str, scenario: Description) -> None:
        """Have all arms use the tables of the first arm if all have made the same.

        Two copies of a table are never quite alike on disk and in the cache, which would favour one arm.
        """
        found = {
            arm.name: self.workers.ask_tables(
                arm.name, messages.Fingerprint(self.workers.schemas[path, arm.name], structure=True), Checked
            )
            for arm in self.workers.plan.arms
        }
        first, *others = found
        if all(found[name].digest == found[first].digest for name in others):
            self.workers.schemas.update(
                dict.fromkeys(((path, name) for name in others), self.workers.schemas[path, first])
            )
            return
        for name in others:
            got, wanted = _first_difference(found[name].lines, found[first].lines)
            self.note(f"{scenario.name}: {name} and {first} have tables of their own ({got}; {wanted})")

    def _hopeless(self, index: int) -> bool:
        """Whether prepare() failed for the cell."""
        return all((index, arm.name) in self.workers.excluded for arm in self.workers.plan.arms)

    def check(self, index: int, stack: ExitStack, *, timed: bool = False) -> Iterator[Problem]:
        """Check that the arms return equal results in a cell; arms that cannot be measured there are left out.

        With `timed`, also time roughly what there is to compare. `stack` ends workers that are started in place of lost
        ones.
        """
        self._keep_off(index)
        if self._hopeless(index):
            return
        if not self.workers.complete:  # one was lost in the previous cell
            yield from self.workers.start(f"set-up/{index}", stack)
        cell, checked = self.workers.plan.cells[index], CellCheck(self.workers, index)
        for problem in checked.run():
            hint = f"; {_NO_SCHEMA}" if _via(cell) and problem.code == _UNDEFINED_TABLE else ""
            yield msgspec.structs.replace(problem, message=problem.message + hint)
        results = checked.results
        differences = list(self._differences(index, results)) if results else []
        yield from differences
        if results and cell.path not in self.workers.resets and all(map(_nothing, results.values())):
            self.note(f"{cell.scenario}, {cell.layer}: returns nothing, so there was nothing to compare")
        different = [problem.arm for problem in differences if problem.kind == "not comparable" and problem.arm]
        if timed and self._left(index, results, different).worth_it:
            yield from checked.each(partial(self._time, index))
        yield from checked.each(self.workers.close)
        self.comparisons[index] = self._left(index, results, different)

    def _keep_off(self, index: int) -> None:
        """Leave out arms that failed on the server itself: what finds no table there may find the user's elsewhere."""
        plan = self.workers.plan
        if _via(plan.cells[index]):
            direct = plan.cells.index(msgspec.structs.replace(plan.cells[index], pooler=None))
            failed = {arm for cell, arm in self.workers.excluded if cell == direct}
            self.workers.excluded.update((index, arm) for arm in failed)

    def _left(self, index: int, passed: Iterable[str], different: Sequence[str]) -> Comparison:
        """What is left to compare in a cell."""
        if self.compares:
            return comparison(self.workers.plan, index, list(passed), different)
        return AS_ASKED if list(passed) else NOTHING

    def _check_and_time(self, stack: ExitStack) -> Iterator[Problem]:
        """Check every cell, and choose the number of operations in a slice where there is anything to compare."""
        for index, cell in enumerate(self.workers.plan.cells):
            if self._hopeless(index):
                continue
            self.say(f"checking {cell.label} ({index + 1} of {len(self.workers.plan.cells)})")
            yield from self.check(index, stack, timed=True)
            left = self.comparisons[index]
            if left.note:
                self.note(left.note)
            if left.worth_it:
                fastest = min(time for (at, _), time in self.per_operation_ns.items() if at == index)
                self.shapes[index] = Shape.of(fastest, cell, self.workers.plan)

    def _time(self, index: int, arm: str) -> None:
        """Run enough operations in the open cell to know how long one takes."""
        cell, seed = self.workers.plan.cells[index], self.workers.plan.seed
        self.workers.reset(cell, arm)
        self.workers.warm_up(cell, arm, f"{seed}/check/{index}")
        ran = self.workers.slice(arm, 5 * self.workers.plan.connections(cell), f"{seed}/time/{index}")
        if not ran.usage.operations:
            raise WorkerFailedError(messages.Failed(ran.errors[0], scenario=True))
        self.per_operation_ns[index, arm] = ran.usage.elapsed_ns / ran.usage.operations

    def plan(self) -> Plan:
        """The plan, with another baseline where its own cannot be measured."""
        plan = self.workers.plan
        cells = []
        for index, cell in enumerate(plan.cells):
            instead = dict(self.comparisons[index].instead) if index in self.comparisons else {}
            baseline = instead.pop(plan.baseline, "")
            cells.append(msgspec.structs.replace(cell, baseline=baseline, instead=instead))
        return msgspec.structs.replace(plan, cells=cells)

    def _differences(self, index: int, results: Mapping[str, Checked]) -> Iterator[Problem]:
        """A problem for every arm whose results differ from the baseline's."""
        plan = self.workers.plan
        kind: Literal["not comparable", "different"] = "not comparable" if plan.same_results else "different"
        ending = "; compared all the same" * plan.compare_anyway
        if plan.same_results:
            ending = f"; {COMPARE_ANYWAY}" * self.anyway
        for group in plan.groups:
            there = [name for name in group if name in results]
            for name in there[1:]:
                result, expected = results[name], results[there[0]]
                if result.digest == expected.digest:
                    continue
                complete = not (result.omitted or expected.omitted)
                for sentence in sentences(name, result.lines, there[0], expected.lines, complete=complete):
                    yield Problem(kind, sentence + ending, plan.cells[index].scenario, index, name)


def _via(cell: Cell) -> bool:
    """Whether the cell is reached through the user's own pooler."""
    return cell.pooler is not None and cell.pooler.via


def _nothing(checked: Checked) -> bool:
    """Whether every operation returned None."""
    return all(line.endswith(": NoneType None") for line in checked.lines)


def _first_difference(lines: list[str], others: list[str]) -> tuple[str, str]:
    """The first lines that differ, of each."""
    for line, other in zip(lines, others, strict=False):
        if line != other:
            return line, other
    return f"{len(lines)} values", f"{len(others)} values"
