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
after a second. For every side: medians, and the shares of the time that lie inside slices and in warm-up. The blocks of
all sides are judged by this version's statistics.
"""

import argparse
import json
import math
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, ExitStack, suppress
from dataclasses import dataclass, field, replace
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any, Final, Self

import msgspec
from rich.console import Console
from rich.table import Table

from dbbench import catalog, result_file
from dbbench.analysis.ratios import log_ratios
from dbbench.catalog import DEFAULT as SCENARIOS
from dbbench.cli.progress import watcher
from dbbench.engine.blocks import Blocks
from dbbench.engine.opening import opened
from dbbench.engine.options import Options
from dbbench.engine.setup import SetUp
from dbbench.engine.workers import Workers
from dbbench.plan import Effort, Plan
from dbbench.records import Measurement
from dbbench.stats.centre import Block
from dbbench.stats.paired import ERROR, Judgement, block_error, half_width, judge, median_interval

AGAIN: Final = ("", " again", " once more")


# --- one side, in a process of its own -------------------------------------------------------------------------------


def thrice(plan: Plan, rounds: int) -> Plan:
    """The plan with three arms that are all the same."""
    (arm,) = plan.arms
    arms = [msgspec.structs.replace(arm, name=f"{arm.name}{again}") for again in AGAIN]
    effort = msgspec.structs.replace(plan.effort, rounds=rounds or None)
    rounds_of_cells = [rounds] * len(plan.cells) if rounds else plan.rounds
    return msgspec.structs.replace(plan, arms=arms, rounds=rounds_of_cells, effort=effort, early_end=False)


def side(driver: str, seconds: float, settings: dict[str, str], seed: int) -> None:
    """Measure one block for every line of stdin, and print a line of JSON after each."""
    idle_mode, rounds = settings.pop("idle", ""), int(settings.pop("rounds", 0))
    for name, value in settings.items():
        module, _, constant = name.partition(".")
        setattr(import_module(f"dbbench.engine.{module}"), constant, type_of(module, constant)(value))
    keep_awake = awakener(idle_mode)
    of_this_version: dict[str, Any] = {"idle": "sleep"} if keep_awake else {}
    asked = Options(
        scenarios=[catalog.builtin()[name] for name in SCENARIOS], drivers=[driver], baseline=driver,
        effort=Effort(budget_s=seconds, seed=seed), **of_this_version,
    )  # fmt: skip
    planning: Any = import_module("dbbench.engine.planning")
    if usual := getattr(planning, "rounds_for", None):  # of older versions: rounds as for three drivers
        planning.rounds_for = lambda cells, _arms, *others: usual(cells, len(AGAIN), *others)
    with (
        ExitStack() as awake,
        watcher(quiet=True) as watch,
        opened(asked, result_file.new_id(), watch, partial(thrice, rounds=rounds)) as found,
    ):
        made = SetUp(found.workers, watch.say, watch.note)
        with ExitStack() as stack:
            found.workers.start("set-up", stack)
            for problem in made.run(found.described, stack):
                raise SystemExit(problem.message)
        workers = replace(found.workers, plan=settled(found.workers.plan, made.costs()))
        turns = Turns(Blocks(workers, made.shapes, watch.say), awake, keep_awake)
        turns.take()


def settled(plan: Plan, costs: Sequence[Any]) -> Plan:
    """The plan with rounds by what its cells cost; older versions have chosen them before."""
    try:
        rounds: Any = import_module("dbbench.engine.rounds")
    except ImportError:
        return plan
    return rounds.settled(plan, costs)  # type: ignore[no-any-return]


def awakener(mode: str) -> Callable[[], AbstractContextManager[None]] | None:
    """What keeps CPUs awake, as a run with this `--idle` would; None in a version that does not."""
    try:
        idle: Any = import_module("dbbench.engine.idle")
    except ImportError:
        return None
    place = import_module("dbbench.engine.placement").choose(None, embedded=True, local=True)
    cpus = idle.choose(mode or None, place, local=True).awake_cpus or []
    return partial(idle.awake, cpus)


@dataclass
class Turns:
    """A side's blocks, one for every turn; in those of others its workers wait, and its CPUs may sleep."""

    bench: Blocks
    awake: ExitStack
    keep_awake: Callable[[], AbstractContextManager[None]] | None
    warm_up_s: float = 0.0  # in this turn
    before_s: float = 0.0  # measured before this turn

    def take(self) -> None:
        """Measure until the time is up or nobody says go."""
        usual = Workers.warm_up

        def timed(*arguments: Any, **options: Any) -> Any:
            began = time.monotonic()
            try:
                return usual(*arguments, **options)
            finally:
                self.warm_up_s += time.monotonic() - began

        Workers.warm_up = timed  # type: ignore[method-assign]
        self.bench.look = self._end  # type: ignore[assignment]
        if self._begin():
            with suppress(EOFError):
                for _ in self.bench.blocks():
                    pass

    def _begin(self) -> bool:
        """Wait for a turn; gives whether there is one."""
        began_ns = time.perf_counter_ns()
        go = sys.stdin.readline().strip() == "go"
        if go and self.keep_awake:
            self.awake.enter_context(self.keep_awake())
        self.bench._began_ns += time.perf_counter_ns() - began_ns  # noqa: SLF001 - others had their turn
        self.warm_up_s, self.before_s = 0.0, self.bench.measured_s
        return go

    def _end(self, plan: Plan, measured: list[Measurement]) -> set[int]:
        """Tell of the block that has ended, and wait for the next turn."""
        block = [each for each in measured if each.block == measured[-1].block]
        logs, errors = log_ratios(plan, block), log_ratios(plan, block, None, block_error)
        told = {
            "rows": [f"{plan.cells[cell].label}, {arm}" for cell, arm in logs],
            "cells": len(plan.cells),
            "seconds": self.bench.measured_s - self.before_s,
            "inside_s": sum(part.usage.elapsed_ns for each in block for part in each.slices) / 1e9,
            "warm_up_s": self.warm_up_s,
            "blocks": [(logs[key][-1], errors[key][-1] or 0.0) for key in logs],
        }
        print(json.dumps(told), flush=True)
        self.awake.close()
        if not self._begin():
            raise EOFError
        return set()


