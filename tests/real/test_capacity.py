"""The `capacity` command: real searches, short ones, and what is said of them."""

import csv
import io
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import builders
import pytest
from conftest import Cli, url_of
from rich.console import Console

from dbbench.address import Address
from dbbench.commands.capacity import search
from dbbench.commands.capacity.result import Answer, Capacity, Result, Trial, capacity, rate_text, time_text
from dbbench.commands.capacity.slo import parse
from dbbench.commands.capacity.steps import judged, wanted
from dbbench.errors import UsageError
from dbbench.messages import Ran
from dbbench.records import End, Problem, Run
from dbbench.reports.capacity import conditions, csv_report, json_report, render, sentences

SLOW = '''
"""Sleep for 10 ms on the server."""
from sqlalchemy import text
async def orm(session, params, rng): return (await session.execute(text("SELECT pg_sleep(0.01)::text"))).scalar()
'''
pytestmark = pytest.mark.timeout(600)  # a machine may be several times slower than usual for minutes
QUICK = ("--trial", "1s", "--precision", "50%", "--seed", "1")
TWO = ("--sessions", "2", "--pool-size", "2", "--max-overflow", "0")  # at 10 ms each: about 200 a second
PROGRAM = (sys.executable, "-P", "-m", "dbbench")
OBJECTIVE = parse("p99<10ms")


def local(server: Address) -> tuple[str, ...]:
    """A server that runs already."""
    return ("--url", f"postgresql://{server.user}@/{server.database}?host={server.host}&port={server.port}")


@pytest.fixture(scope="module")
def slow(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("scenarios") / "slow.py"
    path.write_text(SLOW)
    return path


# --- real searches ---------------------------------------------------------------------------------------------------


def test_the_capacity_of_a_known_operation_is_found(dbbench: Cli, server: Address, slow: Path) -> None:
    done = dbbench(
        "capacity", str(slow), "--slo", "p50<50ms", "--driver", "psycopg2,asyncpg",  # 50 ms: trials of 1 s
        *TWO, *QUICK, *local(server), "--allow-production", "--format", "json",
    )  # fmt: skip
    document = json.loads(done.stdout)

    assert done.returncode == 0, done.stderr
    assert list(document)[:6] == ["schema", "objective", "precision", "scenario", "layer", "sessions"]
    assert (document["schema"], document["objective"], document["sessions"]) == (1, "p50 < 50 ms", 2)
    assert [driver["driver"] for driver in document["drivers"]] == ["psycopg2", "asyncpg"]
    for driver in document["drivers"]:
        assert list(driver) == [
            "driver", "outcome", "rate", "value_us", "failed_rate", "failed_value_us", "trials"
        ]  # fmt: skip
        assert driver["outcome"] == "found", done.stderr
        assert 60 <= driver["rate"] <= 250  # for a second the median bears a little more than 200
        assert driver["rate"] < driver["failed_rate"] <= 1.5 * driver["rate"]
        assert 10_000 <= driver["value_us"] < 50_000
        rates = [trial["rate"] for trial in driver["trials"]]
        assert len(rates) > len(set(rates))  # both ends were tried again
        assert list(driver["trials"][0]) == ["rate", "held", "value_us", "operations", "errors", "not_started"]
    # The drivers took turns.
    said = re.findall(r"^trial (\d+), (\w+):", done.stderr, re.MULTILINE)
    assert sorted(said[:4]) == [(number, driver) for number in "12" for driver in ("asyncpg", "psycopg2")]


@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_signal_ends_a_search_with_what_is_known(tmp_path: Path, server: Address, moment: str) -> None:
    with subprocess.Popen(
        [*PROGRAM, "capacity", "--slo", "p50<50ms", "--driver", "psycopg2", "--set", "rows=50", "--trial", "3s",
         *local(server), "--allow-production"],
        cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, "COLUMNS": "80"},
    ) as process:  # fmt: skip
        assert process.stderr is not None
        mark = "warming psycopg2" if moment == "before" else "trial 1, psycopg2: "
        after = "(p50" if moment == "after" else ""
        for line in process.stderr:
            if mark in line and after in line:
                break
        process.send_signal(signal.SIGINT)
        stdout, stderr = process.communicate(timeout=120)

    assert process.returncode == 130
    assert "Traceback" not in stderr
    if moment == "before":
        assert stdout == ""
        assert "interrupted (SIGINT) before anything was measured" in stderr
    else:
        assert re.search(r"psycopg2 .* +1 +unfinished", stdout)
        assert "interrupted  SIGINT" in stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--slo", "p98<10ms"), "--slo p98<10ms: write it like p99<10ms"),
        (("--slo", "p99<10s"), "up to 3 s"),
        (("--slo", "p99<10ms", "--max-rate", "5"), "--max-rate 5: p99 takes 500 operations"),
        (("--slo", "p99<10ms", "--min-rate", "50", "--max-rate", "20"), "--max-rate 20 is below --min-rate 50"),
        (("--slo", "p99<10ms", "--layer", "orb"), "--layer orb"),
        (("--slo", "p99<10ms", "--driver", "asynpg"), "no driver 'asynpg'"),
        (("--slo", "p99<10ms", "nothing"), "no scenario 'nothing'"),
        (("--slo", "p99<10ms", "two"), "two: 2 scenarios; capacity takes one of them"),
    ],
)
def test_what_cannot_be_is_one_line_with_the_way_out(
    dbbench: Cli, tmp_path: Path, arguments: tuple[str, ...], message: str
) -> None:
    folder = tmp_path / "two"
    folder.mkdir()
    for name in ("one.py", "other.py"):
        (folder / name).write_text("async def raw(db, params, rng): return 1\n")
    done = dbbench("capacity", *arguments)

    assert done.returncode == 2
    assert message in done.stderr
    assert done.stderr.count("\n") == 1, done.stderr


