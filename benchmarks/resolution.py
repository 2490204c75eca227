"""How finely a run can tell drivers apart: the default table with three identical arms, so that every ratio is 1.

    python benchmarks/resolution.py                                            two minutes, psycopg against itself
    python benchmarks/resolution.py --driver asyncpg --seconds 60
    python benchmarks/resolution.py --side awake:idle=awake --side asleep:idle=sleep
    python benchmarks/resolution.py --side new: --side thick:setup.SLICE_NS=25000000,setup.LEAD_IN_OPERATIONS=10
    python benchmarks/resolution.py --side new: --side old@CHECKOUT:           another version of dbbench, in a folder

Several sides take turns block by block, each with a server and workers of its own, for so many seconds each; so a
change is judged like a driver. A side's settings are `idle`, `rounds`, or constants of dbbench.engine's modules.

For every row: the half-width of its interval, which holds for the whole table at once, whether it holds 1, and the
error of a block times the root of the seconds that a cell takes in a block, set-up included: what the error would be
after a second. For every side: medians, and the share of the time that lies inside slices.
"""

import argparse
import json
import math
import statistics
import subprocess
import sys
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any, Final, Self

import msgspec
from rich.console import Console
from rich.table import Table

from dbbench import catalog, result_file
from dbbench.analysis.ratios import blocks, family, log_ratios
from dbbench.catalog import DEFAULT as SCENARIOS
from dbbench.cli.progress import watcher
from dbbench.engine.blocks import Blocks
from dbbench.engine.opening import opened
from dbbench.engine.options import Options
from dbbench.engine.setup import SetUp
from dbbench.plan import Effort, Plan
from dbbench.records import Measurement
from dbbench.stats.paired import half_width
from dbbench.stats.sequential import judgements

AGAIN: Final = ("", " again", " once more")


# --- one side, in a process of its own -------------------------------------------------------------------------------


def thrice(plan: Plan, rounds: int) -> Plan:
    """The plan with three arms that are all the same."""
    (arm,) = plan.arms
    arms = [msgspec.structs.replace(arm, name=f"{arm.name}{again}") for again in AGAIN]
    return msgspec.structs.replace(
        plan, arms=arms, rounds=[rounds] * len(plan.cells) if rounds else plan.rounds, early_end=False
    )


def side(driver: str, seconds: float, settings: dict[str, str], seed: int) -> None:
    """Measure one block for every line of stdin, and print a line of JSON after each; at its end, the judgement."""
    idle, rounds = settings.pop("idle", ""), int(settings.pop("rounds", 0))
    for name, value in settings.items():
        module, _, constant = name.partition(".")
        setattr(import_module(f"dbbench.engine.{module}"), constant, type_of(module, constant)(value))
    with ExitStack() as stack:
        take_turns(driver, seconds, seed, rounds, stack, idle)


