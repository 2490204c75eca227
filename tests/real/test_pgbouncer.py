"""A real PgBouncer: it serves every driver, belongs to us alone, and is gone afterwards, whatever happened."""

import asyncio
import contextlib
import os
import signal
import stat
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import asyncpg
import msgspec
import psycopg
import psycopg2
import pytest
from conftest import PASSWORD
from pgbouncers import bare, new_pgbouncer, pgbouncer
from processes import PATIENCE_S, command_line, descendants, directory_of, ended, eventually

from dbbench.address import Address
from dbbench.errors import CannotStartError
from dbbench.server import pgbouncer as module
from dbbench.server.pgbouncer import Mode, PoolerSettings, RunningPooler, parse_version, pooler
from dbbench.server.supervisors import pgbouncer as supervisor
from dbbench.server.supervisors.system import DYNAMIC_UIDS, Account, tried_as

REPOSITORY: Final = Path(__file__).parents[2]
MODES: Final[Sequence[Mode]] = ("transaction", "session")

CLIENTS: Final = 6
REPEATS: Final = 40
PREPARES_AT: Final = 5  # executions before psycopg prepares
SAFE: Final[dict[str, dict[str, Any]]] = {
    "asyncpg": {"statement_cache_size": 0},
    "psycopg": {"prepare_threshold": None},
}


def connect(address: Address) -> psycopg.Connection:
    return psycopg.connect(**arguments(address), autocommit=True, prepare_threshold=None, client_encoding="UTF8")


def arguments(address: Address, database: str = "dbname") -> dict[str, Any]:
    password = {"password": address.password} if address.password else {}
    return {"host": address.host, "port": address.port, "user": address.user, database: address.database, **password}


def ask(address: Address, query: str) -> Any:
    with contextlib.closing(connect(address)) as connection:
        row = connection.execute(query.encode()).fetchone()
    assert row is not None
    return row[0]


def processes_of(directory: Path) -> dict[int, int]:
    """Find the processes that work in a directory, and the uid of each."""
    found = {}
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if (entry / "cwd").readlink() == directory:
                found[int(entry.name)] = entry.stat().st_uid
    return found


@pytest.fixture(autouse=True)
def needed() -> Path:
    return pgbouncer()


# --- what is served ---------------------------------------------------------------------------------------------------


@pytest.mark.old_pgbouncer
@pytest.mark.parametrize("mode", MODES)
def test_every_driver_gets_its_answers_in_the_schema_of_the_alias(upstream: Address, mode: Mode) -> None:
    async def by_asyncpg(address: Address) -> Any:
        connection = await asyncpg.connect(**arguments(address, "database"), statement_cache_size=0)
        try:
            return await connection.fetchval("SELECT current_setting($1)", "search_path")
        finally:
            await connection.close()

    def by_psycopg2(address: Address) -> Any:
        with contextlib.closing(psycopg2.connect(**arguments(address))) as connection, connection.cursor() as cursor:
            cursor.execute("SELECT current_setting(%s)", ("search_path",))
            return (cursor.fetchone() or (None,))[0]

    with pooler(upstream, PoolerSettings(mode, pool_size=2), {"one": "first", "two": "a \"b'c"}) as running:
        for alias, shown in (("one", "first"), ("two", '"a ""b\'c"')):
            address = running.address(alias)
            assert address.database == alias
            assert address.is_socket == upstream.is_socket
            for _ in range(3):  # server connections are used again
                answers = [ask(address, "SHOW search_path"), asyncio.run(by_asyncpg(address)), by_psycopg2(address)]
                assert answers == [shown] * 3


@pytest.mark.parametrize("mode", MODES)
def test_aliases_share_no_server_connection(server: Address, mode: Mode) -> None:
    with bare(server, mode, "one", "two", size=1) as running:
        first = {ask(running.address("one"), "SELECT pg_backend_pid()") for _ in range(3)}
        second = {ask(running.address("two"), "SELECT pg_backend_pid()") for _ in range(3)}

    assert (len(first), len(second)) == (1, 1)
    assert first.isdisjoint(second)


