"""Small runs made of plain values, for the tests of everything that reads one."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec

from dbbench.engine.options import Options
from dbbench.messages import Start
from dbbench.plan import Arm, Cell, Connections, Effort, Layer, Placement, Plan
from dbbench.records import Distribution, End, Header, Measurement, Problem, Run, Slice, Usage
from dbbench.result_file import SCHEMA
from dbbench.result_writer import Writer
from dbbench.stats.histogram import Histogram

DRIVERS = ("psycopg", "asyncpg", "psycopg2")
OPERATIONS = 40  # per slice


def cell(
    scenario: str = "point_reads",
    layer: Layer = "orm",
    sessions: int = 8,
    params: Mapping[str, Any] | None = None,
    rows: int | None = None,
) -> Cell:
    return Cell(scenario, layer, sessions, {"rows": 10_000} if params is None else dict(params), f"{scenario}.py", rows)


def plan(
    cells: Sequence[Cell] | None = None, arms: Sequence[str] = DRIVERS, *, rounds: int = 8, blocks: int | None = None
) -> Plan:
    return Plan(
        arms=[Arm(name, name) for name in arms],
        baseline=arms[0],
        cells=[cell()] if cells is None else list(cells),
        seed=7,
        rounds=[rounds] * (1 if cells is None else len(cells)),
        effort=Effort(budget_s=None if blocks else 60.0, blocks=blocks),
        placement=Placement("split", [0], [1]),
    )


def changed(plan: Plan, **changes: Any) -> Plan:
    """The plan with other values for fields of its own, of its load, its effort, or the connections of all arms."""
    return msgspec.structs.replace(
        plan, **_nested(plan, changes, connections=plan.shared, set_connections=_on_all_arms)
    )


def options_with(options: Options, **changes: Any) -> Options:
    """The options with other values for fields of their own, or of their connections, load or effort."""
    return replace(options, **_nested(options, changes, connections=options.connections))


def start_with(start: Start, **changes: Any) -> Start:
    """The first message with other values for fields of its own or of its connections."""
    own = {key: changes.pop(key) for key in Connections.__struct_fields__ if key in changes}
    connections = msgspec.structs.replace(start.connections, **own)
    return msgspec.structs.replace(start, connections=connections, **changes)


def _on_all_arms(plan: Plan, connections: Connections) -> dict[str, Any]:
    return {"arms": [msgspec.structs.replace(arm, connections=connections) for arm in plan.arms]}


def _nested(
    whole: Any,
    changes: dict[str, Any],
    connections: Connections,
    set_connections: Callable[[Any, Connections], dict[str, Any]] = lambda _, new: {"connections": new},
) -> dict[str, Any]:
    """The changes of the whole, with those that belong to a part of it as a new part."""
    made: dict[str, Any] = {}
    for name, part in (("connections", connections), ("load", whole.load), ("effort", whole.effort)):
        own = {key: changes.pop(key) for key in part.__struct_fields__ if key in changes and not hasattr(whole, key)}
        if own:
            new = msgspec.structs.replace(part, **own)
            made |= set_connections(whole, new) if name == "connections" else {name: new}
    return {**made, **changes}


def slice_of(
    position: int, round_: int, operations: int, errors: int, elapsed_ns: int, cpu_ns: int, *more: int, **others: int
) -> Slice:
    """A slice from what its worker counted, in the order of Usage's fields."""
    return Slice(position, round_, Usage(operations, errors, elapsed_ns, cpu_ns, *more, **others))


def with_usage(of: Slice, **changes: int) -> Slice:
    """The slice with other counts."""
    return msgspec.structs.replace(of, usage=msgspec.structs.replace(of.usage, **changes))


def header(of: Plan | None = None) -> Header:
    made = of or plan()
    return Header(
        schema=SCHEMA,
        id="3f9c2a",
        started="2026-11-23T03:15:00+00:00",
        dbbench="0.1.0",
        plan=made,
        environment={
            "machine": {"python_version": "3.11.7 (64-bit)", "cpu_count": 2, "platform": "Linux-6.8-x86_64"},
            "packages": {"psycopg": "3.3.9", "asyncpg": "0.32.0", "psycopg2-binary": "2.9.13", "sqlalchemy": "2.1.9"},
        },
        server={
            "version": "PostgreSQL 18.4 on x86_64-pc-linux-gnu, compiled by gcc",
            "transport": "unix socket",
            "tls": False,
            "settings": {"fsync": "on"},
        },
        drivers={arm.name: {"results": "binary" if arm.driver == "asyncpg" else "text"} for arm in made.arms},
    )


