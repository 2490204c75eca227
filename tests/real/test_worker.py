"""Workers: real processes on a real server."""

import os
import signal
import time
from array import array
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from builders import start_with
from conftest import connect

from dbbench import catalog, child, messages
from dbbench.address import Address
from dbbench.child import WorkerFailedError, WorkerLostError, WorkerProcess
from dbbench.drivers import PRESETS
from dbbench.errors import ServerLostError
from dbbench.messages import Checked, Close, Closed, Described, Done, Open, Ran, RunSlice, Start, Started
from dbbench.plan import Cell, Connections, Layer
from dbbench.scenario import LAYERS

ALL = PRESETS["all"]

PATIENCE_S = 60.0
LIMIT_NS = 10**10
POINT_READS = {"rows": 20, "document_bytes": 10}


def ready(start: Start, **changes: Any) -> WorkerProcess:
    """A worker that has started."""
    worker = WorkerProcess(start.driver, start_with(start, **changes))
    worker.reply(Started, PATIENCE_S)
    return worker


def cell(path: Path, layer: Layer = "raw", sessions: int = 1, **params: Any) -> Cell:
    return Cell(path.stem, layer, sessions, params, str(path))


@pytest.fixture
def scenario(tmp_path: Path) -> Path:
    path = tmp_path / "mine.py"
    path.write_text(
        "import os, sys, time, asyncio\n"
        "async def raw(db, params, rng):\n"
        "    print('scenarios may print')\n"
        "    what = params.get('what')\n"
        "    if what == 'die': os._exit(3)\n"
        "    if what == 'exit': sys.exit('bye')\n"
        "    if what == 'raise': raise LookupError('no such thing')\n"
        "    if what == 'daemon': os.fork() or (os.setsid(), time.sleep(5)); os._exit(7)\n"
        "    if what == 'scribble':\n"
        "        for number in range(3, 99):\n"
        "            try: os.write(number, b'scribbled' * 9)\n"
        "            except OSError: pass\n"
        "    if what == 'sleep': await db.execute('SELECT pg_sleep(600)')\n"
        "    return await db.fetch_one('SELECT $1::int', rng.randint(1, 5))\n"
    )
    return path


@pytest.fixture(scope="module")
def patients(server: Address) -> Iterator[str]:
    """A schema with the tables of point_reads."""
    start = Start("psycopg-sync", server, "dbbench_test", Connections(), None)
    with connect(server) as connection, ready(start) as steward:
        connection.execute("CREATE SCHEMA patients_of_tests")
        path = str(catalog.builtin()["point_reads"])
        steward.ask(messages.Prepare(path, "patients_of_tests", POINT_READS), Done, PATIENCE_S)
        yield "patients_of_tests"


@pytest.mark.parametrize(
    ("driver", "tx_end", "checkout"),  # every pair of two of them
    [
        (driver, tx_end, ("request", "session")[(at + number) % 2])
        for at, driver in enumerate(ALL)
        for number, tx_end in enumerate(("rollback", "commit", "autocommit"))
    ],
)
def test_every_driver_reads_points_at_every_layer(
    start: Start, patients: str, driver: str, tx_end: str, checkout: str
) -> None:
    path = catalog.builtin()["point_reads"]
    with ready(start, driver=driver, tx_end=tx_end, checkout=checkout) as worker:
        for layer in LAYERS[:3]:  # it has no application
            worker.ask(Open(cell(path, layer, 3, **POINT_READS), patients), Done, PATIENCE_S)
            checked = worker.ask(messages.Check(["1", "2"]), Checked, PATIENCE_S)
            ran = worker.ask(RunSlice(30, "s", LIMIT_NS, lead_in=3), Ran, PATIENCE_S)
            worker.ask(Close(), Closed, PATIENCE_S)

            assert sum("external_id: UUID" in line or "[1]: UUID" in line for line in checked.lines) == 2
            assert (len(array("q", ran.latencies)), ran.usage.errors, ran.errors) == (30, 0, [])
            assert ran.usage.cpu_ns > 0
            assert ran.usage.elapsed_ns > 0


