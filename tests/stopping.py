"""A server that a scenario stops (SIGSTOP) at some stage of a run, and a program that runs it."""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from conftest import connect, url_of
from processes import descendants

from dbbench.address import Address

PROGRAM = (sys.executable, "-P", "-m", "dbbench")
LONG_S = 120.0  # for an overloaded machine
# It stops the server itself, so that nothing else is going on at that moment.
STOPS = '''"""Stops the server at some stage."""
import os, signal
from pathlib import Path

PARAMS = {"stage": "", "postmaster": 0}
calls = 0


def reached(stage, params):
    if stage != params["stage"]:
        return
    found, pids = {}, [params["postmaster"]]
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            found[int(path.parent.name)] = int(path.read_text().rpartition(")")[2].split()[1])
        except OSError:
            pass
    pids += [pid for pid, parent in found.items() if parent == pids[0]]
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    Path("stopped").touch()


def prepare(connection, params):
    connection.exec_driver_sql("CREATE TABLE t (id int)")
    reached("prepare", params)
    connection.exec_driver_sql("INSERT INTO t VALUES (1)")


def reset(connection, params):
    reached("reset", params)
    connection.exec_driver_sql("SELECT 1")


# An operation takes so long that the number of a process's operations is known: 3 are checked, then 7 and 3 warm up (7
# and 1 where they take longer), then 5 are timed.
async def raw(db, params, rng):
    global calls
    calls += 1
    reached({1: "check", 6: "warm-up", 15: "slice"}.get(calls, ""), params)
    return (await db.fetch_one("SELECT count(*) FROM t, pg_sleep(0.03)"))[0]
'''


def postmaster_of(server: Address) -> int:
    with connect(server) as connection:
        (folder,) = connection.execute("SHOW data_directory").fetchone() or ("",)
    return int(Path(folder, "postmaster.pid").read_text().split()[0])


@contextlib.contextmanager
def going_on(server: int) -> Iterator[None]:
    """Have the server's processes go on at the end, whatever happened."""
    try:
        yield
    finally:
        for pid in (server, *descendants(server)):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)


@contextlib.contextmanager
def running(folder: Path, server: Address, *more: str, scenario: str = "stops.py") -> Iterator[subprocess.Popen[str]]:
    (folder / "stops.py").write_text(STOPS)
    words = ("run", scenario, "-d", "psycopg2", "--baseline", "psycopg2", "--url", url_of(server))
    with subprocess.Popen(
        [*PROGRAM, *words, "--placement", "free", "-o", "run.jsonl", "--blocks", "3", *more],
        cwd=folder, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    ) as process:  # fmt: skip
        try:
            yield process
        finally:
            process.kill()


def schemas(server: Address) -> int:
    with connect(server) as connection:
        (number,) = connection.execute(
            "SELECT count(*) FROM pg_namespace WHERE nspname LIKE 'dbbench%'"
        ).fetchone() or (0,)
        return int(number)
