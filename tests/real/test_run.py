"""The `run` command's steps, on a real server with real workers."""

import math
import os
import re
import time
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
from builders import options_with
from conftest import PASSWORD, connect

from dbbench import catalog, result_file
from dbbench.address import Address
from dbbench.analysis.analysis import analyse
from dbbench.analysis.rows import CellRow
from dbbench.commands.run import Ended, execute
from dbbench.commands.selfcheck import kept
from dbbench.drivers import DRIVERS
from dbbench.engine import planning
from dbbench.engine.options import Options
from dbbench.errors import DbbenchError, ExitCode, UsageError
from dbbench.plan import Effort, Pool
from dbbench.records import Run
from dbbench.stats.paired import block_log_ratio

FAST = {"rows": "50", "batch": "20"}


def plan_for(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    """Plan runs with a number of blocks as if they had so many seconds: rounds follow from that, and little else."""
    monkeypatch.setattr(planning, "NOMINAL_BUDGET_S", seconds)


@pytest.fixture(autouse=True)
def _short_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """As few rounds in a block as can be: with thirty of them a test takes twice as long and sees nothing more."""
    plan_for(monkeypatch, 1.0)


class Listener:
    """Keeps what a watcher is told."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        self.stages: list[str] = []
        self.times: list[float] = []  # of the stages
        self.fractions: list[float] = []

    def say(self, what: str) -> None:
        self.stages.append(what)
        self.times.append(time.monotonic())

    def advance(self, fraction: float, left_s: float | None) -> None:
        self.fractions.append(fraction)
        assert left_s is None or left_s >= 0

    def problem(self, text: str) -> None:
        self.notes.append(text)

    def note(self, text: str) -> None:
        if not text.startswith("another dbbench run"):  # somebody may really be measuring while the tests run
            self.notes.append(text)


def options(server: Address, folder: Path, *scenarios: str | Path, **changes: object) -> Options:
    """Small, quick options; parameters that the scenarios have not are left out."""
    paths = catalog.find([str(scenario) for scenario in scenarios])
    params = {}
    for path in paths:
        if path.parent == catalog.builtin_directory():
            params.update({key: FAST[key] for key in catalog.load(path, sync=False).defaults if key in FAST})
    made = Options(
        scenarios=paths, address=server, params=params, effort=Effort(blocks=1, seed=1),
        output=folder / "run.jsonl", allow_production=True,
    )  # fmt: skip
    return options_with(made, **changes)


def measured(given: Options) -> tuple[Run, list[CellRow], Ended, Listener]:
    """Run, and read the result file."""
    listener = Listener()
    outcome = execute(given, listener)
    run = result_file.read(outcome.path)
    return run, analyse(run).rows, outcome, listener


def scenario(folder: Path, name: str, source: str) -> Path:
    path = folder / f"{name}.py"
    path.write_text(source)
    return path


def order(run: Run) -> list[object]:
    """Everything about the order in which cells and slices were visited."""
    return [
        (each.block, each.cell, each.arm, [(part.position, part.round) for part in each.slices])
        for each in run.measurements
    ]


def test_every_cell_of_the_default_table_is_measured_without_errors(server: Address, tmp_path: Path) -> None:
    run, found, outcome, listener = measured(options(server, tmp_path, *catalog.DEFAULT))

    assert outcome.exit_code == ExitCode.OK, run.problems
    assert len(found) == 3 * 5
    assert all(row.operations > 0 and row.errors == 0 for row in found)
    assert {row.sessions for row in found if row.scenario == "concurrent_sessions"} == {1, 15, 50}
    assert run.end is not None
    assert run.end.status == "complete"
    assert listener.fractions == sorted(listener.fractions)
    assert listener.fractions[-1] == 1.0


def test_all_drivers_and_layers_write_the_same(server: Address, tmp_path: Path) -> None:
    given = options(
        server, tmp_path, "bulk_inserts", "concurrent_sessions", drivers=list(DRIVERS), layers=["orm", "core", "raw"],
        sessions=[2],
    )  # fmt: skip
    run, found, outcome, _ = measured(given)

    assert outcome.exit_code == ExitCode.OK, run.problems
    assert len(found) == len(DRIVERS) * 3 * 2
    assert all(row.operations > 0 and row.errors == 0 for row in found)


def test_runs_with_the_same_seed_visit_cells_and_slices_in_the_same_order(
    server: Address, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan_for(monkeypatch, 30.0)  # several rounds, so that an order seldom repeats by chance
    given = options(
        server,
        tmp_path,
        "point_reads",
        layers=["raw"],
        sessions=[1, 2],
        drivers=["psycopg", "psycopg2"],
        blocks=2,
    )
    first, *_ = measured(given)
    second, *_ = measured(replace(given, output=tmp_path / "again.jsonl"))

    assert min(first.header.plan.rounds) >= 4
    assert order(first) == order(second)


def test_slices_of_the_arms_are_interleaved_and_alike(
    server: Address, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan_for(monkeypatch, 60.0)  # several rounds, also with four sessions
    run, *_ = measured(options(server, tmp_path, "point_reads", sessions=[1, 4]))
    for cell in (0, 1):
        of_cell = [each for each in run.measurements if each.cell == cell]
        positions = sorted(part.position for each in of_cell for part in each.slices)
        arms = len(run.header.plan.arms)

        assert positions == list(range(arms * run.header.plan.rounds[cell]))
        for each in of_cell:  # one slice of every arm in every round
            assert [part.position // arms for part in each.slices] == [part.round for part in each.slices]
        assert len({part.usage.operations for each in of_cell for part in each.slices}) == 1
    four = next(each for each in run.measurements if each.cell == 1)
    assert four.slices[0].usage.operations >= 10 * 4


def test_the_table_never_grows(server: Address, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plan_for(monkeypatch, 60.0)  # many rounds: without resets there would be too many rows
    path = scenario(
        tmp_path,
        "growing",
        "from sqlalchemy import text\n"
        "def prepare(connection, params): connection.execute(text('CREATE TABLE t (id int)'))\n"
        "def reset(connection, params): connection.execute(text('TRUNCATE t'))\n"
        "async def raw(db, params, rng):\n"
        "    async with db.transaction():\n"
        "        await db.execute('INSERT INTO t VALUES ($1)', 1)\n"
        "        (rows,) = await db.fetch_one('SELECT count(*) FROM t')\n"
        "    assert rows < 1000, rows\n",
    )
    run, found, outcome, _ = measured(options(server, tmp_path, path, drivers=["psycopg", "psycopg2"], blocks=2))

    assert outcome.exit_code == ExitCode.OK, run.problems
    assert sum(row.operations for row in found) > 100


def test_different_results_are_not_comparable_and_said_to_be(server: Address, tmp_path: Path) -> None:
    path = scenario(
        tmp_path,
        "differs",
        "async def raw(db, params, rng):\n    return (await db.fetch_one('SELECT $1::text', type(db).__module__))\n",
    )
    run, found, outcome, listener = measured(options(server, tmp_path, path, drivers=["psycopg", "asyncpg"]))

    assert outcome.exit_code == ExitCode.INCONCLUSIVE
    assert [row.verdict for row in found] == ["baseline", "not comparable"]
    assert found[1].ratio is None
    assert found[1].operations > 0
    assert run.problems[0].kind == "not comparable"
    assert "asyncpg gave operation 1[0]: str dbbench.drivers.asyncpg, psycopg gave" in listener.notes[0]


def test_what_is_written_differently_is_not_comparable_either(server: Address, tmp_path: Path) -> None:
    path = scenario(
        tmp_path,
        "writes",
        "from sqlalchemy import text\n"
        "def prepare(connection, params): connection.execute(text('CREATE TABLE t (x text)'))\n"
        "def reset(connection, params): connection.execute(text('TRUNCATE t'))\n"
        "async def raw(db, params, rng):\n"
        "    async with db.transaction():\n"
        "        await db.execute('INSERT INTO t VALUES ($1)', type(db).__module__)\n",
    )
    run, _, outcome, _ = measured(options(server, tmp_path, path, drivers=["psycopg", "asyncpg"]))

    assert outcome.exit_code == ExitCode.INCONCLUSIVE
    assert "table t: 3 rows" in run.problems[0].message


BROKEN = {
    "syntax": ("def raw(:\n", r"syntax\.py:1: invalid syntax"),
    "nothing": ("X = 1\n", r"nothing\.py:1: no operation"),
    "prepares": (
        "def prepare(connection, params):\n    raise LookupError('no data')\nasync def raw(db, params, rng): ...\n",
        r"prepare failed: prepares\.py:2: LookupError: no data",
    ),
    "raises": (
        "async def raw(db, params, rng):\n    await db.execute('SELECT nowhere')\n",
        r"raises\.py:2: .*nowhere",
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_scenario_is_named_and_the_others_go_on(
    server: Address, tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    source, message = BROKEN[name]
    path = scenario(tmp_path, name, source)
    given = options(server, tmp_path, path, "point_reads", drivers=["psycopg", "psycopg2"])
    run, found, outcome, listener = measured(given)

    assert outcome.exit_code == ExitCode.DEGRADED
    assert run.end is not None
    assert run.end.status == "degraded"
    assert any(re.search(message, note) for note in listener.notes), listener.notes
    assert all(row.operations > 0 for row in found if row.scenario == "point_reads")
    assert all((row.operations, row.verdict) == (0, "failed") for row in found if row.scenario == name)


def test_a_scenario_without_anything_to_measure_ends_the_run(server: Address, tmp_path: Path) -> None:
    path = scenario(tmp_path, "syntax", "def raw(:\n")
    listener = Listener()
    with pytest.raises(DbbenchError, match="no scenario left to measure") as caught:
        execute(options(server, tmp_path, path), listener)

    assert caught.value.exit_code == ExitCode.DEGRADED
    assert "syntax.py:1: invalid syntax" in listener.notes[0]
    assert not (tmp_path / "run.jsonl").exists()


def test_what_sync_drivers_cannot_run_is_measured_for_the_others(server: Address, tmp_path: Path) -> None:
    path = scenario(
        tmp_path,
        "gathers",
        "import asyncio\nasync def raw(db, params, rng): return await asyncio.gather(asyncio.sleep(0, 1))\n",
    )
    _, found, outcome, listener = measured(options(server, tmp_path, path))

    assert outcome.exit_code == ExitCode.DEGRADED
    assert {row.driver: row.operations > 0 for row in found} == {"psycopg": True, "asyncpg": True, "psycopg2": False}
    assert "gathers.py:2: asyncio.gather has no sync counterpart" in listener.notes[0]


def test_an_operation_that_returns_nothing_is_said_not_to_be_compared(server: Address, tmp_path: Path) -> None:
    path = scenario(tmp_path, "silent", "async def raw(db, params, rng): await db.execute('SELECT 1')\n")
    _, _, _, listener = measured(options(server, tmp_path, path, drivers=["psycopg"]))
    assert listener.notes == ["silent, raw: returns nothing, so there was nothing to compare"]


def test_an_operation_that_fails_for_one_driver_leaves_the_others(server: Address, tmp_path: Path) -> None:
    path = scenario(
        tmp_path,
        "picky",
        "async def raw(db, params, rng):\n    assert 'asyncpg' not in type(db).__module__\n    return 1\n",
    )
    run, found, outcome, _ = measured(options(server, tmp_path, path))

    assert outcome.exit_code == ExitCode.DEGRADED
    assert {row.driver: row.operations > 0 for row in found} == {"psycopg": True, "asyncpg": False, "psycopg2": True}
    assert [(problem.arm, problem.kind) for problem in run.problems] == [("asyncpg", "operation")]


def test_errors_while_measuring_are_counted_and_reported_once(
    server: Address, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan_for(monkeypatch, 60.0)  # many rounds: on a slow machine a slice has few operations
    path = scenario(
        tmp_path,
        "flaky",
        "async def raw(db, params, rng):\n    if rng.random() < 0.1: raise LookupError('sometimes')\n    return 1\n",
    )
    run, found, outcome, _ = measured(options(server, tmp_path, path, drivers=["psycopg"]))

    assert outcome.exit_code == ExitCode.DEGRADED
    attempts = found[0].operations + found[0].errors
    assert 0.02 < found[0].errors / attempts < 0.25
    assert [problem.message.partition("flaky")[2] for problem in run.problems] == [".py:2: LookupError: sometimes"]


def test_a_worker_that_dies_costs_its_cell_only(server: Address, tmp_path: Path) -> None:
    path = scenario(
        tmp_path,
        "deadly",
        "import os\nasync def raw(db, params, rng):\n"
        "    if 'asyncpg' in type(db).__module__: os._exit(9)\n    return 1\n",
    )
    given = options(server, tmp_path, path, "point_reads", layers=["raw"], drivers=["psycopg", "asyncpg"])
    run, found, outcome, _ = measured(given)

    assert outcome.exit_code == ExitCode.DEGRADED
    assert [problem.kind for problem in run.problems] == ["worker lost"]
    assert "exit status 9" in run.problems[0].message
    assert {(row.scenario, row.driver): row.operations > 0 for row in found} == {
        ("deadly", "psycopg"): True,
        ("deadly", "asyncpg"): False,
        ("point_reads", "psycopg"): True,
        ("point_reads", "asyncpg"): True,
    }


@pytest.mark.alone
def test_the_budget_is_honoured_within_15_percent(server: Address, tmp_path: Path) -> None:
    # A precision out of reach: nothing is decided before the time is up.
    given = options(
        server, tmp_path, "point_reads", drivers=["psycopg", "psycopg2"], blocks=None, budget_s=12.0, precision=0.0001
    )  # fmt: skip
    run, found, _, listener = measured(given)
    began = [at for stage, at in zip(listener.stages, listener.times, strict=True) if stage.startswith("block ")]

    assert run.end is not None
    # A block is not cut off, and may take longer than the one before: so much is beyond anybody's planning.
    longest = max(after - before for before, after in pairwise([*began, began[0] + run.end.measured_s]))
    assert 12.0 - max(1.8, longest) <= run.end.measured_s <= 12.0 + max(1.8, 1.2 + longest)
    assert found[0].blocks == len(began) >= 2


def test_scenarios_without_the_layer_are_said_to_be_left_out(server: Address, tmp_path: Path) -> None:
    path = scenario(tmp_path, "rawonly", "async def raw(db, params, rng): return 1\n")
    _, found, _, _ = measured(options(server, tmp_path, path, drivers=["psycopg"]))
    assert [row.layer for row in found] == ["raw"]  # nothing was asked for: what there is

    given = options(server, tmp_path, path, "point_reads", drivers=["psycopg"], layers=["core"])
    _, found, _, listener = measured(replace(given, output=tmp_path / "core.jsonl"))
    assert [row.scenario for row in found] == ["point_reads"]
    assert listener.notes == ["rawonly has no core: left out"]

    with pytest.raises(UsageError, match="no scenario has the layer orm"):
        measured(options(server, tmp_path, path, layers=["orm"], output=tmp_path / "none.jsonl"))
    assert not (tmp_path / "none.jsonl").exists()


def test_sessions_that_cannot_hold_a_connection_each_are_left_out(server: Address, tmp_path: Path) -> None:
    path = scenario(tmp_path, "many", "SESSIONS = (2, 3)\nasync def raw(db, params, rng): return 1\n")
    given = options(server, tmp_path, path, drivers=["psycopg"], checkout="session", pool=Pool(1, 1))
    _, found, outcome, listener = measured(given)

    assert outcome.exit_code == ExitCode.OK
    assert [row.sessions for row in found] == [2]
    assert listener.notes == ["many: 3 sessions cannot hold a connection each with a pool of 2: left out"]


def test_a_parameter_that_no_scenario_has_is_refused_with_the_nearest(server: Address, tmp_path: Path) -> None:
    given = options(server, tmp_path, "point_reads", params={"row": "1"})
    with pytest.raises(UsageError, match=r"--set row: no parameter of these scenarios; did you mean rows\?"):
        execute(given, Listener())


def test_settings_reach_the_server_and_the_pool(server: Address, tmp_path: Path) -> None:
    path = scenario(
        tmp_path,
        "settings",
        "from sqlalchemy import text\n"
        "SESSIONS = (5,)\n"
        "def reset(connection, params): connection.execute(text('TRUNCATE seen'))\n"
        "def prepare(connection, params): connection.execute(text('CREATE TABLE seen (pid int, level text)'))\n"
        "async def core(connection, params, rng):\n"
        "    await connection.execute(text(\n"
        "        'INSERT INTO seen SELECT pg_backend_pid(), current_setting($$search_path$$)'))\n"
        "    result = await connection.execute(text(\n"
        "        'SELECT count(DISTINCT pid) FROM seen WHERE level = current_schema()'))\n"
        "    assert result.scalar_one() <= 2\n",
    )
    given = options(
        server, tmp_path, path, drivers=["asyncpg"], baseline="asyncpg", pool=Pool(2, 0), tx_end="autocommit"
    )
    run, _, outcome, _ = measured(given)
    assert outcome.exit_code == ExitCode.OK, run.problems


def test_the_result_file_names_no_person_no_folder_and_no_password(foreign: Address, tmp_path: Path) -> None:
    path = scenario(tmp_path, "mine", "async def raw(db, params, rng): return 1\n")
    _, _, outcome, _ = measured(options(foreign, tmp_path, path, drivers=["psycopg"]))
    text = outcome.path.read_text()

    for secret in (PASSWORD, str(tmp_path), os.uname().nodename, str(Path.home()) + "/"):
        assert secret not in text
    assert outcome.path.stat().st_mode & 0o777 == 0o600


def test_a_password_that_a_scenario_says_is_redacted(foreign: Address, tmp_path: Path) -> None:
    path = scenario(tmp_path, "says", f"async def raw(db, params, rng): raise LookupError({PASSWORD!r})\n")
    _, _, outcome, listener = measured(options(foreign, tmp_path, path, drivers=["psycopg"]))

    assert "says.py:1: LookupError: ***" in listener.notes[0]
    assert PASSWORD not in outcome.path.read_text()


def test_a_users_objects_are_untouched(foreign: Address, tmp_path: Path) -> None:
    with connect(foreign) as owner:
        owner.execute("CREATE TABLE public.patients (id int PRIMARY KEY, name text)")
        owner.execute("INSERT INTO public.patients SELECT n, 'mine' FROM generate_series(1, 30) n")
        try:
            _, found, outcome, _ = measured(options(foreign, tmp_path, *catalog.DEFAULT, sessions=[2]))
            mine = owner.execute("SELECT count(*), min(name), max(name) FROM public.patients").fetchone()
            left = owner.execute("SELECT nspname FROM pg_namespace WHERE nspname LIKE 'dbbench%'").fetchall()
            deadline = time.monotonic() + 60  # sessions end a little later than their connections
            query = "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'dbbench%'"
            while (others := owner.execute(query).fetchone()) != (0,) and time.monotonic() < deadline:
                time.sleep(0.01)
        finally:
            owner.execute("DROP TABLE public.patients")

    assert outcome.exit_code == ExitCode.OK
    assert mine == (30, "mine", "mine")
    assert left == []
    assert others == (0,)
    assert all(row.operations > 0 for row in found)


# --- where the time goes ---------------------------------------------------------------------------------------------

FAILING = """
from sqlalchemy import text

def prepare(connection, params):
    connection.execute(text(
        "CREATE FUNCTION fail(code text) RETURNS int LANGUAGE plpgsql AS "
        "$$ BEGIN IF code <> '' THEN RAISE EXCEPTION 'told to' USING ERRCODE = code; END IF; RETURN 1; END $$"
    ))

async def orm(session, params, rng):
    code = {0: "40001", 1: "23505"}.get(rng.randrange(10), "")
    return (await session.execute(text("SELECT fail(:code)"), {"code": code})).scalar()
"""


def test_failed_operations_are_in_the_ledger_and_in_no_latency(
    server: Address, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan_for(monkeypatch, 60.0)  # many rounds: on a slow machine a slice has few operations
    run, found, outcome, _ = measured(options(server, tmp_path, scenario(tmp_path, "failing", FAILING)))
    ledger = analyse(run).failures

    assert outcome.exit_code == ExitCode.DEGRADED
    for row, explained in zip(found, analyse(run).breakdowns, strict=True):
        codes = {each.code: each for each in ledger if each.driver == row.driver}
        assert set(codes) <= {"40001", "23505"}
        assert sum(each.operations for each in codes.values()) == row.errors > 0
        assert explained.attempts == row.operations + row.errors
        of_arm = [each for each in run.measurements if each.arm == row.driver]
        assert sum(sum(each.latency.values()) for each in of_arm) == row.operations
        assert {each.meaning for each in codes.values()} <= {"transaction rollback", "integrity constraint violation"}


@pytest.mark.alone
def test_an_open_loop_has_response_times_and_service_times(server: Address, tmp_path: Path) -> None:
    given = options(server, tmp_path, "point_reads", layers=["raw"], rate=100.0, blocks=None, budget_s=6.0)
    run, found, outcome, _ = measured(given)

    assert outcome.exit_code == ExitCode.OK
    assert run.header.plan.slice_s == 2.0
    for row, explained in zip(found, analyse(run).breakdowns, strict=True):
        blocks = row.blocks
        assert row.operations + explained.not_started == 200 * blocks
        assert row.cpu_us_per_op is None
        assert explained.service_p50_us is not None
        assert row.p50_us is not None
        assert explained.lag_p50_us is not None
        assert explained.service_p50_us <= row.p50_us * 1.01, "response time is service time and lag"
        assert row.ops_per_second is not None
        assert 40 < row.ops_per_second < 160


@pytest.mark.alone
def test_a_pause_makes_drivers_comparable_by_latency(
    server: Address, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan_for(monkeypatch, 40.0)  # several rounds: their latencies are put together
    given = options(server, tmp_path, "point_reads", layers=["raw"], sessions=[4], think_s=0.02)
    run, found, *_ = measured(given)

    assert run.header.plan.paced
    for row in found:
        assert row.ops_per_second is not None
        assert row.ops_per_second <= 4 / 0.02 * 10 / 9, "ten operations of a session have nine pauses between them"
        assert row.p50_us is not None
        assert row.p50_us < 20_000, "a pause is not part of an operation"
    assert run.header.plan.rounds[0] >= 3
    by_arm = {
        each.arm: {part.round: part.usage.latency_ns / part.usage.operations for part in each.slices}
        for each in run.measurements
    }
    log_ratio = block_log_ratio(by_arm["asyncpg"], by_arm["psycopg"])
    assert log_ratio is not None
    assert found[1].ratio == pytest.approx(math.exp(log_ratio))


def test_layers_are_put_side_by_side(server: Address, tmp_path: Path) -> None:
    path = scenario(
        tmp_path,
        "layered",
        "from sqlalchemy import text\n"
        "async def raw(db, params, rng): return (await db.fetch_one('SELECT 1'))[0]\n"
        "async def orm(session, params, rng):\n"
        "    return (await session.execute(text('SELECT 1 FROM (SELECT pg_sleep(0.01)) s'))).scalar()\n",
    )
    run, *_ = measured(options(server, tmp_path, path, layers=["raw", "orm"], drivers=["psycopg", "psycopg2"]))
    tax = analyse(run).layer_tax

    assert [(each.driver, each.base, each.layer) for each in tax] == [
        ("psycopg", "raw", "orm"), ("psycopg2", "raw", "orm")
    ]  # fmt: skip
    assert all(each.ratio is not None and each.ratio > 1 for each in tax)


def test_a_run_that_is_noisier_than_its_machine_says_so(
    server: Address, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kept, "warning", lambda rows, placement: f"{len(rows)} rows, {placement}: noisy")
    *_, listener = measured(options(server, tmp_path, "point_reads", placement="free"))

    assert "2 rows, free: noisy" in listener.notes
