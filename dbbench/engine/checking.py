"""The check of a cell before anything is executed for a result: the same for every command, see worker/checking.py."""

from collections.abc import Callable, Iterator, Sequence
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
    baseline: str  # the arm to compare with; empty: the plan's own
    note: str  # what to tell the user where it is not what was asked for


AS_ASKED: Final = Comparison(worth_it=True, baseline="", note="")
NOTHING: Final = Comparison(worth_it=False, baseline="", note="")


def comparison(plan: Plan, index: int, passed: Sequence[str], different: Sequence[str]) -> Comparison:
    """Decide from the arms that passed the check, and those of them that return something else than the baseline.

    A single arm is measured where it is all that was asked for. Behind a pooler, failures are results.
    """
    cell, arms = plan.cells[index], [arm.name for arm in plan.arms]
    if not passed:
        return NOTHING
    if len(arms) == 1 or cell.pooler is not None:
        return AS_ASKED
    baseline = plan.baseline if plan.baseline in passed else passed[0]
    others = [name for name in passed if name != baseline]
    compared = [name for name in others if name not in different]
    unable = [name for name in arms if name not in passed]
    said = f"{cell.label}: "
    if unable:
        said += f"{listed(unable)} cannot be measured here"
    if not others:
        alone = "" if plan.gate else f"; --driver {baseline} --baseline {baseline} measures it alone"
        return Comparison(False, "", f"{said}, so nothing is left to compare {baseline} with: not measured{alone}")
    if not compared:
        said += ", and " if unable else ""
        said += f"{listed([baseline, *others])} do not return the same: nothing to compare, not measured"
        return Comparison(False, "", said)
    if baseline == plan.baseline:
        return AS_ASKED
    return Comparison(True, baseline, f"{said}: comparing {listed(compared)} with {baseline} instead")
