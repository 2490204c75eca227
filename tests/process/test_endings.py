"""Whatever becomes of stdout, stderr, the disk or the pooler: the result file is whole, and the exit code is right."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import builders
import pytest
from builders import many_sided_run, store
from conftest import url_of
from pgbouncers import pgbouncer
from processes import alive, command_line, descendants, eventually

from dbbench import result_file
from dbbench.address import Address
from dbbench.errors import ExitCode
from dbbench.records import Run
from dbbench.reports import formats

PROGRAM = (sys.executable, "-P", "-m", "dbbench")
QUICK = ("--driver", "psycopg2", "--baseline", "psycopg2", "--set", "rows=50", "--seed", "1", "--blocks", "1",
         "--rounds", "1", "--placement", "free", "--allow-production")  # fmt: skip
LONG_S = 120.0


def shell(line: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a line of bash, in which $DBBENCH is the program."""
    return subprocess.run(
        ["bash", "-c", line], cwd=cwd, env={**os.environ, "DBBENCH": " ".join(PROGRAM), "COLUMNS": "80", **environment},
        capture_output=True, text=True, timeout=400, check=False,
    )  # fmt: skip


def run_words(server: Address, *more: str) -> str:
    return " ".join(
        ["run", "point_reads", *QUICK, "--layer", "raw", *more, "-o", "run.jsonl", "--url", f"'{url_of(server)}'"]
    )


def whole(path: Path) -> Run:
    """A finished run, and nothing beside its file."""
    run = result_file.read(path)
    assert (run.status, run.warnings) == ("complete", [])
    assert run.measurements
    return run


@pytest.fixture
def stored(tmp_path: Path) -> Path:
    """The file of a finished run."""
    path = tmp_path / "stored.jsonl"
    store(many_sided_run(), path)
    return path


# --- stderr ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stderr", ["2> >(true)", "2>/dev/full", "2>&-", "2>&- <&-"])
def test_a_run_goes_on_without_stderr(server: Address, tmp_path: Path, stderr: str) -> None:
    """Nobody reads it any more; it takes nothing; it is closed."""
    done = shell(f"$DBBENCH {run_words(server)} {stderr}", tmp_path)

    assert (done.returncode, done.stderr) == (ExitCode.OK, "")
    assert "point_reads" in done.stdout
    whole(tmp_path / "run.jsonl")


def test_a_reader_that_has_seen_enough_of_both_changes_no_exit_code(server: Address, tmp_path: Path) -> None:
    done = shell(f"$DBBENCH {run_words(server)} 2>&1 | head -n 1; echo ${{PIPESTATUS[0]}}", tmp_path)

    assert done.stdout.splitlines()[-1] == "0"
    whole(tmp_path / "run.jsonl")


# --- stdout ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("closed", [">&-", ">&- 2>&-", "<&- >&- 2>&-"])
@pytest.mark.parametrize("format_", formats("show"))
def test_closed_streams_are_no_error(stored: Path, closed: str, format_: str) -> None:
    done = shell(f"$DBBENCH show {stored} --format {format_} {closed}", stored.parent)

    assert (done.returncode, done.stdout, done.stderr) == (ExitCode.OK, "", "")


def test_a_run_with_closed_streams_writes_its_file_and_nothing_else_into_it(server: Address, tmp_path: Path) -> None:
    """The first files that a process opens would take the place of what the shell closed."""
    done = shell(f"$DBBENCH {run_words(server, '--format', 'csv')} <&- >&- 2>&-", tmp_path)

    assert done.returncode == ExitCode.OK
    whole(tmp_path / "run.jsonl")
    assert [path.name for path in tmp_path.iterdir()] == ["run.jsonl"]


def test_an_output_that_takes_nothing_degrades_a_run_and_its_file_is_whole(server: Address, tmp_path: Path) -> None:
    done = shell(f"$DBBENCH {run_words(server, '--quiet')} >/dev/full", tmp_path)

    assert done.returncode == ExitCode.DEGRADED
    assert done.stderr == "dbbench: the output cannot be written: No space left on device\n"
    whole(tmp_path / "run.jsonl")


@pytest.mark.parametrize("format_", formats("show"))
def test_an_encoding_that_lacks_characters_gets_others(stored: Path, format_: str) -> None:
    done = shell(f"$DBBENCH show {stored} --format {format_}", stored.parent, PYTHONIOENCODING="ascii")

    assert (done.returncode, done.stderr) == (ExitCode.OK, "")
    assert done.stdout.isascii()
    assert done.stdout


@pytest.mark.parametrize("to", ["| true", ">/dev/full", ">&-"])
@pytest.mark.parametrize("format_", formats("compare"))
def test_a_regression_is_one_whatever_becomes_of_the_output(tmp_path: Path, to: str, format_: str) -> None:
    for name, factor in (("base", 1.0), ("head", 1.5)):
        means = {"psycopg": 300.0, "asyncpg": 200.0 * factor, "psycopg2": 300.0}
        store(builders.run(measured=builders.measurements(means, blocks=12, noise=0.01)), tmp_path / f"{name}.jsonl")
    words = f"compare base.jsonl head.jsonl --fail-over 10% --format {format_}"
    done = shell(f"$DBBENCH {words} {to}; echo ${{PIPESTATUS[0]}} >code", tmp_path)

    assert (tmp_path / "code").read_text() == f"{ExitCode.REGRESSION:d}\n", done.stderr
    assert "asyncpg" in done.stderr