def test_a_client_in_session_mode_finds_nothing_of_the_one_before(server: Address) -> None:
    with bare(server, "session", "one", size=1) as running:
        address = running.address("one")
        with contextlib.closing(connect(address)) as connection:
            connection.execute("PREPARE mine AS SELECT 1")
            connection.execute("CREATE TEMP TABLE mine ()")
            connection.execute("LISTEN mine")
            pid = connection.execute("SELECT pg_backend_pid(), pg_advisory_lock(7)").fetchone()
        with contextlib.closing(connect(address)) as connection:
            left = connection.execute(
                "SELECT pg_backend_pid(), (SELECT count(*) FROM pg_prepared_statements), to_regclass('mine'),"
                " (SELECT count(*) FROM pg_listening_channels()), (SELECT count(*) FROM pg_locks"
                " WHERE locktype = 'advisory' AND pid = pg_backend_pid())"
            ).fetchone()

    assert pid is not None
    assert left == (pid[0], 0, None, 0, 0)


@pytest.mark.old_pgbouncer
@pytest.mark.parametrize("mode", MODES)
def test_reconnect_gives_new_server_connections(server: Address, mode: Mode) -> None:
    with bare(server, mode, "one", "two", size=1) as running:
        before = [ask(running.address(alias), "SELECT pg_backend_pid()") for alias in ("one", "two")]
        running.reconnect("one")
        after = [ask(running.address(alias), "SELECT pg_backend_pid()") for alias in ("one", "two")]

    assert before[0] != after[0]
    assert before[1] == after[1]


def test_the_pool_is_as_large_as_it_was_ordered(server: Address) -> None:
    with bare(server, "transaction", "one", size=3) as running, contextlib.ExitStack() as stack:
        pids = set()
        for _ in range(3):
            connection = stack.enter_context(contextlib.closing(connect(running.address("one"))))
            connection.execute("BEGIN")
            pids.add(connection.execute("SELECT pg_backend_pid()").fetchone())
        waiting = stack.enter_context(contextlib.closing(connect(running.address("one"))))
        waiting.pgconn.send_query(b"SELECT 1")
        time.sleep(0.2)
        waiting.pgconn.consume_input()
        assert waiting.pgconn.is_busy()
    assert len(pids) == 3


def test_two_poolers_at_once_do_not_meet(foreign: Address) -> None:
    with bare(foreign, "transaction", "one") as first, bare(foreign, "session", "one") as second:
        assert first.directory != second.directory
        assert first.address("one").port != second.address("one").port
        assert first.address("one").password != second.address("one").password
        assert [ask(each.address("one"), "SELECT 1") for each in (first, second)] == [1, 1]
    assert not first.directory.exists()
    assert not second.directory.exists()


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="cannot pin here")
def test_it_stays_on_the_given_cpus(server: Address) -> None:
    cpu = max(os.sched_getaffinity(0))
    with pooler(server, PoolerSettings("transaction"), {"one": "public"}, cpus=[cpu]) as running:
        assert [os.sched_getaffinity(pid) for pid in processes_of(running.directory)] == [{cpu}]


# --- prepared statements ----------------------------------------------------------------------------------------------


async def load(driver: str, address: Address, **settings: Any) -> tuple[Counter[str], int | None]:
    """Execute one statement again and again on several connections; count SQLSTATEs, find the first to fail."""
    failures: Counter[str] = Counter()
    first: list[int] = []

    async def client() -> None:
        async with contextlib.AsyncExitStack() as stack:
            execute = await executor(driver, address, stack, settings)
            for number in range(REPEATS):
                try:
                    await execute(number)
                except (asyncpg.PostgresError, psycopg.Error) as error:
                    failures[str(error.sqlstate)] += 1
                    first.append(number)

    await asyncio.gather(*(client() for _ in range(CLIENTS)))
    return failures, min(first, default=None)


async def executor(
    driver: str, address: Address, stack: contextlib.AsyncExitStack, settings: dict[str, Any]
) -> Callable[[int], Awaitable[Any]]:
    # It takes a while, so that several are under way at once and go to different server connections.
    if driver == "asyncpg":
        by_asyncpg = await asyncpg.connect(**arguments(address, "database"), **settings)
        stack.push_async_callback(by_asyncpg.close)
        return lambda number: by_asyncpg.fetchval("SELECT pg_sleep(0.001), $1::int", number)
    connection = await psycopg.AsyncConnection.connect(**arguments(address), autocommit=True, **settings)
    stack.push_async_callback(connection.close)
    return lambda number: connection.execute("SELECT pg_sleep(0.001), %s::int", [number])


