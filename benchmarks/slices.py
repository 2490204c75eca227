"""The edges of a slice: the slow first operations, and the end, where fewer sessions are busy.

    python benchmarks/slices.py                        three minutes; the tables of docs/evidence.md
    python benchmarks/slices.py --idle sleep --first   the first of them, as CPUs are by themselves
    python benchmarks/slices.py --placement shared --first

All results are ratios within this run: slices of each length are compared with long slices of the same worker that ran
at about the same time, in random order.
"""

import argparse
import random
import statistics
from array import array
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Final, get_args

import msgspec
from rich.console import Console

from dbbench import catalog, messages
from dbbench.child import WorkerProcess
from dbbench.choices import IdleMode, PlacementMode
from dbbench.drivers import DEFAULT
from dbbench.engine import idle, placement
from dbbench.messages import Done, Ran, RunSlice, Start, Started
from dbbench.plan import Cell, Connections, Pool
from dbbench.result_file import new_id
from dbbench.server.embedded import embedded_server
from dbbench.server.schemas import application
from dbbench.server.target import connected

LIMIT_NS: Final = 10**11
PATIENCE_S: Final = 120.0
PARAMS: Final = {"rows": 10_000, "document_bytes": 200}
POSITIONS: Final = ((0, 1), (1, 2), (2, 4), (4, 6), (6, 8), (8, 10), (10, 15), (15, 25))
PER_CONNECTION: Final = (5, 10, 20)
LONG: Final = 60
ROUNDS: Final = 15


@contextmanager
def opened(scenario: str, sessions: int, asked: argparse.Namespace) -> Iterator[dict[str, WorkerProcess]]:
    """A warm worker for each driver, with an open cell."""
    place = idle.choose(asked.idle, placement.choose(asked.placement, embedded=True, local=True), local=True)
    path = catalog.builtin()[scenario]
    run_id = new_id()
    with (
        ExitStack() as stack,
        embedded_server(cpus=place.server_cpus, max_connections=100) as server,
        connected(server.address, run_id) as target,
        idle.awake(place.awake_cpus or ()),
    ):
        start = Start("", server.address, application(run_id), Connections(), place.client_cpus)
        schema = target.create_schema(0)
        workers = {}
        for name in ("psycopg-sync", *DEFAULT):
            worker = stack.enter_context(WorkerProcess(name, msgspec.structs.replace(start, driver=name)))
            worker.reply(Started, PATIENCE_S)
            workers[name] = worker
        tables = workers.pop("psycopg-sync")
        tables.ask(messages.Prepare(str(path), schema, PARAMS), Done, PATIENCE_S)
        tables.ask(messages.Tidy([schema], checkpoint=True), Done, PATIENCE_S)
        cell = Cell(scenario, "orm", sessions, PARAMS, str(path))
        for worker in workers.values():
            worker.ask(messages.Open(cell, schema), Done, PATIENCE_S)
            worker.ask(RunSlice(20 * min(sessions, Pool().capacity), "warm", LIMIT_NS, freeze=True), Ran, PATIENCE_S)
        yield workers


def first_operations(asked: argparse.Namespace) -> Iterator[list[str]]:
    """Latency by position in a slice, relative to operations 25 to 100, when drivers take turns."""
    with opened("point_reads", 1, asked) as workers:
        latencies: dict[str, list[array[int]]] = {name: [] for name in workers}
        for round_ in range(ROUNDS):
            for name in random.sample(list(workers), len(workers)):
                ran = workers[name].ask(RunSlice(100, f"{round_}", LIMIT_NS), Ran, PATIENCE_S)
                latencies[name].append(array("q", ran.latencies))
    for name, slices in latencies.items():
        usual = statistics.median(part for each in slices for part in each[25:])
        ratios = [
            statistics.median(part for each in slices for part in each[low:high]) / usual for low, high in POSITIONS
        ]
        yield [name, *(f"{ratio:.2f}" for ratio in ratios)]


def ends_of_slices(sessions: int, asked: argparse.Namespace) -> Iterator[list[str]]:
    """Time per operation by length of slice, relative to long slices."""
    connections = min(sessions, Pool().capacity)
    with opened("concurrent_sessions", sessions, asked) as workers:
        times: dict[tuple[str, int], list[float]] = {
            (name, length): [] for name in workers for length in (*PER_CONNECTION, LONG)
        }
        for round_ in range(ROUNDS):
            for name, length in random.sample(list(times), len(times)):
                request = RunSlice(length * connections, f"{round_}", LIMIT_NS, lead_in=10)
                ran = workers[name].ask(request, Ran, PATIENCE_S)
                times[name, length].append(ran.usage.elapsed_ns / (length * connections))
    for name in workers:
        long = times[name, LONG]
        ratios = [
            statistics.median(short / each for short, each in zip(times[name, length], long, strict=True))
            for length in PER_CONNECTION
        ]
        yield [name, str(sessions), *(f"{ratio:.2f}" for ratio in ratios)]


def main() -> None:
    """Print both tables as Markdown."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--placement", choices=get_args(PlacementMode))
    parser.add_argument("--idle", choices=get_args(IdleMode))
    parser.add_argument("--first", action="store_true", help="only the first table")
    asked = parser.parse_args()
    console = Console(width=120)
    columns = [f"{low + 1} to {high}" if high > low + 1 else f"{high}" for low, high in POSITIONS]
    markdown(console, ["driver", *columns], first_operations(asked))
    if asked.first:
        return
    rows = [row for sessions in (15, 50) for row in ends_of_slices(sessions, asked)]
    markdown(console, ["driver", "sessions", *(f"{length} per connection" for length in PER_CONNECTION)], rows)


def markdown(console: Console, head: list[str], rows: Iterable[list[str]]) -> None:
    """Print a table as Markdown."""
    console.print(f"| {' | '.join(head)} |")
    console.print(f"|{'|'.join(['---'] * len(head))}|")
    for row in rows:
        console.print(f"| {' | '.join(row)} |", highlight=False)
    console.print()


if __name__ == "__main__":
    main()
