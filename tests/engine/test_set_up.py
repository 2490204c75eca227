"""What comes before anything is measured: tables, equal results, and what is said of them."""

import re
from collections import Counter
from pathlib import Path

import pytest
from builders import plan
from engine.runs import Listener, measured, operations, options
from engine.scripted import PASSWORD, TABLES, ScriptedMachine

from dbbench.analysis.analysis import analyse
from dbbench.child import WorkerLostError
from dbbench.commands.run import execute
from dbbench.engine.site import AT_HOME
from dbbench.engine.workers import Workers
from dbbench.errors import DbbenchError, ExitCode, UsageError
from dbbench.messages import Check, Fingerprint, Prepare, Reset, Tidy
from dbbench.plan import Pool
from dbbench.reports import report
from dbbench.stats.paired import Verdict

FINE = "psycopg 1ms, asyncpg 2ms"
ALL = ["psycopg", "asyncpg", "psycopg2"]
DIFFERENT = "operation 1: asyncpg gave int 2, psycopg gave int 1 (2 more like it): different values"
ANYWAY = "--compare-anyway compares them all the same"


def test_every_cell_is_measured_without_errors(tmp_path: Path) -> None:
    found = measured(options(tmp_path, f"{FINE}, sessions 1 15 50, layers raw orm", layers=["raw", "orm"]))

    assert found.ended.exit_code == ExitCode.OK
    assert found.run.status == "complete"
    assert found.run.problems == []
    assert found.listener.notes == found.listener.problems == []
    assert [(row.layer, row.sessions, row.driver) for row in found.rows] == [
        (layer, sessions, driver)
        for layer in ("raw", "orm")
        for sessions in (1, 15, 50)
        for driver in ("psycopg", "asyncpg")
    ]
    assert [row.ratio for row in found.rows] == pytest.approx([1, 2] * 6, rel=1e-6)
    assert all(row.operations > 0 and row.errors == 0 for row in found.rows)
    assert found.machine.connections == 2 * 15 + 1 + 1  # of the arms, the tables' worker and the run itself


def test_different_results_are_not_comparable_and_said_to_be(tmp_path: Path) -> None:
    found = measured(options(tmp_path, "psycopg 1ms, asyncpg 1ms returns 2", drivers=ALL))

    assert found.ended.exit_code == ExitCode.INCONCLUSIVE
    assert [row.verdict for row in found.rows] == [Verdict.BASELINE, Verdict.NOT_COMPARABLE, Verdict.UNDECIDED]
    assert found.rows[1].ratio is None
    assert found.rows[1].operations > 0
    assert [(each.kind, each.arm, each.message) for each in found.run.problems] == [
        ("not comparable", "asyncpg", f"{DIFFERENT}; {ANYWAY}")
    ]
    assert found.run.status == "complete"


def test_what_is_written_differently_is_not_comparable_either(tmp_path: Path) -> None:
    found = measured(options(tmp_path, "psycopg 1ms, asyncpg 1ms writes 2, reset"))

    assert found.ended.exit_code == ExitCode.INCONCLUSIVE
    assert [each.message for each in found.run.problems] == [
        f"table t: asyncpg gave 2, psycopg gave 1: the table is different after the operations; {ANYWAY}"
    ]


def test_what_differs_is_compared_anyway_where_that_is_asked_for(tmp_path: Path) -> None:
    found = measured(options(tmp_path, "psycopg 1ms, asyncpg 2ms returns 2", compare_anyway=True))

    assert found.ended.exit_code == ExitCode.OK
    assert found.run.status == "complete"
    assert found.run.header.plan.compare_anyway
    assert found.rows[1].ratio == pytest.approx(2, rel=1e-6)
    (problem,) = found.run.problems
    assert (problem.kind, problem.arm) == ("different", "asyncpg")
    assert problem.message == f"{DIFFERENT}; compared all the same"


def test_what_tables_hold_is_looked_at_only_where_reset_makes_them_equal_first(tmp_path: Path) -> None:
    found = measured(options(tmp_path, "psycopg 1ms, asyncpg 1ms writes 2"))

    assert found.run.problems == []
    assert not any(isinstance(request, Fingerprint) for _, request in found.machine.asked)


