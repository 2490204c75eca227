"""The messages between the parent and its workers: requests, replies, and their encoding on a pipe.

A message is four bytes of length (big-endian) and MessagePack. Passwords are sent this way and no other.
"""

from typing import IO, Any, Final

import msgspec

from dbbench.address import Address
from dbbench.plan import Cell, Connections, Load, Pool
from dbbench.records import Usage
from dbbench.scenario import Description

LENGTH_BYTES: Final = 4
MAX_ERRORS: Final = 3  # different messages of failed operations that are reported of a slice
MAX_BYTES: Final = 1 << 30  # of a reply; the times of 10 million operations are a quarter of it


class Message(msgspec.Struct, frozen=True, tag=True):
    """Anything sent over a pipe."""


# Requests: each gets one reply.


class Start(Message, frozen=True):
    """The first request: what the worker is. Replied to by Started."""

    driver: str  # empty: it comes with each cell
    address: Address
    application: str  # application_name, by which the sessions of a run are found on the server
    connections: Connections
    cpus: list[int] | None
    bare: bool = False  # see plan.Arm
    busy_ns: int = 0
    session: dict[str, str] = {}  # settings of every session: limits, mostly
    off_limits: str = ""  # a folder that no scenario may import from: another revision of the measured code
    search_path: list[str] = []  # folders that scenarios' modules are searched in first
    scenarios: list[str] = []  # files to load at once, while other workers load theirs; the set-up has loaded them


class Describe(Message, frozen=True):
    """Load a scenario file and describe it. Replied to by Described."""

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
    """VACUUM ANALYZE the tables of the schemas; with `checkpoint`, also CHECKPOINT. Replied to by Done."""

    schemas: list[str]
    checkpoint: bool


class Fingerprint(Message, frozen=True):
    """Return the contents of the schema's tables; with `structure`, also their definitions. Replied to by Checked."""

    schema: str
    structure: bool = False


class Route(msgspec.Struct, frozen=True):
    """How connections reach the server."""

    address: Address
    application: str = ""  # the application_name of its sessions; empty: that of the run
    pooled: bool = False  # through a pooler, which refuses a search path as a start-up parameter
    qualified: bool = False  # SQLAlchemy writes the schema's name before those of tables


class Open(Message, frozen=True):
    """Open pool and sessions for a cell. Replied to by Done."""

    cell: Cell
    schema: str
    route: Route | None = None  # None: directly to the server
    pool: Pool | None = None  # instead of the arm's own


class Connect(Message, frozen=True):
    """Have the open cell's pool open its first connection, and nothing else. Replied to by Done."""


class Check(Message, frozen=True):
    """Run single operations in the open cell and return their results. Replied to by Checked."""

    seeds: list[str]


class RunSlice(Message, frozen=True):
    """Run a slice in the open cell. Replied to by Ran."""

    operations: int
    seed: str
    limit_ns: int
    lead_in: int = 0  # operations to run before, untimed and unpaced
    freeze: bool = False  # for warm-ups: existing objects are kept out of garbage collection from now on
    load: Load = Load()  # the number of sessions comes with the cell instead
    heartbeat: bool = False  # measure how late the event loop runs timers; not in slices that count
    start_ns: int = 0  # of one process of several: when all begin, by the clock that they share; 0: at once


class Close(Message, frozen=True):
    """Close the open cell. Replied to by Closed."""


Request = Start | Describe | Prepare | Reset | Tidy | Fingerprint | Open | Connect | Check | RunSlice | Close


# Replies.


class Started(Message, frozen=True):
    """The worker is ready."""

    facts: dict[str, str]


class Described(Message, frozen=True):
    """The description of a scenario."""

    scenario: Description


class Done(Message, frozen=True):
    """The request is done."""


class Checked(Message, frozen=True):
    """Results of operations, or contents of tables, as comparable lines."""

    lines: list[str]  # only the first
    digest: str  # of all lines
    omitted: int = 0  # lines beyond the first


class Ran(Message, frozen=True):
    """The results of a slice. Times by operation are int64 nanoseconds in native byte order: see load.Samples."""

    latencies: bytes
    waits: bytes
    services: bytes | None  # open loop
    loop_lags: bytes
    began_ns: int  # by the monotonic clock that all processes of the machine share
    usage: Usage
    failures: dict[str, int]  # SQLSTATE, or the exception's class where there is none -> operations
    errors: list[str]  # different messages of failed operations, with file and line, the most frequent first
    ends: bytes = b""  # open loop, and of one process of several: when those that succeeded completed, by that clock


class Closed(Message, frozen=True):
    """The cell is closed."""

    peak_bytes: int  # peak resident memory of the worker, since the cell was opened where the system supports that
    gil: str = ""  # after the load: see worker/gil.py


class Failed(Message, frozen=True):
    """The request failed; `scenario`: whether the scenario is to blame."""

    message: str
    scenario: bool
    unfit: bool = False  # what the operation does is no measurement, whether or not it fails
    code: str = ""  # of the error that an operation raised: see worker/failures.py


Reply = Started | Described | Done | Checked | Ran | Closed | Failed

_ENCODER: Final = msgspec.msgpack.Encoder()
_REQUESTS: Final[msgspec.msgpack.Decoder[Request]] = msgspec.msgpack.Decoder(Request)
_REPLIES: Final[msgspec.msgpack.Decoder[Reply]] = msgspec.msgpack.Decoder(Reply)


def packed(message: Message) -> bytes:
    """The message as it goes through a pipe."""
    body = _ENCODER.encode(message)
    return len(body).to_bytes(LENGTH_BYTES, "big") + body


def send(stream: IO[bytes], message: Message) -> None:
    """Write one message and flush."""
    stream.write(packed(message))
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