@pytest.mark.old_pgbouncer
@pytest.mark.parametrize(("driver", "from_number"), [("asyncpg", 0), ("psycopg", PREPARES_AT)])
def test_defaults_fail_in_transaction_mode(server: Address, driver: str, from_number: int) -> None:
    with bare(server, "transaction", "one") as running:
        failures, first = asyncio.run(load(driver, running.address("one")))

    assert set(failures) & {"26000", "42P05"}, failures
    assert first is not None
    assert first >= from_number


@pytest.mark.old_pgbouncer
@pytest.mark.parametrize("driver", SAFE)
def test_safe_settings_never_fail_in_transaction_mode(server: Address, driver: str) -> None:
    with bare(server, "transaction", "one") as running:
        assert asyncio.run(load(driver, running.address("one"), **SAFE[driver])) == (Counter(), None)


@pytest.mark.old_pgbouncer
@pytest.mark.parametrize("driver", SAFE)
def test_defaults_do_not_fail_in_session_mode(server: Address, driver: str) -> None:
    with bare(server, "session", "one", size=CLIENTS) as running:
        assert asyncio.run(load(driver, running.address("one"))) == (Counter(), None)


@pytest.mark.parametrize("driver", SAFE)
def test_defaults_do_not_fail_where_prepared_statements_are_followed(server: Address, driver: str) -> None:
    new_pgbouncer()
    with pooler(server, PoolerSettings("transaction", 50, 2), {"one": "public"}) as running:
        assert asyncio.run(load(driver, running.address("one"))) == (Counter(), None)


# --- who may ----------------------------------------------------------------------------------------------------------


def test_passwords_are_in_private_files_only(foreign: Address) -> None:
    with bare(foreign, "transaction", "one") as running:
        address = running.address("one")
        assert stat.S_IMODE(running.directory.stat().st_mode) == 0o700
        assert {stat.S_IMODE(file.stat().st_mode) for file in running.directory.iterdir()} == {0o600}
        commands = "".join(map(command_line, descendants(os.getpid())))
        assert address.password
        for secret in (PASSWORD, address.password):
            assert secret not in commands
            assert secret not in repr(running)
        for wrong in ("", "wrong"):
            with pytest.raises(psycopg.OperationalError, match=r"auth|password"):
                connect(msgspec.structs.replace(address, password=wrong))


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become somebody else")
def test_root_runs_it_as_somebody_else(
    upstream: Address, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, needed: Path
) -> None:
    with bare(upstream, "transaction", "one") as running:
        (uid,) = processes_of(running.directory).values()
        assert uid in DYNAMIC_UIDS
        # The account of many must not read the password of the user's server.
        nobody = Account(65534, 65534)
        assert not tried_as(nobody, lambda: any(file.read_bytes() for file in running.directory.iterdir()))
    hidden = tmp_path / "hidden"  # where only root gets
    hidden.mkdir(0o700)
    (hidden / "pgbouncer").write_bytes(needed.read_bytes())
    (hidden / "pgbouncer").chmod(0o700)
    monkeypatch.setenv("PATH", str(hidden), prepend=os.pathsep)
    with bare(upstream, "transaction", "one") as running:
        assert set(processes_of(running.directory).values()) <= set(DYNAMIC_UIDS)
        assert ask(running.address("one"), "SELECT 1") == 1


# --- life cycle -------------------------------------------------------------------------------------------------------