@pytest.mark.parametrize("driver", ["asyncpg", "psycopg2"])
def test_an_operation_that_raises_is_counted_with_its_line(
    start: Start, schema: str, scenario: Path, driver: str
) -> None:
    with ready(start, driver=driver) as worker:
        worker.ask(Open(cell(scenario, what="raise"), schema), Done, PATIENCE_S)
        ran = worker.ask(RunSlice(7, "s", LIMIT_NS), Ran, PATIENCE_S)
        with pytest.raises(WorkerFailedError, match=r"mine\.py:7: LookupError: no such thing"):
            worker.ask(messages.Check(["1"]), Checked, PATIENCE_S)

    assert (ran.usage.errors, ran.latencies) == (7, b"")
    assert [message.partition("mine.py")[2] for message in ran.errors] == [":7: LookupError: no such thing"]


def test_a_worker_that_dies_is_named(start: Start, schema: str, scenario: Path) -> None:
    with ready(start) as worker:
        worker.ask(Open(cell(scenario, what="die"), schema), Done, PATIENCE_S)
        with pytest.raises(WorkerLostError, match=r"the worker of psycopg ended \(exit status 3\)"):
            worker.ask(RunSlice(1, "s", LIMIT_NS), Ran, PATIENCE_S)


@pytest.mark.parametrize("driver", ["psycopg", "psycopg2"])
def test_sys_exit_in_a_scenario_is_an_error_of_the_scenario(
    start: Start, schema: str, scenario: Path, driver: str
) -> None:
    with ready(start, driver=driver) as worker:
        worker.ask(Open(cell(scenario, what="exit"), schema), Done, PATIENCE_S)
        with pytest.raises(WorkerFailedError, match=r"mine\.py:6: SystemExit: bye"):
            worker.ask(RunSlice(1, "s", LIMIT_NS), Ran, PATIENCE_S)


@pytest.mark.parametrize("driver", ["asyncpg", "psycopg2"])
def test_a_worker_that_hangs_is_given_up_and_gone(start: Start, schema: str, scenario: Path, driver: str) -> None:
    with ready(start, driver=driver) as worker:
        worker.ask(Open(cell(scenario, what="sleep"), schema), Done, PATIENCE_S)
        with pytest.raises(WorkerLostError, match=r"gave no answer within 0\.5 s"):
            worker.ask(RunSlice(1, "s", LIMIT_NS), Ran, 0.5)
        with pytest.raises(ProcessLookupError):
            os.kill(worker.pid, 0)


def test_a_worker_that_left_a_process_behind_has_ended_all_the_same(start: Start, schema: str, scenario: Path) -> None:
    """The process that it left has the pipe, so that the parent sees no end of it."""
    with ready(start) as worker:
        worker.ask(Open(cell(scenario, what="daemon"), schema), Done, PATIENCE_S)
        with pytest.raises(WorkerLostError, match=r"the worker of psycopg ended \(exit status 7\)"):
            worker.ask(RunSlice(1, "s", LIMIT_NS), Ran, PATIENCE_S)


def test_what_a_scenario_writes_to_the_pipe_is_no_answer(start: Start, schema: str, scenario: Path) -> None:
    with ready(start) as worker:
        worker.ask(Open(cell(scenario, what="scribble"), schema), Done, PATIENCE_S)
        with pytest.raises(WorkerLostError, match="gave what is no answer: does the scenario write"):
            worker.ask(RunSlice(1, "s", LIMIT_NS), Ran, PATIENCE_S)


