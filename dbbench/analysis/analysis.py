"""All that is worked out from the records of a run, once: what every report of it reads. Pure."""

from dataclasses import dataclass

import msgspec

from dbbench.analysis import saturation
from dbbench.analysis.breakdown import Breakdown, Failure, LayerTax, breakdown, failures, layer_tax
from dbbench.analysis.latency import Effect, effects
from dbbench.analysis.places import Places, by_place
from dbbench.analysis.rows import CellRow, rows
from dbbench.analysis.series import Point, series
from dbbench.plan import Cell
from dbbench.records import Problem, Run


@dataclass(frozen=True)
class CellAnalysis:
    """One cell; the lists have an entry for every arm, in the plan's order."""

    cell: Cell
    rows: list[CellRow]
    baselines: list[str]  # the arms that they are compared with, or themselves
    breakdowns: list[Breakdown]
    failures: list[list[Failure]]  # the most frequent first


@dataclass(frozen=True)
class Analysis:
    """A run and all that follows from it."""

    run: Run
    places: Places
    cells: list[CellAnalysis]  # in the plan's order
    layer_tax: list[LayerTax]
    effects: list[list[Effect]]  # of network latency

    @property
    def rows(self) -> list[CellRow]:
        """The rows of all cells."""
        return [row for cell in self.cells for row in cell.rows]

    @property
    def series(self) -> list[Point]:
        """The run as it went, slice by slice, in an open loop second by second."""
        return series(self.run.header.plan, self.places)

    @property
    def breakdowns(self) -> list[Breakdown]:
        """Where the time went, for every row."""
        return [breakdown for cell in self.cells for breakdown in cell.breakdowns]

    @property
    def failures(self) -> list[Failure]:
        """The ledger of errors: what failed, in the order of the rows."""
        return [failure for cell in self.cells for of_arm in cell.failures for failure in of_arm]


def analyse(run: Run) -> Analysis:
    """Work out everything that reports show of a run."""
    plan, places = run.header.plan, by_place(run)
    judged = rows(run, places)
    arms = len(plan.arms)
    cells = [
        CellAnalysis(
            cell,
            judged[index * arms : (index + 1) * arms],
            [plan.baseline_of(index, arm.name) for arm in plan.arms],
            [breakdown(plan, cell, arm, places[index, arm.name]) for arm in plan.arms],
            [failures(cell, arm, places[index, arm.name], _problems(run, index, arm.name)) for arm in plan.arms],
        )
        for index, cell in enumerate(plan.cells)
    ]
    run = msgspec.structs.replace(run, warnings=[*run.warnings, *saturation.warnings(plan, places)])
    return Analysis(run, places, cells, layer_tax(plan, places), effects(run, judged))


def _problems(run: Run, index: int, arm: str) -> list[Problem]:
    return [problem for problem in run.problems if (problem.cell, problem.arm) == (index, arm)]
