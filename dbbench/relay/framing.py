"""The two byte streams of one PostgreSQL connection, split into messages. No I/O; bodies are kept only if shown.

A message is a type byte, a length of four bytes (big-endian, including itself) and a body. The client's first packet
has no type byte: it opens the session, requests encryption (then another first packet follows) or cancels a statement.
"""

from collections.abc import Callable, Mapping
from typing import ClassVar, Final, NamedTuple

from dbbench.relay.frame import TEXT, Frame

START: Final = "StartupMessage"
CANCEL: Final = "CancelRequest"
TLS: Final = "SSLRequest"
GSS: Final = "GSSENCRequest"

_LENGTH_BYTES: Final = 4  # bytes that the length field takes
_MAX_LENGTH: Final = 0x3FFFFFFF  # PostgreSQL's own limit on the length of a message
_MAX_START_LENGTH: Final = 10_000  # PostgreSQL's own limit for the first packet
_KEPT_BYTES: Final = 2 * (4 * TEXT + 1)  # of a body: a name and a text, each of up to 4 bytes a character and a NUL


class FramingError(Exception):
    """The bytes are not PostgreSQL's protocol; the message is one line that says who sent what."""


def _cut(raw: bytes) -> str:
    return raw.decode(errors="replace")[:TEXT]


def _text(body: bytes) -> tuple[str, str]:
    return "", _cut(body.partition(b"\0")[0])


def _name_and_text(body: bytes) -> tuple[str, str]:
    name, _, rest = body.partition(b"\0")
    return _cut(name), _text(rest)[1]


def _second_name(body: bytes) -> tuple[str, str]:
    return _name_and_text(body)[1], ""


def _typed_name(body: bytes) -> tuple[str, str]:
    name = body[1:].partition(b"\0")[0]
    return f"{_cut(body[:1])}:{_cut(name)}"[:TEXT], ""


def _sqlstate(body: bytes) -> tuple[str, str]:
    return "", next((_cut(field[1:]) for field in body.split(b"\0") if field.startswith(b"C")), "")


def _nothing(_body: bytes) -> tuple[str, str]:
    return "", ""


class _Shape(NamedTuple):
    """One type of message: its name, the limits of its length, and what a frame keeps of its body."""

    kind: str
    least: int = _LENGTH_BYTES  # bytes, for the length as stated in the message
    most: int = _MAX_LENGTH
    detail: Callable[[bytes], tuple[str, str]] | None = None  # body -> the frame's name and text; None: neither


_FIRST: Final = _Shape("start-up", 8, _MAX_START_LENGTH, _nothing)

_OF_CLIENT: Final = {
    ord("B"): _Shape("Bind", 12, detail=_second_name),
    ord("C"): _Shape("Close", 6, detail=_typed_name),
    ord("D"): _Shape("Describe", 6, detail=_typed_name),
    ord("E"): _Shape("Execute", 9),
    ord("F"): _Shape("FunctionCall", 14),
    ord("H"): _Shape("Flush", most=4),
    ord("P"): _Shape("Parse", 8, detail=_name_and_text),
    ord("Q"): _Shape("Query", 5, detail=_text),
    ord("S"): _Shape("Sync", most=4),
    ord("X"): _Shape("Terminate", most=4),
    ord("c"): _Shape("CopyDone", most=4),
    ord("d"): _Shape("CopyData"),
    ord("f"): _Shape("CopyFail", 5),
    ord("p"): _Shape("PasswordMessage"),
}

_OF_SERVER: Final = {
    ord("1"): _Shape("ParseComplete", most=4),
    ord("2"): _Shape("BindComplete", most=4),
    ord("3"): _Shape("CloseComplete", most=4),
    ord("A"): _Shape("NotificationResponse", 10),
    ord("C"): _Shape("CommandComplete", 5, detail=_text),
    ord("D"): _Shape("DataRow", 6),
    ord("E"): _Shape("ErrorResponse", 5, detail=_sqlstate),
    ord("G"): _Shape("CopyInResponse", 7),
    ord("H"): _Shape("CopyOutResponse", 7),
    ord("I"): _Shape("EmptyQueryResponse", most=4),
    ord("K"): _Shape("BackendKeyData", 12),
    ord("N"): _Shape("NoticeResponse", 5),
    ord("R"): _Shape("Authentication", 8),
    ord("S"): _Shape("ParameterStatus", 6),
    ord("T"): _Shape("RowDescription", 6),
    ord("V"): _Shape("FunctionCallResponse", 8),
    ord("W"): _Shape("CopyBothResponse", 7),
    ord("Z"): _Shape("ReadyForQuery", 5, 5),
    ord("c"): _Shape("CopyDone", most=4),
    ord("d"): _Shape("CopyData"),
    ord("n"): _Shape("NoData", most=4),
    ord("s"): _Shape("PortalSuspended", most=4),
    ord("t"): _Shape("ParameterDescription", 6),
    ord("v"): _Shape("NegotiateProtocolVersion", 12),
}


