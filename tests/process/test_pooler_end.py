"""A PgBouncer that has ended: what was connected to it knows before its supervisor says so."""

import subprocess
from pathlib import Path

import pytest

from dbbench.address import Address
from dbbench.errors import CannotStartError, ServerLostError
from dbbench.server.pgbouncer import RunningPooler
from dbbench.server.supervised import Supervised


def pooler(process: "subprocess.Popen[bytes]") -> RunningPooler:
    """A pooler whose supervisor is a shell, which says something once the pooler has ended."""
    supervised = Supervised(process, CannotStartError)
    return RunningPooler((1, 24), Path("/nowhere"), Address("/nowhere", 6432, "pgbouncer", "dbbench"), supervised)


def test_the_supervisor_is_given_time_to_notice() -> None:
    with subprocess.Popen(["/bin/sh", "-c", "read _; sleep 0.2; echo gone"], stdin=-1, stdout=-1) as process:
        running = pooler(process)
        running.check()
        assert process.stdin is not None
        process.stdin.write(b"\n")
        process.stdin.flush()
        with pytest.raises(ServerLostError, match="PgBouncer went away"):
            running.check(60.0)
        process.kill()


def test_a_pooler_that_goes_on_is_no_lost_one() -> None:
    with subprocess.Popen(["/bin/sleep", "60"], stdin=-1, stdout=-1) as process:
        pooler(process).check(0.05)
        process.kill()
