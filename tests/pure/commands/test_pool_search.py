"""The smallest pool: which sizes are tried, what follows from the trials, and how it is said."""

import csv
import io
import json
from array import array
from collections.abc import Callable, Sequence

import builders
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from dbbench.commands.pool.result import Pools, pools
from dbbench.commands.pool.search import MAX_TRIALS, Bracket, Tried, so_far, step
from dbbench.commands.pool.steps import judged
from dbbench.messages import Ran
from dbbench.plan import Arm, Connections
from dbbench.records import End, PoolHeader, PoolSearch, PoolTrial, Problem, Usage
from dbbench.reports import pool as report

US = 1_000
MS = 1_000_000


def searched(holds: Callable[[int, int], bool], most: int = 40, guess: int = 5) -> list[Tried]:
    """All trials of a search; `holds` is asked with the size and how often it was tried before."""
    trials: list[Tried] = []
    while (size := step(trials, most, guess)) is not None:
        assert 1 <= size <= most
        trials.append(Tried(size, holds(size, sum(one.size == size for one in trials))))
    return trials


@given(st.integers(1, 100), st.integers(1, 100), st.integers(1, 200))
def test_the_smallest_that_holds_is_found_beside_its_neighbour(smallest: int, most: int, guess: int) -> None:
    trials = searched(lambda size, _: size >= smallest, most, guess)

    if smallest > most:
        assert so_far(trials) == Bracket(None, most)
    else:
        assert so_far(trials) == Bracket(smallest, smallest - 1 or None)
    assert len(trials) <= 18, "doubling, halving, and both ends again"
    assert all(sum(one.size == end for one in trials) >= 2 for end in so_far(trials).__dict__.values() if end)


@given(st.integers(2, 30), st.lists(st.booleans(), min_size=MAX_TRIALS, max_size=MAX_TRIALS))
def test_a_search_ends_whatever_happens(smallest: int, noise: list[bool]) -> None:
    answers = iter(noise)
    trials = searched(lambda size, _: size >= smallest if abs(size - smallest) > 1 else next(answers))

    assert len(trials) <= MAX_TRIALS


def test_a_stall_is_outvoted() -> None:
    trials = searched(lambda size, before: size >= 7 and not (size == 7 and before == 0))

    assert so_far(trials) == Bracket(7, 6)
    assert [one.held for one in trials if one.size == 7] == [False, True, True]


def ran(waits_us: Sequence[int], service_us: int = 1_000, errors: int = 0, not_started: int = 0) -> Ran:
    services = array("q", [(wait + service_us) * US for wait in waits_us])
    usage = Usage(len(waits_us), errors, 2_000 * MS, 0, latency_ns=sum(services), not_started=not_started)
    waits = array("q", [wait * US for wait in waits_us])
    return Ran(services.tobytes(), waits.tobytes(), None, b"", 0, usage, {}, [])


@pytest.mark.parametrize(
    ("what", "held"),
    [
        (ran([10] * 400), True),
        (ran([10] * 390 + [9_000] * 10), False),
        (ran([10] * 996 + [9_000] * 4), True),
        (ran([10] * 992 + [9_000] * 8), False),
        (ran([10] * 400, errors=1), False),
        (ran([10] * 400, not_started=1), False),
        (ran([10] * 200), False),
    ],
    ids=["short", "long", "seldom", "not surely seldom", "failed", "never started", "too few"],
)
def test_a_trial_holds_where_nobody_waits_long_or_in_vain(what: Ran, held: bool) -> None:
    assert judged("asyncpg", Connections(), (5, 0), 5_000.0, what).held is held


def test_what_is_busy_follows_from_littles_law() -> None:
    """400 operations in 2 s that hold a connection for 10 ms each: 2 connections, of two processes 1 each."""
    trial = judged("asyncpg", Connections(processes=2), (5, 2), 5_000.0, ran([30] * 400, service_us=10_000))

    assert trial.busy == pytest.approx(1.0)
    assert (trial.size, trial.overflow, trial.operations, trial.ops_per_second) == (5, 2, 400, 200.0)
    assert trial.wait_p99_us == pytest.approx(30, rel=0.01)


