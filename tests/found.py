"""What every command may have found, for tests of their tables: names that are long, every column, every verdict."""

from collections.abc import Mapping
from typing import Any, Final

import builders
import msgspec

from dbbench import result_file
from dbbench.analysis.analysis import analyse
from dbbench.commands.capacity.result import answer
from dbbench.commands.check import Check
from dbbench.commands.gate.result import Difference, Finding, GateResult, GateRow, GateVerdict, Side
from dbbench.commands.pool.result import pools
from dbbench.commands.selfcheck.result import self_check
from dbbench.commands.stored.compare import compare
from dbbench.commands.stored.history import entry
from dbbench.commands.wire.result import result as counts
from dbbench.records import (
    Bounds,
    Counts,
    End,
    Exchange,
    NoiseFloor,
    Overhead,
    Pgbench,
    PoolHeader,
    PoolSearch,
    PoolTrial,
    Problem,
    Record,
    Run,
    Search,
    SearchHeader,
    SelfChecked,
    SelfCheckHeader,
    Sensitivity,
    TraceLine,
    Trial,
    WireHeader,
    WireRow,
)

_ARMS: Final = ("psycopg", "asyncpg", "psycopg-sync")
_END: Final = End("complete", "2026-11-23T03:16:01+00:00", 58.2)
_HEADER: Final[dict[str, Any]] = msgspec.structs.asdict(builders.header(builders.plan(arms=_ARMS)))


def _search() -> Search:
    rates = {"psycopg": 400.0, "asyncpg": 848.528}
    trials = [
        Trial(arm, rate * more, more == 1, 5000.0 * more**40, 12_500, 0, 0)
        for arm, rate in rates.items()
        for more in (1, 1.04, 1, 1.04)
    ]
    header = SearchHeader(**_HEADER, objective="p99 < 10 ms", bounds=Bounds(1.0, 100_000.0, 0.05))
    problem = Problem("operation", "raised KeyError: mine.py:12", "point_reads", 0, "psycopg-sync")
    return Search(header, trials, [problem], _END)


def _pools() -> PoolSearch:
    sizes = {"psycopg": 12, "asyncpg": 7}
    trials = [
        PoolTrial(arm, size - less, 0, not less, 40.5 + 12_000.0 * less, 30 * less, 2.4, 1_000, less, 0, 200.5)
        for arm, size in sizes.items()
        for less in (0, 1, 0, 1)
    ]
    over = PoolTrial("asyncpg", 3, 4, False, 212_000.0, 300, 2.4, 1_000, 0, 12, 150.0)
    problem = Problem("operation", "raised KeyError: mine.py:12", "point_reads", 0, "psycopg-sync")
    return PoolSearch(PoolHeader(**_HEADER, limit_us=5_000.0, most=40), [*trials, over], [problem], _END)


def _counts() -> Counts:
    exchanged = Exchange(3, {"Query": 3}, {"ReadyForQuery": 3}, 98, 109, {"SELECT": 1}, 0)
    rows = [
        WireRow(
            arm=arm,
            scenario="concurrent_sessions",
            layer="orm",
            params="rows=10000 document_bytes=200",
            driver=arm,
            tx_end="rollback",
            operations=20,
            round_trips=3.25,
            sent={"Query": 3.25, "Parse": 1.0, "Bind": 4.0},
            received={"ReadyForQuery": 3.25, "DataRow": 120.5},
            bytes_sent=1_098.5,
            bytes_received=31_109.25,
            statements={"BEGIN": 1.0, "SELECT": 2.0, "ROLLBACK": 1.0},
            prepares_per_100=100.0,
            spread=(3, 4),
            connect=exchanged,
            connect_statements=["select pg_catalog.version()"],
            first=exchanged,
            trace=[TraceLine(True, "Query", 12, 1, "BEGIN"), TraceLine(False, "ReadyForQuery", 6, 1)],
        )
        for arm in _ARMS
    ]
    problem = Problem("operation", "no such table", "concurrent_sessions", 0, "psycopg-sync")
    return Counts(WireHeader(**_HEADER), rows, [problem], _END)


def _check() -> SelfChecked:
    header = SelfCheckHeader(result_file.SCHEMA, "3f9c2a", "2026-11-23T03:15:00+00:00", "0.1.0", {"packages": {}}, 30.0)
    findings: list[Overhead | NoiseFloor | Sensitivity | Pgbench] = [
        *(Overhead(arm, layer, 1.011, 0.994, 1.031) for arm in _ARMS for layer in ("raw", "core", "orm")),
        NoiseFloor("split", 0.0123, 0.0, 30.0, 20, 0.01, 0.05, 0.053, 0.042, 0.061),
        NoiseFloor("shared", 0.0087, 0.001, 30.0, 22, 0.008, 0.05, 0.049, 0.041, 0.057),
        Sensitivity("split", 0.014, 60.0, 40),
        Sensitivity("shared", None, 60.0, 44),
        Pgbench("psycopg-sync", 23.9, 91.0, 2.72, 2.5, 2.9),
    ]
    return SelfChecked(header, findings, [], _END)


