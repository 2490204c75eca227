"""The relay between real drivers and real servers, and what it does when either misbehaves."""

import asyncio
import os
import resource
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import asyncpg
import psycopg
import psycopg2
import pytest
from conftest import PASSWORD, connect
from processes import PATIENCE_S, ended, eventually

from dbbench.address import Address
from dbbench.child import WorkerLostError
from dbbench.errors import CannotStartError, UsageError
from dbbench.relay import process as relay_module
from dbbench.relay.frame import Frame, Recorded
from dbbench.relay.handle import RelayProcess

START_UP = struct.pack("!II", 39, 3 << 16) + b"user\0dbbench\0database\0dbbench\0\0"
SSL_REQUEST = struct.pack("!II", 8, 80877103)
GSS_REQUEST = struct.pack("!II", 8, 80877104)
GREETING = "Gr\N{LATIN SMALL LETTER U WITH DIAERESIS}\N{LATIN SMALL LETTER SHARP S}e"


def libpq(address: Address) -> dict[str, Any]:
    arguments = {"host": address.host, "port": address.port, "dbname": address.database, "user": address.user}
    return {**arguments, "password": address.password or None, "sslmode": address.sslmode, "client_encoding": "UTF8"}


def echo_psycopg_sync(address: Address) -> Any:
    with psycopg.connect(**libpq(address)) as connection:
        row = connection.execute("SELECT %s::text", [GREETING]).fetchone()
        return row and row[0]


def echo_psycopg(address: Address) -> Any:
    async def echo() -> Any:
        async with await psycopg.AsyncConnection.connect(**libpq(address)) as connection:
            row = await (await connection.execute("SELECT %s::text", [GREETING])).fetchone()
            return row and row[0]

    return asyncio.run(echo())


def echo_psycopg2(address: Address) -> Any:
    connection = psycopg2.connect(**libpq(address))
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT %s::text", [GREETING])
            row = cursor.fetchone()
            return row and row[0]
    finally:
        connection.close()


def echo_asyncpg(address: Address) -> Any:
    async def echo() -> Any:
        connection = await asyncpg.connect(
            host=address.host, port=address.port, database=address.database, user=address.user,
            password=address.password, ssl=address.sslmode,
        )  # fmt: skip
        try:
            return await connection.fetchval("SELECT $1::text", GREETING)
        finally:
            await connection.close()

    return asyncio.run(echo())


ECHOES: dict[str, Callable[[Address], Any]] = {
    "psycopg-sync": echo_psycopg_sync,
    "psycopg": echo_psycopg,
    "psycopg2": echo_psycopg2,
    "asyncpg": echo_asyncpg,
}


@pytest.fixture
def relay(server: Address) -> Iterator[RelayProcess]:
    with RelayProcess(server) as started:
        yield started


def recorded_until(relay: RelayProcess, true: Callable[[Recorded], bool]) -> Recorded:
    """All that is recorded until something is."""
    recorded = Recorded([], [])

    def more() -> bool:
        new = relay.cut()
        recorded.frames.extend(new.frames)
        recorded.problems.extend(new.problems)
        return true(recorded)

    eventually(more, repr(recorded))
    return recorded


def problem_of(relay: RelayProcess) -> str:
    [problem] = recorded_until(relay, lambda recorded: bool(recorded.problems)).problems
    return problem


def kinds(frames: list[Frame], *, from_client: bool) -> list[str]:
    return [frame.kind for frame in frames if frame.from_client is from_client]


@contextmanager
def raw(address: Address) -> Iterator[socket.socket]:
    """A client that can do everything wrong."""
    family = socket.AF_UNIX if address.is_socket else socket.AF_INET
    with socket.socket(family) as client:
        client.settimeout(PATIENCE_S)
        client.connect(f"{address.host}/.s.PGSQL.{address.port}" if address.is_socket else (address.host, address.port))
        yield client


