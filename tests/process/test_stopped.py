"""A server, worker or supervisor that is stopped (SIGSTOP): whatever waits for it ends, and says what it was."""

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import foreign_server
from processes import descendants, eventually
from stopping import LONG_S, going_on, postmaster_of, running, schemas

from dbbench import result_file
from dbbench.address import Address
from dbbench.errors import ExitCode


@pytest.fixture(scope="module")
def own() -> Iterator[tuple[Address, int]]:
    """A server that may be stopped, and its first process."""
    with foreign_server() as address:
        yield address, postmaster_of(address)


@pytest.mark.parametrize("stage", ["connecting", "prepare", "reset", "check", "warm-up", "slice"])
def test_ctrl_c_ends_what_waits_for_a_stopped_server(tmp_path: Path, own: tuple[Address, int], stage: str) -> None:
    server, pid = own
    if stage == "connecting":
        os.kill(pid, signal.SIGSTOP)
    with running(tmp_path, server, "--set", f"stage={stage}", "--set", f"postmaster={pid}") as process:
        with going_on(pid):
            if stage == "connecting":
                time.sleep(2)
            else:
                eventually((tmp_path / "stopped").exists, f"the stage {stage}", LONG_S)
                time.sleep(0.2)
            os.kill(process.pid, signal.SIGINT)
            began = time.monotonic()
            process.wait(LONG_S)
            took_s = time.monotonic() - began
        _, complained = process.communicate(timeout=LONG_S)  # what drops the schema still has the pipe

    assert process.returncode == 130, complained
    assert took_s < 30, "5 s on a machine with nothing else to do; without a limit it is minutes"
    assert "Traceback" not in complained
    if stage != "connecting":
        assert "still tries to drop it" in complained
    eventually(lambda: schemas(server) == 0, "the schema dropped when the server goes on", LONG_S)


def test_a_stopped_worker_ends_the_wait_for_it(tmp_path: Path, own: tuple[Address, int]) -> None:
    """Ctrl-C while a worker is stopped."""
    server, _ = own
    with running(tmp_path, server) as process:
        eventually(lambda: len(descendants(process.pid)) >= 2, "the worker", LONG_S)
        for pid in descendants(process.pid):
            os.kill(pid, signal.SIGSTOP)
        os.kill(process.pid, signal.SIGINT)
        _, complained = process.communicate(timeout=LONG_S)
        for pid in descendants(process.pid):
            os.kill(pid, signal.SIGCONT)
    assert process.returncode == 130, complained
    eventually(lambda: schemas(server) == 0, "the schema dropped", LONG_S)


def test_prepare_has_a_limit(tmp_path: Path, own: tuple[Address, int]) -> None:
    server, pid = own
    with going_on(pid), running(
        tmp_path, server, "--set", "stage=prepare", "--set", f"postmaster={pid}", "--prepare-timeout", "2s"
    ) as process:  # fmt: skip
        eventually((tmp_path / "stopped").exists, "prepare()", LONG_S)
        eventually(lambda: process.poll() is not None or took_too_long(process), "the end of it", LONG_S)
        time.sleep(3)
        for each in (pid, *descendants(pid)):
            os.kill(each, signal.SIGCONT)
        _, complained = process.communicate(timeout=LONG_S)
    assert process.returncode == ExitCode.DEGRADED
    assert "prepare() ran for more than 2 s; --prepare-timeout allows more" in complained
    assert schemas(server) == 0


def took_too_long(process: subprocess.Popen[str]) -> bool:
    """Whether the worker for the tables is gone."""
    return len(descendants(process.pid)) <= 2


COUNTS = '''"""Takes a fifth of a second, and keeps count of it for each process."""
import os


async def raw(db, params, rng):
    with open(f"calls-{os.getpid()}", "a") as file:
        file.write(".")
    return (await db.fetch_one("SELECT 1 FROM pg_sleep(0.2)"))[0]
'''
_OF_SET_UP = 1  # processes that have run operations before the first block


@pytest.mark.parametrize("stopped", ["dbbench", "the worker"])
def test_what_stood_still_for_seconds_in_a_block_is_noticed(
    tmp_path: Path, own: tuple[Address, int], stopped: str
) -> None:
    (tmp_path / "counts.py").write_text(COUNTS)

    def block() -> Path | None:
        """The count of the block's process, once it has warmed up, which takes 8 operations."""
        counts = sorted(tmp_path.glob("calls-*"), key=lambda path: path.stat().st_ctime)
        return counts[-1] if len(counts) > _OF_SET_UP and counts[-1].stat().st_size > 10 else None

    with running(tmp_path, own[0], "--blocks", "1", "--rounds", "30", scenario="counts.py") as process:
        eventually(block, "slices", LONG_S)
        path = block()
        assert path is not None
        pid = process.pid if stopped == "dbbench" else int(path.name.partition("-")[2])
        os.kill(pid, signal.SIGSTOP)
        time.sleep(4)
        os.kill(pid, signal.SIGCONT)
        said, complained = process.communicate(timeout=LONG_S)

    assert process.returncode == ExitCode.INCONCLUSIVE, complained
    expected = (
        "dbbench itself stood still" if stopped == "dbbench" else "the worker of psycopg2 was stopped by a signal"
    )
    assert f"block 1 is left out: {expected}" in " ".join(f"{said} {complained}".split())
    run = result_file.read(tmp_path / "run.jsonl")
    assert run.measurements == []
    assert [each.arm for each in run.disturbed] == ["psycopg2"]
