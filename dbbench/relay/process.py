"""The relay process: it stands between drivers and a server and records or delays the messages between them.

`python -m dbbench.relay.process` reads orders from its stdin and writes replies to its stdout (orders.py). It ends when
its stdin does, that is with its parent, and leaves no socket behind.
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
import time
from collections import deque
from pathlib import Path
from typing import Final

from dbbench import folders, messages
from dbbench.address import Address
from dbbench.relay import framing, orders
from dbbench.relay.frame import Frame, Recorded

_MAX_PATH_BYTES: Final = 100  # longest path of a unix socket; 103 is the limit on macOS
_QUEUE_LIMIT_BYTES: Final = 4 * 2**20  # at which a pipe stops reading; it never queues more than about twice that
_MAX_DESCRIPTORS: Final = 1024  # the most that select() can watch
_MAX_CONNECTIONS: Final = 450  # the most at a time, with two sockets each
_BACKLOG: Final = 512  # clients that may connect at once
_LINGER_S: Final = 30.0  # how long a client may take to read the rest after the other side has closed
_POLLED_S: Final = 0.0004  # how long before a chunk is due the process stops sleeping and polls
_ACCEPTING_TURNS: Final = 10  # turns of the loop that it takes to accept a client, connect it and read what it sent
_ENCRYPTION: Final = {
    framing.TLS: "TLS, which cannot go through the relay: use sslmode=disable (or prefer)",
    framing.GSS: "GSSAPI encryption, which cannot go through the relay: use gssencmode=disable (or prefer)",
}


def main() -> None:
    """Serve the parent until it closes the pipe."""
    # The parent decides when to stop, so it handles Ctrl-C.
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
    """Have the kernel refuse descriptors too large for select()."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    few = most != resource.RLIM_INFINITY and most < _MAX_DESCRIPTORS
    resource.setrlimit(resource.RLIMIT_NOFILE, (most if few else _MAX_DESCRIPTORS, most))


def _sharpen_timers() -> None:
    """Have the kernel wake this process at the requested time: by default Linux adds up to 50 us."""
    with contextlib.suppress(OSError), Path("/proc/self/timerslack_ns").open("w") as slack:
        slack.write("1")


class _Punctual(selectors.SelectSelector):
    """A selector whose timeouts end on time.

    select() takes its timeout in microseconds, while epoll rounds it up to milliseconds. Even so, a sleeping process is
    often woken up a quarter of a millisecond late, above all on virtual machines, and twice per round trip. So it
    sleeps a little less and polls for the rest of the time.
    """

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """See selectors.BaseSelector."""
        if timeout is None or timeout <= 0:
            return super().select(timeout)
        until = time.monotonic() + timeout
        ready = super().select(max(0.0, timeout - _POLLED_S))
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
    """All listeners, and the messages recorded so far."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.links: set[Link] = set()  # those with an open socket
        self._upstream = Address("", 0, "", "")
        self._directory = ""
        self._listeners = itertools.count(1)
        self._connections = itertools.count(1)
        self._frames: list[Frame] = []
        self._problems: list[str] = []

    async def attempt(self, order: orders.Order) -> orders.Reply:
        """Carry out an order and return its reply, which for an OSError is Failed."""
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
        """Connect this side to the server; raises OSError or UnicodeError."""
        where = self._upstream
        if where.is_socket:
            await self.loop.create_unix_connection(lambda: side, f"{where.host}/{_socket_name(where)}")
        else:
            await self.loop.create_connection(lambda: side, where.host, where.port)

    def remove_directory(self) -> None:
        """Remove the directory of the sockets."""
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
        # The same port, since drivers derive the name of the socket file from it.
        directory = f"{self._directory}/{next(self._listeners)}"
        os.mkdir(directory)  # noqa: PTH102 - pathlib is told from blocking code in asyncio, this is the same
        await self.loop.create_unix_server(accept, f"{directory}/{_socket_name(self._upstream)}", backlog=_BACKLOG)
        return orders.Listening(directory, self._upstream.port)

    async def _cut(self) -> orders.Cutting:
        for _ in range(_ACCEPTING_TURNS):
            await asyncio.sleep(0)
        recorded = Recorded(self._frames, self._problems)
        self._frames, self._problems = [], []
        return orders.Cutting(recorded)


def _socket_name(address: Address) -> str:
    return f".s.PGSQL.{address.port}"


def _private_directory(socket_name: str) -> str:
    """Make a directory for sockets that clients can use; raises OSError."""
    for base in (os.environ.get("TMPDIR", ""), "/tmp", "/var/tmp"):  # noqa: S108 - mkdtemp makes a private one there
        longest = os.fsencode(f"{base}/dbbench-12345678/12345/{socket_name}")
        if not base.startswith("/") or "," in base or len(longest) >= _MAX_PATH_BYTES:  # drivers split hosts at commas
            continue
        try:
            return str(folders.make(folders.PREFIX, base))
        except OSError:
            continue
    raise OSError("no directory for sockets can be made in $TMPDIR, /tmp or /var/tmp")


class Pipe:
    """One direction of a link: what one socket receives goes to the other `delay_s` later, in order, like its end."""

    def __init__(self, loop: asyncio.AbstractEventLoop, source: "Side", target: "Side", delay_s: float) -> None:
        self.delay_s = delay_s
        self._loop = loop
        self._source = source
        self._target = target
        self._queue: deque[tuple[float, bytes]] = deque()  # (when it is due by the loop's clock, chunk)
        self._queued = 0  # bytes in the queue
        self._full = False  # the target's buffer is full

    def put(self, chunk: bytes, came: float) -> None:
        """Pass a chunk on; `came`: when it arrived, by the loop's clock. An empty chunk is the end of the stream."""
        if not self.delay_s:
            self._pass_on(chunk)
            return
        self._queue.append((came + self.delay_s, chunk))
        self._queued += len(chunk)
        if len(self._queue) == 1:
            self._loop.call_at(came + self.delay_s, self._pass_due)
        self._balance()

    def hold(self, *, full: bool) -> None:
        """The target's buffer is full, or has room again."""
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
        """Pause reading from the source while too much is queued, or the target's buffer is full."""
        source = self._source.transport
        if source is None:
            return
        if self._full or self._queued > _QUEUE_LIMIT_BYTES:
            source.pause_reading()
        else:
            source.resume_reading()