def rest_of(client: socket.socket) -> bytes:
    """Everything up to the end."""
    parts = []
    try:
        while part := client.recv(65536):
            parts.append(part)
    except ConnectionResetError:
        pass
    return b"".join(parts)


@contextmanager
def server_that(answers: Callable[[socket.socket], None]) -> Iterator[Address]:
    """A server on a unix socket that takes one connection and can do everything wrong."""
    with tempfile.TemporaryDirectory(dir="/tmp") as folder, socket.socket(socket.AF_UNIX) as listener:
        listener.bind(f"{folder}/.s.PGSQL.5432")
        listener.listen()
        listener.settimeout(PATIENCE_S)

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.settimeout(PATIENCE_S)
                answers(connection)

        thread = threading.Thread(target=serve)
        thread.start()
        yield Address(folder, 5432, "d", "u")
        thread.join()


@pytest.mark.parametrize("listener", [{"record": True}, {"rtt_s": 0.0}, {"rtt_s": 0.004}], ids=str)
@pytest.mark.parametrize("driver", list(ECHOES))
def test_every_driver_works_through_every_listener(upstream: Address, driver: str, listener: dict[str, Any]) -> None:
    with RelayProcess(upstream) as relay:
        address = relay.listen(**listener)
        echoed = [ECHOES[driver](address) for _ in range(2)]
        recorded = relay.cut()

    assert echoed == [GREETING, GREETING]
    assert recorded.problems == []
    assert (address.is_socket, address.sslmode) == (upstream.is_socket, "disable")
    assert (address.database, address.user, address.password) == (upstream.database, upstream.user, upstream.password)
    assert bool(recorded.frames) is listener.get("record", False)


def test_what_a_driver_does_is_recorded_message_by_message(relay: RelayProcess) -> None:
    with connect(relay.listen(record=True)) as connection:
        log_in = relay.cut().frames
        connection.execute("SELECT 'x'::text AS a", prepare=True)
        connection.execute("SELECT %s::text", ["c4n4ry"])
        frames = relay.cut().frames
        with pytest.raises(psycopg.errors.UndefinedTable):
            connection.execute("SELECT * FROM nowhere")
        failed = relay.cut().frames
    last = relay.cut().frames

    assert kinds(log_in, from_client=True) == ["StartupMessage"]
    received = kinds(log_in, from_client=False)
    assert (received[0], received[-2:]) == ("Authentication", ["BackendKeyData", "ReadyForQuery"])
    assert kinds(frames, from_client=True) == [
        "Parse", "Sync", "Bind", "Describe", "Execute", "Sync", "Parse", "Bind", "Describe", "Execute", "Sync",
    ]  # fmt: skip
    parse, bind = frames[0], next(frame for frame in frames if frame.kind == "Bind")
    assert (parse.name, parse.text) == ("_pg3_0", "SELECT 'x'::text AS a")
    assert parse.size == 1 + 4 + len("_pg3_0.SELECT 'x'::text AS a.") + 2
    assert (bind.name, bind.text) == ("_pg3_0", "")
    assert [frame.text for frame in frames if frame.kind == "CommandComplete"] == ["SELECT 1", "SELECT 1"]
    assert [frame.name for frame in frames if frame.kind == "Describe"] == ["P:", "P:"]
    assert [frame.text for frame in failed if frame.kind == "ErrorResponse"] == ["42P01"]
    assert [frame.kind for frame in last] == ["Terminate"]
    assert "c4n4ry" not in repr(frames)
    assert {frame.connection for frame in log_in + frames + last} == {1}


def test_a_cut_forgets(relay: RelayProcess) -> None:
    with connect(relay.listen(record=True)) as connection:
        relay.cut()
        assert relay.cut() == Recorded([], [])
        connection.execute("SELECT 1")
        assert relay.cut().frames != []


