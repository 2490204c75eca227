"""What goes wrong while a run measures: failures, lost workers, a lost server, signals; and how the run then ends."""

from contextlib import ExitStack
from pathlib import Path

import builders
import msgspec
import pytest
from engine.runs import Listener, measured, options
from engine.scripted import PASSWORD, ScriptedMachine

from dbbench import result_file
from dbbench.analysis.analysis import analyse
from dbbench.commands.run import execute
from dbbench.engine.blocks import Blocks
from dbbench.engine.setup import SetUp
from dbbench.engine.site import AT_HOME, describe, start_tables_worker
from dbbench.engine.workers import Workers
from dbbench.errors import ExitCode, Interrupted, ServerLostError
from dbbench.plan import Cell, Connections, Effort, Pooler
from dbbench.records import Measurement, Problem
from dbbench.stats.paired import Verdict

FINE = "psycopg 1ms, asyncpg 2ms"


def test_failed_operations_are_in_the_ledger_and_in_no_latency(tmp_path: Path) -> None:
    found = measured(options(tmp_path, "psycopg 1ms, asyncpg 1ms fails 40001 20%", blocks=2))
    fine, failing = found.rows
    (ledger,) = analyse(found.run).failures

    assert found.ended.exit_code == ExitCode.DEGRADED
    assert (fine.operations, fine.errors) == (2 * 3 * 10, 0)
    assert (failing.operations, failing.errors) == (2 * 3 * 8, 2 * 3 * 2)
    assert (ledger.driver, ledger.code, ledger.operations) == ("asyncpg", "40001", 2 * 3 * 2)
    assert ledger.meaning == "transaction rollback"
    assert [each.attempts for each in analyse(found.run).breakdowns] == [60, 60]
    assert sum(sum(each.latency.values()) for each in found.run.measurements if each.arm == "asyncpg") == 48


def test_a_message_is_said_once_whatever_the_number_of_slices(tmp_path: Path) -> None:
    name = "psycopg 1ms, asyncpg 1ms fails 40001 20%"
    found = measured(options(tmp_path, name, blocks=3))

    assert [(each.kind, each.arm, each.message) for each in found.run.problems] == [
        ("errors", "asyncpg", f"{name}.py:3: Error: told to")
    ]
    assert found.listener.problems == [f"{name} asyncpg: {name}.py:3: Error: told to"]


def test_different_messages_are_all_said(tmp_path: Path) -> None:
    found = measured(options(tmp_path, "psycopg 1ms, asyncpg 1ms fails 40001 20% differently", blocks=2))

    assert len(found.run.problems) == 2 * 3


def test_a_message_is_said_for_every_cell_and_arm(tmp_path: Path) -> None:
    found = measured(options(tmp_path, "psycopg fails 40001 20%, asyncpg fails 40001 20%, sessions 1 2", blocks=2))

    assert {(each.cell, each.arm) for each in found.run.problems} == {
        (cell, arm) for cell in (0, 1) for arm in ("psycopg", "asyncpg")
    }
    assert len(found.run.problems) == 4


def test_a_password_in_a_failure_is_redacted(tmp_path: Path) -> None:
    found = measured(options(tmp_path, "psycopg 1ms, asyncpg 1ms fails 40001 20% leaking"))

    assert found.run.problems[0].message.endswith("Error: ***")
    assert PASSWORD not in found.ended.path.read_text()
    assert not any(PASSWORD in text for text in found.listener.problems)


def test_a_worker_that_is_lost_in_a_block_is_left_out_of_that_cell_alone(tmp_path: Path) -> None:
    name = "psycopg 1ms, asyncpg 1ms lost in block 1"
    found = measured(options(tmp_path, name, FINE, blocks=4))

    assert found.ended.exit_code == ExitCode.DEGRADED
    assert [(each.kind, each.cell, each.arm) for each in found.run.problems] == [("worker lost", 0, "asyncpg")]
    blocks = {
        (cell, arm): [each.block for each in found.of_cell(cell) if each.arm == arm]
        for cell in (0, 1)
        for arm in ("psycopg", "asyncpg")
    }
    assert blocks[0, "psycopg"] == blocks[1, "psycopg"] == [0, 1, 2, 3]
    assert blocks[0, "asyncpg"] == [0], "not even the slices of the block in which it was lost, and none after it"
    # A lost worker is started again with the next block: the other cell may come before or after it in this one.
    order = found.run.header.plan.cell_order(1)
    assert blocks[1, "asyncpg"] == ([0, 1, 2, 3] if order == [1, 0] else [0, 2, 3])
    assert found.ratios["asyncpg"] == pytest.approx(1.0)


