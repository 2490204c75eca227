"""What the parent and its workers say to each other: requests, replies, and how they travel over a pipe.

A message is four bytes of length (big-endian) and MessagePack. Passwords travel here and nowhere else.
"""

from typing import IO, Any, Final

import msgspec

from dbbench.address import Address
from dbbench.plan import Cell, Connections, Load
from dbbench.records import Usage
from dbbench.scenario import Description

LENGTH_BYTES: Final = 4


class Message(msgspec.Struct, frozen=True, tag=True):
    """Anything that travels."""


# Requests: each gets one reply.


class Start(Message, frozen=True):
    """The first: who the worker is. Replied to by Started."""

    driver: str  # empty: told with each cell
    address: Address
    application: str  # application_name: by it the sessions of a run are found on the server
    connections: Connections
    cpus: list[int] | None
    bare: bool = False  # see plan.Arm
    busy_ns: int = 0
    off_limits: str = ""  # a folder that no scenario may import from: another state of the code that is measured
    run_id: str = ""  # whose schemas the worker drops if the parent dies; only the one for tables of a user's server


class Describe(Message, frozen=True):
    """Load a scenario file and say what is in it. Replied to by Described."""

    path: str
    overrides: dict[str, str]


class Prepare(Message, frozen=True):
    """Run the scenario's prepare() in the schema. Replied to by Done."""

    path: str
    schema: str
    params: dict[str, Any]


class Reset(Message, frozen=True):
    """Run the scenario's reset() in the schema. Replied to by Done."""

    path: str
    schema: str
    params: dict[str, Any]


class Tidy(Message, frozen=True):
    """VACUUM ANALYZE the tables of the schemas, and CHECKPOINT if asked to. Replied to by Done."""

    schemas: list[str]
    checkpoint: bool


class Fingerprint(Message, frozen=True):
    """Say what the tables of the schema hold, and how they are made if asked to. Replied to by Checked."""

    schema: str
    structure: bool = False


class Route(msgspec.Struct, frozen=True):
    """How connections reach the server."""

    address: Address
    pooled: bool = False  # a pooler is there: it sets the search path, and takes no start-up parameter that does


class Open(Message, frozen=True):
    """Open pool and sessions for a cell. Replied to by Done."""

    cell: Cell
    schema: str
    route: Route | None = None  # None: straight to the server


class Connect(Message, frozen=True):
    """Have the open cell's pool make its first connection, and nothing else. Replied to by Done."""


class Check(Message, frozen=True):
    """Run single operations in the open cell and say what they returned. Replied to by Checked."""

    seeds: list[str]


class RunSlice(Message, frozen=True):
    """Run a slice in the open cell. Replied to by Ran."""

    operations: int
    seed: str
    limit_ns: int
    lead_in: int = 0  # operations that go before, untimed and at no pace
    freeze: bool = False  # this was the warm-up: what exists now is kept out of garbage collection from now on
    load: Load = Load()  # of which the number of sessions was told with the cell
    heartbeat: bool = False  # note how late the event loop runs timers; not in slices that count


class Close(Message, frozen=True):
    """Close the open cell. Replied to by Closed."""


Request = Start | Describe | Prepare | Reset | Tidy | Fingerprint | Open | Connect | Check | RunSlice | Close


# Replies.


class Started(Message, frozen=True):
    """Ready."""

    facts: dict[str, str]


class Described(Message, frozen=True):
    """A scenario."""

    scenario: Description


class Done(Message, frozen=True):
    """It is done."""


class Checked(Message, frozen=True):
    """What operations returned, as comparable lines: `path: type value`."""

    lines: list[str]
    digest: str  # of all lines, of which only the first are sent


class Ran(Message, frozen=True):
    """A slice. Latencies and other times by operation are int64 nanoseconds in native byte order: see load.Samples."""

    latencies: bytes
    waits: bytes
    services: bytes | None  # open loop
    loop_lags: bytes
    began_ns: int  # by the monotonic clock that all processes of the machine share
    usage: Usage
    failures: dict[str, int]  # SQLSTATE, or the exception's class where there is none -> operations
    errors: list[str]  # different messages of those that failed, with file and line, the most frequent first


class Closed(Message, frozen=True):
    """The cell is closed."""

    peak_bytes: int  # resident memory of the worker, since the cell was opened where that can be known


class Failed(Message, frozen=True):
    """It did not work; the scenario is to blame when `scenario` is true."""

    message: str
    scenario: bool


Reply = Started | Described | Done | Checked | Ran | Closed | Failed

_ENCODER: Final = msgspec.msgpack.Encoder()
_REQUESTS: Final[msgspec.msgpack.Decoder[Request]] = msgspec.msgpack.Decoder(Request)
_REPLIES: Final[msgspec.msgpack.Decoder[Reply]] = msgspec.msgpack.Decoder(Reply)


def send(stream: IO[bytes], message: Message) -> None:
    """Write one message and flush."""
    body = _ENCODER.encode(message)
    stream.write(len(body).to_bytes(LENGTH_BYTES, "big") + body)
    stream.flush()


def receive_request(stream: IO[bytes]) -> Request | None:
    """Read one request; None at the end of the stream."""
    head = stream.read(LENGTH_BYTES)
    if len(head) < LENGTH_BYTES:
        return None
    return _REQUESTS.decode(stream.read(int.from_bytes(head, "big")))


def decode_reply(body: bytes) -> Reply:
    """The reply in a message's body."""
    return _REPLIES.decode(body)