def _gate() -> GateResult:
    def finding(driver: str, loss: float | None, verdict: GateVerdict, reason: str = "") -> Finding:
        low, high = (None, None) if loss is None else (loss - 0.013, loss + 0.013)
        head_us = None if loss is None else 400.0 * (1 + loss)
        for_sure = None if loss is None else 0.0004
        known = verdict is GateVerdict.INCONCLUSIVE and loss is not None
        row = GateRow(
            scenario="concurrent_sessions",
            layer="orm",
            sessions=15,
            driver=driver,
            metric="time",
            loss=loss,
            loss_low=low,
            loss_high=high,
            p_adjusted=for_sure,
            verdict=verdict,
            params="rows=10000",
        )
        return Finding(
            row=row,
            tolerance=0.05,
            base_us=400.0,
            head_us=head_us,
            detectable=0.081 if known else None,
            blocks_wanted=44 if known else None,
            reason=reason,
        )

    return GateResult(
        verdict=GateVerdict.FAIL,
        blocks=12,
        findings=[
            finding("psycopg", 0.062, GateVerdict.FAIL),
            finding("asyncpg", 0.031, GateVerdict.INCONCLUSIVE),
            finding("psycopg-sync", None, GateVerdict.INCONCLUSIVE, "head: no module named psycopg"),
        ],
        base=Side("asyncpg==0.30.0", "CPython 3.11.7", {"asyncpg": "0.30.0"}),
        head=Side("asyncpg==0.31.0", "CPython 3.11.7", {"asyncpg": "0.31.0"}),
        differences=[Difference("asyncpg", "0.30.0", "0.31.0"), Difference("sqlalchemy", "2.0.45", "2.1.0b1")],
        problems=[],
        conditions=[("server", "PostgreSQL 18.4, embedded, unix socket"), ("", "intervals hold at once (95%)")],
        run_id="3f9c2a",
        started="2026-11-23T03:15:00+00:00",
        measured_s=312.4,
        status="complete",
    )


def _run(day: int, factor: float) -> Run:
    means = dict(zip(_ARMS, (360.0, 212.0 * factor, 362.0), strict=True))
    cell = builders.cell("concurrent_sessions", sessions=15)
    made = builders.run(builders.plan([cell], list(_ARMS)), builders.measurements(means, noise=0.02))
    header = msgspec.structs.replace(made.header, id=f"{day:06x}", started=f"2026-11-{day:02}T03:15:00+00:00")
    return msgspec.structs.replace(made, header=header)


def stored() -> Mapping[str, list[Record]]:
    """By name: the lines of a result file of every command."""
    search, pooled, counted, checked = _search(), _pools(), _counts(), _check()
    runs = {
        "run": builders.many_sided_run(),
        "layered": builders.layered_run(),
        "open_loop": builders.open_loop_run(),
        "nightly": _run(1, 1.0),
    }
    return {
        **{name: [one.header, *one.measurements, *one.problems, _END] for name, one in runs.items()},
        "capacity": [search.header, *search.trials, *search.problems, _END],
        "pool": [pooled.header, *pooled.trials, *pooled.problems, _END],
        "wire": [counted.header, *counted.rows, *counted.problems, _END],
        "selfcheck": [checked.header, *checked.findings, _END],
    }


def found() -> Mapping[str, tuple[str, Any, Mapping[str, Any]]]:
    """By name: a command that has a table, what it found, and options of the table."""
    runs = [_run(day, 1 + day / 100) for day in range(1, 12)]
    file = {"file": "results/20261123T031500Z-3f9c2a.jsonl"}
    return {
        "run": ("run", analyse(builders.many_sided_run()), file),
        "layered": ("run", analyse(builders.layered_run()), {"details": True}),
        "open_loop": ("run", analyse(builders.open_loop_run()), {"details": True}),
        "capacity": ("capacity", answer(_search()), file),
        "pool": ("pool", pools(_pools()), file),
        "wire": ("wire", counts(_counts()), {"trace": True, **file}),
        "selfcheck": ("selfcheck", self_check(_check()), file),
        "gate": ("gate", _gate(), file),
        "compare": ("compare", compare(runs[0], runs[-1], None), {}),
        "history": ("history", [entry(f"{one.header.id}.jsonl", one, None) for one in runs], {}),
        "list": (
            "list",
            [
                {"scenario": "concurrent_sessions", "summary": "Many sessions with short requests through the pool.",
                 "layers": ["orm", "core", "raw"], "sessions": [1, 15, 50], "params": {"document_bytes": 200}},
            ],
            {},
        ),
        "doctor": (
            "doctor",
            [
                Check("psycopg-sync", "ok", "3.3.9, implementation binary, libpq 18.6, psycopg-binary 3.3.9"),
                Check("selfcheck", "note", "how far this machine can be trusted is not known", "dbbench selfcheck"),
            ],
            {},
        ),
    }  # fmt: skip