@pytest.mark.parametrize("moment", ["warm-up of block 1", "block 1", "close"])
def test_a_worker_is_lost_at_any_moment(tmp_path: Path, moment: str) -> None:
    name, drivers = f"psycopg 1ms, asyncpg 1ms lost in {moment}", ["psycopg", "asyncpg", "psycopg2"]
    found = measured(options(tmp_path, name, drivers=drivers, blocks=3))

    assert [(each.kind, each.arm) for each in found.run.problems] == [("worker lost", "asyncpg")]
    assert len([each for each in found.run.measurements if each.arm == "psycopg"]) == 3
    assert found.run.status == "degraded"
    assert all(each.ended for each in found.machine.workers)


@pytest.mark.parametrize(("start", "blocks"), [(1, []), (2, []), (4, [0, 1])])
def test_a_worker_that_is_lost_while_it_starts_is_left_out_from_then_on(
    tmp_path: Path, start: int, blocks: list[int]
) -> None:
    """Its first start is for the set-up, the others are for blocks."""
    machine = ScriptedMachine(stillborn=(("asyncpg", start),))
    given = options(tmp_path, "psycopg 1ms, asyncpg 1ms", drivers=["psycopg", "asyncpg", "psycopg2"], blocks=4)
    found = measured(given, machine=machine)

    assert found.ended.exit_code == ExitCode.DEGRADED
    message = "the worker of asyncpg ended (exit status -9), before it was ready; the rest of the run does without it"
    assert [(each.kind, each.cell, each.arm, each.message) for each in found.run.problems] == [
        ("worker lost", None, "asyncpg", message)
    ]  # fmt: skip
    assert [each.block for each in found.run.measurements if each.arm == "asyncpg"] == blocks
    assert [each.block for each in found.run.measurements if each.arm == "psycopg2"] == [0, 1, 2, 3]
    assert [each.name for each in machine.workers].count("asyncpg") == start, "it is not started again"
    assert all(each.ended for each in machine.workers)


def test_where_no_worker_starts_the_run_ends_with_what_was_measured(tmp_path: Path) -> None:
    machine = ScriptedMachine(stillborn=(("asyncpg", 3), ("psycopg", 3)))
    found = measured(options(tmp_path, "psycopg 1ms, asyncpg 1ms", blocks=4), machine=machine)

    assert found.ended.exit_code == ExitCode.DEGRADED
    assert found.run.end is not None
    assert found.run.end.status == "failed"
    assert "ended (exit status -9)" in found.run.end.reason
    assert found.blocks == [1]


@pytest.mark.parametrize(
    ("event", "said"),
    [
        ("stopped", "the worker of asyncpg was stopped by a signal"),
        ("suspended", "the machine was suspended for 12 s"),  # 4 s in each of three slices
    ],
)
def test_what_was_disturbed_is_kept_and_nothing_is_concluded_from_it(tmp_path: Path, event: str, said: str) -> None:
    name = f"psycopg 1ms, asyncpg 1ms {event} in block 1"
    found = measured(options(tmp_path, name, blocks=3))

    assert found.ended.exit_code == ExitCode.INCONCLUSIVE
    assert found.run.status == "complete"
    assert [(each.kind, each.cell, each.arm, each.message) for each in found.run.problems] == [
        ("disturbed", 0, None, f"block 2 is left out: {said}")
    ]
    assert {each.block for each in found.run.measurements} == {0, 2}
    assert {(each.block, each.arm, each.disturbed) for each in found.run.disturbed} == {
        (1, "psycopg", said), (1, "asyncpg", said)
    }  # fmt: skip
    assert [row.blocks for row in found.rows] == [2, 2]


def test_where_every_block_was_disturbed_nothing_is_called_measured(tmp_path: Path) -> None:
    found = measured(options(tmp_path, "psycopg 1ms, asyncpg 1ms stopped in block 0"))

    assert [row.verdict for row in found.rows] == [Verdict.NOT_MEASURED] * 2
    assert found.ended.exit_code == ExitCode.INCONCLUSIVE


