"""What `dbbench wire` found: counts per operation, plain data between the counting and the reports."""

import msgspec

from dbbench.plan import Layer, TxEnd, Value


class Exchange(msgspec.Struct, frozen=True):
    """What one operation, or one connect, exchanged with the server."""

    round_trips: int  # how often the client waited for the server
    sent: dict[str, int]  # message -> number
    received: dict[str, int]
    bytes_sent: int
    bytes_received: int
    statements: dict[str, int]  # command tag without its numbers, like SELECT or DEALLOCATE ALL -> number
    prepares: int  # Parse messages: statements that the server had to parse and analyse


class WireRow(msgspec.Struct, frozen=True):
    """One driver in one scenario and layer; everything but the connect is per operation, and warm."""

    scenario: str
    layer: Layer
    params: str
    driver: str  # the arm's name
    tx_end: TxEnd
    operations: int  # that were counted
    round_trips: float
    sent: dict[str, float]
    received: dict[str, float]
    bytes_sent: float
    bytes_received: float
    statements: dict[str, float]
    prepares_per_100: float
    spread: tuple[int, int]  # fewest and most round trips of an operation
    connect: Exchange  # of the first connection: start-up, log-in, and the questions of driver and SQLAlchemy
    connect_statements: list[str]  # what was asked meanwhile, in order
    first: Exchange  # the first operation on a new connection
    settings: dict[str, Value] = {}  # of the driver, where they are not the defaults
    trace: list["TraceLine"] = []  # the last operation that was counted, message by message


class TraceLine(msgspec.Struct, frozen=True):
    """One message of a trace."""

    from_client: bool
    kind: str
    size: int
    round_trip: int  # that it lies in, from 1; 0: in none, as a Terminate has no answer
    detail: str = ""  # SQL, statement name, tag or SQLSTATE


class WireResult(msgspec.Struct, frozen=True):
    """All rows of one command, and under which settings they were counted."""

    rows: list[WireRow]
    tx_end: TxEnd
    pool_pre_ping: bool
    settings: dict[str, dict[str, Value]]  # driver -> its settings that are not the defaults
    versions: dict[str, str]  # driver -> version
    server: str  # version
    problems: list[str]  # what could not be counted, and why
