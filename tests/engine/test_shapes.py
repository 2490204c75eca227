"""How many operations make a slice: enough for the fastest arm, and the same for all."""

from pathlib import Path

import builders
import pytest
from engine.runs import measured, options

from dbbench.engine.setup import Shape


@pytest.mark.parametrize(
    ("sessions", "operation_us", "changes", "shape"),
    [
        (1, 1_000, {}, Shape(10, 4)),  # 10 ms of them, after 4 ms
        (1, 100, {}, Shape(100, 4)),  # more than four go before nothing
        (1, 4_000, {}, Shape(3, 1)),
        (1, 100_000, {}, Shape(1, 0)),
        (4, 5_000, {}, Shape(40, 1)),  # ten for each connection
        (50, 5_000, {}, Shape(10 * 15 + 2 * 35, 1)),  # two more for each that waits for a connection
        (1, 1_000, {"think_s": 0.02}, Shape(10, 4)),
        (4, 1_000, {"think_s": 0.02}, Shape(40, 4)),
        (4, 1_000, {"rate": 200.0, "slice_s": 2.5}, Shape(500, 4)),
    ],
)
def test_a_slice_is_as_long_as_it_takes(
    sessions: int, operation_us: int, changes: dict[str, float], shape: Shape
) -> None:
    cell = builders.cell(sessions=sessions)

    assert Shape.of(operation_us * 1e3, cell, builders.changed(builders.plan([cell]), **changes)) == shape


def test_the_fastest_arm_decides(tmp_path: Path) -> None:
    found = measured(options(tmp_path, "psycopg 50ms, asyncpg 1ms"))

    assert {(request.operations, request.lead_in) for _, request in found.machine.slices()} == {(10, 4)}


def test_an_arm_that_cannot_be_measured_decides_nothing(tmp_path: Path) -> None:
    name, drivers = "psycopg 50ms, asyncpg 1ms lost in time, psycopg2 60ms", ["psycopg", "asyncpg", "psycopg2"]
    found = measured(options(tmp_path, name, drivers=drivers))

    assert {(request.operations, request.lead_in) for _, request in found.machine.slices()} == {(1, 0)}
