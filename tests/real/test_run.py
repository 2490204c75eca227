"""The `run` command's steps, on a real server with real workers."""

import os
import time
from pathlib import Path

import pytest
from builders import options_with
from conftest import PASSWORD, connect

from dbbench import catalog, result_file
from dbbench.address import Address
from dbbench.analysis.analysis import analyse
from dbbench.analysis.rows import CellRow
from dbbench.commands.recording import Ended
from dbbench.commands.run import execute
from dbbench.drivers import PRESETS
from dbbench.engine.options import Options
from dbbench.errors import ExitCode
from dbbench.plan import Effort, Pool
from dbbench.records import Run

ALL = PRESETS["all"]

FAST = {"rows": "50", "batch": "20"}


class Listener:
    """Keeps what a watcher is told."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        self.fractions: list[float] = []

    def say(self, what: str) -> None:
        """What goes on is looked at in tests/engine."""

    def advance(self, fraction: float, left_s: float | None) -> None:
        self.fractions.append(fraction)
        assert left_s is None or left_s >= 0

    def problem(self, text: str) -> None:
        self.notes.append(text)

    def note(self, text: str) -> None:
        # Somebody may really be measuring while the tests run.
        if not text.startswith(("another dbbench run", "set-up of ")):
            self.notes.append(text)


def options(server: Address, folder: Path, *scenarios: str | Path, **changes: object) -> Options:
    """Small, quick options; parameters that the scenarios have not are left out."""
    paths = catalog.find([str(scenario) for scenario in scenarios])
    params = {}
    for path in paths:
        if path.parent == catalog.builtin_directory():
            params.update({key: FAST[key] for key in catalog.load(path, sync=False).defaults if key in FAST})
    made = Options(
        scenarios=paths, address=server, params=params, effort=Effort(blocks=1, rounds=2, seed=1),
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
        server, tmp_path, "bulk_inserts", "concurrent_sessions", drivers=list(ALL), layers=["orm", "core", "raw"],
        sessions=[2],
    )  # fmt: skip
    run, found, outcome, _ = measured(given)

    assert outcome.exit_code == ExitCode.OK, run.problems
    assert len(found) == len(ALL) * 3 * 2
    assert all(row.operations > 0 and row.errors == 0 for row in found)


def test_the_table_never_grows(server: Address, tmp_path: Path) -> None:
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
    run, found, outcome, _ = measured(
        # So many rounds that without resets there would be too many rows.
        options(server, tmp_path, path, drivers=["psycopg", "psycopg2"], blocks=2, rounds=20)
    )

    assert outcome.exit_code == ExitCode.OK, run.problems
    assert sum(row.operations for row in found) > 100


def test_what_is_written_differently_is_not_comparable_either(server: Address, tmp_path: Path) -> None:
    path = scenario(
        tmp_path,
        "writes",
        "from sqlalchemy import text\n"
        "def prepare(connection, params): connection.execute(text('CREATE TABLE t (x text)'))\n"
        "def reset(connection, params): connection.execute(text('TRUNCATE t'))\n"
        "async def raw(db, params, rng):\n"
        "    async with db.transaction():\n"
        "        await db.execute('INSERT INTO t VALUES ($1)', type(db.connection).__module__)\n",
    )
    run, _, outcome, _ = measured(options(server, tmp_path, path, drivers=["psycopg", "asyncpg"]))

    assert outcome.exit_code == ExitCode.INCONCLUSIVE
    assert "table t: asyncpg gave 3 rows, digest " in run.problems[0].message


BROKEN = {
    "syntax": ("def raw(:\n", "syntax.py:1: invalid syntax"),
    "prepares": (
        "def prepare(connection, params):\n    raise LookupError('no data')\nasync def raw(db, params, rng): ...\n",
        "prepare failed: prepares.py:2: LookupError: no data",
    ),
    "raises": ("async def raw(db, params, rng):\n    await db.execute('SELECT nowhere')\n", "raises.py:2: "),
}


def test_broken_scenarios_are_named_and_the_others_go_on(
    server: Address, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    paths = [scenario(tmp_path, name, source) for name, (source, _) in BROKEN.items()]
    run, found, outcome, listener = measured(
        options(server, tmp_path, *paths, "point_reads", drivers=["psycopg", "psycopg2"])
    )

    assert outcome.exit_code == ExitCode.DEGRADED
    assert run.end is not None
    assert run.end.status == "degraded"
    for _, message in BROKEN.values():
        assert any(message in note for note in listener.notes), listener.notes
    assert [row.operations > 0 for row in found if row.scenario == "point_reads"] == [True, True]
    assert all((row.operations, row.verdict) == (0, "failed") for row in found if row.scenario != "point_reads")


def test_what_sync_drivers_cannot_run_is_measured_for_the_others(server: Address, tmp_path: Path) -> None:
    path = scenario(
        tmp_path,
        "gathers",
        "import asyncio\nasync def raw(db, params, rng): return await asyncio.gather(db.fetch_one('SELECT 1'))\n",
    )
    _, found, outcome, listener = measured(options(server, tmp_path, path))

    assert outcome.exit_code == ExitCode.DEGRADED
    assert {row.driver: row.operations > 0 for row in found} == {"psycopg": True, "asyncpg": True, "psycopg2": False}
    assert "gathers.py:2: asyncio.gather has no sync counterpart" in listener.notes[0]


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
    path = scenario(tmp_path, "mine", "async def raw(db, params, rng): return await db.fetch_one('SELECT 1')\n")
    _, _, outcome, _ = measured(options(foreign, tmp_path, path, drivers=["psycopg"]))
    text = outcome.path.read_text()

    for secret in (PASSWORD, str(tmp_path), os.uname().nodename, str(Path.home()) + "/"):
        assert secret not in text
    assert outcome.path.stat().st_mode & 0o777 == 0o600


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


def test_failed_operations_are_in_the_ledger_and_in_no_latency(server: Address, tmp_path: Path) -> None:
    # Many rounds: on a slow machine a slice has few operations.
    given = options(server, tmp_path, scenario(tmp_path, "failing", FAILING), rounds=10)
    run, found, outcome, _ = measured(given)
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
    given = options(server, tmp_path, "point_reads", layers=["raw"], rate=100.0, blocks=None, budget_s=6.0, rounds=None)
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


def test_without_a_pool_every_session_has_a_connection(server: Address, tmp_path: Path) -> None:
    """And more than a pool of the default size would have."""
    given = options(server, tmp_path, "point_reads", layers=["core"], null_pool=True, sessions=[18])
    run, _, outcome, _ = measured(given)

    assert outcome.exit_code == ExitCode.OK, run.problems
    assert run.header.plan.connections(run.header.plan.cells[0]) == 18
    for measurement in run.measurements:
        for each in measurement.slices:
            assert (each.usage.connects, each.usage.errors) == (each.usage.operations, 0)
