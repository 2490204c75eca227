"""The relay process: stands between drivers and a server, and records or delays what passes.

`python -m dbbench.relay.process` reads orders from its stdin and writes replies to its stdout (orders.py). It ends when
its stdin does, so with its parent, and leaves no socket behind.
"""

import asyncio
import contextlib
import itertools
import os
import resource
import selectors
import shutil
import signal
import sys
import tempfile
import time
from collections import deque
from pathlib import Path
from typing import Final

from dbbench import messages
from dbbench.address import Address
from dbbench.relay import framing, orders
from dbbench.relay.frame import Frame, Recorded

_PATH_BYTES: Final = 100  # of a unix socket; 103 is the limit on macOS
_HELD_BYTES: Final = 4 * 2**20  # that a pipe holds back before it stops reading; about twice that is held at most
_DESCRIPTORS: Final = 1024  # select() takes no more
_CONNECTIONS: Final = 450  # at a time, with two sockets each
_BACKLOG: Final = 512  # clients that come at once
_LINGER_S: Final = 30.0  # how long one that is left may take to read the rest
_AWAKE_S: Final = 0.0004  # before a chunk is due
_TURNS: Final = 10  # of the loop, in which it takes a client in, connects it and reads what it sent
_ENCRYPTION: Final = {
    framing.TLS: "TLS, which cannot go through the relay: use sslmode=disable (or prefer)",
    framing.GSS: "GSSAPI encryption, which cannot go through the relay: use gssencmode=disable (or prefer)",
}


def main() -> None:
    """Serve the parent until it closes the pipe."""
    # The parent decides when to stop; a Ctrl-C at the terminal is its business.
    for signum in (signal.SIGINT, signal.SIGHUP):
        signal.signal(signum, signal.SIG_IGN)
    _limit_descriptors()
    _sharpen_timers()
    loop = asyncio.SelectorEventLoop(_Punctual())
    relay = Relay(loop)
    try:
        loop.run_until_complete(_serve(relay))
    finally:
        relay.remove_directory()
    os._exit(0)  # at once: a thread may still be waiting for a name server


def _limit_descriptors() -> None:
    """Have the kernel refuse the descriptor that would make select() fail."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    few = most != resource.RLIM_INFINITY and most < _DESCRIPTORS
    resource.setrlimit(resource.RLIMIT_NOFILE, (most if few else _DESCRIPTORS, most))


def _sharpen_timers() -> None:
    """Have the kernel wake this process when it asked to be woken: by default Linux adds 50 us."""
    with contextlib.suppress(OSError), Path("/proc/self/timerslack_ns").open("w") as slack:
        slack.write("1")


class _Punctual(selectors.SelectSelector):
    """select(), which takes microseconds where epoll rounds timeouts up to milliseconds; and awake when it is time.

    A process that sleeps is woken up a quarter of a millisecond late here and there, on virtual machines above all,
    and twice per round trip. So it sleeps a little less, and looks for the rest of the time.
    """

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """See selectors.BaseSelector."""
        if timeout is None or timeout <= 0:
            return super().select(timeout)
        until = time.monotonic() + timeout
        ready = super().select(max(0.0, timeout - _AWAKE_S))
        while not ready and time.monotonic() < until:
            ready = super().select(0)
        return ready


async def _serve(relay: "Relay") -> None:
    incoming = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(incoming), sys.stdin)
    try:
        while True:
            length = int.from_bytes(await incoming.readexactly(messages.LENGTH_BYTES), "big")
            order = orders.decode_order(await incoming.readexactly(length))
            messages.send(sys.stdout.buffer, await relay.attempt(order))
    except (asyncio.IncompleteReadError, BrokenPipeError):
        return  # the parent is gone


class Relay:
    """All listeners and what was recorded."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.links: set[Link] = set()  # with a socket that is open
        self._upstream = Address("", 0, "", "")
        self._directory = ""
        self._listeners = itertools.count(1)
        self._connections = itertools.count(1)
        self._frames: list[Frame] = []
        self._problems: list[str] = []

    async def attempt(self, order: orders.Order) -> orders.Reply:
        """Do what an order says, and make a reply of an error."""
        try:
            match order:
                case orders.Begin():
                    return self._begin(order)
                case orders.Listen():
                    return await self._listen(order)
                case orders.Cut():
                    return await self._cut()
        except OSError as error:
            return messages.Failed(f"the relay cannot do its work: {error}", scenario=False)

    def record(self, frames: list[Frame]) -> None:
        """Keep frames until the next cut."""
        self._frames.extend(frames)

    def blame(self, connection: int, problem: str) -> None:
        """Keep a problem until the next cut."""
        self._problems.append(f"connection {connection}: {problem}")

    async def connect(self, side: "Side") -> None:
        """Make it the other side of a connection to the server; raises OSError or UnicodeError."""
        where = self._upstream
        if where.is_socket:
            await self.loop.create_unix_connection(lambda: side, f"{where.host}/{_socket_name(where)}")
        else:
            await self.loop.create_connection(lambda: side, where.host, where.port)

    def remove_directory(self) -> None:
        """Leave nothing behind."""
        if self._directory:
            shutil.rmtree(self._directory, ignore_errors=True)

    def _begin(self, order: orders.Begin) -> orders.Begun:
        if order.cpus is not None and hasattr(os, "sched_setaffinity"):
            os.sched_setaffinity(0, order.cpus)
        self._upstream = order.upstream
        if self._upstream.is_socket:
            self._directory = _private_directory(_socket_name(self._upstream))
        return orders.Begun(self._directory)

    async def _listen(self, order: orders.Listen) -> orders.Listening:
        def accept() -> Side:
            return Link(self, next(self._connections), order).client

        if not self._directory:
            # asyncio sets TCP_NODELAY on both sides.
            server = await self.loop.create_server(accept, "127.0.0.1", 0, backlog=_BACKLOG)
            return orders.Listening("127.0.0.1", server.sockets[0].getsockname()[1])
        # The same port: drivers take the name of the file from it.
        directory = f"{self._directory}/{next(self._listeners)}"
        os.mkdir(directory)  # noqa: PTH102 - pathlib is told from blocking code in asyncio, this is the same
        await self.loop.create_unix_server(accept, f"{directory}/{_socket_name(self._upstream)}", backlog=_BACKLOG)
        return orders.Listening(directory, self._upstream.port)

    async def _cut(self) -> orders.Cutting:
        for _ in range(_TURNS):
            await asyncio.sleep(0)
        recorded = Recorded(self._frames, self._problems)
        self._frames, self._problems = [], []
        return orders.Cutting(recorded)