def test_two_connections_are_kept_apart(relay: RelayProcess) -> None:
    address = relay.listen(record=True)
    with connect(address) as first, connect(address) as second:
        relay.cut()
        for number in range(20):
            first.execute(f"SELECT {number}")
            second.execute(f"SELECT {number + 100}; SELECT 0")
        frames = relay.cut().frames

    mine = [frame for frame in frames if frame.connection == 1]
    others = [frame for frame in frames if frame.connection == 2]
    assert [frame.text for frame in mine if frame.kind == "Query"] == [f"SELECT {n}" for n in range(20)]
    assert len(kinds(mine, from_client=False)) == 20 * 4
    assert len(kinds(others, from_client=False)) == 20 * 7
    assert len(mine) + len(others) == len(frames)


def test_a_password_is_not_recorded(foreign: Address) -> None:
    with RelayProcess(foreign) as relay:
        with psycopg.connect(**libpq(relay.listen(record=True))):
            pass
        recorded = relay.cut()

    sent = kinds(recorded.frames, from_client=True)
    assert sent == ["StartupMessage", "PasswordMessage", "PasswordMessage", "Terminate"]
    assert PASSWORD not in repr(recorded)


def test_a_client_that_prefers_tls_does_without(foreign: Address) -> None:
    with RelayProcess(foreign) as relay:
        for listener in (relay.listen(record=True), relay.listen(rtt_s=0.01)):
            arguments = {**libpq(listener), "sslmode": "prefer"}
            with psycopg.connect(**arguments) as connection:
                connection.execute("SELECT 1")
        recorded = relay.cut()

    assert kinds(recorded.frames, from_client=True)[:2] == ["SSLRequest", "StartupMessage"]
    assert recorded.problems == []


@pytest.mark.parametrize("record", [True, False])
def test_a_client_that_insists_on_tls_is_told_how_to_go_on(record: bool) -> None:
    with RelayProcess(Address("127.0.0.1", 1, "d", "u")) as relay:
        address = relay.listen(record=record)
        with pytest.raises(psycopg.OperationalError):
            psycopg.connect(**{**libpq(address), "sslmode": "require"})
        recorded = recorded_until(relay, lambda recorded: bool(recorded.problems))

    assert recorded.problems == [
        "connection 1: the client insists on TLS, which cannot go through the relay: use sslmode=disable (or prefer)"
    ]
    assert kinds(recorded.frames, from_client=True) == (["SSLRequest"] if record else [])


def test_both_kinds_of_encryption_are_refused_byte_by_byte(relay: RelayProcess) -> None:
    with raw(relay.listen(record=True)) as client:
        for request in (SSL_REQUEST, GSS_REQUEST):
            for byte in request:
                relay.cut()
                client.sendall(bytes([byte]))
            assert client.recv(10) == b"N"
    assert "the client insists on GSSAPI encryption" in problem_of(relay)


@pytest.mark.parametrize("sslmode", ["require", "verify-ca", "verify-full"])
def test_a_server_that_is_wanted_with_tls_is_refused(sslmode: str) -> None:
    with pytest.raises(UsageError, match="cannot be counted or delayed through TLS: use a URL with sslmode=disable"):
        RelayProcess(Address("h", 1, "d", "u", "p", sslmode))


@pytest.mark.parametrize(
    "upstream", [Address("127.0.0.1", 1, "d", "u"), Address("/nowhere/at/all", 5432, "d", "u")], ids=["tcp", "unix"]
)
@pytest.mark.parametrize("record", [True, False])
def test_a_server_that_is_not_there_is_a_problem(upstream: Address, record: bool) -> None:
    with RelayProcess(upstream) as relay:
        address = relay.listen(record=record)
        with pytest.raises(psycopg.OperationalError):
            psycopg.connect(**libpq(address))
        assert problem_of(relay).startswith("connection 1: the server cannot be reached: [Errno ")