class Side(asyncio.Protocol):
    """One of a link's two sockets."""

    def __init__(self, link: "Link", splitter: framing.ClientFraming | framing.ServerFraming) -> None:
        self.framing = splitter
        self.transport: asyncio.Transport | None = None  # while it is open
        self._link = link

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The socket is connected."""
        assert isinstance(transport, asyncio.Transport)
        transport.set_write_buffer_limits(_QUEUE_LIMIT_BYTES)
        self.transport = transport
        self._link.made(self)

    def data_received(self, data: bytes) -> None:
        """A chunk has arrived."""
        self._link.received(self, data)

    def pause_writing(self) -> None:
        """The socket's buffer is full."""
        self._link.pipe_to(self).hold(full=True)

    def resume_writing(self) -> None:
        """The socket's buffer has room again."""
        self._link.pipe_to(self).hold(full=False)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - the reason makes no difference
        """The connection ended."""
        self.transport = None
        self._link.lost(self)


class Link:
    """One client, its connection to the server, and the pipes between them."""

    def __init__(self, relay: Relay, number: int, order: orders.Listen) -> None:
        self.client = Side(self, framing.ClientFraming(number))
        self._server = Side(self, framing.ServerFraming(number))
        self._up = Pipe(relay.loop, self.client, self._server, order.rtt_s / 2)
        self._down = Pipe(relay.loop, self._server, self.client, order.rtt_s / 2)
        self._relay = relay
        self._number = number
        self._record = order.record
        self._opening = bytearray()  # what the client sent before the server was connected
        self._refused = ""  # the encryption that the client asked for last
        self._connecting: asyncio.Task[None] | None = None
        self._ended = False

    def pipe_to(self, side: Side) -> Pipe:
        """The pipe that writes to this socket."""
        return self._down if side is self.client else self._up

    def made(self, side: Side) -> None:
        """One of the sockets is connected; a client too many is refused."""
        if side is not self.client:
            return
        if len(self._relay.links) >= _MAX_CONNECTIONS:
            self._fail(f"the relay takes {_MAX_CONNECTIONS} connections at a time, and all are in use")
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
        """One socket ended: end the other one too."""
        if not self._ended:
            self._ended = True
            self._explain(side)
        other = self._server if side is self.client else self.client
        if other.transport is None:
            self._relay.links.discard(self)
        else:
            self.pipe_to(other).put(b"", self._relay.loop.time())

    def _open(self, data: bytes, frames: list[Frame], came: float) -> None:
        """Refuse encryption, and connect to the server once the client has sent its start-up packet."""
        assert self.client.transport is not None
        self._opening += data
        for frame in frames:
            if frame.kind in _ENCRYPTION:
                del self._opening[: frame.size]
                self._refused = frame.kind
                self._down.put(b"N", came + self._up.delay_s)  # as late as if the server had answered
            elif self._connecting is None:
                self.client.transport.pause_reading()
                self._connecting = self._relay.loop.create_task(self._connect(came))

    async def _connect(self, came: float) -> None:
        try:
            await self._relay.connect(self._server)
        except (OSError, UnicodeError) as error:
            self._fail(f"the server cannot be reached: {error}")
            return
        if self.client.transport is None:  # it has left in the meantime
            self._abort()
            return
        self._up.put(bytes(self._opening), came)
        self._opening.clear()
        self.client.transport.resume_reading()

    def _explain(self, side: Side) -> None:
        """Record what was wrong with a connection that just ended, if anything."""
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
