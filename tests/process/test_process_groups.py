"""Whatever a process of ours starts ends with it, and a signal that somebody ignores is ignored."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Final

import psycopg
import pytest
from conftest import connect, url_of
from processes import PATIENCE_S, eventually

from dbbench.address import Address

FORKING: Final = """
import subprocess, sys

subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)", "bait-of-a-scenario"])


async def raw(db, params, rng):
    return await db.fetch_one("SELECT 1")
"""


def running(word: str) -> list[int]:
    """The processes that have the word among their arguments, besides shells and this one."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            arguments = entry.read_bytes().split(b"\0")
        except OSError:
            continue
        if word.encode() in arguments and int(entry.parent.name) != os.getpid():
            found.append(int(entry.parent.name))
    return found


def start(folder: Path, *arguments: str, ignoring: int | None = None) -> subprocess.Popen[str]:
    """Start the program, with a signal ignored from the start."""
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "dbbench", *arguments],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=None if ignoring is None else lambda: signal.signal(ignoring, signal.SIG_IGN),  # noqa: PLW1509
    )


QUICK: Final = ("-d", "psycopg2", "--baseline", "psycopg2", "--blocks", "1", "--rounds", "1", "--layer", "raw")


@pytest.mark.parametrize("end", [None, signal.SIGKILL])
def test_what_a_scenario_starts_ends_with_the_run(tmp_path: Path, end: signal.Signals | None) -> None:
    (tmp_path / "forking.py").write_text(FORKING)
    process = start(tmp_path, "run", "forking.py", *QUICK)
    try:
        if end is not None:
            eventually(lambda: running("bait-of-a-scenario"), "the scenario has started it")
            process.send_signal(end)
        process.communicate(timeout=PATIENCE_S)
        eventually(lambda: not running("bait-of-a-scenario"), "it has ended")
    finally:
        process.kill()
        for pid in running("bait-of-a-scenario"):
            os.kill(pid, signal.SIGKILL)


def test_a_program_that_a_gate_runs_ends_when_the_gate_is_killed(tmp_path: Path) -> None:
    code = (
        "import os, sys; from dbbench.commands.gate.programs import finish; "
        "finish([sys.executable, '-c', 'import time; time.sleep(600)', 'bait-of-a-gate'], os.environ)"
    )
    process = subprocess.Popen([sys.executable, "-c", code], cwd=tmp_path)
    try:
        eventually(lambda: len(running("bait-of-a-gate")) > 1, "it has started")  # its supervisor, and itself
        process.kill()
        eventually(lambda: not running("bait-of-a-gate"), "it has ended")
    finally:
        process.kill()
        process.wait()
        for pid in running("bait-of-a-gate"):
            os.kill(pid, signal.SIGKILL)


@pytest.mark.parametrize("signum", [signal.SIGHUP, signal.SIGINT], ids=["nohup", "a background job"])
def test_a_signal_that_is_ignored_from_the_start_ends_nothing(tmp_path: Path, signum: signal.Signals) -> None:
    process = start(tmp_path, "run", "point_reads", "--set", "rows=10", *QUICK, ignoring=signum)
    while process.poll() is None:
        process.send_signal(signum)
        time.sleep(0.1)
    _, stderr = process.communicate()

    assert process.returncode == 0, stderr


@pytest.mark.parametrize("delay_s", [0.1, 0.2, 0.3, 0.45, 0.6])
def test_ctrl_c_while_modules_are_imported_is_no_traceback(tmp_path: Path, delay_s: float) -> None:
    process = start(tmp_path, "run", "point_reads", "--blocks", "1")
    time.sleep(delay_s)
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=PATIENCE_S)

    assert process.returncode in (130, -signal.SIGINT)
    assert "dbbench/" not in stderr


def test_a_second_ctrl_c_leaves_no_schema(tmp_path: Path, foreign: Address) -> None:
    """The first interrupts, the second comes while the schema is being dropped, or before."""
    for delay_s in (0.0, 0.05, 0.1, 0.2):
        process = start(
            tmp_path, "run", "point_reads", "--set", "rows=1000", "--url", url_of(foreign), "--layer", "raw",
            "-d", "psycopg2", "--baseline", "psycopg2", "--blocks", "50",
        )  # fmt: skip
        with connect(foreign) as owner:
            eventually(lambda: schemas(owner), "a schema")
            process.send_signal(signal.SIGINT)
            time.sleep(delay_s)
            process.send_signal(signal.SIGINT)
            process.communicate(timeout=PATIENCE_S)
            eventually(lambda: not schemas(owner), "no schema")


def schemas(owner: psycopg.Connection) -> list[tuple[str]]:
    return owner.execute("SELECT nspname FROM pg_namespace WHERE starts_with(nspname, 'dbbench_')").fetchall()
