"""The program as a user meets it: processes, exit codes, stdout, stderr, files, signals."""

import json
import os
import pty
import re
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median

import pytest
from builders import many_sided_run, store
from conftest import PASSWORD, Cli, connect, url_of
from processes import alive, command_line, descendants, eventually

from dbbench.address import Address
from dbbench.errors import ExitCode

QUICK = ("--budget", "0.5", "--rounds", "1", "--set", "rows=50", "--seed", "1")
PROGRAM = (sys.executable, "-P", "-m", "dbbench")
RUN = ("run", "point_reads", "--driver", "psycopg2", *QUICK)
LONG_S = 120.0  # a slow machine starts a server, workers and all


@pytest.fixture
def result(tmp_path: Path) -> Path:
    """The file of a finished run."""
    path = tmp_path / "result.jsonl"
    store(many_sided_run(), path)
    return path


# --- output ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("format_", ["json", "table"])
def test_head_may_stop_reading(result: Path, format_: str) -> None:
    command = f"{' '.join(PROGRAM)} show {result} --format {format_} | head -n 1; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=True)

    assert done.stderr == ""
    assert done.stdout.splitlines()[-1] == "0"


def test_an_output_that_cannot_be_written_is_no_bug(result: Path) -> None:
    command = f"{' '.join(PROGRAM)} show {result}"
    full = subprocess.run(["bash", "-c", f"{command} >/dev/full"], capture_output=True, text=True, check=False)
    closed = subprocess.run(["bash", "-c", f"{command} >&-"], capture_output=True, text=True, check=False)

    assert full.returncode == ExitCode.DEGRADED
    assert full.stderr == "dbbench: the output cannot be written: No space left on device\n"
    assert closed.returncode in {0, 3}
    assert "bug" not in closed.stderr


