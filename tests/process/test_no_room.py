"""No room on the disk, and no process left to clean up: what is said, and what stays behind."""

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import Cli
from processes import alive, command_line, descendants, eventually

from dbbench.errors import ExitCode
from dbbench.server.supervisors.system import DISK_FULL

PROGRAM = (sys.executable, "-P", "-m", "dbbench")
MEMORY = Path("/dev/shm")
LONG_S = 120.0
ALONE = ("-d", "psycopg2", "--baseline", "psycopg2", "--placement", "free", "-o", "run.jsonl")
FILLS = '''"""Fills the disk."""


def prepare(connection, params):
    connection.exec_driver_sql("CREATE TABLE t (id int, x text)")


async def raw(db, params, rng):
    await db.execute("INSERT INTO t SELECT g, repeat('x', 1000) FROM generate_series(1, 5000) g")
'''


@contextlib.contextmanager
def disk(megabytes: int) -> Iterator[Path]:
    """A file system of this size."""
    with tempfile.TemporaryDirectory(prefix="dbt-disk-", dir="/tmp") as folder:
        size = f"size={megabytes}m,mode=1777"
        mount = ["mount", "-t", "tmpfs", "-o", size, "tmpfs", folder]
        if subprocess.run(mount, check=False, capture_output=True).returncode:
            pytest.skip("nothing can be mounted here")
        try:
            yield Path(folder)
        finally:
            subprocess.run(["umount", "-l", folder], check=True)


def left_in_memory(since: float) -> list[str]:
    """Shared memory of servers that was made since then and that no process has."""
    found = [path for path in MEMORY.glob("PostgreSQL.*") if path.stat().st_ctime >= since]
    used = ""
    for maps in Path("/proc").glob("[0-9]*/maps"):
        with contextlib.suppress(OSError):
            used += maps.read_text(errors="replace")
    return [path.name for path in found if path.name not in used and path.exists()]


@pytest.mark.parametrize("megabytes", [18, 20, 22, 39])
def test_no_room_for_the_embedded_server_is_said_and_leaves_nothing(program: Cli, megabytes: int) -> None:
    """So little that the programs that make the data PANIC, which would leave their shared memory behind."""
    since = time.time()
    with disk(megabytes) as folder:
        done = program("run", "point_reads", *ALONE, TMPDIR=str(folder))
        assert list(folder.iterdir()) == []
    assert done.returncode == ExitCode.CANNOT_START
    assert any(words in done.stderr for words in DISK_FULL), done.stderr
    eventually(lambda: left_in_memory(since) == [], "what others only make is theirs", 10.0)


def test_a_server_whose_disk_is_full_says_so(program: Cli, tmp_path: Path) -> None:
    (tmp_path / "fills.py").write_text(FILLS)
    with disk(150) as folder:
        words = ("run", "fills.py", "--layer", "raw", "--tx-end", "commit", "--blocks", "3", *ALONE)
        done = program(*words, cwd=tmp_path, TMPDIR=str(folder))
        assert list(folder.iterdir()) == []
    assert done.returncode == ExitCode.DEGRADED
    said = " ".join(f"{done.stdout} {done.stderr}".split())
    assert "the server stopped answering while psycopg2 was" in said
    assert "No space left on device" in said, said


def test_when_all_is_killed_at_once_the_next_one_finds_what_is_left(program: Cli, tmp_path: Path) -> None:
    before = set(Path(tempfile.gettempdir()).glob("dbbench-*"))
    with subprocess.Popen(
        [*PROGRAM, "run", "point_reads", *ALONE], cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        eventually(
            lambda: any("postgres -D" in command_line(pid) for pid in descendants(process.pid)), "the server", LONG_S
        )
        pids = [process.pid, *descendants(process.pid)]
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)  # so that none sees another end
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
        process.wait(LONG_S)
    eventually(lambda: alive(pids) == [], "their end")
    left = set(Path(tempfile.gettempdir()).glob("dbbench-*")) - before
    assert left

    mentioned = program("run", "point_reads", "--blocks", "1", "--rounds", "1", *ALONE, "-o", "next.jsonl")
    assert "dbbench clean removes that" in " ".join(mentioned.stderr.split())
    assert all(folder.exists() for folder in left), "nobody has agreed yet"
    assert program("clean", "--yes").returncode == 0
    assert not any(folder.exists() for folder in left)
