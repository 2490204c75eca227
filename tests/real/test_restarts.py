"""A server that restarts in the middle of a run: the run ends, or waits for it, as --on-disconnect says."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from conftest import Cli, connect, foreign_server, url_of
from processes import ended, eventually

from dbbench import result_file
from dbbench.address import Address
from dbbench.errors import ExitCode, ServerLostError
from dbbench.server.schemas import connect as connected
from dbbench.server.sentry import Sentry

PROGRAM = (sys.executable, "-P", "-m", "dbbench")
LONG_S = 120.0
AWAY_S = 3.0


class Restartable:
    """A server that can be ended and started again with the same data and port."""

    def __init__(self, address: Address) -> None:
        self.address = address
        with connect(address) as owner:
            (folder,) = owner.execute("SHOW data_directory").fetchone() or ("",)
        self.folder = Path(folder)
        pid = self.pid = int((self.folder / "postmaster.pid").read_text().split()[0])
        self._words = Path(f"/proc/{pid}/cmdline").read_bytes().decode().split("\0")[:-1]
        self._program = Path(f"/proc/{pid}/exe").readlink()
        self._again: subprocess.Popen[bytes] | None = None

    def restart(self, away_s: float) -> float:
        """End it, have it away for so long, and start it; gives the seconds until it took connections again."""
        began = time.monotonic()
        os.kill(self.pid, signal.SIGQUIT)
        time.sleep(away_s)
        if self._again is None:
            eventually(lambda: ended(self.pid), "its end")
        else:
            self._again.wait(LONG_S)
        account = {"user": 65534, "group": 65534, "extra_groups": []} if os.getuid() == 0 else {}
        self._again = subprocess.Popen(
            [self._program, *self._words[1:]], stderr=subprocess.DEVNULL, cwd="/",
            env={"PATH": "/usr/bin:/bin", "LC_ALL": "C"}, **account,  # type: ignore[call-overload]
        )  # fmt: skip
        self.pid = self._again.pid
        eventually(self._answers, "the server again", LONG_S)
        return time.monotonic() - began

    def _answers(self) -> bool:
        try:
            connect(self.address).close()
        except psycopg.OperationalError:
            return False
        return True

    def end(self) -> None:
        if self._again is not None:
            self._again.send_signal(signal.SIGQUIT)
            self._again.wait()


@pytest.fixture
def own() -> Iterator[Restartable]:
    with foreign_server() as address:
        made = Restartable(address)
        yield made
        made.end()


def test_a_sentry_says_how_long_the_server_was_away(own: Restartable) -> None:
    with Sentry(lambda: connected(own.address, "dbbench_sentry")) as sentry:

        def lost() -> bool:
            return sentry.lost

        for away_s in (0.5, 2.0):
            assert not lost()
            truth_s = own.restart(away_s)
            assert lost(), "also when it is back"
            assert sentry.wait(LONG_S) == pytest.approx(truth_s, abs=1.0)
            assert not lost()
        with connect(own.address) as owner:  # a notice is no end
            owner.execute("ALTER SYSTEM SET work_mem = '5MB'")
            owner.execute("SELECT pg_reload_conf()")
        time.sleep(0.5)
        assert not lost()
        os.kill(own.pid, signal.SIGQUIT)
        eventually(lost, "the end of the server noticed")
        with pytest.raises(ServerLostError, match="not back within 1 s"):
            sentry.wait(1.0)


def measured(path: Path) -> int:
    """The measurements in a result file so far."""
    return path.read_text().count('"type":"measurement"') if path.exists() else 0


def schemas(address: Address) -> int:
    with connect(address) as owner:
        (number,) = owner.execute("SELECT count(*) FROM pg_namespace WHERE nspname LIKE 'dbbench%'").fetchone() or (0,)
        return int(number)


@pytest.mark.parametrize(("layer", "drivers"), [("core", "psycopg,asyncpg"), ("raw", "asyncpg,psycopg2")])
def test_a_run_waits_for_the_server_and_goes_on(own: Restartable, tmp_path: Path, layer: str, drivers: str) -> None:
    first, second = drivers.split(",")
    words = (
        "run", "point_reads", "bulk_inserts", "--layer", layer, "-d", second, "--baseline", first, "--url",
        url_of(own.address), "--on-disconnect", "reconnect", "--blocks", "4", "--rounds", "4", "--set", "rows=200",
        "--placement", "free", "-o", "run.jsonl",
    )  # fmt: skip
    path = tmp_path / "run.jsonl"
    with subprocess.Popen(
        [*PROGRAM, *words], cwd=tmp_path, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        eventually(lambda: measured(path) >= 4, "the first block", LONG_S)
        truth_s = own.restart(AWAY_S)
        said, complained = process.communicate(timeout=LONG_S)

    assert process.returncode == ExitCode.DEGRADED, complained
    run = result_file.read(path)
    assert run.status == "degraded"
    (outage,) = run.problems
    assert (outage.kind, outage.cell, outage.arm) == ("outage", None, None)
    assert outage.seconds == pytest.approx(truth_s, abs=1.0)
    assert f"the server was away for {outage.seconds:.1f} s in block" in " ".join(said.split())
    for cell in (0, 1):
        blocks = {
            arm: {one.block for one in run.measurements if (one.cell, one.arm) == (cell, arm)}
            for arm in (first, second)
        }
        assert blocks[first] == blocks[second]
        assert 3 in blocks[first]
        assert len(blocks[first]) >= 3
    assert all(not part.usage.errors for one in run.measurements for part in one.slices)
    assert schemas(own.address) == 0


def test_a_run_does_not_wait_unless_it_is_asked_to(own: Restartable, tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    words = ("run", "point_reads", "-d", "psycopg2", "--baseline", "psycopg2", "--url", url_of(own.address), "--blocks")
    with subprocess.Popen(
        [*PROGRAM, *words, "500", "--rounds", "3", "--set", "rows=200", "--placement", "free", "-o", "run.jsonl"],
        cwd=tmp_path, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    ) as process:  # fmt: skip
        eventually(lambda: measured(path) >= 1, "the first block", LONG_S)
        own.restart(12.0)  # longer than a slice may go on without an answer, and shorter than the clean-up waits
        _, complained = process.communicate(timeout=LONG_S)

    assert process.returncode == ExitCode.DEGRADED, complained
    run = result_file.read(path)
    assert run.status == "failed"
    assert [one.kind for one in run.problems if one.kind != "errors"] == ["server lost"]
    assert run.problems[-1].message.startswith("the server stopped answering while ")
    assert run.measurements
    assert schemas(own.address) == 0, "dropped when the server was back"


def test_the_embedded_server_does_not_come_back(dbbench: Cli) -> None:
    done = dbbench("run", "point_reads", "--on-disconnect", "reconnect")
    assert done.returncode == ExitCode.USAGE
    assert "--on-disconnect reconnect needs --url" in done.stderr