def measurement(
    arm: str,
    mean_us: float,
    *,
    block: int = 0,
    cell: int = 0,
    rounds: int = 8,
    errors: int = 0,
    operations: int = OPERATIONS,
) -> Measurement:
    """One session's worth: every operation takes between 80% and 138% of the mean, in fixed steps."""
    latencies = [
        int(mean_us * 1000 * (0.8 + 0.4 * (step % 20) / 19 + (0.18 if step % 20 == 19 else 0)))
        for step in range(rounds * operations)
    ]
    latency = Histogram()
    latency.record_all(latencies)
    return Measurement(
        block=block,
        cell=cell,
        arm=arm,
        slices=[
            slice_of(
                position=round_ * 3,
                round_=round_,
                operations=operations,
                errors=errors,
                # The machine drifts by 3% a round, for all arms alike: paired ratios must not see it.
                elapsed_ns=int(operations * mean_us * 1000 * 1.03**round_),
                cpu_ns=int(operations * mean_us * 600),
            )
            for round_ in range(rounds)
        ],
        latency=latency.counts,
        max_ns=max(latencies, default=0),
        sum_ns=sum(latencies),
        worker={"pid": 4000 + block, "position": 0, "hash_seed": 11},
    )


def measurements(
    means_us: Mapping[str, float], *, blocks: int = 12, cell: int = 0, noise: float = 0.01, errors: int = 0
) -> list[Measurement]:
    """All arms in one cell; from block to block each arm wobbles by up to `noise`, in a fixed pattern of its own."""
    return [
        measurement(
            arm, mean * (1 + noise * ((block * (5 + 2 * index)) % 11 - 5) / 5), block=block, cell=cell, errors=errors
        )
        for block in range(blocks)
        for index, (arm, mean) in enumerate(means_us.items())
    ]


def spread(mean_us: float, samples: int) -> Distribution:
    """As many samples, from 60% to 140% of the mean in fixed steps."""
    made = Histogram()
    made.record_all(int(mean_us * 1000 * (0.6 + 0.8 * step / max(1, samples - 1))) for step in range(samples))
    return made.counts


def explained(
    one: Measurement,
    *,
    wait_us: float | None = None,
    query_us: float = 100.0,
    loop_lag_ms: float | None = None,
    connects: int = 0,
    system_share: float = 0.25,
    peak_bytes: int = 64_000_000,
    failures: Mapping[str, int] | None = None,
) -> Measurement:
    """Add what measurements have besides latencies; `connects` in each slice, `system_share` of the CPU time."""
    operations = sum(part.usage.operations for part in one.slices)
    return msgspec.structs.replace(
        one,
        slices=[
            with_usage(part, connects=connects, system_ns=int(part.usage.cpu_ns * system_share)) for part in one.slices
        ],
        wait={} if wait_us is None else spread(wait_us, operations),
        query=spread(query_us, operations),
        loop_lag={} if loop_lag_ms is None else spread(loop_lag_ms * 1000, 400),
        failures=dict(failures or {}),
        peak_bytes=peak_bytes,
    )


def due(one: Measurement, *, service_us: float, lag_us: float, not_started: int = 0) -> Measurement:
    """Make it one of an open loop; `not_started` in each slice."""
    operations = sum(part.usage.operations for part in one.slices)
    return msgspec.structs.replace(
        one,
        slices=[
            with_usage(
                part, not_started=not_started, latency_ns=int(part.usage.operations * (service_us + lag_us) * 1000)
            )
            for part in one.slices
        ],
        service=spread(service_us, operations),
        lag=spread(lag_us, operations),
    )


def run(
    of: Plan | None = None,
    measured: Iterable[Measurement] | None = None,
    problems: Sequence[Problem] = (),
    end: End | None = End("complete", "2026-11-23T03:16:01+00:00", 58.2),  # noqa: B008 - frozen
    warnings: Sequence[str] = (),
) -> Run:
    if measured is None:
        measured = measurements({"psycopg": 360.0, "asyncpg": 212.0, "psycopg2": 362.0})
    return Run(header(of), list(measured), list(problems), end, list(warnings))