def test_a_bug_is_not_a_regression(tmp_path: Path) -> None:
    source = "import dbbench.__main__ as program, dbbench.catalog as catalog\ndel catalog.find\nprogram.main()\n"
    done = subprocess.run(
        [sys.executable, "-c", source, "run"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == ExitCode.BUG
    assert done.stderr.startswith("dbbench: this is a bug in dbbench: run.py:")


def test_a_new_format_of_one_command_is_none_of_another(result: Path, tmp_path: Path) -> None:
    """A row of the table is all that it takes, and a command that does not have the row says so."""
    source = (
        "import sys, dbbench.reports as reports\n"
        "reports.FORMATS['run', 'tsv'] = 'run.csv:report'\n"
        "import dbbench.__main__ as program\n"
        "program.main()\n"
    )

    def program(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-c", source, *arguments], cwd=tmp_path, env={**os.environ, "COLUMNS": "200"},
            capture_output=True, text=True, check=False,
        )  # fmt: skip

    shown = program("show", str(result), "--format", "tsv")
    assert shown.returncode == 0, shown.stderr
    assert shown.stdout == program("show", str(result), "--format", "csv").stdout
    for other in (["compare", str(result), str(result)], ["wire"], ["history"], ["gate"]):
        refused = program(*other, "--format", "tsv")
        assert refused.returncode == 2, refused.stderr
        assert "'tsv' is not one of 'table', 'csv', 'json'" in refused.stderr


# --- how it behaves --------------------------------------------------------------------------------------------------


def test_a_password_is_on_no_command_line_but_the_users(foreign: Address, tmp_path: Path) -> None:
    environment = {**os.environ, "DATABASE_URL": url_of(foreign)}
    with subprocess.Popen(
        [*PROGRAM, *RUN, "--env-url"], cwd=tmp_path, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        seen = 0
        while process.poll() is None:
            commands = [command_line(pid) for pid in descendants(process.pid)]
            seen += sum("dbbench.worker" in command for command in commands)
            assert not any(PASSWORD in command for command in commands)
            time.sleep(0.05)
        process.communicate()
    assert process.returncode == 0
    assert seen > 0


@pytest.mark.alone
def test_help_costs_little_more_than_typers_own(tmp_path: Path) -> None:
    """Against the help of a program that does nothing: what Typer and Rich take is not ours, and differs by version."""

    def seconds(*arguments: str) -> float:
        """CPU time: others on the machine do not count."""
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, *arguments], cwd=tmp_path, check=True, stdout=subprocess.DEVNULL, env=compiled)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    # Compiled once, as after an installation, even where the tests' own environment keeps no compiled files.
    compiled = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    compiled["PYTHONPYCACHEPREFIX"] = str(tmp_path / "compiled")
    ours = ("-m", "dbbench", "--help")
    program = "import typer; app = typer.Typer(); app.command('a')(print); app.command('b')(print); app()"
    empty = ("-c", program, "--help")
    seconds(*ours)
    ratios = [seconds(*ours) / seconds(*empty) for _ in range(15)]
    assert median(ratios) <= 2  # 1.5 with Typer 0.29; a driver or SQLAlchemy alone would make it 3


def test_help_imports_no_driver(tmp_path: Path) -> None:
    source = (
        "import sys\nimport dbbench.__main__ as program\n"
        "try:\n    sys.argv = ['dbbench', 'run', '--help']; program.main()\nexcept SystemExit: pass\n"
        "heavy = {'sqlalchemy', 'asyncpg', 'psycopg', 'psycopg2', 'numpy', 'pyperf', 'msgspec'} & set(sys.modules)\n"
        "print(sorted(heavy), file=sys.stderr)\n"
    )
    done = subprocess.run([sys.executable, "-c", source], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stderr == "[]\n"


def test_the_parents_memory_is_small_and_does_not_grow_with_samples(tmp_path: Path) -> None:
    source = (  # it says so itself at its very end: who looks from outside may look too early
        "import atexit, pathlib, dbbench.__main__ as program\n"
        "status = lambda: pathlib.Path('status').write_text(pathlib.Path('/proc/self/status').read_text())\n"
        "atexit.register(status)\n"
        "program.main()\n"
    )

    def peak_kib(blocks: int) -> int:
        subprocess.run(
            [sys.executable, "-P", "-c", source, "run", "point_reads", "--driver", "psycopg2", "--blocks", str(blocks),
             "--rounds", "6", "--set", "rows=50", "-o", f"{blocks}.jsonl"],
            cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True,
        )  # fmt: skip
        match = re.search(r"VmHWM:\s+(\d+)", (tmp_path / "status").read_text())
        assert match is not None
        return int(match[1])

    few, many = peak_kib(1), peak_kib(3)
    assert many < 300 * 1024
    assert many - few < 8 * 1024


def test_a_terminal_gets_a_bar_and_a_table_in_colour(tmp_path: Path) -> None:
    leader, follower = pty.openpty()
    with subprocess.Popen(
        [*PROGRAM, *RUN], cwd=tmp_path, stdout=follower, stderr=follower, env={**os.environ, "TERM": "xterm"}
    ) as process:
        os.close(follower)
        output = b"".join(iter(lambda: _read(leader), b""))
    os.close(leader)

    assert process.returncode == 0
    assert b"\x1b[" in output
    assert "━".encode() in output
    assert b"%" in output
    assert b"psycopg2" in output


def _read(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, 65536)
    except OSError:  # how Linux says that the other end is closed
        return b""


def test_the_first_run_on_a_terminal_ends_with_what_to_type_next(tmp_path: Path) -> None:
    def run(*options: str) -> bytes:
        leader, follower = pty.openpty()
        with subprocess.Popen(
            [*PROGRAM, *RUN, *options], cwd=tmp_path, stdout=follower, stderr=follower,
            env={**os.environ, "TERM": "xterm"},
        ):  # fmt: skip
            os.close(follower)
            output = b"".join(iter(lambda: _read(leader), b""))
        os.close(leader)
        return output

    first, second, asked = run(), run(), run("--next")

    assert first.rstrip().splitlines()[-4] == b"Next:"
    assert b"-m dbbench show --details" in first
    assert b"Next:" not in second
    assert b"Next:" in asked


def test_what_to_type_next_is_no_data(tmp_path: Path) -> None:
    done = subprocess.run(
        [*PROGRAM, *RUN, "--next", "--format", "csv"], cwd=tmp_path, capture_output=True, text=True, check=True
    )

    assert "Next:" in done.stderr
    assert "Next:" not in done.stdout


def test_a_second_run_at_once_is_told_of_the_first(
    running: subprocess.Popen[str], tmp_path: Path, measure: Cli
) -> None:
    eventually(lambda: _measuring(tmp_path), "a measurement", LONG_S)
    second = measure(*RUN)
    assert running.poll() is None
    os.kill(running.pid, signal.SIGINT)
    running.communicate(timeout=120)

    assert (running.returncode, second.returncode) == (130, 0)
    assert "another dbbench run is measuring on this machine" in second.stderr
    assert len(list(tmp_path.glob("results/*.jsonl"))) == 1


@pytest.mark.alone
def test_a_busy_machine_is_named_before_anything_is_measured(tmp_path: Path) -> None:
    spins = (sys.executable, "-c", "while True: pass")
    others = [subprocess.Popen(spins) for _ in range(len(os.sched_getaffinity(0)))]
    try:
        timed = subprocess.run([*PROGRAM, *RUN], cwd=tmp_path, capture_output=True, text=True, check=True)
        counted = subprocess.run(
            [*PROGRAM, "wire", "point_reads", "--driver", "psycopg2", "--layer", "core"],
            cwd=tmp_path, capture_output=True, text=True, check=True,
        )  # fmt: skip
    finally:
        for other in others:
            other.kill()
            other.wait()

    before, _, _ = timed.stderr.partition("starting PostgreSQL")
    assert re.search(
        r"^other processes use \d+\.\d of \d+ CPUs?: blocks take longer, .*; end them, or wait$", before, re.MULTILINE
    )
    assert "other processes" not in counted.stderr, "counts have no noise"


# --- signals ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def running(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """A run that is long enough, in a process group of its own.

    It goes on for much longer when something has been measured: two more cells and more blocks come, however slow the
    machine is.
    """
    with subprocess.Popen(
        [*PROGRAM, "run", "point_reads", "--driver", "psycopg2", "--layer", "raw,core,orm", "--budget", "90",
         "--rounds", "2", "--pool-timeout", "2", "-o", "run.jsonl"],
        cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, process_group=0,
    ) as process:  # fmt: skip
        yield process
        process.kill()


def _measuring(folder: Path) -> bool:
    path = folder / "run.jsonl"
    return path.exists() and '"type":"measurement"' in path.read_text()


@pytest.mark.parametrize(
    ("signum", "code"),
    [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)],
    ids=str,
)
def test_a_signal_ends_a_run_with_what_was_measured(
    running: subprocess.Popen[str], tmp_path: Path, signum: int, code: int, dbbench: Cli
) -> None:
    eventually(lambda: _measuring(tmp_path), "a measurement", LONG_S)
    children = descendants(running.pid)
    began = time.monotonic()
    os.kill(running.pid, signum)
    stdout, stderr = running.communicate(timeout=120)

    assert time.monotonic() - began < 30  # the run would go on for more than a minute
    assert running.returncode == code
    assert "point_reads" in stdout
    assert "Traceback" not in stderr
    last = json.loads((tmp_path / "run.jsonl").read_text().splitlines()[-1])
    assert (last["type"], last["status"]) == ("end", "interrupted")
    eventually(lambda: not alive(children), "end of the children")
    assert dbbench("show", "run.jsonl").returncode == 0


def test_ctrl_c_at_the_terminal_reaches_the_whole_group_and_is_handled_once(
    running: subprocess.Popen[str], tmp_path: Path
) -> None:
    eventually(lambda: _measuring(tmp_path), "a measurement", LONG_S)
    os.killpg(running.pid, signal.SIGINT)
    running.communicate(timeout=120)
    assert running.returncode == 130


@pytest.mark.parametrize("delay", [0.0, 0.8, 2.0])
def test_a_signal_while_it_starts_leaves_nothing(running: subprocess.Popen[str], tmp_path: Path, delay: float) -> None:
    eventually(lambda: descendants(running.pid), "a child", LONG_S)
    time.sleep(delay)
    children = descendants(running.pid)
    os.kill(running.pid, signal.SIGINT)
    _, stderr = running.communicate(timeout=120)

    assert running.returncode == 130
    assert "Traceback" not in stderr
    eventually(lambda: not alive(children), "end of the children")
    for path in tmp_path.glob("*.jsonl"):  # either nothing, or a result that says how it ended
        assert '"status":"interrupted"' in path.read_text()


def test_a_second_signal_ends_at_once_and_leaves_nothing(running: subprocess.Popen[str], tmp_path: Path) -> None:
    eventually(lambda: _measuring(tmp_path), "a measurement", LONG_S)
    children = descendants(running.pid)
    os.kill(running.pid, signal.SIGINT)
    os.kill(running.pid, signal.SIGTERM)
    running.communicate(timeout=120)

    assert running.returncode in {130, 143}
    eventually(lambda: not alive(children), "end of the children")


def test_a_killed_run_leaves_no_process_and_a_file_that_can_be_read(
    running: subprocess.Popen[str], tmp_path: Path, dbbench: Cli
) -> None:
    eventually(lambda: _measuring(tmp_path), "a measurement", LONG_S)
    children = descendants(running.pid)
    assert any("supervisor" in command_line(pid) for pid in children)
    running.kill()
    running.communicate()
    eventually(lambda: not alive(children), "end of the children")

    done = dbbench("show", "run.jsonl")
    assert done.returncode == 0
    assert "incomplete" in done.stdout


def test_a_killed_run_leaves_no_schema_on_a_users_server(foreign: Address, tmp_path: Path) -> None:
    path = tmp_path / "hangs.py"
    path.write_text(
        "def prepare(connection, params): connection.exec_driver_sql('CREATE TABLE t (id int)')\n"
        "async def raw(db, params, rng): await db.execute('SELECT pg_sleep(600) FROM (SELECT count(*) FROM t) x')\n"
    )
    with connect(foreign) as owner, subprocess.Popen(
        [*PROGRAM, "run", "hangs.py", "--url", url_of(foreign)], cwd=tmp_path, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:  # fmt: skip

        def count(query: str) -> int:
            (number,) = owner.execute(query).fetchone() or (0,)
            return int(number)

        sleeping = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep(600)%' AND state = 'active'"
        schemas = "SELECT count(*) FROM pg_namespace WHERE nspname LIKE 'dbbench%'"
        eventually(lambda: count(sleeping) == 1, "an operation", LONG_S)
        assert count(schemas) == 1
        children = descendants(process.pid)
        process.kill()
        process.communicate()
        eventually(lambda: not alive(children), "end of the children")
        eventually(lambda: count(schemas) == count(sleeping) == 0, "end of what it left on the server")


def test_a_server_that_dies_ends_the_run_with_what_was_measured(running: subprocess.Popen[str], tmp_path: Path) -> None:
    eventually(lambda: _measuring(tmp_path), "a measurement", LONG_S)
    for pid in descendants(running.pid):
        # A worker may have ended meanwhile, with its block.
        if "postgres -D" in command_line(pid):
            os.kill(pid, signal.SIGKILL)
            break
    else:
        pytest.fail("the server was not found")
    began = time.monotonic()
    stdout, stderr = running.communicate(timeout=120)

    assert time.monotonic() - began < 30
    assert running.returncode == ExitCode.DEGRADED, stderr
    assert "the server stopped answering while" in stdout
    last = json.loads((tmp_path / "run.jsonl").read_text().splitlines()[-1])
    assert (last["type"], last["status"]) == ("end", "failed")
