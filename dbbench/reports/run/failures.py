"""Cells in which no arm could be measured: the reasons, instead of a table of dashes."""

from collections.abc import Sequence
from typing import Final

from dbbench.analysis.rows import CellRow
from dbbench.records import Problem, Run, clean
from dbbench.stats.paired import Verdict
from dbbench.wording import listed

MAX_MESSAGE: Final = 400  # characters


def reasons(run: Run, index: int, rows: Sequence[CellRow]) -> list[str]:
    """Why no arm could be measured in the cell, each reason once; empty where one was, or none has been tried."""
    if not _failed(rows):
        return []
    arms: dict[str, list[str]] = {}  # message -> the arms that it is about
    everybody = [row.driver for row in rows]
    for problem in run.problems:
        if _is_about(run, problem, index):
            arms.setdefault(message(problem), []).extend(everybody if problem.arm is None else [problem.arm])
    if not arms:
        return [_failure(everybody, everybody)]
    return [f"{_failure(list(dict.fromkeys(names)), everybody)}: {text}" for text, names in arms.items()]


def blank(rows: Sequence[CellRow]) -> bool:
    """Whether a table of these rows would have nothing but dashes."""
    return all(row.verdict in (Verdict.FAILED, Verdict.NOT_MEASURED) for row in rows)


def untold(run: Run, rows: Sequence[CellRow]) -> list[Problem]:
    """The problems that are no such reason; `rows` are those of all cells."""
    arms = len(run.header.plan.arms)
    failed = [index for index in range(len(run.header.plan.cells)) if _failed(rows[index * arms : (index + 1) * arms])]
    return [problem for problem in run.problems if not any(_is_about(run, problem, index) for index in failed)]


def message(problem: Problem) -> str:
    """What the problem says, on one line and not too long."""
    text = clean(problem.message)
    return text if len(text) <= MAX_MESSAGE else text[: MAX_MESSAGE - 1] + "…"


def _failed(rows: Sequence[CellRow]) -> bool:
    return bool(rows) and all(row.verdict is Verdict.FAILED for row in rows)


def _is_about(run: Run, problem: Problem, index: int) -> bool:
    """Whether the problem is about this cell, by its number or as one of its scenario."""
    cell = run.header.plan.cells[index]
    return problem.cell == index if problem.cell is not None else problem.scenario == cell.scenario


def _failure(arms: Sequence[str], everybody: Sequence[str]) -> str:
    if len(everybody) > 1 and set(arms) == set(everybody):
        return "No driver could be measured"
    return f"{listed(arms)} could not be measured"
