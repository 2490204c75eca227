"""The searches of `capacity`, on connections whose capacity is known: one that takes 4 ms does 250 a second."""

import csv
import io
import json
import re
from dataclasses import dataclass
from pathlib import Path

import pytest
from engine.runs import Listener, options
from engine.scripted import PASSWORD, ScriptedMachine
from rich.console import Console

from dbbench import result_file
from dbbench.commands.capacity.result import Answer, Capacity, answer
from dbbench.commands.capacity.slo import parse
from dbbench.commands.capacity.steps import Wanted, execute, wanted
from dbbench.errors import ExitCode, Interrupted, ServerLostError
from dbbench.messages import Reset
from dbbench.records import Search
from dbbench.reports.capacity import COLUMNS, csv_report, json_report, render, sentences


@dataclass
class Searched:
    """A search that is over."""

    answer: Answer
    exit_code: int
    listener: Listener
    machine: ScriptedMachine

    def __getitem__(self, driver: str) -> Capacity:
        return next(each for each in self.answer.drivers if each.driver == driver)

    @property
    def problems(self) -> list[tuple[str, str | None]]:
        """Kinds, and the drivers that are concerned."""
        return [(each.kind, each.arm) for each in self.answer.run.problems]


def sought(slo: str = "p50<50ms", min_rate: float = 1.0, max_rate: float = 10_000.0, precision: float = 0.05) -> Wanted:
    """Trials of a second with arrivals that are evenly spread, so that what a queue does can be worked out."""
    return wanted(parse(slo), min_rate, max_rate, precision, 1.0)


def searched(
    folder: Path, name: str, target: Wanted | None = None, machine: ScriptedMachine | None = None, **changes: object
) -> Searched:
    machine, listener = machine or ScriptedMachine(), Listener()
    given = options(folder, name, sessions=[1], arrival="constant", output=folder, **changes)
    ended = execute(given, target or sought(), listener, machine.site)
    stored = result_file.read_any(ended.path)
    assert isinstance(stored, Search)
    return Searched(answer(stored), ended.exit_code, listener, machine)


def test_a_rate_is_doubled_until_it_fails_and_then_bisected(tmp_path: Path) -> None:
    found = searched(tmp_path, "psycopg 4ms, asyncpg 2ms")
    psycopg, asyncpg = found.answer.drivers
    rates = [trial.rate for trial in psycopg.trials]

    assert found.exit_code == ExitCode.OK
    assert found.answer.run.status == "complete"
    assert [psycopg.outcome, asyncpg.outcome] == ["found", "found"]
    # From half of a closed loop's throughput; at 284.7 a second the queue is 61 ms long in the middle of the trial.
    assert rates == pytest.approx([125, 250, 500, 353.55, 297.3, 272.6, 284.7, 272.6, 284.7], rel=0.001)
    assert [trial.held for trial in psycopg.trials] == [True, True, False, False, False, True, False, True, False]
    assert psycopg.rate == pytest.approx(272.6, rel=0.001)
    assert psycopg.failed_rate == pytest.approx(284.7, rel=0.001)
    assert psycopg.value_us is not None
    assert psycopg.failed_value_us is not None
    assert psycopg.value_us < 50_000 < psycopg.failed_value_us
    assert asyncpg.rate is not None
    assert psycopg.rate is not None
    assert asyncpg.rate / psycopg.rate == pytest.approx(2.0, rel=0.1)
    assert sentences(found.answer)[0].startswith("asyncpg sustains ")


def test_the_drivers_take_turns_and_draw_the_same_arrivals(tmp_path: Path) -> None:
    found = searched(tmp_path, "psycopg 4ms, asyncpg 4ms, reset")
    trials = found.machine.slices("trial")
    asked = [request for _, request in found.machine.asked]

    for at in range(0, len(trials), 2):
        (one, first), (other, second) = trials[at : at + 2]
        assert {one, other} == {"psycopg", "asyncpg"}
        assert first == second
        assert first.seed == f"1/capacity/{at // 2}"
    assert {type(asked[asked.index(request) - 1]) for _, request in trials} == {Reset}
    assert [request.seed for _, request in found.machine.slices("guess")] == ["1/capacity/guess"] * 2
    assert [request.seed for _, request in found.machine.slices("warm-up")][::2] == ["1/capacity/warm-up"] * 2


def test_what_is_done_is_said(tmp_path: Path) -> None:
    found = searched(tmp_path, "psycopg 4ms, asyncpg 2ms", sought(precision=0.5))

    assert found.listener.notes[0] == "2 drivers, about 6 trials of 1 s each: 1 min or more"
    assert "trial 1, psycopg: 125/s held (p50 4.01 ms)" in found.listener.notes
    assert any(re.fullmatch(r"trial 3, psycopg: 500/s failed \(p50 \d{3} ms\)", note) for note in found.listener.notes)
    assert found.listener.fractions == sorted(found.listener.fractions)
    assert found.listener.fractions[-1] == 1.0


