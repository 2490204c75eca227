"""What the parent and the relay say to each other; it travels as messages.py says."""

from typing import Final

import msgspec

from dbbench.address import Address
from dbbench.messages import Failed, Message
from dbbench.relay.frame import Recorded

# Orders: each gets one reply, which may be Failed instead.


class Begin(Message, frozen=True):
    """The first: where the server is. Replied to by Begun."""

    upstream: Address  # without a password: clients log in by themselves
    cpus: list[int] | None


class Listen(Message, frozen=True):
    """Take clients at one more address. Replied to by Listening."""

    rtt_s: float  # by how much a round trip takes longer, half of it in each direction
    record: bool


class Cut(Message, frozen=True):
    """Say what has been recorded, and forget it. Replied to by Cutting."""


Order = Begin | Listen | Cut


# Replies.


class Begun(Message, frozen=True):
    """Ready."""

    directory: str  # where its unix sockets will be; empty: it listens on TCP


class Listening(Message, frozen=True):
    """Clients may come."""

    host: str
    port: int


class Cutting(Message, frozen=True):
    """What was recorded since the last Cut."""

    recorded: Recorded


Reply = Begun | Listening | Cutting | Failed

_ORDERS: Final[msgspec.msgpack.Decoder[Order]] = msgspec.msgpack.Decoder(Order)
_REPLIES: Final[msgspec.msgpack.Decoder[Reply]] = msgspec.msgpack.Decoder(Reply)


def decode_order(body: bytes) -> Order:
    """The order in a message's body."""
    return _ORDERS.decode(body)


def decode_reply(body: bytes) -> Reply:
    """The reply in a message's body."""
    return _REPLIES.decode(body)
