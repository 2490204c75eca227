"""What is said of a search, and how trials are judged."""

import csv
import io
import json
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import builders
import pytest
from conftest import Cli
from rich.console import Console

from dbbench.commands.capacity import search
from dbbench.commands.capacity.result import Answer, Capacity, Result, capacity, rate_text
from dbbench.commands.capacity.slo import parse
from dbbench.commands.capacity.steps import judged, wanted
from dbbench.errors import UsageError
from dbbench.messages import Ran
from dbbench.records import End, Problem, Run, Trial, Usage
from dbbench.reports.capacity import conditions, csv_report, json_report, render, sentences

OBJECTIVE = parse("p99<10ms")


def trial(rate: float, *, held: bool, value_us: float | None = 5000.0) -> Trial:
    return Trial("psycopg", rate, held, value_us, 1000, 0, 0)


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


def ran(latencies: Sequence[int], *, not_started: int = 0, failures: Mapping[str, int] | None = None) -> Ran:
    failed = dict(failures or {})
    usage = Usage(
        operations=len(latencies), errors=sum(failed.values()), elapsed_ns=1, cpu_ns=1, not_started=not_started
    )  # fmt: skip
    written = b"".join(each.to_bytes(8, sys.byteorder) for each in latencies)
    return Ran(written, b"", None, b"", began_ns=0, usage=usage, failures=failed, errors=[])


def test_a_trial_is_judged_by_all_that_happened() -> None:
    quick = [1_000_000] * 500

    held = judged("psycopg", OBJECTIVE, 100.0, ran(quick))

    assert (held.rate, held.held, held.operations, held.errors, held.not_started) == (100.0, True, 500, 0, 0)
    assert held.value_us == pytest.approx(1000, rel=0.005)
    assert not judged("psycopg", OBJECTIVE, 100.0, ran(quick, not_started=1)).held
    assert not judged("psycopg", OBJECTIVE, 100.0, ran(quick, failures={"57014": 1})).held
    assert not judged("psycopg", OBJECTIVE, 100.0, ran([20_000_000] * 500)).held
    assert not judged("psycopg", OBJECTIVE, 100.0, ran([])).held


def test_rates_at_which_a_trial_would_take_too_long_are_not_searched() -> None:
    assert wanted(OBJECTIVE, 1, 1000, 0.05, 5).bounds.min_rate == pytest.approx(500 / 60)
    assert wanted(OBJECTIVE, 50, 1000, 0.05, 5).bounds.min_rate == 50
    assert wanted(OBJECTIVE, 1, 1000, 0.05, 500).bounds.min_rate == 1
    with pytest.raises(UsageError, match="a lower percentile takes fewer, and --trial allows more time"):
        wanted(parse("p99.9<10ms"), 1, 80, 0.05, 5)


@pytest.mark.parametrize(
    ("rate", "text"), [(848.528, "848.5"), (8.3333, "8.333"), (12_345.6, "12,350"), (1e6, "1,000,000"), (50.0, "50")]
)
def test_rates_have_four_digits(rate: float, text: str) -> None:
    assert rate_text(rate) == text


# --- the command line -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--slo", "p98<10ms"), "--slo p98<10ms: write it like p99<10ms"),
        (("--slo", "p99<10s"), "at most 3 s"),
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