class _Framing:
    """One direction of one connection."""

    _sender: ClassVar[str]
    _shapes: ClassVar[Mapping[int, _Shape]]

    def __init__(self, connection: int) -> None:
        self._connection = connection
        self._head = bytearray()  # type and length of the current message
        self._head_size = 1 + _LENGTH_BYTES
        self._shape: _Shape | None = None  # None: the head is not complete
        self._kept = bytearray()  # the beginning of its body
        self._left = 0  # bytes of its body still to come
        self._size = 0  # bytes on the wire

    def feed(self, data: bytes) -> list[Frame]:
        """Take the next bytes, however they are cut, and return the messages that they complete.

        Raises FramingError; do not call it again after that.
        """
        frames = []
        at = 0
        while at < len(data):
            if self._shape is None:
                part = data[at : at + self._head_size - len(self._head)]
                self._head += part
                at += len(part)
                if len(self._head) < self._head_size:
                    break
                self._shape = self._begin()
            taken = min(self._left, len(data) - at)
            if self._shape.detail is not None:
                self._kept += data[at : at + min(taken, _KEPT_BYTES - len(self._kept))]
            at += taken
            self._left -= taken
            if not self._left:
                frames.append(self._complete(self._shape))
        return frames

    def end(self) -> None:
        """Note the end of the stream; raises FramingError when it comes in the middle of a message."""
        if self._head:
            what = f"a {self._shape.kind} message" if self._shape else "the first bytes of a message"
            raise FramingError(f"the {self._sender} ended the connection within {what}")

    def _begin(self) -> _Shape:
        """The type of message that the complete head announces; raises FramingError for an impossible head."""
        shape = self._shape_of_head()
        length = int.from_bytes(self._head[-_LENGTH_BYTES:], "big")
        if not shape.least <= length <= shape.most:
            raise FramingError(f"the {self._sender} sent a {shape.kind} message of an impossible length, {length}")
        self._left = length - _LENGTH_BYTES
        self._size = self._head_size + self._left
        return shape

    def _shape_of_head(self) -> _Shape:
        shape = self._shapes.get(self._head[0])
        if shape is None:
            letter = ascii(chr(self._head[0]))
            raise FramingError(f"the {self._sender} sent a message of type {letter}, which the protocol does not have")
        return shape

    def _complete(self, shape: _Shape) -> Frame:
        """Make a frame of the complete message, and get ready for the next."""
        name, text = ("", "") if shape.detail is None else shape.detail(bytes(self._kept))
        self._shape = None
        self._head.clear()
        self._kept.clear()
        return Frame(self._connection, self._sender == "client", shape.kind, self._size, name, text)


class ClientFraming(_Framing):
    """The stream from a client."""

    _sender = "client"
    _shapes = _OF_CLIENT

    def __init__(self, connection: int) -> None:
        super().__init__(connection)
        self._head_size = _LENGTH_BYTES
        self._first = ""  # kind of the latest first packet

    def _shape_of_head(self) -> _Shape:
        if self._first == CANCEL:
            raise FramingError(f"the client sent more than a {CANCEL}")
        return super()._shape_of_head() if self._first == START else _FIRST

    def _complete(self, shape: _Shape) -> Frame:
        if shape is _FIRST:
            self._first = _kind_of_first(bytes(self._kept))
            if self._first == START:
                self._head_size = 1 + _LENGTH_BYTES
            shape = _Shape(self._first)
        return super()._complete(shape)


class ServerFraming(_Framing):
    """The stream from a server, without its single-byte answer to a request for encryption."""

    _sender = "server"
    _shapes = _OF_SERVER


def _kind_of_first(body: bytes) -> str:
    """The kind of a first packet; raises FramingError when PostgreSQL would not accept it."""
    match int.from_bytes(body[:4], "big"), len(body):
        case 80877103, 4:
            return TLS
        case 80877104, 4:
            return GSS
        case 80877102, size if 12 <= size <= 264:  # noqa: PLR2004 - a key of 4 bytes; since protocol 3.2 of up to 256
            return CANCEL
    # Names and values alternate, each ending with a NUL; a NUL in place of another name ends the list.
    *words, after = body[4:].split(b"\0")
    names = words[::2]
    if body[:2] == b"\0\3" and not after and len(words) % 2 and not names[-1] and all(names[:-1]):
        return START
    raise FramingError("the client's first packet is not a start-up packet of PostgreSQL's protocol 3")
