"""A server that is stopped for good ends a run by itself, with the stage in the message; nobody presses Ctrl-C.

With DBBENCH_FULL=1 at every stage, else at one of them: each takes a minute.
"""

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import Cli, foreign_server, url_of
from processes import descendants
from stopping import going_on, postmaster_of, running, schemas

from dbbench.address import Address
from dbbench.errors import ExitCode

LIMIT_S = 240.0  # about 70 s on a machine with nothing else to do: 25 to notice, 45 to try to drop the schema
STAGES = {
    "prepare": "while prepare() ran",
    "reset": "while reset() ran",
    "check": "while psycopg2 was checked",
    "warm-up": "while psycopg2 warmed up",
    "slice": "while psycopg2 was measured",
}

TRIED = STAGES if os.environ.get("DBBENCH_FULL") else ("slice",)


@pytest.fixture(scope="module")
def own() -> Iterator[tuple[Address, int]]:
    """A server that may be stopped, and its first process."""
    with foreign_server() as address:
        yield address, postmaster_of(address)


@pytest.mark.parametrize("stage", TRIED)
def test_the_stage_is_named(tmp_path: Path, own: tuple[Address, int], stage: str, dbbench: Cli) -> None:
    server, pid = own
    with running(tmp_path, server, "--set", f"stage={stage}", "--set", f"postmaster={pid}") as process:
        with going_on(pid):
            began = time.monotonic()
            process.wait(LIMIT_S)
            print(f"{stage}: {time.monotonic() - began:.0f} s")
        said, complained = process.communicate(timeout=LIMIT_S)
    assert process.returncode == ExitCode.DEGRADED, complained
    assert f"the server stopped answering {STAGES[stage]}" in " ".join(f"{said} {complained}".split())
    assert "left behind on" in complained
    assert descendants(process.pid) == []
    assert dbbench("clean", "--yes", "--url", url_of(server)).returncode == ExitCode.OK
    assert schemas(server) == 0


def test_a_server_that_cannot_be_reached(tmp_path: Path, own: tuple[Address, int]) -> None:
    server, pid = own
    os.kill(pid, signal.SIGSTOP)
    with going_on(pid), running(tmp_path, server) as process:
        _, complained = process.communicate(timeout=LIMIT_S)
    assert process.returncode == ExitCode.CANNOT_START
    assert "cannot connect to" in complained
