"""The check of a cell before anything is executed for a result: the same for every command, see worker/checking.py."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import msgspec

from dbbench import messages
from dbbench.child import WorkerFailedError, WorkerLostError
from dbbench.engine.planning import check_limit_s
from dbbench.engine.workers import Workers
from dbbench.messages import Checked
from dbbench.plan import Plan
from dbbench.records import Problem
from dbbench.wording import listed

CHECKED_OPERATIONS: Final = 3


@dataclass
class CellCheck:
    """The check of one cell: what the arms that passed it return, by arm, in the plan's order."""

    workers: Workers
    index: int
    results: dict[str, Checked] = field(default_factory=dict)

    def run(self) -> Iterator[Problem]:
        """Check all arms and leave the cell open in those that pass; the others are left out of it."""
        for problem in self._each([arm.name for arm in self.workers.arms(self.index)], self._check):
            failed = CHECKED_OPERATIONS if problem.kind == "operation" else 0
            yield msgspec.structs.replace(problem, operations=failed)

    def each(self, do: Callable[[str], object]) -> Iterator[Problem]:
        """Do something with every arm that has passed so far; those that fail at it are left out, too."""
        yield from self._each(list(self.results), do)

    def _each(self, names: Sequence[str], do: Callable[[str], object]) -> Iterator[Problem]:
        workers, index = self.workers, self.index
        failed: list[tuple[str, WorkerFailedError]] = []
        for name in names:
            try:
                with workers.within(check_limit_s(workers.plan)):
                    do(name)
            except WorkerFailedError as error:
                self.results.pop(name, None)
                failed.append((name, error))
            except WorkerLostError as error:
                self.results.pop(name, None)
                yield workers.exclude(index, name, error)
        # Behind a pooler failures are results, and are counted; what is no measurement is none there either.
        stay = bool(self.results) and workers.plan.cells[index].pooler is not None
        for name, reason in failed:
            if reason.unfit or not stay:
                yield workers.exclude(index, name, reason)

    def _check(self, arm: str) -> None:
        """Run single operations for their results."""
        workers, cell = self.workers, self.workers.plan.cells[self.index]
        seeds = [f"{workers.plan.seed}/check/{self.index}/{number}" for number in range(CHECKED_OPERATIONS)]
        workers.open(cell, arm)
        workers.reset(cell, arm)
        if not self.results and cell.path not in workers.resets:
            # The first arm finds the tables as prepare() left them, the others as an arm left them: run it once more.
            workers.ask(arm, messages.Check(seeds), Checked)
        checked = workers.ask(arm, messages.Check(seeds), Checked)
        if cell.path in workers.resets:
            found = workers.ask_tables(arm, messages.Fingerprint(workers.schemas[cell.path, arm]), Checked)
            checked = Checked([*checked.lines, *found.lines], checked.digest + found.digest, checked.omitted)
        self.results[arm] = checked


@dataclass(frozen=True)
class Comparison:
    """What is left to compare in a cell after its check."""

    worth_it: bool  # whether there is anything to measure
    instead: Mapping[str, str] = field(default_factory=dict)  # baseline that cannot be measured -> arm in its place
    note: str = ""  # what to tell the user where it is not what was asked for


AS_ASKED: Final = Comparison(worth_it=True)
NOTHING: Final = Comparison(worth_it=False)


def comparison(plan: Plan, index: int, passed: Sequence[str], different: Sequence[str]) -> Comparison:
    """Decide from the arms that passed the check, and those of them that return something else than the baseline.

    A single arm is measured where it is all that was asked for. Behind a pooler, failures are results.
    """
    cell = plan.cells[index]
    if not passed:
        return NOTHING
    if cell.pooler is not None:
        return AS_ASKED
    found = [_of_group(plan, group, passed, different) for group in plan.groups]
    return Comparison(
        worth_it=any(one.worth_it for one in found),
        instead={baseline: arm for one in found for baseline, arm in one.instead.items()},
        note="; ".join(f"{cell.label}: {one.note}" for one in found if one.note),
    )


def _of_group(plan: Plan, group: Sequence[str], passed: Sequence[str], different: Sequence[str]) -> Comparison:
    """What is left of arms that are compared with the first of them."""
    there = [name for name in group if name in passed]
    if not there or len(group) == 1:
        return Comparison(worth_it=bool(there))
    baseline, *others = there
    compared = [name for name in others if name not in different]
    unable = [name for name in group if name not in there]
    shared = len(plan.groups) > 1  # with arms of other groups, which are measured all the same
    said = f"{listed(unable)} cannot be measured here" if unable else ""
    if not others:
        way_out = "" if plan.gate else f"; --driver {baseline} --baseline {baseline} measures it alone"
        left = "" if shared else f": not measured{way_out}"
        return Comparison(False, note=f"{said}, so nothing is left to compare {baseline} with{left}")
    if not compared:
        said += ", and " if unable else ""
        said += f"{listed([baseline, *others])} do not return the same: nothing to compare"
        return Comparison(False, note=said if shared else f"{said}, not measured")
    if baseline == group[0]:
        return AS_ASKED
    note = f"{said}: comparing {listed(compared)} with {baseline} instead"
    return Comparison(True, {group[0]: baseline}, note)
