"""Byte streams become messages, whichever way they are cut."""

import contextlib
import struct
import tracemalloc
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dbbench.relay.frame import TEXT, Frame
from dbbench.relay.framing import ClientFraming, FramingError, ServerFraming

Framing = ClientFraming | ServerFraming
Known = tuple[bytes, Frame]  # a message on the wire, and what it is
words = st.text(st.characters(exclude_characters="\0", codec="utf-8"), max_size=20)
bodies = st.binary(max_size=60)


def typed(letter: str, body: bytes) -> bytes:
    return letter.encode() + struct.pack("!I", len(body) + 4) + body


def known(from_client: bool, kind: str, raw: bytes, name: str = "", text: str = "") -> Known:
    return raw, Frame(7, from_client, kind, len(raw), name, text)


def z(word: str) -> bytes:
    return word.encode() + b"\0"


def opening(kind: str, code: int, body: bytes) -> Known:
    return known(True, kind, struct.pack("!II", 8 + len(body), code) + body)


def start_up(pairs: dict[str, str]) -> Known:
    body = b"".join(z(f"k{name}") + z(value) for name, value in pairs.items())
    return opening("StartupMessage", 3 << 16, body + b"\0")


first_packets = st.lists(
    st.sampled_from([opening("SSLRequest", 80877103, b""), opening("GSSENCRequest", 80877104, b"")]), max_size=2
)
start_ups = st.builds(start_up, st.dictionaries(words, words, max_size=4))
cancels = st.builds(lambda key: opening("CancelRequest", 80877102, b"pid." + key), st.binary(min_size=4, max_size=256))
of_client = st.one_of(
    st.builds(lambda sql: known(True, "Query", typed("Q", z(sql)), text=sql), words),
    st.builds(
        lambda name, sql, rest: known(True, "Parse", typed("P", z(name) + z(sql) + b"\0\0" + rest), name, sql),
        words, words, bodies,
    ),
    st.builds(
        lambda portal, name, rest: known(True, "Bind", typed("B", z(portal) + z(name) + bytes(6) + rest), name),
        words, words, bodies,
    ),
    st.builds(lambda kind, name: known(True, "Describe", typed("D", z(kind + name)), f"{kind}:{name}"),
              st.sampled_from("SP"), words),
    st.builds(lambda kind, name: known(True, "Close", typed("C", z(kind + name)), f"{kind}:{name}"),
              st.sampled_from("SP"), words),
    st.builds(lambda portal: known(True, "Execute", typed("E", z(portal) + bytes(4))), words),
    st.builds(lambda body: known(True, "PasswordMessage", typed("p", body)), bodies),
    st.builds(lambda body: known(True, "CopyData", typed("d", body)), bodies),
    st.builds(lambda body: known(True, "FunctionCall", typed("F", bytes(10) + body)), bodies),
    st.builds(lambda why: known(True, "CopyFail", typed("f", z(why))), words),
    st.sampled_from(
        [
            known(True, kind, typed(letter, b""))
            for letter, kind in {"S": "Sync", "H": "Flush", "X": "Terminate", "c": "CopyDone"}.items()
        ]
    ),
)  # fmt: skip
EMPTY_OF_SERVER = {
    "1": "ParseComplete", "2": "BindComplete", "3": "CloseComplete", "n": "NoData", "s": "PortalSuspended",
    "I": "EmptyQueryResponse", "c": "CopyDone",
}  # fmt: skip
LONG_OF_SERVER = {
    "R": "Authentication", "S": "ParameterStatus", "K": "BackendKeyData", "T": "RowDescription", "D": "DataRow",
    "t": "ParameterDescription", "N": "NoticeResponse", "A": "NotificationResponse", "G": "CopyInResponse",
    "H": "CopyOutResponse", "W": "CopyBothResponse", "V": "FunctionCallResponse", "v": "NegotiateProtocolVersion",
    "d": "CopyData",
}  # fmt: skip
of_server = st.one_of(
    st.builds(lambda item: known(False, item[1], typed(item[0], b"")), st.sampled_from(list(EMPTY_OF_SERVER.items()))),
    st.builds(
        lambda item, body: known(False, item[1], typed(item[0], bytes(8) + body)),
        st.sampled_from(list(LONG_OF_SERVER.items())), bodies,
    ),
    st.builds(lambda status: known(False, "ReadyForQuery", typed("Z", status.encode())), st.sampled_from("ITE")),
    st.builds(lambda tag: known(False, "CommandComplete", typed("C", z(tag)), text=tag), words),
    st.builds(
        lambda severity, message: known(
            False, "ErrorResponse",
            typed("E", z(f"S{severity}") + z("VERROR") + z("C42P01") + z(f"M{message}") + b"\0"), text="42P01",
        ),
        words, words,
    ),
)  # fmt: skip