def test_a_driver_that_holds_at_the_highest_rate_is_not_saturated(tmp_path: Path) -> None:
    found = searched(tmp_path, "psycopg 4ms, asyncpg 2ms", sought(max_rate=200.0))

    assert [each.outcome for each in found.answer.drivers] == ["not saturated", "not saturated"]
    assert [each.rate for each in found.answer.drivers] == [200, 200]
    assert "psycopg held p50 < 50 ms even at 200/s: --max-rate allows more." in sentences(found.answer)
    (row, _) = csv.DictReader(io.StringIO(csv_report(found.answer)))
    assert tuple(row) == COLUMNS
    assert (row["sessions"], row["objective"]) == ("1", "p50 < 50 ms")
    assert (row["driver"], row["outcome"], row["rate"]) == ("psycopg", "not saturated", "200")
    assert (row["failed_rate"], row["failed_value_us"], row["trials"]) == ("", "", "3")


def test_an_impossible_objective_is_never_met(tmp_path: Path) -> None:
    found = searched(tmp_path, "psycopg 4ms, asyncpg 2ms", sought("p50<1ms", min_rate=100.0))

    assert found.exit_code == ExitCode.OK
    assert [each.outcome for each in found.answer.drivers] == ["never met", "never met"]
    assert [each.failed_rate for each in found.answer.drivers] == [100, 100]
    assert "psycopg did not hold p50 < 1 ms even at 100/s, the lowest rate tried." in sentences(found.answer)


def test_a_driver_that_returns_something_else_is_left_out(tmp_path: Path) -> None:
    found = searched(tmp_path, "psycopg 4ms, asyncpg 2ms returns 2")

    assert found.exit_code == ExitCode.INCONCLUSIVE
    assert (found["psycopg"].outcome, found["asyncpg"].outcome) == ("found", "not comparable")
    assert found["asyncpg"].trials == []
    assert found.problems == [("not comparable", "asyncpg")]


def test_a_driver_that_returns_something_else_is_searched_anyway_where_that_is_asked_for(tmp_path: Path) -> None:
    found = searched(tmp_path, "psycopg 4ms, asyncpg 2ms returns 2", compare_anyway=True)

    assert found.exit_code == ExitCode.OK
    assert [each.outcome for each in found.answer.drivers] == ["found", "found"]
    assert found.problems == [("different", "asyncpg")]


def test_a_driver_that_fails_is_left_out(tmp_path: Path) -> None:
    found = searched(tmp_path, "psycopg 4ms, asyncpg fails 42601")

    assert found.exit_code == ExitCode.DEGRADED
    assert found.answer.run.status == "degraded"
    assert (found["psycopg"].outcome, found["asyncpg"].outcome) == ("found", "failed")
    assert found.problems == [("operation", "asyncpg")]


def test_failed_operations_fail_a_trial_and_are_said_once(tmp_path: Path) -> None:
    found = searched(tmp_path, "psycopg 4ms, asyncpg 2ms fails 40001 20% leaking", sought(min_rate=100.0))
    failing = found["asyncpg"]

    assert failing.outcome == "never met"
    assert all(trial.errors and not trial.held for trial in failing.trials)
    notes = [note for note in found.listener.notes if ", asyncpg" in note]
    assert "50 of 250 operations failed; " in notes[0]
    assert notes[0].endswith("Error: ***)")
    assert not any("Error" in note for note in notes[1:])
    assert not any(PASSWORD in note for note in found.listener.notes)


def test_what_never_began_fails_a_trial_and_is_said(tmp_path: Path) -> None:
    found = searched(tmp_path, "psycopg 100ms, asyncpg 100ms", sought("p50<50ms", min_rate=100.0))

    assert found["psycopg"].outcome == "never met"
    assert all(trial.not_started for trial in found["psycopg"].trials)
    assert any("never started" in note for note in found.listener.notes)


def test_a_percentile_of_too_few_operations_is_unknown_and_has_not_held(tmp_path: Path) -> None:
    found = searched(tmp_path, "psycopg 4ms fails 40001 99%, asyncpg 2ms", sought(min_rate=100.0, max_rate=200.0))
    trials = found["psycopg"].trials

    assert {trial.value_us for trial in trials} == {None}
    assert not any(trial.held for trial in trials)
    assert found["psycopg"].failed_value_us is None
    assert any("(p50 unknown; " in note for note in found.listener.notes)