def test_without_an_objective_there_is_nothing_to_search_for(dbbench: Cli) -> None:
    done = dbbench("capacity")

    assert done.returncode == 2
    assert "--slo" in done.stderr


def test_a_password_is_not_said(dbbench: Cli, foreign: Address) -> None:
    done = dbbench(
        "capacity", "--slo", "p50<50ms", "--driver", "psycopg2", "--set", "rows=50", "--max-rate", "20", *QUICK,
        "--url", url_of(foreign), "--format", "json",
    )  # fmt: skip

    assert done.returncode == 0, done.stderr
    assert foreign.password not in done.stdout + done.stderr


# --- what is said of a search ----------------------------------------------------------------------------------------


def trial(rate: float, *, held: bool, value_us: float | None = 5000.0) -> Trial:
    return Trial(rate, held, value_us, 1000, 0, 0)


def found(driver: str, rate: float, failed_rate: float) -> Capacity:
    trials = [trial(rate, held=True), trial(failed_rate, held=False, value_us=30_000.0)]
    return capacity(driver, trials, search.Found(rate, failed_rate))


def answer(drivers: Sequence[Capacity], problems: Sequence[Problem] = ()) -> Answer:
    plan = builders.plan(arms=[each.driver for each in drivers])
    end = End("complete", "2026-11-23T03:16:00+00:00", 61.0)
    return Answer(OBJECTIVE, 0.05, plan.cells[0], Run(builders.header(plan), [], list(problems), end), list(drivers))


def printed(of: Answer) -> str:
    text = io.StringIO()
    render(of, Console(file=text, width=80, force_terminal=False, color_system=None, legacy_windows=False))
    return text.getvalue()


def test_drivers_are_compared_with_the_first_that_was_found() -> None:
    given = [
        capacity("psycopg-sync", [trial(9, held=False)], search.NeverMet(9.0)),
        found("psycopg", 400, 420),
        found("asyncpg", 560, 588),
        found("psycopg2", 410, 430),
    ]

    compared, alone = sentences(answer(given))

    assert compared == (
        "asyncpg sustains 1.4 times psycopg's rate within p99 < 10 ms; "
        "psycopg2 sustains about the same rate as psycopg."
    )
    assert alone == "psycopg-sync did not hold p99 < 10 ms even at 9/s, the lowest rate tried."


@pytest.mark.parametrize(
    ("outcome", "left_out", "sentence"),
    [
        (search.Found(400, 420), None, None),
        (search.NotSaturated(2000), None, "asyncpg held p99 < 10 ms even at 2,000/s: --max-rate allows more."),
        (
            search.Unfinished(400, 800),
            None,
            "asyncpg had held at 400/s and failed at 800/s when the search ended: there is more to find.",
        ),
        (search.Unfinished(400, None), "failed", "asyncpg was left out (see below)."),
        (search.Unfinished(None, None), "not comparable", "asyncpg was left out (see below)."),
    ],
)
def test_every_outcome_is_said_in_plain_words(
    outcome: search.Outcome, left_out: Result | None, sentence: str | None
) -> None:
    of = answer([capacity("asyncpg", [trial(400, held=True)], outcome, left_out)])

    assert sentences(of) == ([sentence] if sentence else [])