@st.composite
def conversations(draw: st.DrawFn) -> tuple[Framing, list[Known], list[bytes]]:
    """One direction of a connection, and its bytes cut anywhere."""
    framing: Framing
    if draw(st.booleans()):
        framing = ClientFraming(7)
        session = st.builds(lambda first, rest: [first, *rest], start_ups, st.lists(of_client, max_size=8))
        messages = draw(first_packets) + draw(st.one_of(session, st.lists(cancels, min_size=1, max_size=1)))
    else:
        framing = ServerFraming(7)
        messages = draw(st.lists(of_server, min_size=1, max_size=10))
    stream = b"".join(raw for raw, _ in messages)
    cuts = sorted(draw(st.lists(st.integers(0, len(stream)), max_size=12)))
    return framing, messages, [stream[a:b] for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True)]


@given(conversations())
def test_a_conversation_gives_the_same_messages_wherever_it_is_cut(
    conversation: tuple[Framing, list[Known], list[bytes]],
) -> None:
    framing, messages, chunks = conversation
    frames = [frame for chunk in chunks for frame in framing.feed(chunk)]
    framing.end()

    assert frames == [frame for _, frame in messages]


@given(conversations(), st.data())
def test_an_end_within_a_message_is_found_and_between_messages_it_is_none(
    conversation: tuple[Framing, list[Known], list[bytes]], data: st.DataObject
) -> None:
    framing, messages, chunks = conversation
    stream = b"".join(chunks)
    borders = {0}
    for raw, _ in messages:
        borders.add(max(borders) + len(raw))
    end = data.draw(st.integers(0, len(stream)))
    framing.feed(stream[:end])
    with contextlib.nullcontext() if end in borders else pytest.raises(FramingError, match="ended the connection"):
        framing.end()


@given(st.lists(st.binary(max_size=50)), st.sampled_from(["fresh client", "client", "server"]))
def test_arbitrary_bytes_are_messages_or_a_framing_error(chunks: list[bytes], sender: str) -> None:
    framing: Framing = ServerFraming(1) if sender == "server" else ClientFraming(1)
    if sender == "client":
        framing.feed(start_up({})[0])
    with contextlib.suppress(FramingError):
        for chunk in chunks:
            framing.feed(chunk)
        framing.end()