def test_a_worker_that_is_lost_costs_its_driver_only(tmp_path: Path) -> None:
    found = searched(tmp_path, "psycopg 4ms, asyncpg 2ms lost in trial 3")

    assert found.exit_code == ExitCode.DEGRADED
    assert found.problems == [("worker lost", "asyncpg")]
    assert found["psycopg"].outcome == "found"
    assert found["asyncpg"].outcome == "failed"
    assert (found["asyncpg"].rate, found["asyncpg"].failed_rate) == (500, None)
    assert all(each.ended for each in found.machine.workers)


def test_a_trial_that_was_disturbed_is_tried_again_and_not_for_ever(tmp_path: Path) -> None:
    found = searched(tmp_path, "psycopg 1ms, asyncpg 1ms stopped in trial 3")

    assert found.exit_code == ExitCode.DEGRADED
    assert len(found["asyncpg"].trials) == 2
    left_out = [one.message for one in found.answer.run.problems if one.kind == "disturbed"]
    assert len(left_out) == 11
    assert all(
        one.startswith("trial 3, asyncpg: ") and "left out: the worker of asyncpg was" in one for one in left_out
    )
    assert found.answer.run.end is not None
    assert found.answer.run.end.reason == "11 trials of asyncpg were disturbed: no answer here"


@pytest.mark.parametrize("moment", ["check", "warm-up", "guess"])
def test_a_worker_may_be_lost_before_its_first_trial(tmp_path: Path, moment: str) -> None:
    found = searched(tmp_path, f"psycopg 4ms, asyncpg 2ms lost in {moment}")

    assert found.problems == [("worker lost", "asyncpg")]
    assert (found["psycopg"].outcome, found["asyncpg"].outcome) == ("found", "failed")


def test_a_signal_ends_a_search_with_what_is_known(tmp_path: Path) -> None:
    found = searched(tmp_path, "psycopg 4ms, asyncpg 4ms interrupted in trial 5")

    assert found.exit_code == 130
    assert found.answer.run.status == "interrupted"
    assert {each.outcome for each in found.answer.drivers} == {"unfinished"}
    assert found["asyncpg"].rate == 250
    assert found["asyncpg"].failed_rate == pytest.approx(353.55, rel=0.001)
    assert "asyncpg had held at 250/s and failed at 353.6/s when the search ended: there is more to find." in sentences(
        found.answer
    )


def test_a_server_that_goes_away_ends_a_search_with_what_is_known(tmp_path: Path) -> None:
    found = searched(tmp_path, "psycopg 4ms, asyncpg 4ms deserted in trial 2")

    assert found.exit_code == ExitCode.DEGRADED
    assert found.answer.run.status == "failed"
    assert found.problems == [("server lost", None)]
    assert len(found["asyncpg"].trials) == 1


@pytest.mark.parametrize(("event", "raised"), [("interrupted", Interrupted), ("deserted", ServerLostError)])
@pytest.mark.parametrize("moment", ["check", "guess"])
def test_before_the_first_trial_there_is_nothing_to_tell(
    tmp_path: Path, event: str, raised: type[BaseException], moment: str
) -> None:
    machine = ScriptedMachine()
    with pytest.raises(raised):
        searched(tmp_path, f"psycopg 4ms {event} in {moment}, asyncpg 4ms {event} in {moment}", machine=machine)

    assert all(each.ended for each in machine.workers)


def test_where_no_driver_can_be_measured_the_answer_says_so(tmp_path: Path) -> None:
    found = searched(tmp_path, "psycopg 1ms, unprepared")

    assert found.exit_code == ExitCode.DEGRADED
    assert {each.outcome for each in found.answer.drivers} == {"failed"}


def test_the_reports_of_an_answer_agree(tmp_path: Path) -> None:
    name = "psycopg 4ms, asyncpg 2ms returns 2"
    found = searched(tmp_path, name)
    document = json.loads(json_report(found.answer))
    rows = list(csv.DictReader(io.StringIO(csv_report(found.answer))))
    text = io.StringIO()
    render(found.answer, Console(file=text, width=80, force_terminal=False, color_system=None, legacy_windows=False))
    table = text.getvalue()

    assert [driver["outcome"] for driver in document["drivers"]] == [row["outcome"] for row in rows]
    assert [driver["outcome"] for driver in document["drivers"]] == ["found", "not comparable"]
    assert document["drivers"][0]["trials"][0]["rate"] == 125
    assert re.search(r"^ +psycopg +272\.6 +[\d.]+ +284\.7 +[\d.]+ +9 +found *$", table, re.MULTILINE)
    assert "operation 1: asyncpg gave int 2" in " ".join(table.split())
    for condition in (
        "server PostgreSQL 18.4", "drivers psycopg 1.2, asyncpg 1.2", "pool 5+10, checkout per request"
    ):  # fmt: skip
        assert condition in " ".join(table.split())
    assert max(map(len, table.splitlines())) <= 80
    assert document["problems"] == [found.answer.run.problems[0].message]