def test_where_the_baseline_fails_the_others_are_compared_with_the_next(tmp_path: Path) -> None:
    name = "psycopg fails 42601, asyncpg 1ms, psycopg2 2ms"
    found = measured(options(tmp_path, name, FINE, drivers=ALL, blocks=2))
    failed, other, compared, *fine = found.rows

    assert found.ended.exit_code == ExitCode.DEGRADED
    assert [(each.kind, each.arm) for each in found.run.problems] == [("operation", "psycopg")]
    assert found.listener.problems == [f"{name} psycopg: {name}.py:3: Error: told to"]
    assert found.listener.notes == [
        f"{name}, orm, 1 session: psycopg cannot be measured here: comparing psycopg2 with asyncpg instead"
    ]
    assert [row.verdict for row in found.rows[:3]] == [Verdict.FAILED, Verdict.BASELINE, Verdict.UNDECIDED]
    assert [failed.ratio, other.ratio, compared.ratio] == [None, 1.0, pytest.approx(2)]
    assert [cell.baseline for cell in found.run.header.plan.cells] == ["asyncpg", ""]
    (ledger,) = analyse(found.run).failures
    assert (ledger.driver, ledger.code, ledger.operations) == ("psycopg", "42601", 3)
    assert ledger.meaning == "in the check: syntax error or access rule violation"
    assert [row.ratio for row in fine] == [1.0, pytest.approx(2), pytest.approx(1)], "elsewhere it is the baseline"


def test_the_reports_say_what_others_are_compared_with(tmp_path: Path) -> None:
    name = "psycopg fails 42601, asyncpg 1ms noise 1%, psycopg2 3ms noise 1%"
    found = measured(options(tmp_path, name, drivers=ALL, blocks=None, budget_s=30.0))
    text = report("run", "table")(analyse(found.run))
    markdown = report("run", "markdown")(analyse(found.run))

    assert "time vs asyncpg" in text
    assert "time vs psycopg" not in text
    assert re.search(r"psycopg2 needs 3\.0\d? times as much time per operation as asyncpg", " ".join(text.split()))
    assert "psycopg could not be measured (see below)" in " ".join(text.split())
    assert "time vs asyncpg" in markdown
    assert "every cell is decided after" in found.listener.notes[-1]


def test_a_baseline_that_returns_nothing_comparable_is_replaced_by_one_and_the_rest_is_said(tmp_path: Path) -> None:
    name = "psycopg fails 42601, asyncpg 1ms, psycopg2 1ms returns 2"
    found = measured(options(tmp_path, name, FINE, drivers=ALL))

    assert [(each.kind, each.arm) for each in found.run.problems] == [
        ("operation", "psycopg"),
        ("not comparable", "psycopg2"),
    ]
    assert "psycopg2 gave int 2, asyncpg gave int 1" in found.run.problems[1].message
    assert found.listener.notes == [
        (
            f"{name}, orm, 1 session: psycopg cannot be measured here, "
            "and asyncpg and psycopg2 do not return the same: nothing to compare, not measured"
        )
    ]
    assert not any(row.operations for row in found.rows if row.scenario == name)
    assert found.ended.exit_code == ExitCode.DEGRADED


@pytest.mark.parametrize(
    ("name", "note", "verdicts"),
    [
        (
            "psycopg fails 42601, asyncpg 1ms",
            (
                "psycopg cannot be measured here, so nothing is left to compare asyncpg with: not measured; "
                "--driver asyncpg --baseline asyncpg measures it alone"
            ),
            [Verdict.FAILED, Verdict.NOT_MEASURED],
        ),
        (
            "psycopg 1ms, asyncpg fails 42601",
            (
                "asyncpg cannot be measured here, so nothing is left to compare psycopg with: not measured; "
                "--driver psycopg --baseline psycopg measures it alone"
            ),
            [Verdict.NOT_MEASURED, Verdict.FAILED],
        ),
        (
            "psycopg 1ms, asyncpg 1ms returns 2",
            "psycopg and asyncpg do not return the same: nothing to compare, not measured",
            [Verdict.NOT_MEASURED, Verdict.NOT_COMPARABLE],
        ),
    ],
)
def test_no_time_is_spent_where_nothing_can_be_compared(
    tmp_path: Path, name: str, note: str, verdicts: list[Verdict]
) -> None:
    found = measured(options(tmp_path, name, blocks=None, budget_s=600.0))
    text = " ".join(report("run", "table")(analyse(found.run)).split())

    assert found.ended.exit_code == (ExitCode.INCONCLUSIVE if "returns" in name else ExitCode.DEGRADED)
    assert found.listener.notes == [f"{name}, orm, 1 session: {note}"], "nor is anything called decided"
    assert found.machine.slices() == []
    assert not any(stage.startswith("block") for stage in found.listener.stages)
    assert [row.verdict for row in found.rows] == verdicts
    assert "do not return" in note or "nothing to compare" in text
    assert "undecided" not in text


