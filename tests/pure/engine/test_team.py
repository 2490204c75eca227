"""Several processes as one: how work is spread over them, and what they did put together."""

from array import array
from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from dbbench.engine.team import proportional, shares, together
from dbbench.messages import Ran
from dbbench.plan import Connections, Pool
from dbbench.records import Usage
from dbbench.stats.histogram import Histogram
from dbbench.worker.pace import elapsed_ns

MS = 1_000_000


@given(st.integers(0, 500), st.integers(1, 64))
def test_sessions_are_spread_evenly(sessions: int, processes: int) -> None:
    parts = shares(sessions, processes)

    assert (sum(parts), len(parts)) == (sessions, processes)
    assert max(parts) - min(parts) <= 1
    assert parts == sorted(parts, reverse=True)


@given(st.integers(0, 10_000), st.lists(st.integers(1, 50), min_size=1, max_size=16))
def test_operations_go_with_the_sessions(operations: int, sessions: list[int]) -> None:
    parts = proportional(operations, sessions)

    assert sum(parts) == operations
    assert all(abs(part - operations * own / sum(sessions)) < 1 for part, own in zip(parts, sessions, strict=True))


@given(st.integers(1, 200), st.integers(1, 16))
def test_connections_are_those_of_every_process(sessions: int, processes: int) -> None:
    pooled, null = (
        Connections(pool=Pool(2, 1), null_pool=null_pool, processes=processes) for null_pool in (False, True)
    )

    assert pooled.at_once(sessions) == sum(min(own, 3) for own in shares(sessions, processes))
    assert null.at_once(sessions) == sessions


def ran(ends: Sequence[int], *, began: int, latency: int, errors: int = 0, services: bool = False) -> Ran:
    """A process that completed operations at these times, each of which took `latency`; all in milliseconds."""
    latencies = array("q", [latency * MS + number for number in range(len(ends))])
    usage = Usage(
        len(ends), errors, (max(ends, default=began) - began) * MS, 3 * MS, MS, latency_ns=sum(latencies), connects=1
    )
    return Ran(
        latencies=latencies.tobytes(),
        waits=array("q", [number for number, _ in enumerate(ends)]).tobytes(),
        services=latencies.tobytes() if services else None,
        loop_lags=array("q", [latency]).tobytes(),
        began_ns=began * MS,
        usage=usage,
        failures={"40001": errors} if errors else {},
        errors=["told to", f"of {began}"][:errors],
        ends=array("q", [each * MS for each in ends]).tobytes(),
    )


def test_what_is_counted_is_added_up() -> None:
    made = together([ran([10, 20], began=1, latency=9, errors=1), ran([15], began=2, latency=7, errors=2)], 1)

    assert made.usage == Usage(3, 3, 19 * MS, 6 * MS, 2 * MS, latency_ns=25 * MS + 1, connects=2)
    assert (made.began_ns, made.failures, made.errors) == (MS, {"40001": 3}, ["told to", "of 2"])
    assert made.services is None
    assert array("q", made.loop_lags).tolist() == [9, 7]


@given(st.lists(st.lists(st.integers(2, 50), max_size=30), min_size=1, max_size=5))
def test_merged_histograms_are_that_of_all_samples(times: list[list[int]]) -> None:
    parts = [ran(sorted(ends), began=1, latency=3 + number, services=True) for number, ends in enumerate(times)]
    made, alone = together(parts, 1), Histogram()
    for part in parts:
        own = Histogram()
        own.record_all(array("q", part.latencies))
        alone.merge(own)
    whole = Histogram()
    whole.record_all(array("q", made.latencies))

    assert whole.counts == alone.counts
    assert made.services == made.latencies
    assert made.usage.operations == whole.total == sum(map(len, times))


def test_the_pace_is_that_of_all_completions_together() -> None:
    """Two processes that complete an operation every 10 ms, in turns: one every 5 ms."""
    one, other = list(range(10, 410, 10)), list(range(15, 415, 10))
    made = together([ran(one, began=0, latency=10), ran(other, began=5, latency=10)], connections=2)

    assert made.usage.elapsed_ns == elapsed_ns([each * MS for each in one + other], 0, 410 * MS, 2)
    assert made.usage.elapsed_ns == 80 * 5 * MS


def test_a_slice_without_any_success_still_lasts() -> None:
    failed = ran([], began=3, latency=1, errors=2)
    long = Ran(**{**{name: getattr(failed, name) for name in Ran.__struct_fields__}, "usage": Usage(0, 2, 7 * MS, 0)})
    made = together([long, failed], connections=4)

    assert (made.usage.operations, made.usage.errors, made.usage.elapsed_ns) == (0, 4, 7 * MS)