def test_an_export_goes_through_stdout(stored: Path) -> None:
    """Also where that is a file, to which the shell has something to add before and after."""
    printed = shell(f"$DBBENCH export {stored}", stored.parent).stdout
    piped = shell(f"$DBBENCH export {stored} -o /dev/stdout | cat", stored.parent)
    (stored.parent / "link.csv").symlink_to("/dev/stdout")
    linked = shell(f"$DBBENCH export {stored} -o link.csv | cat", stored.parent)
    added = shell(f"(echo before; $DBBENCH export {stored} -o /dev/stdout; echo after) >>out.csv", stored.parent)

    assert piped.stdout == linked.stdout == printed
    assert added.returncode == 0
    assert (stored.parent / "out.csv").read_text() == f"before\n{printed}after\n"


# --- the disk --------------------------------------------------------------------------------------------------------


@pytest.fixture
def small_disk(tmp_path: Path) -> Sequence[str]:
    """What runs a command where tmp_path/small is a disk of 200 kB, and keeps in tmp_path/kept what it left there."""
    script = 'mount -t tmpfs -o size=200k none small && { "$@"; code=$?; cp -a small kept; umount small; exit $code; }'
    unshare = shutil.which("unshare")
    (tmp_path / "small").mkdir()
    if unshare is None or subprocess.run([unshare, "-m", "true"], capture_output=True, check=False).returncode:
        pytest.skip("no disk can be mounted here")
    return [unshare, "-m", "sh", "-c", script, "sh"]


def test_a_disk_that_fills_up_ends_a_run_with_all_that_fitted_and_its_end(
    server: Address, tmp_path: Path, small_disk: Sequence[str]
) -> None:
    words = [*QUICK, "--layer", "raw,core,orm", "--blocks", "500", "-o", "small/run.jsonl", "--url", url_of(server)]
    done = subprocess.run(
        [*small_disk, *PROGRAM, "run", "point_reads", *words], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    (path,) = (tmp_path / "kept").iterdir()
    run = result_file.read(path)

    assert done.returncode == ExitCode.DEGRADED, done.stderr
    assert run.measurements
    assert run.end is not None
    assert (run.status, run.end.reason) == ("failed", "small/run.jsonl cannot be written: No space left on device")
    assert "point_reads" in done.stdout
    assert "No space left on device" in done.stdout


def test_a_full_disk_is_said_before_anything_is_measured(tmp_path: Path, small_disk: Sequence[str]) -> None:
    words = f"head -c 150k /dev/zero >small/large; {' '.join(PROGRAM)} run point_reads -o small/run.jsonl"
    done = subprocess.run(
        [*small_disk, "sh", "-c", words], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
    )

    assert done.returncode == ExitCode.USAGE
    assert "small/run.jsonl cannot be written: No space left on device" in done.stderr
    assert [path.name for path in (tmp_path / "kept").iterdir()] == ["large"]


def test_an_export_to_a_full_disk_leaves_the_old_one(stored: Path, tmp_path: Path, small_disk: Sequence[str]) -> None:
    words = (
        f"echo old >small/run.csv; head -c 190k /dev/zero >small/large; "
        f"{' '.join(PROGRAM)} export {stored} --format json -o small/run.csv"
    )
    done = subprocess.run([*small_disk, "sh", "-c", words], cwd=tmp_path, capture_output=True, text=True, check=False)

    assert done.returncode == ExitCode.DEGRADED
    assert done.stderr == "dbbench: small/run.csv cannot be written: No space left on device\n"
    assert (tmp_path / "kept" / "run.csv").read_text() == "old\n"
    assert {path.name for path in (tmp_path / "kept").iterdir()} == {"run.csv", "large"}


# --- a pooler --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("victim", ["pgbouncer", "supervisor"])
def test_a_pooler_that_is_killed_ends_a_run_with_what_was_measured(
    server: Address, tmp_path: Path, victim: str
) -> None:
    pgbouncer()
    words = [
        "run",
        "point_reads",
        *QUICK,
        "--layer",
        "core",
        "--pooler",
        "transaction",
        "--blocks",
        "500",
    ]
    with subprocess.Popen(
        [*PROGRAM, *words, "-o", "run.jsonl", "--url", url_of(server)], cwd=tmp_path, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip

        def measurements() -> int:
            path = tmp_path / "run.jsonl"
            return path.read_text().count('"type":"measurement"') if path.exists() else 0

        eventually(lambda: measurements() > 1, "a measurement", LONG_S)
        before = measurements()
        children = descendants(process.pid)
        for pid in children:
            words_of = command_line(pid)
            if "pgbouncer" in words_of and ("supervisors" in words_of) == (victim == "supervisor"):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        stdout, stderr = process.communicate(timeout=120)
    run = result_file.read(tmp_path / "run.jsonl")

    assert process.returncode == ExitCode.DEGRADED, stderr
    assert "bug" not in stderr
    assert len(run.measurements) >= before
    assert run.end is not None
    assert (run.status, run.end.reason) == ("failed", "PgBouncer went away")
    assert "PgBouncer went away" in stdout
    eventually(lambda: not alive(children), "end of the children")


# --- the newest ------------------------------------------------------------------------------------------------------


def test_show_passes_over_what_cannot_be_read(stored: Path) -> None:
    results = stored.parent / "results"
    results.mkdir()
    shutil.copy(stored, results / "20260101T000000Z-aaaaaa.jsonl")
    (results / "20260102T000000Z-bbbbbb.jsonl").touch()
    done = shell("$DBBENCH show", stored.parent)

    assert done.returncode == ExitCode.OK
    assert "point_reads" in done.stdout
    assert done.stderr == "dbbench: passed over: results/20260102T000000Z-bbbbbb.jsonl: is empty\n"