def test_a_statement_is_cancelled_on_a_connection_of_its_own(relay: RelayProcess) -> None:
    with connect(relay.listen(record=True)) as connection:
        canceller = threading.Timer(0.5, connection.cancel)
        canceller.start()
        with pytest.raises(psycopg.errors.QueryCanceled):
            connection.execute("SELECT pg_sleep(60)")
        canceller.join()
        recorded = relay.cut()

    [cancel] = [frame for frame in recorded.frames if frame.kind == "CancelRequest"]
    assert (cancel.connection, recorded.problems) == (2, [])


@pytest.mark.parametrize(
    ("rubbish", "said"),
    [
        (b"x\0\0\0\4", "the client sent a message of type 'x', which the protocol does not have"),
        (b"Q\xff\0\0\0", "the client sent a Query message of an impossible length, 4278190080"),
    ],
)
def test_a_client_that_sends_rubbish_is_ended_and_others_live_on(
    relay: RelayProcess, rubbish: bytes, said: str
) -> None:
    address = relay.listen(record=True)
    with connect(address) as other, raw(address) as client:
        client.sendall(START_UP)
        assert client.recv(1)
        client.sendall(rubbish)
        rest_of(client)

        assert problem_of(relay) == f"connection 2: {said}"
        assert other.execute("SELECT 5").fetchone() == (5,)
        assert {frame.connection for frame in relay.cut().frames} == {1}


@pytest.mark.parametrize("record", [True, False])
def test_what_does_not_begin_as_the_protocol_is_ended(relay: RelayProcess, record: bool) -> None:
    with raw(relay.listen(record=record)) as client:
        client.sendall(b"GET / HTTP/1.1\r\n\r\n")
        assert rest_of(client) == b""
        assert problem_of(relay).startswith("connection 1: the client sent a start-up message of an impossible length")


@pytest.mark.parametrize(
    ("sent", "within"),
    [
        (START_UP[:20], "a start-up message"),
        (START_UP + b"Q\0\0\0\x64SELECT", "a Query message"),
        (START_UP + b"Q\0", "the first bytes of a message"),
    ],
)
def test_a_client_that_vanishes_within_a_message_is_a_problem(relay: RelayProcess, sent: bytes, within: str) -> None:
    with raw(relay.listen(record=True)) as client:
        client.sendall(sent)
    assert problem_of(relay) == f"connection 1: the client ended the connection within {within}"


def test_a_client_that_comes_and_goes_is_no_problem(relay: RelayProcess) -> None:
    address = relay.listen(record=True)
    for _ in range(3):
        with raw(address):
            pass
    with connect(address):
        pass
    assert relay.cut().problems == []


def test_a_server_that_vanishes_within_a_message_ends_the_client_and_is_a_problem() -> None:
    def answers(connection: socket.socket) -> None:
        connection.recv(1000)
        connection.sendall(b"Z\0\0\0\5ID\0\0\1\0abc")

    with server_that(answers) as upstream, RelayProcess(upstream) as relay, raw(relay.listen(record=True)) as client:
        client.sendall(START_UP)
        assert rest_of(client) == b"Z\0\0\0\5ID\0\0\1\0abc"
        assert problem_of(relay) == "connection 1: the server ended the connection within a DataRow message"


def test_a_server_that_sends_rubbish_is_ended() -> None:
    def answers(connection: socket.socket) -> None:
        connection.recv(1000)
        connection.sendall(b"Hello, world")
        assert rest_of(connection) == b""

    with server_that(answers) as upstream, RelayProcess(upstream) as relay, raw(relay.listen(record=True)) as client:
        client.sendall(START_UP)
        assert rest_of(client) == b""
        assert problem_of(relay).startswith("connection 1: the server sent a CopyOutResponse message of an impossible")