def test_only_what_could_be_compared_is_called_decided(tmp_path: Path) -> None:
    name = "psycopg fails 42601, asyncpg 1ms"
    found = measured(options(tmp_path, name, FINE, blocks=None, budget_s=30.0))
    alone, last = found.listener.notes

    assert "nothing is left to compare asyncpg with" in alone
    assert last.startswith("every cell that can be compared is decided after")
    assert found.blocks[0] == 0
    assert found.blocks[1] > 1


def test_a_single_driver_has_nothing_to_be_compared_with_and_is_measured(tmp_path: Path) -> None:
    found = measured(options(tmp_path, "psycopg 1ms", drivers=["psycopg"]))

    assert found.listener.notes == []
    assert found.rows[0].operations > 0
    assert found.ended.exit_code == ExitCode.OK


def test_an_operation_that_returns_nothing_is_said_not_to_be_compared(tmp_path: Path) -> None:
    name = "psycopg 1ms returns nothing, asyncpg 1ms returns nothing"
    found = measured(options(tmp_path, name))

    assert found.listener.notes == [f"{name}, orm: returns nothing, so there was nothing to compare"]
    assert found.ended.exit_code == ExitCode.OK


def test_with_a_reset_what_is_written_is_compared(tmp_path: Path) -> None:
    found = measured(options(tmp_path, "psycopg 1ms returns nothing, asyncpg 1ms returns nothing, reset"))

    assert found.listener.notes == []


def test_tables_are_reset_before_every_slice_and_tidied_before_every_block(tmp_path: Path) -> None:
    found = measured(options(tmp_path, f"{FINE}, reset", blocks=2))
    asked = [request for _, request in found.machine.asked]
    before = [asked[at - 1] for at, request in enumerate(asked) if request in dict(found.machine.slices()).values()]

    assert len(found.machine.slices()) == 2 * 2 * 3
    assert {type(each) for each in before} == {Reset}
    assert [type(each) for name, each in found.machine.asked if name == TABLES and not isinstance(each, Reset)][1:] == [
        Prepare, Tidy, Fingerprint, Fingerprint, Tidy, Tidy,
    ]  # fmt: skip


def test_without_a_reset_the_first_arm_is_checked_twice(tmp_path: Path) -> None:
    """What it finds is what prepare() left, and the next ones find what it left."""
    found = measured(options(tmp_path, FINE))
    checks = Counter(name for name, request in found.machine.asked if isinstance(request, Check))

    assert sorted(checks.values()) == [1, 2]
    assert not any(isinstance(request, Reset) for _, request in found.machine.asked)


def test_warming_up_takes_operations_and_then_time(tmp_path: Path) -> None:
    found = measured(options(tmp_path, "psycopg 1ms, sessions 2", drivers=["psycopg"]))
    first, second = [request for _, request in found.machine.slices("warm-up")]

    assert (first.operations, first.freeze, first.heartbeat) == (7 * 2, False, False)
    assert (second.freeze, second.heartbeat) == (True, True)
    assert 50 <= second.operations <= 55  # 25 ms of them
    assert found.run.measurements[0].loop_lag != {}


def test_a_long_operation_warms_up_once_more_only(tmp_path: Path) -> None:
    found = measured(options(tmp_path, "psycopg 200ms", drivers=["psycopg"]))

    assert [request.operations for _, request in found.machine.slices("warm-up")] == [7, 1]


@pytest.mark.parametrize(
    ("name", "kind", "message"),
    [
        ("all 1ms, broken", "scenario", "all 1ms, broken.py:1: invalid syntax"),
        ("all 1ms, unprepared", "scenario", "prepare failed: all 1ms, unprepared.py:2: LookupError: no data"),
    ],
)
def test_a_broken_scenario_is_named_and_the_others_go_on(tmp_path: Path, name: str, kind: str, message: str) -> None:
    found = measured(options(tmp_path, name, FINE, blocks=2))

    assert found.ended.exit_code == ExitCode.DEGRADED
    assert found.run.status == "degraded"
    assert [(each.kind, each.message) for each in found.run.problems] == [(kind, message)]
    assert len(found.listener.problems) == 1
    assert message in found.listener.problems[0]
    assert all(row.operations > 0 for row in found.rows if row.scenario == FINE)
    assert all((row.operations, row.verdict) == (0, Verdict.FAILED) for row in found.rows if row.scenario == name)