def _socket_name(address: Address) -> str:
    return f".s.PGSQL.{address.port}"


def _private_directory(socket_name: str) -> str:
    """Make a directory of which clients can use the sockets; raises OSError."""
    for base in (os.environ.get("TMPDIR", ""), "/tmp", "/var/tmp"):  # noqa: S108 - mkdtemp makes a private one there
        longest = os.fsencode(f"{base}/dbbench-12345678/12345/{socket_name}")
        if not base.startswith("/") or "," in base or len(longest) >= _PATH_BYTES:  # drivers split hosts at commas
            continue
        try:
            return tempfile.mkdtemp(prefix="dbbench-", dir=base)
        except OSError:
            continue
    raise OSError("no directory for sockets can be made in $TMPDIR, /tmp or /var/tmp")


class Pipe:
    """One direction of a link: what comes from one socket goes to the other `delay_s` later, in order, its end too."""

    def __init__(self, loop: asyncio.AbstractEventLoop, source: "Side", target: "Side", delay_s: float) -> None:
        self.delay_s = delay_s
        self._loop = loop
        self._source = source
        self._target = target
        self._queue: deque[tuple[float, bytes]] = deque()  # when it is due, by the loop's clock
        self._queued = 0  # bytes
        self._full = False  # the target takes no more for now

    def put(self, chunk: bytes, came: float) -> None:
        """Pass a chunk on; `came`: when it came, by the loop's clock. An empty one is the end."""
        if not self.delay_s:
            self._pass_on(chunk)
            return
        self._queue.append((came + self.delay_s, chunk))
        self._queued += len(chunk)
        if len(self._queue) == 1:
            self._loop.call_at(came + self.delay_s, self._pass_due)
        self._balance()

    def hold(self, *, full: bool) -> None:
        """Heed that the target takes no more for now, or again."""
        self._full = full
        self._balance()

    def _pass_due(self) -> None:
        now = self._loop.time()
        while self._queue and self._queue[0][0] <= now:
            _, chunk = self._queue.popleft()
            self._queued -= len(chunk)
            self._pass_on(chunk)
        if self._queue:
            self._loop.call_at(self._queue[0][0], self._pass_due)
        self._balance()

    def _pass_on(self, chunk: bytes) -> None:
        target = self._target.transport
        if target is None or target.is_closing():
            return
        if chunk:
            target.write(chunk)
            return
        target.close()
        if target.get_write_buffer_size():
            self._loop.call_later(_LINGER_S, target.abort)

    def _balance(self) -> None:
        """Read no more from the source than can be passed on."""
        source = self._source.transport
        if source is None:
            return
        if self._full or self._queued > _HELD_BYTES:
            source.pause_reading()
        else:
            source.resume_reading()