def test_slices_before_a_worker_was_lost_are_kept_without_what_is_known_of_it(tmp_path: Path) -> None:
    found = measured(options(tmp_path, "psycopg 1ms, asyncpg 1ms lost in block 0", blocks=2))

    assert {each.arm for each in found.run.measurements} == {"psycopg"}
    assert found.rows[1].verdict is Verdict.FAILED


def test_a_run_whose_last_arm_is_lost_ends(tmp_path: Path) -> None:
    found = measured(options(tmp_path, "psycopg 1ms lost in block 1", drivers=["psycopg"], blocks=9))

    assert found.blocks == [1]
    assert found.run.status == "degraded"
    assert [stage for stage in found.listener.stages if stage.startswith("block ")] == ["block 1", "block 2"]


def test_a_server_that_goes_away_leaves_what_was_measured(tmp_path: Path) -> None:
    found = measured(options(tmp_path, "psycopg 1ms, asyncpg 1ms deserted in block 1", blocks=3))

    assert found.ended.exit_code == ExitCode.DEGRADED
    assert found.run.status == "failed"
    assert found.run.end is not None
    assert found.run.end.reason == "the server stopped answering while asyncpg was measured: the connection was closed"
    assert found.run.end.measured_s > 0
    assert [each.kind for each in found.run.problems] == ["server lost"]
    assert {each.block for each in found.run.measurements} == {0}
    assert all(each.ended for each in found.machine.workers)


def test_a_server_that_restarts_is_waited_for_where_that_is_asked(tmp_path: Path) -> None:
    name = "psycopg 1ms, asyncpg 1ms restarted in block 1"
    found = measured(options(tmp_path, name, FINE, blocks=4, on_disconnect="reconnect"))

    assert found.ended.exit_code == ExitCode.DEGRADED
    assert found.run.status == "degraded"
    assert [(each.kind, each.cell, each.arm, each.seconds, each.message) for each in found.run.problems] == [
        ("outage", None, None, 7.0, "the server was away for 7.0 s in block 2: what had not been finished is left out")
    ]
    assert {each.block for each in found.of_cell(0)} == {0, 2, 3}
    assert found.run.end is not None
    assert found.run.end.measured_s < 7, "what it was away does not count"
    tables = [each for each in found.machine.workers if each.name == "the tables"]
    assert len(tables) == 2, "a worker that may still wait for the server is replaced"
    assert all(each.ended for each in found.machine.workers)


def test_a_server_that_stays_away_is_lost(tmp_path: Path) -> None:
    given = options(tmp_path, "psycopg 1ms, asyncpg 1ms restarted in block 1", blocks=4, on_disconnect="reconnect")
    found = measured(given, machine=ScriptedMachine(restart_s=1000.0))

    assert found.ended.exit_code == ExitCode.DEGRADED
    assert found.run.end is not None
    assert found.run.end.reason == "the server was not back within 300 s"


def test_a_signal_leaves_what_was_measured(tmp_path: Path) -> None:
    found = measured(options(tmp_path, "psycopg 1ms, asyncpg 1ms interrupted in block 2", blocks=9))

    assert found.ended.exit_code == 130
    assert found.run.status == "interrupted"
    assert found.run.end is not None
    assert found.run.end.reason == "SIGINT"
    assert {each.block for each in found.run.measurements} == {0, 1}
    assert found.ratios["asyncpg"] == pytest.approx(1.0)
    assert all(each.ended for each in found.machine.workers)


@pytest.mark.parametrize(
    ("event", "raised"),
    [("interrupted in check", Interrupted), ("interrupted in block 0", Interrupted), ("deserted in block 0",
     ServerLostError), ("deserted in check", ServerLostError)],
)  # fmt: skip
def test_before_anything_was_measured_no_file_is_left(tmp_path: Path, event: str, raised: type[BaseException]) -> None:
    machine = ScriptedMachine()
    with pytest.raises(raised):
        execute(options(tmp_path, f"psycopg 1ms {event}, asyncpg 1ms {event}"), Listener(), open_site=machine.site)

    assert not (tmp_path / "run.jsonl").exists()
    assert all(each.ended for each in machine.workers)