def test_the_table_has_both_ends_of_the_bracket() -> None:
    of = answer([found("psycopg", 400, 420), found("asyncpg", 848.528, 890.9)])
    text = printed(of)

    assert text.startswith("point_reads · orm · 8 sessions · rows=10000 · p99 < 10 ms\n")
    assert re.search(r"asyncpg +848\.5 +5\.00 +890\.9 +30\.00 +2 +found", text)
    assert max(map(len, text.splitlines())) <= 80
    assert dict(conditions(of))["run"] == "3f9c2a, 2026-11-23 03:15 UTC, 4 trials, 61 s, seed 7, complete"
    assert "brackets are 5% wide" in dict(conditions(of))["note"]


def test_a_problem_is_said_below_the_table() -> None:
    of = answer(
        [capacity("asyncpg", [], search.Unfinished(None, None), "failed")],
        [Problem("operation", "it broke", "point_reads", 0, "asyncpg")],
    )

    assert "it broke" in printed(of)
    assert json.loads(json_report(of))["problems"] == ["it broke"]


def test_numbers_that_cannot_be_given_are_empty_or_null() -> None:
    of = answer([capacity("asyncpg", [], search.Unfinished(None, None))])
    (row,) = csv.DictReader(io.StringIO(csv_report(of)))
    (driver,) = json.loads(json_report(of))["drivers"]

    assert (row["outcome"], row["rate"], row["failed_value_us"], row["trials"]) == ("unfinished", "", "", "0")
    assert (driver["rate"], driver["value_us"], driver["trials"]) == (None, None, [])


def test_the_value_of_a_rate_is_the_most_careful_of_its_trials() -> None:
    trials = [
        trial(400, held=True, value_us=5000),
        trial(420, held=False, value_us=30_000),
        trial(400, held=False, value_us=12_000),  # this one was overruled
        trial(400, held=True, value_us=7000),
        trial(420, held=False, value_us=20_000),
    ]
    one = capacity("asyncpg", trials, search.Found(400, 420))

    assert (one.value_us, one.failed_value_us) == (7000, 20_000)


def ran(latencies: Sequence[int], **changes: Any) -> Ran:
    given: dict[str, Any] = {
        "latencies": b"".join(each.to_bytes(8, sys.byteorder) for each in latencies),
        "waits": b"", "services": b"", "loop_lags": b"", "elapsed_ns": 1, "cpu_ns": 1, "system_ns": 0,
        "connects": 0, "not_started": 0, "failures": {}, "errors": [],
    }  # fmt: skip
    return Ran(**{**given, **changes})


def test_a_trial_is_judged_by_all_that_happened() -> None:
    quick = [1_000_000] * 500

    held = judged(OBJECTIVE, 100.0, ran(quick))

    assert (held.rate, held.held, held.operations, held.errors, held.not_started) == (100.0, True, 500, 0, 0)
    assert held.value_us == pytest.approx(1000, rel=0.005)
    assert not judged(OBJECTIVE, 100.0, ran(quick, not_started=1)).held
    assert not judged(OBJECTIVE, 100.0, ran(quick, failures={"57014": 1})).held
    assert not judged(OBJECTIVE, 100.0, ran([20_000_000] * 500)).held
    assert not judged(OBJECTIVE, 100.0, ran([])).held


def test_rates_at_which_a_trial_would_take_too_long_are_not_searched() -> None:
    assert wanted(OBJECTIVE, 1, 1000, 0.05, 5, "poisson").bounds.min_rate == pytest.approx(500 / 60)
    assert wanted(OBJECTIVE, 50, 1000, 0.05, 5, "poisson").bounds.min_rate == 50
    assert wanted(OBJECTIVE, 1, 1000, 0.05, 500, "poisson").bounds.min_rate == 1
    with pytest.raises(UsageError, match="a lower percentile takes fewer, and --trial allows more time"):
        wanted(parse("p99.9<10ms"), 1, 80, 0.05, 5, "poisson")


@pytest.mark.parametrize(
    ("rate", "text"), [(848.528, "848.5"), (8.3333, "8.333"), (12_345.6, "12,350"), (1e6, "1,000,000"), (50.0, "50")]
)
def test_rates_have_four_digits(rate: float, text: str) -> None:
    assert rate_text(rate) == text


@pytest.mark.parametrize(("us", "text"), [(0.94, "0.94 µs"), (940, "940 µs"), (7123, "7.12 ms"), (1_250_000, "1.25 s")])
def test_times_have_three_digits_and_a_unit_that_suits_them(us: float, text: str) -> None:
    assert time_text(us) == text