def trial(arm: str, size: int, held: bool, wait_us: float, overflow: int = 0, busy: float = 2.4) -> PoolTrial:
    return PoolTrial(arm, size, overflow, held, wait_us, 0 if held else 30, busy, 1_000, 0, 0, 200.0)


def stored(trials: Sequence[PoolTrial], problems: Sequence[Problem] = (), *, ended: bool = True) -> PoolSearch:
    made = builders.plan(arms=["asyncpg", "psycopg2", "psycopg"])
    arms = [Arm(arm.name, arm.driver, Connections(processes=4)) for arm in made.arms]
    plan = msgspec.structs.replace(made, arms=arms, load=msgspec.structs.replace(made.load, rate=400.0))
    top = msgspec.structs.asdict(builders.header(plan))
    end = End("complete", "2026-11-28T03:16:00+00:00", 60.0) if ended else None
    return PoolSearch(PoolHeader(**top, limit_us=5_000.0, most=20), list(trials), list(problems), end)


FOUND = [
    trial("asyncpg", 5, False, 9_000.0),
    trial("asyncpg", 10, True, 40.0),
    trial("asyncpg", 7, True, 110.0),
    trial("asyncpg", 6, False, 5_600.0),
    trial("asyncpg", 7, True, 90.0),
    trial("asyncpg", 6, False, 8_000.0),
    trial("asyncpg", 3, False, 200_000.0, overflow=4),
    *[trial("psycopg2", size, False, 80_000.0) for size in (5, 10, 20, 20)],
]
LOST = Problem("worker lost", "the worker ended", "point_reads", 0, "psycopg")


def test_an_answer_names_the_pool_its_neighbour_and_the_backends() -> None:
    asyncpg, psycopg2, psycopg = pools(stored(FOUND, [LOST])).drivers

    assert (asyncpg.outcome, asyncpg.size, asyncpg.failed_size, asyncpg.backends) == ("found", 7, 6, 28)
    assert (asyncpg.wait_p99_us, asyncpg.failed_wait_p99_us, asyncpg.little) == (110.0, 8_000.0, 3)
    assert (asyncpg.pool_size, asyncpg.max_overflow, asyncpg.overflow_held) == (3, 4, False)
    assert (psycopg2.outcome, psycopg2.size, psycopg2.failed_size) == ("never held", None, 20)
    assert (psycopg.outcome, psycopg.trials) == ("failed", [])


def test_a_search_that_was_interrupted_says_what_is_known() -> None:
    (asyncpg, *_) = pools(stored(FOUND[:3], ended=False)).drivers

    assert (asyncpg.outcome, asyncpg.size, asyncpg.failed_size) == ("unfinished", 7, 5)


def printed(found: Pools) -> str:
    console = Console(file=io.StringIO(), width=100, color_system=None)
    report.render(found, console, file="pool.jsonl")
    assert isinstance(console.file, io.StringIO)
    return " ".join(console.file.getvalue().split())


def test_the_answer_is_said_in_words() -> None:
    shown = printed(pools(stored(FOUND, [LOST])))

    assert "wait p99 < 5 ms" in shown
    assert (
        "asyncpg needs 7 connections in each of 4 processes: with 6 somebody waits too long, or gets none in time."
        in shown
    )
    assert "By Little's law 2.4 are busy on average; pool_size=3, max_overflow=4 does not hold it: " in shown
    assert "psycopg2 did not hold 5 ms even with 20: --most allows more." in shown
    assert "psycopg was left out (see below)." in shown
    assert "open loop: 400 operations per second due (poisson)" in shown
    assert "time vs" not in shown


def test_csv_and_json_say_the_same() -> None:
    found = pools(stored(FOUND, [LOST]))
    lines = list(csv.DictReader(io.StringIO(report.csv_report(found))))
    document = json.loads(report.json_report(found))

    assert [line["driver"] for line in lines] == [one["driver"] for one in document["drivers"]]
    assert [line["size"] for line in lines] == ["7", "", ""]
    assert [line["trials"] for line in lines] == ["7", "4", "0"]
    assert document["drivers"][0]["backends"] == 28
    assert len(document["drivers"][0]["trials"]) == 7
    assert (document["rate"], document["largest_size"], document["limit_us"]) == (400.0, 20, 5_000.0)
