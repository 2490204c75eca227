"""The messages between the parent and the relay, encoded as messages.py describes."""

from typing import Final

import msgspec

from dbbench.address import Address
from dbbench.messages import Failed, Message
from dbbench.relay.frame import Recorded

# Orders: each gets one reply, or Failed instead.


class Begin(Message, frozen=True):
    """The first order: where the server is. Replied to by Begun."""

    upstream: Address  # without a password: clients send their own
    cpus: list[int] | None


class Listen(Message, frozen=True):
    """Accept clients at one more address. Replied to by Listening."""

    rtt_s: float  # delay of a round trip, half of it in each direction
    record: bool


class Cut(Message, frozen=True):
    """Return what has been recorded since the last Cut, and forget it. Replied to by Cutting."""


Order = Begin | Listen | Cut


# Replies.


class Begun(Message, frozen=True):
    """The relay is ready."""

    directory: str  # where its unix sockets will be; empty: it listens on TCP


class Listening(Message, frozen=True):
    """The address at which clients may now connect."""

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