@pytest.mark.parametrize("rtt_s", [0.0, 0.05])
def test_the_last_words_of_a_server_arrive(rtt_s: float) -> None:
    def answers(connection: socket.socket) -> None:
        connection.recv(1000)
        connection.sendall(b"first ")
        time.sleep(0.01)
        connection.sendall(b"last")

    with server_that(answers) as upstream, RelayProcess(upstream) as relay, raw(relay.listen(rtt_s=rtt_s)) as client:
        client.sendall(START_UP)
        assert rest_of(client) == b"first last"


def fastest(address: Address) -> float:
    """Seconds that a round trip takes at least."""
    with connect(address) as connection:
        times = []
        for _ in range(20):
            begin = time.perf_counter()
            connection.execute("SELECT 1")
            times.append(time.perf_counter() - begin)
    return min(times)


@pytest.mark.alone
def test_a_delayed_round_trip_takes_longer_by_the_delay(upstream: Address) -> None:
    with RelayProcess(upstream) as relay:
        prompt, delayed = fastest(relay.listen()), fastest(relay.listen(rtt_s=0.02))

    assert delayed >= 0.02
    assert delayed > prompt


def test_a_refusal_of_encryption_and_an_end_are_delayed_too() -> None:
    def answers(connection: socket.socket) -> None:
        connection.recv(1000)

    with server_that(answers) as upstream, RelayProcess(upstream) as relay, raw(relay.listen(rtt_s=0.2)) as client:
        begin = time.monotonic()
        client.sendall(SSL_REQUEST)
        assert client.recv(1) == b"N"
        refused = time.monotonic()
        client.sendall(START_UP)
        assert rest_of(client) == b""
        ended = time.monotonic()

    assert refused - begin >= 0.2
    assert ended - refused >= 0.2


@pytest.mark.parametrize("listener", [{"record": True}, {"rtt_s": 0.0}, {"rtt_s": 0.03}], ids=str)
def test_many_megabytes_pass_intact(upstream: Address, listener: dict[str, Any]) -> None:
    lines = [f"{number}\t{'abcdefgh' * 8}{number}\n" for number in range(60_000)]
    text = "".join(lines).encode()
    assert len(text) > 4_500_000
    with RelayProcess(upstream) as relay, connect(relay.listen(**listener)) as connection:
        connection.execute("CREATE TEMP TABLE many (a int, b text)")
        with connection.cursor() as cursor:
            with cursor.copy("COPY many FROM STDIN") as copy:
                copy.write(text)
            with cursor.copy("COPY (SELECT * FROM many ORDER BY a) TO STDOUT") as copy:
                back = b"".join(bytes(block) for block in copy)
            rows = cursor.execute("SELECT a, b FROM many ORDER BY a").fetchall()
        recorded = relay.cut()

    assert back == text
    assert "".join(f"{a}\t{b}\n" for a, b in rows).encode() == text
    if recorded.frames:
        assert kinds(recorded.frames, from_client=False).count("DataRow") == 60_000


@pytest.mark.parametrize("rtt_s", [0.0, 0.03])
def test_a_client_that_does_not_read_does_not_fill_the_memory(relay: RelayProcess, rtt_s: float) -> None:
    def resident() -> int:
        return int(Path(f"/proc/{relay.pid}/statm").read_text().split()[1]) * resource.getpagesize()

    with connect(relay.listen(rtt_s=rtt_s)) as connection, connection.cursor() as cursor:
        before = resident()
        with cursor.copy("COPY (SELECT repeat('x', 1000) FROM generate_series(1, 60000)) TO STDOUT") as copy:
            first = len(copy.read())
            time.sleep(1)
            grown = resident() - before
            assert first + sum(len(block) for block in copy) == 60_000 * 1001

    assert grown < 30 * 2**20


def directory_of(address: Address) -> Path:
    """The private directory in which the relay's sockets are."""
    directory = Path(address.host).parent
    assert directory.name.startswith("dbbench-")
    assert directory.stat().st_mode & 0o777 == 0o700
    return directory