@given(conversations(), st.data())
def test_a_byte_that_is_wrong_gives_messages_or_a_framing_error(
    conversation: tuple[Framing, list[Known], list[bytes]], data: st.DataObject
) -> None:
    framing, _, chunks = conversation
    stream = bytearray(b"".join(chunks))
    stream[data.draw(st.integers(0, len(stream) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(FramingError):
        framing.feed(bytes(stream))
        framing.end()


def started() -> ClientFraming:
    framing = ClientFraming(1)
    framing.feed(start_up({"user": "u"})[0])
    return framing


@pytest.mark.parametrize(
    ("make", "raw", "said"),
    [
        (started, typed("x", b""), "the client sent a message of type 'x', which the protocol does not have"),
        (started, typed("Z", b"I"), "the client sent a message of type 'Z', which the protocol does not have"),
        (started, b"\xff\0\0\0\4", r"the client sent a message of type '\xff', which the protocol does not have"),
        (started, b"Q\0\0\0\3", "the client sent a Query message of an impossible length, 3"),
        (started, b"Q\0\0\0\4", "the client sent a Query message of an impossible length, 4"),
        (started, b"S\0\0\0\5", "the client sent a Sync message of an impossible length, 5"),
        (started, b"d\x40\0\0\0", "the client sent a CopyData message of an impossible length, 1073741824"),
        (started, b"d\xff\xff\xff\xff", "the client sent a CopyData message of an impossible length, 4294967295"),
        (started, b"D\0\0\0\5", "the client sent a Describe message of an impossible length, 5"),
        (lambda: ServerFraming(1), b"Z\0\0\0\6", "the server sent a ReadyForQuery message of an impossible length, 6"),
        (lambda: ServerFraming(1), b"D\0\0\0\0", "the server sent a DataRow message of an impossible length, 0"),
        (lambda: ServerFraming(1), typed("Q", b"\0"),
         "the server sent a message of type 'Q', which the protocol does not have"),
        (lambda: ClientFraming(1), b"\0\0\0\7", "the client sent a start-up message of an impossible length, 7"),
        (lambda: ClientFraming(1), b"\0\0\x27\x11",
         "the client sent a start-up message of an impossible length, 10001"),
        (lambda: ClientFraming(1), b"GET / HTTP/1.1\r\n",
         "the client sent a start-up message of an impossible length, 1195725856"),
    ],
)  # fmt: skip
def test_what_the_protocol_does_not_have_is_named(make: Callable[[], Framing], raw: bytes, said: str) -> None:
    framing = make()
    with pytest.raises(FramingError) as caught:
        framing.feed(raw)
    assert str(caught.value) == said


@pytest.mark.parametrize(
    "packet",
    [
        struct.pack("!II", 9, 2 << 16) + b"\0",  # another protocol
        struct.pack("!II", 9, 80877103) + b"\0",  # a request for TLS that is longer
        struct.pack("!II", 12, 80877102) + b"1234",  # a cancel without a key
        struct.pack("!II", 8, 3 << 16),  # without its end
        struct.pack("!II", 14, 3 << 16) + b"user\0u",
        struct.pack("!II", 14, 3 << 16) + b"user\0\0",  # a name, a value, no end
        struct.pack("!II", 14, 3 << 16) + b"\0user\0",  # more after the end
        struct.pack("!II", 14, 3 << 16) + b"a\0\0\0b\0",
    ],
)
def test_a_malformed_first_packet_is_refused(packet: bytes) -> None:
    with pytest.raises(FramingError, match="first packet is not a start-up packet of PostgreSQL's protocol 3"):
        ClientFraming(1).feed(packet)


def test_nothing_may_follow_a_cancel() -> None:
    framing = ClientFraming(1)
    framing.feed(struct.pack("!II", 16, 80877102) + b"pid.key.")
    with pytest.raises(FramingError, match="the client sent more than a CancelRequest"):
        framing.feed(typed("S", b""))


def test_a_text_is_cut_and_what_cannot_be_decoded_is_replaced() -> None:
    long = "\N{PILE OF POO}" * (TEXT + 5)
    [query, parse, latin] = started().feed(
        typed("Q", z(long)) + typed("P", z(long) + z(long) + b"\0\0") + typed("Q", b"caf\xe9\0")
    )

    assert (query.text, query.size) == (long[:TEXT], 5 + len(z(long)))
    assert (parse.name, latin.text) == (long[:TEXT], "caf\N{REPLACEMENT CHARACTER}")


def test_a_long_body_is_not_kept() -> None:
    claimed = 500 * 2**20
    chunk = bytes(2**16)
    for framing, letter in ((started(), b"Q"), (started(), b"B"), (started(), b"d"), (ServerFraming(1), b"D")):
        tracemalloc.start()
        framing.feed(letter + struct.pack("!I", claimed))
        for _ in range(100):
            assert framing.feed(chunk) == []
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak < 2**18
        with pytest.raises(FramingError, match="the connection within a "):
            framing.end()


def test_no_parameter_row_or_password_is_kept() -> None:
    secret = b"c4n4ry"
    frames = [
        *started().feed(typed("p", secret) + typed("B", b"\0\0" + bytes(6) + secret) + typed("d", secret * 3)),
        *ServerFraming(1).feed(
            typed("D", bytes(6) + secret) + typed("E", b"C23505\0D" + secret + b"\0\0") + typed("S", secret + b"\0\0")
        ),
    ]

    assert len(frames) == 6
    assert "c4n4ry" not in repr(frames)
