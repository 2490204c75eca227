"""One message of the PostgreSQL protocol as it passed the relay: what it was and how large, not what was in it."""

import msgspec


class Frame(msgspec.Struct, frozen=True):
    """One message. Frames are kept in the order in which they passed.

    Of what users store nothing is kept: no parameter, no row, no password.
    """

    connection: int  # counts up, in the order in which clients connected
    from_client: bool
    kind: str  # the protocol's own name of the message: Query, Parse, ReadyForQuery, ...
    size: int  # bytes on the wire, with type and length
    name: str = ""  # Parse, Bind, Describe, Close: of the prepared statement, with S: or P: before it for the last two
    text: str = (
        ""  # Query, Parse: the SQL; CommandComplete: the tag; ErrorResponse: the SQLSTATE; cut at TEXT characters
    )


TEXT = 2_000
"""Characters of a frame's text that are kept."""


class Recorded(msgspec.Struct, frozen=True):
    """What passed the relay since it was last asked."""

    frames: list[Frame]
    problems: list[str]  # connections that it ended because what they sent was no PostgreSQL protocol, a line each