def many_sided_run() -> Run:
    """Make a run with everything that reports must show: many units, errors, rows, ties, failures and problems."""
    cells = [
        cell(),
        cell("bulk_inserts", "core", 1, {"rows": 10_000, "batch": 1000}, rows=1000),
        cell("concurrent_sessions", "orm", 50, {}),
        cell("reports|`x`", "raw", 8, {"like": "=1+1"}),
    ]
    codes = {2: {"40001": 5, "TimeoutError": 1}}  # a block has three slices
    slow = [
        explained(
            measurement(arm, mean, block=block, cell=1, rounds=3, operations=3, errors=errors),
            wait_us=9.0,
            query_us=mean,
            failures=codes.get(errors),
        )
        for block in range(12)
        for arm, mean, errors in (
            ("psycopg", 23_400.0, 0),
            ("asyncpg", 54_210.0 + block, 2),
            ("psycopg2", 1_250_000.0, 0),
        )
    ]
    return run(
        plan(cells),
        [
            *measurements({"psycopg": 360.0, "asyncpg": 212.0, "psycopg2": 362.0}),
            *slow,
            *measurements({"psycopg": 12_300.0, "asyncpg": 12_700.0}, cell=2, noise=0.08),
            *measurements({"psycopg": 98.3, "asyncpg": 61.0, "psycopg2": 80.0}, cell=3, blocks=4),
        ],
        [
            Problem("operation", "raised ProgrammingError: concurrent_sessions.py:31", cell=2, arm="psycopg2"),
            Problem("not comparable", "returned Decimal('1.0') where psycopg returned 1.0", cell=3, arm="psycopg2"),
            Problem("errors", "6 of 114 operations failed: 40001 serialization_failure", cell=1, arm="asyncpg"),
        ],
        End("degraded", "2026-11-23T03:16:01+00:00", 58.2, "psycopg2 could not be measured everywhere"),
    )


def layered_run() -> Run:
    """Make a run of one scenario at three layers, with more sessions than connections and all that a file can tell."""
    times = {"raw": (110.0, 61.0, 105.0), "core": (190.0, 92.0, 180.0), "orm": (360.0, 212.0, 362.0)}
    layers: tuple[Layer, ...] = ("orm", "core", "raw")
    cells = [cell(layer=layer, sessions=50) for layer in layers]
    return run(
        plan(cells),
        [
            explained(
                one,
                wait_us=times[layer][0] * (0.7 if one.arm == "psycopg2" else 0.3 if layer == "orm" else 0.004),
                query_us=times[layer][0] * 0.7,
                loop_lag_ms=None if one.arm == "psycopg2" else 0.2 if layer == "raw" else 12.0,
                connects=3 if one.arm == "asyncpg" else 0,
            )
            for index, layer in enumerate(layers)
            for one in measurements(dict(zip(DRIVERS, times[layer], strict=True)), cell=index)
        ],
    )


def open_loop_run() -> Run:
    """Make a run at a given rate: asyncpg keeps up with it, psycopg falls behind, psycopg2 does not even start all."""
    figures = {
        "psycopg": (1_450.0, 360.0, 1_090.0),
        "asyncpg": (262.0, 212.0, 50.0),
        "psycopg2": (41_300.0, 362.0, 4e4),
    }
    missed = {"psycopg2": 7}
    return run(
        changed(plan(), rate=1200.0, slice_s=0.5),
        [
            explained(
                due(one, service_us=service_us, lag_us=lag_us, not_started=missed.get(one.arm, 0)),
                wait_us=4.0,
                query_us=service_us - 4,
                loop_lag_ms=None if one.arm == "psycopg2" else 1.4,
            )
            for one in measurements({arm: response_us for arm, (response_us, _, _) in figures.items()})
            for _, service_us, lag_us in [figures[one.arm]]
        ],
    )


def store(stored: Run, path: Path) -> None:
    """Write the result file of a run that ended."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with Writer.create(path) as writer:
        for record in (stored.header, *stored.measurements, *stored.problems, stored.end):
            assert record is not None
            writer.write(record)