def take_turns(driver: str, seconds: float, seed: int, rounds: int, whole: ExitStack, mode: str) -> None:
    """See side(): `mode` is that of idle CPUs, which are kept awake in the side's own turns only."""
    turn_of = ExitStack()
    whole.callback(turn_of.close)
    try:
        idle: Any = import_module("dbbench.engine.idle")
    except ImportError:  # an older version
        options: dict[str, Any] = {}
        cpus: list[int] = []
    else:
        options = {"idle": "sleep"}
        place = import_module("dbbench.engine.placement").choose(None, embedded=True, local=True)
        cpus = idle.choose(mode or None, place, local=True).awake_cpus or []

    def begin() -> None:
        if cpus:
            turn_of.enter_context(idle.awake(cpus))

    # Rounds as for three drivers, which is what a run of this budget has.
    asked = Options(
        scenarios=[catalog.builtin()[name] for name in SCENARIOS], drivers=[driver], baseline=driver,
        effort=Effort(budget_s=seconds, seed=seed), **options,
    )  # fmt: skip
    arms = len(AGAIN)
    planning: Any = import_module("dbbench.engine.planning")
    usual = planning.rounds_for
    planning.rounds_for = lambda cells, _arms, *others: usual(cells, arms, *others)
    with (
        watcher(quiet=True) as watch,
        opened(asked, result_file.new_id(), watch, partial(thrice, rounds=rounds)) as found,
    ):
        made = SetUp(found.workers, watch.say, watch.note)
        with ExitStack() as stack:
            found.workers.start("set-up", stack)
            for problem in made.run(found.described, stack):
                raise SystemExit(problem.message)
        bench = Blocks(found.workers, made.shapes, watch.say)
        told: dict[str, float] = {"measured_s": 0.0}

        def turn(plan: Plan, measured: list[Measurement]) -> set[int]:
            """Tell of the block that has ended, and wait for the next."""
            last = max(each.block for each in measured)
            block = [each for each in measured if each.block == last]
            table = log_ratios(plan, block)
            print(
                json.dumps(
                    {
                        "seconds": bench.measured_s - told["measured_s"],
                        "inside_s": sum(part.usage.elapsed_ns for each in block for part in each.slices) / 1e9,
                        "logs": [row[-1] for row in table.values()],
                    }
                ),
                flush=True,
            )
            turn_of.close()
            waiting = bench.workers.site.clock_ns()
            if sys.stdin.readline().strip() != "go":
                raise EOFError
            begin()
            bench._began_ns += bench.workers.site.clock_ns() - waiting  # noqa: SLF001 - others had their turn
            told["measured_s"] = bench.measured_s
            return set()

        bench.look = turn  # type: ignore[assignment]
        sys.stdin.readline()
        begin()
        try:
            for _ in bench.blocks():
                pass
        except EOFError:
            pass
        plan = found.workers.plan
        judged = judgements(blocks(plan, bench.measured), family(plan), adaptive=True, precision=None)
        print(
            json.dumps(
                {
                    "rows": [f"{plan.cells[cell].label}, {arm}" for cell, arm in judged],
                    "cells": len(plan.cells),
                    "judged": [(one.ratio, one.interval) for one in judged.values()],
                }
            ),
            flush=True,
        )


def type_of(module: str, constant: str) -> type:
    """The type of a constant of the engine."""
    return type(getattr(import_module(f"dbbench.engine.{module}"), constant))


# --- all sides -------------------------------------------------------------------------------------------------------


@dataclass
class Side:
    """A side: its process, and what it has told."""

    name: str
    process: subprocess.Popen[str]
    blocks: list[dict[str, Any]] = field(default_factory=list)
    end: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def start(cls, text: str, driver: str, seconds: float, seed: int) -> Self:
        """Start the side that the command line describes: NAME[@FOLDER]:SETTING=VALUE,..."""
        head, _, settings = text.partition(":")
        name, _, folder = head.partition("@")
        return cls(
            name,
            subprocess.Popen(
                [sys.executable, "-P", __file__, "--driver", driver, "--seconds", f"{seconds}", "--seed", f"{seed}",
                 "--as-side", settings],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                env={**import_module("os").environ, "PYTHONPATH": folder or str(Path(__file__).parent.parent)},
            ),
        )  # fmt: skip

    def turn(self) -> bool:
        """Have it measure a block; gives whether it has time for more."""
        self._say("go")
        told = json.loads(self._read())
        if "rows" in told:
            self.end = told
            return False
        self.blocks.append(told)
        return True

    def finish(self) -> None:
        """Have it end, and keep its judgement."""
        if not self.end:
            self._say("end")
            self.end = json.loads(self._read())
        self.process.wait()

    def _say(self, word: str) -> None:
        assert self.process.stdin is not None
        print(word, file=self.process.stdin, flush=True)

    def _read(self) -> str:
        assert self.process.stdout is not None
        if not (line := self.process.stdout.readline()):
            raise SystemExit(f"{self.name}: ended with {self.process.wait()}")
        return line

    def error_of(self, row: int) -> float:
        """The error of a row after a second of measuring its cell."""
        logs = [block["logs"][row] for block in self.blocks if block["logs"][row] is not None]
        return math.sqrt(sum(each * each for each in logs) / len(logs)) * math.sqrt(self.cell_s)

    @property
    def cell_s(self) -> float:
        """The seconds that a cell takes in a block, its share of what the block needs besides included."""
        return statistics.mean(float(block["seconds"]) for block in self.blocks) / int(self.end["cells"])

    @property
    def inside(self) -> float:
        """The share of the time that lies inside slices."""
        inside_s, seconds = (sum(float(block[name]) for block in self.blocks) for name in ("inside_s", "seconds"))
        return inside_s / seconds

    def error_of_block(self, number: int) -> float:
        """The error of one block over all rows, after a second of measuring a cell."""
        block = self.blocks[number]
        logs = [each for each in block["logs"] if each is not None]
        return math.sqrt(sum(each * each for each in logs) / len(logs) * block["seconds"] / int(self.end["cells"]))


