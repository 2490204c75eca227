"""One message of the PostgreSQL protocol that passed through the relay: its kind and size, not its contents."""

import msgspec


class Frame(msgspec.Struct, frozen=True):
    """One message. Frames are kept in the order in which the messages passed.

    Nothing that users store is kept: no parameter, no row, no password.
    """

    connection: int  # numbered in the order in which clients connected
    from_client: bool
    kind: str  # the protocol's own name for the message: Query, Parse, ReadyForQuery, ...
    size: int  # bytes on the wire, including type and length
    name: str = ""  # Parse, Bind: the prepared statement; Describe, Close: the same after S:, or a portal after P:
    text: str = ""  # Query, Parse: SQL; CommandComplete: tag; ErrorResponse: SQLSTATE; the first TEXT characters


TEXT = 2_000
"""How many characters of a frame's text are kept."""


class Recorded(msgspec.Struct, frozen=True):
    """The messages that passed through the relay since the last Cut."""

    frames: list[Frame]
    problems: list[str]  # one line for each connection that it ended, because it did not speak PostgreSQL's protocol
