"""What the relay records is what a packet capture of the same connection shows: tshark's dissector of the protocol."""

import os
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator

import pytest
from conftest import connect

from dbbench import catalog, messages
from dbbench.address import Address
from dbbench.child import WorkerProcess
from dbbench.messages import Closed, Done, Ran, Route, RunSlice, Start, Started
from dbbench.plan import Cell, Connections, Layer
from dbbench.relay.frame import Frame
from dbbench.relay.handle import RelayProcess

PATIENCE_S = 60.0
POINT_READS = {"rows": 200, "document_bytes": 10}
OPERATIONS = 12  # psycopg prepares at the 6th
# How tshark calls what the protocol's documentation, and the relay, call otherwise.
NAMES = {
    "Startup message": "StartupMessage",
    "Authentication request": "Authentication",
    "Password message": "PasswordMessage",
    "SASLInitialResponse message": "PasswordMessage",
    "SASLResponse message": "PasswordMessage",
    "Parameter status": "ParameterStatus",
    "Backend key data": "BackendKeyData",
    "Ready for query": "ReadyForQuery",
    "Simple query": "Query",
    "Row description": "RowDescription",
    "Data row": "DataRow",
    "Command completion": "CommandComplete",
    "Parse completion": "ParseComplete",
    "Bind completion": "BindComplete",
    "Close completion": "CloseComplete",
    "Parameter description": "ParameterDescription",
    "Portal suspended": "PortalSuspended",
    "No data": "NoData",
    "Termination": "Terminate",
    "Empty query": "EmptyQueryResponse",
    "Error": "ErrorResponse",
}
Message = tuple[str, int]  # kind, bytes on the wire


class Capture:
    """tshark on the loopback interface, message by message."""

    def __init__(self, port: int) -> None:
        fields = [
            argument
            for name in ("tcp.stream", "tcp.srcport", "pgsql.type", "pgsql.length")
            for argument in ("-e", name)
        ]
        self._port = port
        self._lines: list[list[str]] = []
        self._process = subprocess.Popen(
            ["tshark", "-l", "-n", "-i", "lo", "-f", f"tcp port {port}", "-d", f"tcp.port=={port},pgsql",
             "-Y", "pgsql", "-T", "fields", *fields],
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        )  # fmt: skip
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._lines.append(line.rstrip("\n").split("\t"))

    @property
    def streams(self) -> list[str]:
        """The connections seen, by tshark's numbers, in order."""
        return list(dict.fromkeys(line[0] for line in self._lines))

    def messages(self, stream: str, *, from_client: bool) -> list[Message]:
        """What passed on a connection in one direction, in order."""
        found = []
        for number, source, types, lengths in list(self._lines):
            if number == stream and (source != str(self._port)) == from_client:
                for kind, length in zip(types.split(","), lengths.split(","), strict=True):
                    name = NAMES.get(kind, kind)
                    # The length leaves out the byte of the type, which the first message does not have.
                    found.append((name, int(length) + (name != "StartupMessage")))
        return found

    def close(self) -> None:
        """End it, and let go of what it has written."""
        self._process.terminate()
        self._process.wait()
        self._reader.join()
        assert self._process.stdout is not None
        self._process.stdout.close()


@pytest.fixture
def capture(foreign: Address) -> Iterator[Capture]:
    """A capture that is seen to work."""
    if shutil.which("tshark") is None:
        if os.environ.get("DBBENCH_TEST_ALL"):
            pytest.fail("tshark is not installed, and DBBENCH_TEST_ALL is set")
        pytest.skip("tshark is not installed: apt-get install tshark")
    made = Capture(foreign.port)
    try:
        deadline = time.monotonic() + 60
        while not made.streams:
            if time.monotonic() > deadline:
                if os.environ.get("DBBENCH_TEST_ALL"):
                    pytest.fail("tshark captures nothing here, and DBBENCH_TEST_ALL is set")
                pytest.skip("tshark captures nothing here: it needs the right to (CAP_NET_RAW)")
            connect(foreign).close()
            time.sleep(0.2)
        yield made
    finally:
        made.close()


@pytest.fixture
def schema_there(foreign: Address) -> Iterator[str]:
    """A schema on that server with the tables of point_reads."""
    start = Start("psycopg-sync", foreign, "dbbench_test", Connections(), None)
    with connect(foreign) as connection:
        connection.execute("CREATE SCHEMA captured")
        with WorkerProcess("the steward", start) as steward:
            steward.reply(Started, PATIENCE_S)
            path = str(catalog.builtin()["point_reads"])
            steward.ask(messages.Prepare(path, "captured", POINT_READS), Done, PATIENCE_S)
        yield "captured"
        connection.execute("DROP SCHEMA captured CASCADE")


@pytest.mark.parametrize("layer", ["core", "raw"])
@pytest.mark.parametrize("driver", ["psycopg", "asyncpg", "psycopg2"])
def test_the_relay_counts_what_a_packet_capture_shows(
    foreign: Address, capture: Capture, schema_there: str, driver: str, layer: Layer
) -> None:
    before = capture.streams
    frames = record(foreign, schema_there, driver, layer)
    deadline = time.monotonic() + 60
    while not (stream := closed(capture, before)):
        assert time.monotonic() < deadline, f"of {capture.streams} none was closed"
        time.sleep(0.1)

    for from_client in (True, False):
        recorded = [(frame.kind, frame.size) for frame in frames if frame.from_client == from_client]
        assert capture.messages(stream, from_client=from_client) == recorded


def closed(capture: Capture, before: list[str]) -> str:
    """The connection that has come and gone since then; what connects without the relay asks for TLS first."""
    for stream in capture.streams:
        sent = [] if stream in before else capture.messages(stream, from_client=True)
        if sent and sent[0][0] == "StartupMessage" and sent[-1][0] == "Terminate":
            return stream
    return ""


def record(address: Address, schema: str, driver: str, layer: Layer) -> list[Frame]:
    """What the relay records of one connection with a few operations."""
    path = str(catalog.builtin()["point_reads"])
    start = Start(driver, address, "dbbench_test", Connections(tx_end="commit"), None)
    with RelayProcess(address) as relay, WorkerProcess(driver, start) as worker:
        worker.reply(Started, PATIENCE_S)
        route = Route(relay.listen(record=True))
        cell = Cell("point_reads", layer, 1, POINT_READS, path)
        worker.ask(messages.Open(cell, schema, route), Done, PATIENCE_S)
        ran = worker.ask(RunSlice(OPERATIONS, "seed", 10**10), Ran, PATIENCE_S)
        assert not ran.failures, ran.errors
        worker.ask(messages.Close(), Closed, PATIENCE_S)
        frames: list[Frame] = []
        deadline = time.monotonic() + 30
        while not any(frame.kind == "Terminate" for frame in frames):
            recorded = relay.cut()
            assert not recorded.problems
            frames += recorded.frames
            assert time.monotonic() < deadline, "the pool did not close its connection"
        return frames
