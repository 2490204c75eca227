"""pyperf's suites: for `python -m pyperf stats`, `hist` and `compare_to`.

One pyperf.Run per block (a block is a fresh process, which is what pyperf means by a run), its values the seconds per
operation of the slices. pyperf pools all values in a t test; its "significant" is not dbbench's verdict.
"""

import io
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from statistics import median_low
from typing import Any, Final, NamedTuple

import pyperf

from dbbench.analysis.analysis import Analysis
from dbbench.analysis.ratios import time_per_operation
from dbbench.analysis.rows import NS_PER_S, params_text
from dbbench.errors import UsageError, nearest
from dbbench.plan import Cell
from dbbench.records import Run
from dbbench.reports.run.folder import is_folder, safe

Metadata = dict[str, str | int | float | list[str]]

# Nobody needs to know who measured; and what these keys say of pyperf's own runs is not true of ours.
_PRIVATE: Final = ("host", "user", "login", "executable", "path", "home", "directory")
_PYPERFS_OWN: Final = ("loops", "calibrate", "warmup", "duration", "command", "mem_", "tags", "unit", "name")


class Block(NamedTuple):
    """What one arm did in one block of a cell."""

    number: int
    seconds: list[float]  # per operation, of each slice
    operations: int  # of a typical slice


def files(analysis: Analysis, output: Path | None, driver: str | None = None) -> Iterator[tuple[Path | None, str]]:
    """Write all arms as one suite, for `compare_to` with that of another run; in a folder, a suite for each arm.

    `driver` leaves the others out. Raises UsageError for one that was not in the run.
    """
    run = analysis.run
    arms = [arm.name for arm in run.header.plan.arms]
    if driver is not None:
        if driver not in arms:
            raise UsageError(f"no driver {driver!r} in this run; {nearest(driver, arms)}")
        yield output / f"{safe(driver)}.json" if output and is_folder(output) else output, text(suite(run, driver))
    elif output is not None and is_folder(output):
        names = [safe(arm) for arm in arms]
        for number, (name, arm) in enumerate(zip(names, arms, strict=True)):
            yield output / f"{name if names.count(name) == 1 else f'{name}-{number}'}.json", text(suite(run, arm))
    else:
        yield output, text(suite(run, None))


def text(suite: Any) -> str:
    """Write a pyperf.BenchmarkSuite as the JSON that pyperf reads."""
    file = io.StringIO()
    suite.dump(file)
    return file.getvalue()


def suite(run: Run, arm: str | None) -> Any:
    """Make the pyperf.BenchmarkSuite of one arm, or of all; two arms' suites name their benchmarks alike."""
    plan = run.header.plan
    names = [known.name for known in plan.arms]
    if arm is not None and arm not in names:
        raise UsageError(f"{arm} was not part of this run, which has {', '.join(names)}")
    labels = _labels(plan.cells)
    environment = _environment(run)
    benchmarks = []
    for cell, label in enumerate(labels):
        for driver, blocks in _blocks(run, cell).items():
            if arm in (None, driver):
                name = label if arm else f"{label}/{driver}"
                tag = plan.cells[cell].layer if arm else driver  # compare_to prints one table per tag
                facts = environment | _driver(run, driver) | {"name": name, "unit": "second", "tags": [tag]}
                benchmarks.append(pyperf.Benchmark([_run(block, facts) for block in blocks]))
    if not benchmarks:
        raise UsageError(f"there is nothing to export: {arm or 'no driver'} has no operation that succeeded")
    return pyperf.BenchmarkSuite(benchmarks)


def _blocks(run: Run, cell: int) -> dict[str, list[Block]]:
    """The blocks of each arm that has any, in the plan's order.

    Arms get equally many values, those of the rounds that all of them finished: compare_to calls any two benchmarks
    of unequal length significantly different. Where the arms have no round in common, each keeps its own.
    """
    times: dict[str, dict[tuple[int, int], float]] = {arm.name: {} for arm in run.header.plan.arms}
    operations: dict[tuple[str, int], list[int]] = {}
    for measurement in run.measurements:
        if measurement.cell == cell:
            for round_, ns in time_per_operation(measurement, paced=run.header.plan.paced).items():
                times[measurement.arm][measurement.block, round_] = ns
            operations[measurement.arm, measurement.block] = [part.usage.operations for part in measurement.slices]

    measured = {arm: of_arm for arm, of_arm in times.items() if of_arm}
    shared = set.intersection(*(set(of_arm) for of_arm in measured.values())) if measured else set()
    blocks = {}
    for arm, of_arm in measured.items():
        kept = sorted(shared or of_arm)
        blocks[arm] = [
            Block(
                number,
                [of_arm[place] / NS_PER_S for place in kept if place[0] == number],
                max(1, median_low(operations[arm, number])),
            )
            for number in sorted({block for block, _ in kept})
        ]
    return blocks


def _run(block: Block, facts: Metadata) -> Any:
    # A value times the loops is about how long a slice took, by which pyperf judges whether it is long enough.
    metadata = facts | {"loops": block.operations, "dbbench_block": block.number}
    return pyperf.Run(block.seconds, metadata=metadata, collect_metadata=False)


def _driver(run: Run, driver: str) -> Metadata:
    facts = {f"driver_{key}".replace(" ", "_"): fact for key, fact in run.header.drivers.get(driver, {}).items()}
    return _accepted(facts | {"dbbench_driver": driver})


def _labels(cells: Sequence[Cell]) -> list[str]:
    """Names of cells: with parameters only where two would be named alike, with numbers where all else fails."""
    names = [f"{cell.scenario}[{cell.layer},sessions={cell.sessions}]" for cell in cells]
    more = [params_text(cell).replace(" ", ",") for cell in cells]
    names = [_distinct(names, index, detail) for index, detail in enumerate(more)]
    return [_distinct(names, index, f"cell={index}") for index in range(len(cells))]


def _distinct(names: Sequence[str], index: int, detail: str) -> str:
    name = names[index]
    return name if names.count(name) == 1 else f"{name[:-1]},{detail}]"


def _environment(run: Run) -> Metadata:
    """What is known about the machine and the run, the same for all benchmarks."""
    header = run.header
    machine = {
        key: value
        for key, value in _mapping(header.environment.get("machine")).items()
        if not any(word in key.lower() for word in _PRIVATE) and not key.startswith(_PYPERFS_OWN)
    }
    packages = {f"{key}_version": value for key, value in _mapping(header.environment.get("packages")).items()}
    ours = {
        "date": _date(header.started),
        "dbbench_version": header.dbbench,
        "dbbench_run": header.id,
        "dbbench_seed": header.plan.seed,
        "dbbench_placement": header.plan.placement.mode,
        "dbbench_tx_end": header.plan.shared.tx_end,
        "postgresql_version": header.server.get("version"),
    }
    return _accepted(machine) | _accepted(packages) | _accepted(ours)


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _date(started: str) -> str:
    """The time as pyperf writes it; empty for what is no time, because pyperf would fail on it later."""
    try:
        return datetime.fromisoformat(started).replace(tzinfo=None).isoformat(sep=" ")
    except ValueError:
        return ""


def _accepted(metadata: dict[str, Any]) -> Metadata:
    """Keep what pyperf takes: it wants numbers and one-line texts, and some keys have rules of their own."""
    accepted: Metadata = {}
    for key, value in metadata.items():
        try:
            pyperf.Run([1.0], metadata={key: value}, collect_metadata=False)
        except (ValueError, TypeError):
            continue
        accepted[key] = value
    return accepted
