"""A client that is the bottleneck of an open loop is named; one that polls, or waits for the server, is not."""

import msgspec
import pytest
from builders import changed, due, measurement, plan, run, with_usage

from dbbench.analysis.analysis import analyse
from dbbench.records import Measurement, Run


def open_loop(cpu: float, service_us: float, lag_us: float, rate: float | None = 200.0) -> Run:
    """Two blocks of asyncpg whose client used such a share of a CPU."""
    measured: list[Measurement] = []
    for block in (0, 1):
        one = due(measurement("asyncpg", service_us + lag_us, block=block), service_us=service_us, lag_us=lag_us)
        slices = [with_usage(part, cpu_ns=int(cpu * part.usage.elapsed_ns)) for part in one.slices]
        measured.append(msgspec.structs.replace(one, slices=slices))
    return run(changed(plan(arms=("asyncpg",)), rate=rate, slice_s=2.0), measured)


@pytest.mark.parametrize(
    ("cpu", "service_us", "lag_us", "saturated"),
    [
        (0.97, 10_000.0, 50_000.0, True),
        (0.97, 300.0, 5_000.0, True),
        (0.99, 300.0, 20.0, False),  # it polls until the next operation is due
        (0.99, 50_000.0, 2_000.0, False),  # hardly later than it would be otherwise
        (0.30, 10_000.0, 50_000.0, False),  # all sessions wait for the server
    ],
)
def test_a_client_that_is_the_bottleneck(cpu: float, service_us: float, lag_us: float, saturated: bool) -> None:
    found = analyse(open_loop(cpu, service_us, lag_us)).run.warnings
    assert len(found) == saturated
    for said in found:
        assert said.startswith("point_reads, orm, 8 sessions, asyncpg: the client itself was saturated: it used 97% of")


def test_in_a_closed_loop_the_clients_time_is_what_is_measured() -> None:
    assert analyse(open_loop(0.99, 300.0, 5_000.0, rate=None)).run.warnings == []
