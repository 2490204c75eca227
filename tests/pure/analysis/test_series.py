"""The run as it went: slices of a closed loop, seconds of an open one."""

import csv
import io
import json

import builders
import msgspec
import pytest

from dbbench.analysis.analysis import analyse
from dbbench.engine.blocks import by_second
from dbbench.records import Run, Second
from dbbench.reports.run import csv as csv_report
from dbbench.reports.run import json as json_report

MS = 1_000_000
S = 1_000_000_000


def test_operations_belong_to_the_second_in_which_they_were_due() -> None:
    latencies = [10 * MS] * 8 + [2_500 * MS, 20 * MS]
    due = [0, 1, 2, 3, 4, 5, 6, 999 * MS, 999 * MS, 2_000 * MS]
    ends = [7 * S + at + latency for at, latency in zip(due, latencies, strict=True)]
    first, third = by_second(7 * S, ends, latencies)

    assert (first.second, first.operations, first.max_ns, first.sum_ns) == (0, 9, 2_500 * MS, 2_580 * MS)
    assert first.p50_ns == pytest.approx(10 * MS, rel=0.01)
    assert first.p99_ns is None, "nine operations show no such percentile"
    assert third == Second(2, 1, 20 * MS, 20 * MS)


def test_nothing_makes_no_second() -> None:
    assert by_second(S, [], []) == []


def went() -> Run:
    """Two blocks of two drivers, a second apart; the second block was an open loop's."""
    made = builders.run(
        builders.plan(arms=["psycopg", "asyncpg"]),
        [
            builders.measurement(arm, 100.0, block=block, rounds=2)
            for block in range(2)
            for arm in ("psycopg", "asyncpg")
        ],
    )
    measured = []
    for number, one in enumerate(made.measurements):
        seconds = [Second(0, 5, 10 * MS, 3 * MS, 2 * MS), Second(3, 0, 0, 0)] if one.block else []
        slices = [
            msgspec.structs.replace(
                part,
                began_ns=number * S + at * MS,
                seconds=seconds,
                usage=msgspec.structs.replace(part.usage, elapsed_ns=3_500 * MS) if seconds else part.usage,
            )
            for at, part in enumerate(one.slices)
        ]
        measured.append(msgspec.structs.replace(one, slices=slices, disturbed="it slept" if one.block else ""))
    return msgspec.structs.replace(made, measurements=measured)


def test_slices_and_seconds_come_in_the_order_of_time() -> None:
    points = analyse(went()).series

    assert [(point.driver, point.block, point.slice, point.second, round(point.began_s, 6)) for point in points] == [
        ("psycopg", 0, 0, None, 0.0),
        ("psycopg", 0, 3, None, 0.001),
        ("asyncpg", 0, 0, None, 1.0),
        ("asyncpg", 0, 3, None, 1.001),
        ("psycopg", 1, 0, 0, 2.0),
        ("psycopg", 1, 3, 0, 2.001),
        ("asyncpg", 1, 0, 0, 3.0),
        ("asyncpg", 1, 3, 0, 3.001),
        ("psycopg", 1, 0, 3, 5.0),
        ("psycopg", 1, 3, 3, 5.001),
        ("asyncpg", 1, 0, 3, 6.0),
        ("asyncpg", 1, 3, 3, 6.001),
    ]
    closed, due, idle = points[0], points[4], points[8]
    assert (closed.operations, closed.errors, closed.disturbed) == (builders.OPERATIONS, 0, False)
    assert closed.ops_per_second == pytest.approx(10_000)
    assert (due.operations, due.mean_us, due.p50_us, due.p95_us, due.max_us) == (5, 2_000.0, 2_000.0, None, 3_000.0)
    assert (due.seconds, due.ops_per_second, due.errors, due.disturbed) == (1.0, 5.0, None, True)
    assert (idle.operations, idle.seconds, idle.mean_us) == (0, 0.5, None)
    assert idle.ops_per_second is None, "half a second has no rate"


def test_csv_and_json_have_the_same_points() -> None:
    analysis = analyse(went())
    ((_, as_csv),) = csv_report.files(analysis, None, "series")
    ((_, as_json),) = json_report.files(analysis, None, "series")
    lines, document = list(csv.DictReader(io.StringIO(as_csv))), json.loads(as_json)

    assert len(lines) == len(document["series"]) == 12
    assert list(lines[0]) == list(document["series"][0])
    assert {line["run"] for line in lines} == {document["run"]["id"]}
    assert [float(line["began_s"]) for line in lines] == [point["began_s"] for point in document["series"]]