def test_a_scenario_without_anything_to_measure_ends_the_run(tmp_path: Path) -> None:
    machine, listener = ScriptedMachine(), Listener()
    with pytest.raises(DbbenchError, match="no scenario left to measure") as caught:
        execute(options(tmp_path, "all 1ms, broken"), listener, open_site=machine.site)

    assert caught.value.exit_code == ExitCode.DEGRADED
    assert listener.problems == ["all 1ms, broken.py:1: invalid syntax"]
    assert not (tmp_path / "run.jsonl").exists()
    assert all(each.ended for each in machine.workers)


def test_an_operation_that_fails_for_one_driver_leaves_the_others(tmp_path: Path) -> None:
    name = "psycopg 1ms, asyncpg fails 42601"
    found = measured(options(tmp_path, name, FINE, blocks=2, drivers=ALL))

    assert found.ended.exit_code == ExitCode.DEGRADED
    assert [(each.kind, each.arm, each.message) for each in found.run.problems] == [
        ("operation", "asyncpg", f"{name}.py:3: Error: told to")
    ]
    assert operations(found.rows) == {
        (name, "psycopg"): True,
        (name, "asyncpg"): False,
        (name, "psycopg2"): True,
        (FINE, "psycopg"): True,
        (FINE, "asyncpg"): True,
        (FINE, "psycopg2"): True,
    }


def test_a_worker_that_is_lost_costs_its_cell_only(tmp_path: Path) -> None:
    name = "psycopg 1ms, asyncpg 1ms lost in check"
    found = measured(options(tmp_path, name, FINE, drivers=ALL))

    assert found.ended.exit_code == ExitCode.DEGRADED
    assert [(each.kind, each.arm, each.message) for each in found.run.problems] == [
        ("worker lost", "asyncpg", "the worker of asyncpg ended (exit status 9)")
    ]
    assert operations(found.rows) == {
        (name, "psycopg"): True,
        (name, "asyncpg"): False,
        (name, "psycopg2"): True,
        (FINE, "psycopg"): True,
        (FINE, "asyncpg"): True,
        (FINE, "psycopg2"): True,
    }
    started = Counter(each.name for each in found.machine.workers)
    assert started == {TABLES: 1, "psycopg": 3, "asyncpg": 3, "psycopg2": 3}, (
        "all are started again, and again for the block"
    )


def test_a_worker_that_is_lost_while_it_is_timed_is_left_out(tmp_path: Path) -> None:
    found = measured(options(tmp_path, "psycopg 1ms, asyncpg 1ms lost in time", drivers=ALL))

    assert [(each.kind, each.arm) for each in found.run.problems] == [("worker lost", "asyncpg")]
    assert found.ratios == {"psycopg": 1.0, "asyncpg": None, "psycopg2": pytest.approx(1.0)}


def test_where_nothing_can_be_measured_the_file_says_why(tmp_path: Path) -> None:
    found = measured(options(tmp_path, "psycopg fails 42601, asyncpg fails 42601"))

    assert found.ended.exit_code == ExitCode.DEGRADED
    assert found.run.status == "degraded"
    assert found.run.measurements == []
    assert {row.verdict for row in found.rows} == {Verdict.FAILED}


def test_a_password_that_a_scenario_says_is_redacted(tmp_path: Path) -> None:
    found = measured(options(tmp_path, "psycopg fails 42601 leaking, asyncpg 1ms"))

    assert found.run.problems[0].message.endswith("Error: ***")
    assert PASSWORD not in found.ended.path.read_text()
    assert not any(PASSWORD in text for text in found.listener.problems)


def test_layers_that_a_scenario_does_not_have_are_said_to_be_left_out(tmp_path: Path) -> None:
    raw = "all 1ms, layers raw"
    assert [row.layer for row in measured(options(tmp_path, raw)).rows] == ["raw"] * 2, "nothing was asked for"

    given = options(tmp_path, raw, FINE, layers=["orm"], output=tmp_path / "orm.jsonl")
    found = measured(given)
    assert {row.scenario for row in found.rows} == {FINE}
    assert found.listener.notes == [f"{raw} has no orm: left out"]

    with pytest.raises(UsageError, match="no scenario has the layer core"):
        measured(options(tmp_path, raw, layers=["core"], output=tmp_path / "none.jsonl"))
    assert not (tmp_path / "none.jsonl").exists()


