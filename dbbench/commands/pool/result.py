"""What a search for the smallest pool has found: plain data, and how it follows from the trials. Pure."""

import math
from collections.abc import Sequence
from typing import Literal

import msgspec

from dbbench.commands.capacity.result import left_out
from dbbench.commands.pool import search
from dbbench.plan import Cell
from dbbench.records import PoolSearch, PoolTrial, Run

Result = Literal["found", "never held", "unfinished", "failed", "not comparable"]


class Smallest(msgspec.Struct, frozen=True):
    """What is known of one driver. These fields, in this order, are the keys of a JSON driver."""

    driver: str
    outcome: Result
    size: int | None  # the smallest pool of each process that held: its connections
    wait_p99_us: float | None  # the longest of the trials that held there
    failed_size: int | None  # the next smaller one, which failed
    failed_wait_p99_us: float | None  # the longest of the trials that failed there; None: operations failed
    busy: float | None  # connections in use on average, of each process: Little's law
    processes: int
    backends: int | None  # that all processes together open
    pool_size: int | None  # a pool that keeps fewer and opens the rest when they are wanted
    max_overflow: int | None
    overflow_held: bool | None  # whether that held, too
    trials: list[PoolTrial]

    @property
    def little(self) -> int | None:
        """The connections of each process that are busy on average, rounded up."""
        return None if self.busy is None else max(1, math.ceil(self.busy))


class Pools(msgspec.Struct, frozen=True):
    """What a whole search has found, and under which conditions."""

    limit_us: float  # of the wait for a connection, its p99
    most: int  # the largest pool that was allowed
    cell: Cell
    run: Run  # without measurements: these are trials
    drivers: list[Smallest]


def pools(stored: PoolSearch) -> Pools:
    """What the trials of a result file say, however far the search came."""
    header = stored.header
    return Pools(
        limit_us=header.limit_us,
        most=header.most,
        cell=header.plan.cells[0],
        run=Run(header, [], stored.problems, stored.end, stored.warnings),
        drivers=[
            _smallest(stored, arm.name, arm.connections.processes, complete=stored.end is not None)
            for arm in header.plan.arms
        ],
    )


def tried(trials: Sequence[PoolTrial]) -> list[search.Tried]:
    """Give the trials of the search: those without overflow."""
    return [search.Tried(trial.size, trial.held) for trial in trials if not trial.overflow]


def _smallest(stored: PoolSearch, name: str, processes: int, *, complete: bool) -> Smallest:
    trials = [trial for trial in stored.trials if trial.arm == name]
    known = search.so_far(tried(trials))
    over = next((trial for trial in trials if trial.overflow), None)
    finished = complete and search.step(tried(trials), stored.header.most, 1) is None and bool(trials)
    outcome: Result = "unfinished" if not finished else "never held" if known.held is None else "found"
    at = [trial for trial in trials if trial.size == known.held and trial.held and not trial.overflow]
    below = [trial for trial in trials if trial.size == known.failed and not trial.held and not trial.overflow]
    return Smallest(
        driver=name,
        outcome=left_out(stored.problems, name) or outcome,
        size=known.held,
        wait_p99_us=max((trial.wait_p99_us for trial in at if trial.wait_p99_us is not None), default=None),
        failed_size=known.failed,
        failed_wait_p99_us=max((each.wait_p99_us for each in below if each.wait_p99_us is not None), default=None),
        busy=max((trial.busy for trial in at), default=None),
        processes=processes,
        backends=None if known.held is None else known.held * processes,
        pool_size=over.size if over else None,
        max_overflow=over.overflow if over else None,
        overflow_held=over.held if over else None,
        trials=trials,
    )