def type_of(module: str, constant: str) -> type:
    """The type of a constant of the engine."""
    return type(getattr(import_module(f"dbbench.engine.{module}"), constant))


# --- all sides -------------------------------------------------------------------------------------------------------


@dataclass
class Side:
    """A side: its process, and what it has told of its blocks."""

    name: str
    process: subprocess.Popen[str]
    told: list[dict[str, Any]] = field(default_factory=list)

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
                env={**os.environ, "PYTHONPATH": folder or str(Path(__file__).parent.parent)},
            ),
        )  # fmt: skip

    def turn(self) -> bool:
        """Have it measure a block; gives whether it has had time for one."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        with suppress(BrokenPipeError):
            print("go", file=self.process.stdin, flush=True)
        if line := self.process.stdout.readline():
            self.told.append(json.loads(line))
            return True
        if self.process.wait() or not self.told:
            raise SystemExit(f"{self.name}: ended with {self.process.returncode}")
        return False

    def blocks(self, row: int) -> list[Block | None]:
        """The blocks of a row."""
        return [None if log is None else Block(log, error) for log, error in (one["blocks"][row] for one in self.told)]

    @property
    def rows(self) -> list[str]:
        """The names of the rows."""
        return list(self.told[0]["rows"])

    def judged(self) -> list[Judgement]:
        """The judgement on all rows."""
        return judge([self.blocks(row) for row in range(len(self.rows))], ERROR, len(self.rows))

    def error_of(self, row: int) -> float:
        """The error of a row after a second of measuring its cell."""
        return self._rms([block.log_ratio for block in self.blocks(row) if block]) * math.sqrt(self.cell_s)

    def error_of_block(self, number: int) -> float:
        """The error of one block over all rows, after a second of measuring a cell."""
        one = self.told[number]
        return self._rms([log for log, _ in one["blocks"] if log is not None]) * math.sqrt(
            one["seconds"] / one["cells"]
        )

    @staticmethod
    def _rms(values: Sequence[float]) -> float:
        return math.sqrt(sum(value * value for value in values) / len(values))

    @property
    def cell_s(self) -> float:
        """The seconds that a cell takes in a block, its share of what the block needs besides included."""
        return self._total("seconds") / len(self.told) / int(self.told[0]["cells"])

    def share(self, what: str) -> float:
        """The share of the time that something took."""
        return self._total(what) / self._total("seconds")

    def _total(self, what: str) -> float:
        return sum(float(one[what]) for one in self.told)


def rows(side: Side) -> Table:
    """The rows of a side."""
    table = Table("row", "ratio", "half-width", "holds 1", "error x sqrt(s)", box=None, title=side.name)
    for number, (name, one) in enumerate(zip(side.rows, side.judged(), strict=True)):
        holds = "-" if one.interval is None else "yes" if one.interval[0] <= 1 <= one.interval[1] else "NO"
        table.add_row(name, f"{one.ratio:.3f}", _width(one), holds, f"{side.error_of(number):.2%}")
    return table


def _width(one: Judgement) -> str:
    return f"{half_width(one.ratio, one.interval):.1%}" if one.interval else "-"


def summary(sides: list[Side]) -> Table:
    """A line for every side, each compared with the first."""
    table = Table(
        "side", "blocks", "s each", "inside slices", "warm-up", "half-width: median", "worst", "error x sqrt(s)",
        "vs first", box=None,
    )  # fmt: skip
    for side in sides:
        judged = sorted(
            side.judged(), key=lambda one: half_width(one.ratio, one.interval) if one.interval else math.inf
        )
        errors = [side.error_of(row) for row in range(len(judged))]
        table.add_row(
            side.name, f"{len(side.told)}", f"{side.cell_s * side.told[0]['cells']:.1f}",
            f"{side.share('inside_s'):.0%}", f"{side.share('warm_up_s'):.0%}",
            _width(judged[len(judged) // 2]), _width(judged[-1]),
            f"{statistics.median(errors):.2%}", against(side, sides[0]),
        )  # fmt: skip
    return table


def against(side: Side, first: Side) -> str:
    """How many times the error of the first side it has, with the 95% interval between order statistics of blocks."""
    if side is first:
        return ""
    both = range(min(len(side.told), len(first.told)))
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
    console = Console(width=160)
    for each in sides:
        console.print(rows(each))
    console.print(summary(sides))


if __name__ == "__main__":
    main()
