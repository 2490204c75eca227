"""Whole runs on a scripted machine, from options to what is printed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from builders import options_with
from engine.scripted import ScriptedMachine

from dbbench import result_file
from dbbench.analysis.analysis import analyse
from dbbench.analysis.rows import CellRow
from dbbench.commands.recording import Ended
from dbbench.commands.run import DRIVERS_COMPARED, Purpose, execute
from dbbench.engine.options import Options
from dbbench.plan import Effort
from dbbench.records import Measurement, Run


@dataclass
class Listener:
    """Keeps what a watcher is told."""

    announced: list[str] = field(default_factory=list)  # before the set-up
    stages: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    fractions: list[float] = field(default_factory=list)
    left_s: list[float | None] = field(default_factory=list)

    def say(self, what: str) -> None:
        self.stages.append(what)

    def advance(self, fraction: float, left_s: float | None) -> None:
        self.fractions.append(fraction)
        self.left_s.append(left_s)

    def problem(self, text: str) -> None:
        self.problems.append(text)

    def note(self, text: str) -> None:
        if text.startswith("set-up of "):
            self.announced.append(text)
        elif not text.startswith("another dbbench run"):  # somebody may really be measuring while the tests run
            self.notes.append(text)


@dataclass
class Measured:
    """A run that is over."""

    run: Run
    rows: list[CellRow]
    ended: Ended
    listener: Listener
    machine: ScriptedMachine

    @property
    def ratios(self) -> dict[str, float | None]:
        """Arm -> its ratio in the first cell."""
        return {row.driver: row.ratio for row in self.rows if row.scenario == self.run.header.plan.cells[0].scenario}

    @property
    def blocks(self) -> list[int]:
        """Blocks that were measured, by cell."""
        plan = self.run.header.plan
        return [len({each.block for each in self.of_cell(index)}) for index in range(len(plan.cells))]

    def of_cell(self, index: int) -> list[Measurement]:
        """What was measured in a cell."""
        return [each for each in self.run.measurements if each.cell == index]


def options(folder: Path, *names: str, **changes: object) -> Options:
    """Two drivers, one block of three rounds, unless something else is said."""
    made = Options(
        scenarios=[folder / f"{name}.py" for name in names],
        drivers=["psycopg", "asyncpg"],
        effort=Effort(blocks=1, rounds=3, seed=1),
        output=folder / "run.jsonl",
    )
    return options_with(made, **changes)


def measured(given: Options, purpose: Purpose = DRIVERS_COMPARED, machine: ScriptedMachine | None = None) -> Measured:
    """Run, and read the result file."""
    machine, listener = machine or ScriptedMachine(), Listener()
    ended = execute(given, listener, purpose, machine.site)
    run = result_file.read(ended.path)
    return Measured(run, analyse(run).rows, ended, listener, machine)


def order(run: Run) -> list[tuple[int, int, list[str]]]:
    """Block, cell, and the arms of its slices in the order in which they ran."""
    found: dict[tuple[int, int], dict[int, str]] = {}
    for each in run.measurements:
        places = found.setdefault((each.block, each.cell), {})
        places.update({part.position: each.arm for part in each.slices})
    return [(block, cell, [places[at] for at in sorted(places)]) for (block, cell), places in found.items()]


def operations(found: Sequence[CellRow]) -> Mapping[tuple[str, str], bool]:
    """Whether there is anything of a scenario and an arm."""
    return {(row.scenario, row.driver): row.operations > 0 for row in found}
