"""What keeps CPUs awake yields to everything else, and is gone however dbbench ends."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import url_of
from processes import alive, command_line, descendants, eventually

from dbbench.address import Address
from dbbench.engine.idle import awake

PARENT = """
import sys, time
from dbbench.engine.idle import awake
with awake([int(sys.argv[1])]):
    print("ready", flush=True)
    time.sleep(600)
"""


def spinners(pid: int) -> list[int]:
    """The processes of a command that keep CPUs awake."""
    return [each for each in descendants(pid) if "spinner.py" in command_line(each)]


def spinning(pid: int, number: int) -> list[int]:
    """So many of them, once they are seen: what has just been started has no arguments for a moment."""
    eventually(lambda: len(spinners(pid)) == number, f"{number} of them")
    return spinners(pid)


def cpu_s(pid: int) -> float:
    """The CPU seconds that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def busy(cpu: int, seconds: float) -> None:
    """Keep a CPU busy."""
    code = f"import os, time\nos.sched_setaffinity(0, {{{cpu}}})\nwhile time.process_time() < {seconds}: pass"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_it_gives_its_cpu_to_whoever_wants_it() -> None:
    cpu = max(os.sched_getaffinity(0))
    with awake([cpu]):
        (pid,) = spinning(os.getpid(), 1)
        eventually(lambda: cpu_s(pid) > 0.02, "it spins where nothing else runs")
        before = cpu_s(pid)
        busy(cpu, 1.0)
        used = cpu_s(pid) - before
    assert used < 0.2  # beside one second of somebody else's, the start of Python and whatever that waited for included
    assert alive([pid]) == []


@pytest.mark.parametrize("signum", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_it_ends_with_its_parent(signum: signal.Signals) -> None:
    command = [sys.executable, "-c", PARENT, f"{max(os.sched_getaffinity(0))}"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as parent:
        assert parent.stdout is not None
        try:
            parent.stdout.readline()
            (pid,) = spinning(parent.pid, 1)
            parent.send_signal(signum)
            parent.wait(60)
        finally:
            parent.kill()
    eventually(lambda: not alive([pid]), f"it notices {signum.name}")


@pytest.mark.parametrize(("mode", "signum"), [("awake", signal.SIGKILL), ("awake", signal.SIGINT), ("sleep", None)])
def test_a_run_leaves_none(server: Address, tmp_path: Path, mode: str, signum: signal.Signals | None) -> None:
    command = [
        sys.executable, "-P", "-m", "dbbench", "run", "point_reads", "--set", "rows=50", "-d", "psycopg2", "--baseline",
        "psycopg2", "--blocks", "200", "--idle", mode, "--url", url_of(server), "--allow-production",
    ]  # fmt: skip
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if b"block 1" in line:
                break
        try:
            found = spinning(process.pid, len(os.sched_getaffinity(0)) if mode == "awake" else 0)
            process.send_signal(signum or signal.SIGINT)
            process.communicate(timeout=60)
        finally:
            process.kill()
    eventually(lambda: not alive(found), "none is left")