def test_a_file_that_exists_is_not_touched(tmp_path: Path) -> None:
    (tmp_path / "run.jsonl").write_text("mine")
    with pytest.raises(Exception, match="exists already"):
        measured(options(tmp_path, FINE))

    assert (tmp_path / "run.jsonl").read_text() == "mine"


def test_a_folder_gets_a_file_of_its_own(tmp_path: Path) -> None:
    found = measured(options(tmp_path, FINE, output=tmp_path))

    assert found.ended.path.parent == tmp_path
    assert result_file.read(found.ended.path) == found.run


# --- behind a pooler -------------------------------------------------------------------------------------------------


def pooled(tmp_path: Path, name: str) -> tuple[list[Measurement], list[Problem]]:
    """Set-up and two blocks of a cell that has a pooler in front of the server, which the workers do not look at."""
    machine, given = ScriptedMachine(), options(tmp_path, name)
    (path,) = given.scenarios
    with (
        machine.site(given, "", AT_HOME, Listener()) as site,
        start_tables_worker(site, "") as tables,
        ExitStack() as stack,
    ):
        described, _ = describe(tables, {path: str(path)}, {})
        cell = Cell(name, "orm", 1, {}, str(path), pooler=Pooler("transaction", 0))
        plan = msgspec.structs.replace(
            builders.plan([cell], ["psycopg", "asyncpg"], rounds=2), effort=Effort(blocks=2), placement=site.placement
        )
        workers = Workers(plan, site, {arm.name: tables for arm in plan.arms})
        workers.start("set-up", stack)
        set_up = SetUp(workers, lambda _: None, lambda _: None)
        problems = list(set_up.run(described, stack))
        records = list(Blocks(workers, set_up.shapes, lambda _: None).blocks())
    measurements = [each for each in records if isinstance(each, Measurement)]
    return measurements, problems + [each for each in records if isinstance(each, Problem)]


def test_failures_behind_a_pooler_are_results(tmp_path: Path) -> None:
    """An arm that fails there in every check stays: how often it fails is what the run is about."""
    measurements, problems = pooled(tmp_path, "psycopg 1ms, asyncpg 1ms fails 26000")

    assert {each.arm for each in measurements} == {"psycopg", "asyncpg"}
    assert [(each.kind, each.arm) for each in problems] == [("errors", "asyncpg")]
    for each in measurements:
        failed = sum(part.usage.errors for part in each.slices)
        assert each.failures == ({"26000": failed} if each.arm == "asyncpg" else {})
        assert (failed > 0) == (each.arm == "asyncpg")


def test_failures_behind_a_pooler_are_said_once_though_each_has_a_name_of_its_own(tmp_path: Path) -> None:
    _, problems = pooled(tmp_path, "psycopg 1ms, asyncpg 1ms fails 26000 50% differently")

    assert [(each.kind, each.arm) for each in problems] == [("errors", "asyncpg")]


def test_what_is_no_measurement_is_none_behind_a_pooler_either(tmp_path: Path) -> None:
    measurements, problems = pooled(tmp_path, "psycopg 1ms, asyncpg 1ms sends nothing")

    assert {each.arm for each in measurements} == {"psycopg"}
    assert [(each.kind, each.arm, each.message) for each in problems] == [("operation", "asyncpg", "nothing is sent")]


def test_where_all_fail_behind_a_pooler_nothing_is_measured(tmp_path: Path) -> None:
    measurements, problems = pooled(tmp_path, "psycopg fails 26000, asyncpg fails 26000")

    assert measurements == []
    assert [(each.kind, each.arm) for each in problems] == [("operation", "psycopg"), ("operation", "asyncpg")]


def test_connections_travel_to_the_workers_of_their_arms(tmp_path: Path) -> None:
    given = options(tmp_path, FINE, tx_end="commit", pre_ping=True, settings={"asyncpg": {"statement_cache_size": 0}})
    found = measured(given)
    by_arm = {each.name: each.start.connections for each in found.machine.workers}

    assert by_arm["psycopg"] == Connections(tx_end="commit", pre_ping=True)
    assert by_arm["asyncpg"].settings == {"asyncpg": {"statement_cache_size": 0}}
    assert {each.start.driver for each in found.machine.workers} == {"psycopg-sync", "psycopg", "asyncpg"}