class Side(asyncio.Protocol):
    """One of the two sockets of a link."""

    def __init__(self, link: "Link", splitter: framing.ClientFraming | framing.ServerFraming) -> None:
        self.framing = splitter
        self.transport: asyncio.Transport | None = None  # while it is open
        self._link = link

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        assert isinstance(transport, asyncio.Transport)
        transport.set_write_buffer_limits(_HELD_BYTES)
        self.transport = transport
        self._link.made(self)

    def data_received(self, data: bytes) -> None:
        """Take a chunk."""
        self._link.received(self, data)

    def pause_writing(self) -> None:
        """Heed that the socket takes no more for now."""
        self._link.pipe_to(self).hold(full=True)

    def resume_writing(self) -> None:
        """Heed that it takes more again."""
        self._link.pipe_to(self).hold(full=False)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - the end is the end
        """Heed the end."""
        self.transport = None
        self._link.lost(self)


class Link:
    """One client, its connection to the server, and what passes between them."""

    def __init__(self, relay: Relay, number: int, order: orders.Listen) -> None:
        self.client = Side(self, framing.ClientFraming(number))
        self._server = Side(self, framing.ServerFraming(number))
        self._up = Pipe(relay.loop, self.client, self._server, order.rtt_s / 2)
        self._down = Pipe(relay.loop, self._server, self.client, order.rtt_s / 2)
        self._relay = relay
        self._number = number
        self._record = order.record
        self._opening = bytearray()  # what the client sent before there was a connection to the server
        self._refused = ""  # the encryption that it asked for last
        self._connecting: asyncio.Task[None] | None = None
        self._ended = False

    def pipe_to(self, side: Side) -> Pipe:
        """The pipe that writes to this socket."""
        return self._down if side is self.client else self._up

    def made(self, side: Side) -> None:
        """Take in a socket that is open."""
        if side is not self.client:
            return
        if len(self._relay.links) >= _CONNECTIONS:
            self._fail(f"the relay takes {_CONNECTIONS} connections at a time, and all are in use")
        self._relay.links.add(self)

    def received(self, side: Side, data: bytes) -> None:
        """Record a chunk and pass it on."""
        came = self._relay.loop.time()
        opening = side is self.client and self._connecting is None
        try:
            frames = side.framing.feed(data) if opening or self._record else []
        except framing.FramingError as error:
            self._fail(str(error))
            return
        if self._record:
            self._relay.record(frames)
        if opening:
            self._open(data, frames, came)
        else:
            self.pipe_to(self._server if side is self.client else self.client).put(data, came)

    def lost(self, side: Side) -> None:
        """Heed the end of a socket: the other one follows."""
        if not self._ended:
            self._ended = True
            self._explain(side)
        other = self._server if side is self.client else self.client
        if other.transport is None:
            self._relay.links.discard(self)
        else:
            self.pipe_to(other).put(b"", self._relay.loop.time())

    def _open(self, data: bytes, frames: list[Frame], came: float) -> None:
        """Refuse encryption, and connect to the server once the client has said what it wants there."""
        assert self.client.transport is not None
        self._opening += data
        for frame in frames:
            if frame.kind in _ENCRYPTION:
                del self._opening[: frame.size]
                self._refused = frame.kind
                self._down.put(b"N", came + self._up.delay_s)  # as if the server had said so
            elif self._connecting is None:
                self.client.transport.pause_reading()
                self._connecting = self._relay.loop.create_task(self._connect(came))

    async def _connect(self, came: float) -> None:
        try:
            await self._relay.connect(self._server)
        except (OSError, UnicodeError) as error:
            self._fail(f"the server cannot be reached: {error}")
            return
        if self.client.transport is None:  # it has not waited
            self._abort()
            return
        self._up.put(bytes(self._opening), came)
        self._opening.clear()
        self.client.transport.resume_reading()

    def _explain(self, side: Side) -> None:
        """Say what is wrong with a connection that ends just now, if anything is."""
        opening = self._connecting is None
        if opening and self._refused and not self._opening:
            self._relay.blame(self._number, f"the client insists on {_ENCRYPTION[self._refused]}")
            return
        try:
            if opening or self._record:
                side.framing.end()
        except framing.FramingError as error:
            self._relay.blame(self._number, str(error))

    def _fail(self, problem: str) -> None:
        self._ended = True
        self._relay.blame(self._number, problem)
        self._abort()

    def _abort(self) -> None:
        for side in (self.client, self._server):
            if side.transport is not None:
                side.transport.abort()


if __name__ == "__main__":
    main()