def test_a_relay_ends_with_its_connections_and_leaves_nothing_behind(server: Address) -> None:
    with RelayProcess(server) as relay:
        directory = directory_of(relay.listen())
        connection = connect(relay.listen(record=True))
        assert connection.execute("SELECT 1").fetchone() == (1,)
    with pytest.raises(psycopg.OperationalError):
        connection.execute("SELECT 1")

    connection.close()
    assert ended(relay.pid)
    assert not directory.exists()


def test_a_relay_that_was_killed_is_named_and_leaves_nothing_behind(server: Address) -> None:
    with RelayProcess(server) as relay:
        directory = directory_of(relay.listen())
        os.kill(relay.pid, signal.SIGKILL)
        with pytest.raises(WorkerLostError, match=r"the relay ended \(exit status -9\)"):
            relay.cut()

    assert not directory.exists()


def test_a_relay_ends_when_its_parent_is_killed(server: Address) -> None:
    program = (
        "import sys, time; from dbbench.address import Address; from dbbench.relay.handle import RelayProcess\n"
        "relay = RelayProcess(Address(sys.argv[1], int(sys.argv[2]), 'dbbench', 'dbbench'))\n"
        "print(relay.pid, relay.listen(rtt_s=0.1).host, flush=True); time.sleep(600)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-P", "-c", program, server.host, str(server.port)], stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout is not None
        pid, host = parent.stdout.readline().split()
        address = Address(host, server.port, server.database, server.user)
        directory = directory_of(address)
        with connect(address) as connection:
            assert connection.execute("SELECT 1").fetchone() == (1,)
            assert not ended(int(pid))
            parent.kill()
            eventually(lambda: ended(int(pid)), "the relay lives on")

    assert not directory.exists()


def test_a_ctrl_c_is_the_parents_business(relay: RelayProcess) -> None:
    os.kill(relay.pid, signal.SIGINT)
    os.kill(relay.pid, signal.SIGHUP)
    assert relay.cut() == Recorded([], [])


def test_a_relay_is_pinned(server: Address) -> None:
    if not hasattr(os, "sched_setaffinity"):
        pytest.skip("this platform cannot pin")
    cpu = max(os.sched_getaffinity(0))
    with RelayProcess(server, [cpu]) as relay:
        assert os.sched_getaffinity(relay.pid) == {cpu}
    with pytest.raises(CannotStartError, match=r"the relay cannot do its work: \[Errno 22\]"):
        RelayProcess(server, [4000])


def test_a_directory_with_a_long_path_is_not_taken(
    server: Address, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    long, short = tmp_path / ("x" * 80), Path(tempfile.mkdtemp(dir="/tmp"))
    long.mkdir()
    try:
        for folder, taken in ((long, Path("/tmp")), (short, short)):
            monkeypatch.setenv("TMPDIR", str(folder))
            with RelayProcess(server) as relay:
                assert directory_of(relay.listen()).parent == taken
    finally:
        shutil.rmtree(short)


def test_more_connections_than_select_can_watch_are_refused(relay: RelayProcess) -> None:
    most = relay_module._MAX_CONNECTIONS
    if resource.getrlimit(resource.RLIMIT_NOFILE)[0] < 1024:
        pytest.skip("too few descriptors")
    address = relay.listen(record=True)
    clients = []
    try:
        for _ in range(most + 20):
            client = socket.socket(socket.AF_UNIX)
            client.settimeout(PATIENCE_S)
            client.connect(f"{address.host}/.s.PGSQL.{address.port}")
            clients.append(client)
        problems = recorded_until(relay, lambda recorded: len(recorded.problems) == 20).problems
    finally:
        for client in clients:
            client.close()

    assert problems[0] == f"connection {most + 1}: the relay takes {most} connections at a time, and all are in use"
    eventually(lambda: relay.cut() == Recorded([], []), "problems go on")
    assert echo_psycopg_sync(address) == GREETING