def test_a_long_request_to_a_stopped_worker_is_given_up(
    start: Start, schema: str, scenario: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(child, "TAKE_LIMIT_S", 0.5)
    with ready(start) as worker:
        os.kill(worker.pid, signal.SIGSTOP)
        os.waitid(os.P_PID, worker.pid, os.WSTOPPED | os.WNOWAIT)
        with pytest.raises(WorkerLostError, match=r"took no request within 0\.5 s"):
            worker.ask(Open(cell(scenario, what="x" * 10**6), schema), Done, PATIENCE_S)


def test_a_worker_that_was_stopped_for_a_while_says_so(start: Start, schema: str, scenario: Path) -> None:
    with ready(start) as worker:
        worker.ask(Open(cell(scenario), schema), Done, PATIENCE_S)
        assert worker.disturbance() == ""
        for _ in range(2):
            os.kill(worker.pid, signal.SIGSTOP)
            os.waitid(os.P_PID, worker.pid, os.WSTOPPED | os.WNOWAIT)
            worker.ask_later(RunSlice(1, "s", LIMIT_NS))
            time.sleep(0.2)
            os.kill(worker.pid, signal.SIGCONT)
            worker.reply(Ran, PATIENCE_S)
            assert worker.disturbance() == "the worker of psycopg was stopped by a signal"
            assert worker.disturbance() == ""
        os.kill(worker.pid, signal.SIGKILL)
        with pytest.raises(WorkerLostError, match=r"ended \(exit status -9\)"):
            worker.ask(RunSlice(1, "s", LIMIT_NS), Ran, PATIENCE_S)
        assert worker.disturbance() == ""


def test_while_a_worker_does_not_answer_the_parent_looks_around(
    start: Start, schema: str, scenario: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that is stopped is noticed long before the patience with a worker ends."""
    monkeypatch.setattr(child, "_MEANWHILE_S", 0.2)

    def look() -> None:
        raise ServerLostError("gone")

    with ready(start) as worker:
        worker.ask(Open(cell(scenario, what="sleep"), schema), Done, PATIENCE_S)
        with pytest.raises(ServerLostError):
            worker.ask(RunSlice(1, "s", LIMIT_NS), Ran, PATIENCE_S, look)


def test_a_worker_ends_when_its_pipe_does_even_in_an_operation(start: Start, schema: str, scenario: Path) -> None:
    with ready(start) as worker:
        worker.ask(Open(cell(scenario, what="sleep"), schema), Done, PATIENCE_S)
        worker.ask_later(RunSlice(1, "s", LIMIT_NS))
        time.sleep(0.2)
        assert worker._process.stdin is not None
        worker._process.stdin.close()
        assert worker._process.wait(timeout=PATIENCE_S) == -signal.SIGKILL


def test_a_ctrl_c_is_the_parents_business(start: Start, schema: str, scenario: Path) -> None:
    with ready(start) as worker:
        os.kill(worker.pid, signal.SIGINT)
        os.kill(worker.pid, signal.SIGHUP)
        worker.ask(Open(cell(scenario), schema), Done, PATIENCE_S)


def test_an_awaited_helper_of_another_module_is_explained_to_sync_drivers(
    start: Start, schema: str, tmp_path: Path
) -> None:
    (tmp_path / "helper_of_mine.py").write_text("async def read(db): return await db.fetch_one('SELECT 1')\n")
    path = tmp_path / "mine.py"
    path.write_text("import helper_of_mine\nasync def raw(db, params, rng): return await helper_of_mine.read(db)\n")
    with ready(start, driver="psycopg2") as worker:
        worker.ask(Open(cell(path), schema), Done, PATIENCE_S)
        with pytest.raises(
            WorkerFailedError, match=r"mine\.py:2: read is not awaited: .*what it awaits must be in this file"
        ):
            worker.ask(messages.Check(["1"]), Checked, PATIENCE_S)


@pytest.mark.parametrize("body", ["return db.fetch_one('SELECT 1')", "db.fetch_one('SELECT 1')"])
def test_a_missing_await_is_found(start: Start, schema: str, tmp_path: Path, body: str) -> None:
    path = tmp_path / "mine.py"
    path.write_text(f"async def raw(db, params, rng): {body}\n")
    with ready(start, driver="asyncpg") as worker:
        worker.ask(Open(cell(path), schema), Done, PATIENCE_S)
        with pytest.raises(WorkerFailedError, match="an `await` is missing"):
            worker.ask(messages.Check(["1"]), Checked, PATIENCE_S)


def test_a_scenario_says_what_it_is(start: Start) -> None:
    path = catalog.builtin()["bulk_inserts"]
    with ready(start, driver="psycopg-sync") as steward:
        described = steward.ask(messages.Describe(str(path), {"batch": "5"}), Described, PATIENCE_S).scenario

    assert (described.name, described.rows, described.has_reset) == ("bulk_inserts", 5, True)
    assert described.params == {"batch": 5, "document_bytes": 200}
    assert described.layers == ["orm", "core", "raw"]


def test_a_worker_is_pinned_with_all_its_threads(start: Start, schema: str, scenario: Path) -> None:
    if not hasattr(os, "sched_setaffinity"):
        pytest.skip("this platform cannot pin")
    cpu = max(os.sched_getaffinity(0))
    with ready(start, driver="psycopg2", cpus=[cpu]) as worker:
        worker.ask(Open(cell(scenario, sessions=3), schema), Done, PATIENCE_S)
        worker.ask(RunSlice(3, "s", LIMIT_NS), Ran, PATIENCE_S)
        threads = list(Path(f"/proc/{worker.pid}/task").iterdir())
        allowed = {os.sched_getaffinity(int(thread.name)) == {cpu} for thread in threads}

    assert len(threads) >= 5
    assert allowed == {True}


def test_a_parked_worker_uses_no_cpu(start: Start, schema: str, scenario: Path) -> None:
    with ready(start, driver="asyncpg") as worker:
        worker.ask(Open(cell(scenario, sessions=5), schema), Done, PATIENCE_S)
        worker.ask(RunSlice(50, "s", LIMIT_NS), Ran, PATIENCE_S)
        used = []
        for _ in range(3):  # what follows the last reply may fall into the first
            before = cpu_ticks(worker.pid)
            time.sleep(0.5)
            used.append(cpu_ticks(worker.pid) - before)
    assert min(used) <= 1


def cpu_ticks(pid: int) -> int:
    """User and system time of a process in clock ticks of 10 ms."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


def test_prepare_reset_and_fingerprint_work_in_the_schema(start: Start, schema: str) -> None:
    path = str(catalog.builtin()["bulk_inserts"])
    params = {"batch": 5, "document_bytes": 10}
    with ready(start, driver="psycopg-sync") as steward, ready(start, driver="asyncpg") as worker:
        steward.ask(messages.Prepare(path, schema, params), Done, PATIENCE_S)
        empty = steward.ask(messages.Fingerprint(schema), Checked, PATIENCE_S)
        worker.ask(Open(cell(Path(path), "orm", **params), schema), Done, PATIENCE_S)
        worker.ask(RunSlice(2, "s", LIMIT_NS), Ran, PATIENCE_S)
        full = steward.ask(messages.Fingerprint(schema), Checked, PATIENCE_S)
        steward.ask(messages.Tidy([schema], checkpoint=True), Done, PATIENCE_S)
        steward.ask(messages.Reset(path, schema, params), Done, PATIENCE_S)
        again = steward.ask(messages.Fingerprint(schema), Checked, PATIENCE_S)

    assert full.lines[0].startswith("table patients: 10 rows, digest ")
    assert empty == again
    assert empty.digest != full.digest


def test_libpqs_variables_do_not_reach_a_worker(
    start: Start, schema: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGOPTIONS", "-c nonsense=1")
    monkeypatch.setenv("PGHOST", "nowhere")
    path = tmp_path / "mine.py"
    path.write_text(
        "import os\n"
        "async def raw(db, params, rng):\n"
        "    await db.execute('SELECT 1')\n"
        "    return sorted(n for n in os.environ if n[:2] == 'PG')\n"
    )
    with ready(start) as worker:
        worker.ask(Open(cell(path), schema), Done, PATIENCE_S)
        checked = worker.ask(messages.Check(["1"]), Checked, PATIENCE_S)
    assert checked.lines == ["operation 1: 0 values"]