def rows(side: Side) -> Table:
    """The rows of a side."""
    table = Table("row", "ratio", "half-width", "holds 1", "error x sqrt(s)", box=None, title=side.name)
    for number, (name, (ratio, interval)) in enumerate(zip(side.end["rows"], side.end["judged"], strict=True)):
        wide = f"{half_width(ratio, interval):.1%}" if interval else "-"
        holds = "-" if not interval else "yes" if interval[0] <= 1 <= interval[1] else "NO"
        table.add_row(name, f"{ratio:.3f}", wide, holds, f"{side.error_of(number):.2%}")
    return table


def summary(sides: list[Side]) -> Table:
    """A line for every side, each compared with the first."""
    table = Table(
        "side", "blocks", "s each", "inside slices", "half-width: median", "worst", "error x sqrt(s)", "vs first",
        box=None,
    )  # fmt: skip
    for side in sides:
        widths = [half_width(ratio, interval) if interval else math.inf for ratio, interval in side.end["judged"]]
        errors = [side.error_of(row) for row in range(len(widths))]
        table.add_row(
            side.name, f"{len(side.blocks)}", f"{side.cell_s * side.end['cells']:.1f}", f"{side.inside:.0%}",
            f"{statistics.median(widths):.1%}", f"{max(widths):.1%}", f"{statistics.median(errors):.2%}",
            against(side, sides[0]),
        )  # fmt: skip
    return table


def against(side: Side, first: Side) -> str:
    """How many times the error of the first side it has, with the 95% interval between order statistics of blocks."""
    from dbbench.stats.paired import median_interval

    if side is first:
        return ""
    both = range(min(len(side.blocks), len(first.blocks)))
    logs = [math.log(side.error_of_block(at) / first.error_of_block(at)) for at in both]
    interval = median_interval(logs)
    ends = f" ({math.exp(interval[0]):.2f}-{math.exp(interval[1]):.2f})" if interval else ""
    return f"{math.exp(statistics.median(logs)):.2f}{ends}"


def main() -> None:
    """Measure what the command line asks for, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--driver", default="psycopg")
    parser.add_argument("--seconds", type=float, default=120.0, help="of measuring, for each side")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--side", action="append", help="NAME[@FOLDER]:SETTING=VALUE,...; repeatable")
    parser.add_argument("--as-side", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.as_side is not None:
        settings = dict(each.split("=", 1) for each in asked.as_side.split(",") if each)
        side(asked.driver, asked.seconds, settings, asked.seed)
        return
    sides = [Side.start(text, asked.driver, asked.seconds, asked.seed) for text in asked.side or ["now:"]]
    open_ = list(sides)
    while open_:
        open_ = [each for each in open_ if each.turn()]
    for each in sides:
        each.finish()
    console = Console(width=160)
    for each in sides:
        console.print(rows(each))
    console.print(summary(sides))


if __name__ == "__main__":
    main()