def test_sessions_that_cannot_hold_a_connection_each_are_left_out(tmp_path: Path) -> None:
    name = "all 1ms, sessions 2 3"
    found = measured(options(tmp_path, name, checkout="session", pool=Pool(1, 1)))

    assert found.ended.exit_code == ExitCode.OK
    assert {row.sessions for row in found.rows} == {2}
    assert found.listener.notes == [f"{name}: 3 sessions cannot hold a connection each with a pool of 2: left out"]


def test_a_parameter_that_no_scenario_has_is_refused_with_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"--set row: no parameter of these scenarios; did you mean rows\?"):
        measured(options(tmp_path, FINE, params={"row": "1"}))

    found = measured(options(tmp_path, FINE, params={"rows": "7"}))
    assert {row.params for row in found.rows} == {"rows=7"}


def test_the_result_file_names_no_folder_and_is_its_owners_alone(tmp_path: Path) -> None:
    found = measured(options(tmp_path, FINE))

    assert str(tmp_path) not in found.ended.path.read_text()
    assert found.ended.path.stat().st_mode & 0o777 == 0o600


def test_the_slices_that_count_are_not_disturbed(tmp_path: Path) -> None:
    found = measured(options(tmp_path, FINE))

    assert not any(request.heartbeat or request.freeze for _, request in found.machine.slices())


# --- how long it may take --------------------------------------------------------------------------------------------


def test_what_comes_is_said_with_its_times_before_it_begins(tmp_path: Path) -> None:
    for_time = measured(options(tmp_path, f"{FINE}, sessions 1 15", blocks=None, budget_s=20.0))
    for_blocks = measured(options(tmp_path, FINE, blocks=1, output=tmp_path / "blocks.jsonl"))

    assert for_time.listener.announced == [
        "set-up of 2 cells, about 2 s (at most 35 s for each driver in a cell), then 20 s of measuring"
    ]
    assert for_blocks.listener.announced == ["set-up of 1 cell, about 1 s, then 1 block"]
    checking = [stage for stage in for_time.listener.stages if stage.startswith("checking")]
    assert [stage.rpartition("(")[2] for stage in checking] == ["1 of 2)", "2 of 2)"]


def test_a_driver_whose_check_takes_its_share_of_the_budget_is_left_out_with_the_way_out(tmp_path: Path) -> None:
    name = "psycopg 1ms, asyncpg 20000ms"
    found = measured(options(tmp_path, name, drivers=ALL, blocks=None, budget_s=20.0))
    with_blocks = measured(options(tmp_path, name, blocks=1, rounds=1, output=tmp_path / "blocks.jsonl"))
    (problem,) = found.run.problems

    assert found.ended.exit_code == ExitCode.DEGRADED
    baseline, failed, other = found.rows
    assert (baseline.verdict, failed.verdict) == (Verdict.BASELINE, Verdict.FAILED)
    assert other.operations > 0
    assert (problem.kind, problem.arm) == ("operation", "asyncpg")
    assert problem.message == (
        "its check took longer than 35 s, its share of the budget; smaller parameters (--set) or fewer --sessions "
        "make it shorter, and a longer --budget allows more"
    )
    assert with_blocks.run.problems == [], "who asks for blocks waits for them"


def gives_no_answer(machine: ScriptedMachine, workers: Workers) -> None:
    machine.now_ns += 8 * 10**9
    assert workers.patience() == 0.0
    raise WorkerLostError("the worker of psycopg gave no answer within 0 s")


def test_no_answer_is_waited_for_beyond_that(tmp_path: Path) -> None:
    machine = ScriptedMachine()
    given = options(tmp_path, FINE)
    with machine.site(given, "3f9c2a", AT_HOME, Listener()) as site:
        workers = Workers(plan(), site, {})
        usual = workers.patience()
        with workers.within(7.0):
            assert workers.patience() == workers.patience(60.0) == 7.0
            machine.now_ns += 2 * 10**9
            assert workers.patience() == 5.0
        with workers.within(10**6):
            assert workers.patience() == usual
        assert workers.patience() == usual
        with pytest.raises(WorkerLostError, match="its check took longer than 7 s"), workers.within(7.0):
            gives_no_answer(machine, workers)
        with pytest.raises(WorkerLostError, match="ended"), workers.within(7.0):
            raise WorkerLostError("the worker of psycopg ended")