RUNNING: Final = """
import sys
from dbbench.address import Address
from dbbench.server.pgbouncer import PoolerSettings, pooler
address = Address(sys.argv[1], int(sys.argv[2]), sys.argv[3], sys.argv[4], sys.stdin.readline().rstrip("\\n"))
with pooler(address, PoolerSettings("transaction"), {"one": "public"}) as running:
    print(running.directory, flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def child(upstream: Address) -> Iterator[subprocess.Popen[str]]:
    """Run a pooler in a program of its own."""
    target = [upstream.host, str(upstream.port), upstream.database, upstream.user]
    with subprocess.Popen(
        [sys.executable, "-c", RUNNING, *target],
        cwd=REPOSITORY, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        assert process.stdin is not None
        process.stdin.write(f"{upstream.password}\n")
        process.stdin.flush()
        yield process
        process.kill()


@pytest.mark.old_pgbouncer
@pytest.mark.parametrize("signum", [signal.SIGKILL, signal.SIGTERM, None])
def test_nothing_is_left_however_the_parent_ends(child: subprocess.Popen[str], signum: signal.Signals | None) -> None:
    directory = directory_of(child)
    (pid,) = processes_of(directory)
    (supervising,) = (int(line.split()[1]) for line in _status(pid) if line.startswith("PPid"))
    if signum is None:
        child.communicate()
    else:
        child.send_signal(signum)
        child.wait()

    eventually(lambda: not directory.exists(), "end of the directory")
    eventually(lambda: not processes_of(directory), "end of PgBouncer")
    eventually(lambda: ended(supervising), "end of the supervisor")


def _status(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/status").read_text().splitlines()


def test_it_ends_with_its_supervisor(child: subprocess.Popen[str]) -> None:
    directory = directory_of(child)
    (pid,) = processes_of(directory)
    (supervising,) = (int(line.split()[1]) for line in _status(pid) if line.startswith("PPid"))
    os.kill(supervising, signal.SIGKILL)

    eventually(lambda: not processes_of(directory), "end of PgBouncer")
    child.communicate()
    assert not directory.exists()


def test_alive_turns_false_when_it_dies(server: Address) -> None:
    with bare(server, "transaction", "one") as running:
        assert running.alive()
        (pid,) = processes_of(running.directory)
        os.kill(pid, signal.SIGKILL)
        eventually(lambda: not running.alive(), "notice of the end")
    assert not running.directory.exists()


def test_a_failure_in_the_block_ends_it(server: Address) -> None:
    seen: list[RunningPooler] = []

    def fail() -> None:
        with bare(server, "transaction", "one") as running:
            seen.append(running)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert not seen[0].directory.exists()


# --- what goes wrong --------------------------------------------------------------------------------------------------


def fails(upstream: Address, settings: PoolerSettings | None = None) -> str:
    """Fail to start, and leave nothing; return the message."""
    with tempfile.TemporaryDirectory(dir="/tmp") as folder, pytest.MonkeyPatch.context() as patch:
        Path(folder).chmod(0o1777)
        patch.setattr(tempfile, "tempdir", folder)
        with (
            pytest.raises(CannotStartError) as caught,
            pooler(upstream, settings or PoolerSettings("session"), {"one": "public"}),
        ):
            pass
        assert list(Path(folder).iterdir()) == []
    message = str(caught.value)
    assert "\n" not in message
    assert upstream.password not in message or not upstream.password
    return message


def test_a_wrong_setting_is_quoted_from_the_log(server: Address, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SETTINGS", {**module.SETTINGS, "max_client_conn": "many"})
    message = fails(server)

    assert message.startswith("cannot start PgBouncer: PgBouncer did not start: ")
    assert "max_client_conn" in message


def test_a_wrong_password_for_the_server_is_said_at_the_start(foreign: Address) -> None:
    message = fails(msgspec.structs.replace(foreign, password="wr0ng-canary"))

    assert message.startswith("cannot start PgBouncer: the server does not answer through it: ")
    assert "password authentication failed" in message


def test_a_server_that_is_not_there_is_said_at_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CONNECT_LIMIT_S", 2)
    message = fails(Address("127.0.0.1", supervisor.free_port(), "d", "u", "s3cr3t-canary"))

    assert message.startswith("cannot start PgBouncer: the server does not answer through it: ")
    assert "connect failed" in message


def test_a_line_break_cannot_add_settings() -> None:
    message = fails(Address("127.0.0.1", 1, "d", "u", "x'\nauth_type = any"))

    assert (
        message
        == "cannot start PgBouncer: its configuration cannot hold a line break, and the server's address has one"
    )


def test_certificates_of_the_user_are_out_of_reach() -> None:
    assert "use sslmode=require" in fails(Address("127.0.0.1", 1, "d", "u", sslmode="verify-full"))
    certified = Address("127.0.0.1", 1, "d", "u", sslmode="require", tls={"sslcert": "me.crt", "sslkey": "me.key"})
    assert "the files of sslcert, sslkey; leave them out" in fails(certified)


def test_prepared_statements_need_a_newer_version(server: Address, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "version", lambda _: (1, 18))
    message = fails(server, PoolerSettings("transaction", 100))

    assert "is version 1.18, but max_prepared_statements needs PgBouncer 1.21 or newer" in message


def test_none_at_all_is_one_line_with_the_way_out(server: Address, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setattr(module, "SYSTEM_PATHS", ())
    message = fails(server)

    assert message.startswith("PgBouncer is not installed: apt-get install pgbouncer, brew install pgbouncer, ")


def test_a_program_that_is_something_else_is_refused(
    server: Address, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake = tmp_path / "pgbouncer"
    fake.write_text("#!/bin/sh\nexit 3\n")
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert f"{fake} does not run" in fails(server)
    fake.write_text("#!/bin/sh\necho something else\n")
    assert "its version cannot be read from 'something else'" in fails(server)


@pytest.mark.parametrize("alias", ["pgbouncer", "a b", "", 'a"', "ä", "x" * 61])
def test_an_alias_is_a_plain_name(server: Address, alias: str) -> None:
    with pytest.raises(ValueError, match="alias"), pooler(server, PoolerSettings("session"), {alias: "public"}):
        pass


def test_a_port_that_is_taken_is_not_the_end(foreign: Address, tmp_path: Path) -> None:
    """Have the first two of its ports taken by the time it starts."""
    script = tmp_path / "supervisor_with_bad_luck.py"
    script.write_text(
        f"import socket, sys; sys.path.append({str(REPOSITORY)!r})\n"
        "from dbbench.server.supervisors import pgbouncer\n"
        "taken = [socket.create_server(('127.0.0.1', 0)) for _ in range(2)]\n"
        "ports = [each.getsockname()[1] for each in taken]\n"
        "free = pgbouncer.free_port\n"
        "pgbouncer.free_port = lambda: ports.pop() if ports else free()\n"
        "pgbouncer.supervise(pgbouncer.Pooler, pgbouncer.order_of_parent)\n"
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(supervisor, "__file__", str(script))
        with bare(foreign, "transaction", "one") as running:
            assert ask(running.address("one"), "SELECT 1") == 1
            assert (running.directory / "log").read_text().count("Address already in use") >= 2


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("PgBouncer 1.18.0\nlibevent 2.1.12-stable\nadns: c-ares 1.18.1\n", (1, 18)),
        ("PgBouncer 1.24.1\nlibevent 2.1.12-stable\n", (1, 24)),
        ("pgbouncer version 1.7.2", (1, 7)),
        ("PgBouncer 2.0rc1", (2, 0)),
    ],
)
def test_versions_are_read(said: str, expected: tuple[int, int]) -> None:
    assert parse_version(said) == expected


@pytest.mark.parametrize(("found", "can"), [((1, 7), False), ((1, 20), False), ((1, 21), True), ((2, 0), True)])
def test_prepared_statements_came_with_1_21(found: tuple[int, int], can: bool) -> None:
    assert module.supports_prepared_statements(found) is can


def test_a_supervisor_without_an_order_ends(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-I", "-S", supervisor.__file__],
        cwd=tmp_path, stdin=subprocess.DEVNULL, capture_output=True, timeout=PATIENCE_S, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


@pytest.mark.old_pgbouncer
def test_the_console_shows_the_settings(server: Address) -> None:
    with bare(server, "transaction", "one", size=7) as running, running.console() as console:
        shown = {row[0]: row[1] for row in console.execute("SHOW CONFIG").fetchall()}

    assert (shown["pool_mode"], shown["default_pool_size"]) == ("transaction", "7")
    assert (shown["log_connections"], shown["log_disconnections"], shown["log_stats"]) == ("0", "0", "0")
    assert shown.get("max_prepared_statements", "0") == "0"
