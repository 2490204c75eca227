"""What the messages of an operation amount to: hand-written conversations of every driver, in any order they allow."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dbbench.commands.wire.counting import EMPTY, PORTION, connect_statements, exchange, row, trace
from dbbench.commands.wire.explain import MAX_SENTENCES, amount, explanations, first_operation
from dbbench.records import Exchange, WireRow
from dbbench.relay.frame import Frame

Talk = list[Frame]


def client(kind: str, text: str = "", *, name: str = "", on: int = 1) -> Frame:
    return Frame(on, from_client=True, kind=kind, size=10, name=name, text=text)


def server(kind: str, text: str = "", *, on: int = 1) -> Frame:
    return Frame(on, from_client=False, kind=kind, size=7, text=text)


def sent(*kinds: str) -> Talk:
    return [client(kind) for kind in kinds]


def got(*kinds: str) -> Talk:
    return [server(kind) for kind in kinds]


def query(sql: str, *answers: Frame) -> Talk:
    """Send a simple query; what answers it is a tag, when nothing else is given."""
    return [client("Query", sql), *(answers or [server("CommandComplete", sql)]), server("ReadyForQuery")]


def tag(text: str) -> Frame:
    return server("CommandComplete", text)


SELECTED = [server("RowDescription"), server("DataRow"), tag("SELECT 1")]
PSYCOPG_SELECT = [
    *sent("Parse", "Bind", "Describe", "Execute", "Sync"),
    *got("ParseComplete", "BindComplete", "RowDescription", "DataRow"),
    tag("SELECT 1"),
    *got("ReadyForQuery"),
]
ASYNCPG_PREPARE = [
    client("Parse", "SELECT $1"),
    *sent("Describe", "Flush"),
    *got("ParseComplete", "ParameterDescription", "RowDescription"),
]
ASYNCPG_SELECT = [
    *sent("Bind", "Execute", "Sync"),
    *got("BindComplete", "DataRow"),
    tag("SELECT 1"),
    *got("ReadyForQuery"),
]
ASYNCPG_UNNAMED = [*sent("Parse"), ASYNCPG_SELECT[0], *ASYNCPG_SELECT[1:3], *got("ParseComplete"), *ASYNCPG_SELECT[3:]]
CLOSE = [*sent("Close", "Sync"), *got("CloseComplete", "ReadyForQuery")]
RESET = query(
    "SELECT pg_advisory_unlock_all();", *SELECTED, tag("CLOSE CURSOR ALL"), tag("UNLISTEN"), tag("RESET")
)  # fmt: skip
PSYCOPG_PREPARE = [*sent("Parse", "Sync"), *got("ParseComplete", "ReadyForQuery")]
SCRAM = [
    *sent("SSLRequest", "StartupMessage"),
    *got("Authentication"),
    *sent("PasswordMessage"),
    *got("Authentication"),
    *sent("PasswordMessage"),
    *got("Authentication", "Authentication", "ParameterStatus", "ParameterStatus", "BackendKeyData", "ReadyForQuery"),
]


# --- round trips -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("talk", "trips"),
    [
        ([], 0),
        ([*query("BEGIN"), *PSYCOPG_SELECT, *query("ROLLBACK")], 3),
        ([*query("BEGIN"), *PSYCOPG_SELECT, *query("COMMIT")], 3),
        (PSYCOPG_SELECT, 1),
        ([*query("BEGIN"), *PSYCOPG_PREPARE, *ASYNCPG_SELECT, *query("ROLLBACK"), *query("DEALLOCATE ALL")], 5),
        ([*query("BEGIN"), *ASYNCPG_SELECT, *query("ROLLBACK")], 3),
        (ASYNCPG_SELECT, 1),
        ([*query("BEGIN"), *ASYNCPG_PREPARE, *ASYNCPG_UNNAMED, *query("ROLLBACK")], 4),  # both caches off
        ([*query("BEGIN"), *ASYNCPG_PREPARE, *CLOSE, *ASYNCPG_SELECT, *query("ROLLBACK")], 5),  # SQLAlchemy's off
        ([*query("BEGIN"), *ASYNCPG_SELECT, *query("ROLLBACK"), *RESET], 4),
        ([*query("BEGIN"), *query("SELECT 1", *SELECTED), *query("ROLLBACK")], 3),  # psycopg2
        ([*query("SELECT 1", *SELECTED), *query("SELECT 2", *SELECTED)], 2),
        (SCRAM, 4),
        ([*sent("StartupMessage"), *got("Authentication", "ParameterStatus", "ReadyForQuery")], 1),  # trust
        ([*sent("StartupMessage"), *got("NegotiateProtocolVersion", "Authentication", "ReadyForQuery")], 1),
        ([*sent("StartupMessage"), server("ErrorResponse", "28P01")], 1),
        (sent("SSLRequest", "CancelRequest"), 1),
        (sent("Terminate"), 0),
        (sent("Query"), 0),  # no answer yet
        (got("ReadyForQuery", "CommandComplete", "CopyInResponse", "ErrorResponse", "ParseComplete"), 0),
        ([*sent("FunctionCall"), *got("FunctionCallResponse", "ReadyForQuery")], 1),
    ],
)
def test_a_round_trip_is_where_the_client_waits(talk: Talk, trips: int) -> None:
    assert exchange(talk).round_trips == trips
    assert max((line.round_trip for line in trace(talk)), default=0) == trips


@pytest.mark.parametrize("kind", ["NoticeResponse", "NotificationResponse", "ParameterStatus"])
def test_what_the_server_sends_unasked_is_no_round_trip(kind: str) -> None:
    talk = [*query("BEGIN"), *ASYNCPG_PREPARE, *ASYNCPG_SELECT, *query("ROLLBACK")]
    mixed = [frame for each in talk for frame in (server(kind), each)]

    assert exchange([*mixed, server(kind)]).round_trips == exchange(talk).round_trips == 4


def test_a_failed_statement_is_a_round_trip_like_another() -> None:
    simple = query("SELECT 1/0", server("ErrorResponse", "22012"))
    extended = [*sent("Parse", "Bind", "Describe", "Execute", "Sync"), *simple[1:]]
    prepared = [*sent("Parse", "Describe", "Flush"), simple[1], *sent("Sync"), *got("ReadyForQuery")]  # asyncpg

    assert [exchange(talk).round_trips for talk in (simple, extended, prepared)] == [1, 1, 2]
    assert exchange([*prepared, *ASYNCPG_SELECT]).round_trips == 3
    assert exchange(prepared).statements == {"ERROR 22012": 1}


def test_after_an_error_nothing_is_owed_before_the_next_sync() -> None:
    talk = [
        *sent("Bind", "Execute", "Flush"),
        server("ErrorResponse", "23505"),
        *sent("Bind", "Execute", "Flush", "Sync"),
        *got("ReadyForQuery"),
    ]

    assert exchange(talk).round_trips == 2
    assert exchange([*talk, *ASYNCPG_SELECT]).round_trips == 3


def test_connections_are_kept_apart() -> None:
    one = [*query("BEGIN"), *ASYNCPG_SELECT]
    other = [Frame(2, frame.from_client, frame.kind, frame.size, frame.name, frame.text) for frame in one]
    mixed = [frame for pair in zip(one, other, strict=True) for frame in pair]

    assert exchange(mixed).round_trips == 4
    assert exchange(mixed).statements == {"BEGIN": 2, "SELECT": 2}
    assert {line.round_trip for line in trace(mixed)} == {1, 2, 3, 4}


# --- both directions at once -----------------------------------------------------------------------------------------


@st.composite
def mingled(draw: st.DrawFn, parts: list[tuple[Talk, Talk]]) -> Talk:
    """Let each of the answers pass at any time after the messages that it answers, and in their order."""
    ahead = [frame for asked, _ in parts for frame in asked]
    answers = [(answer, sum(len(asked) for asked, _ in parts[: number + 1])) for number, (_, all_) in enumerate(parts)
               for answer in all_]  # fmt: skip
    passed: Talk = []
    asked = 0
    while asked < len(ahead) or answers:
        may_answer = bool(answers) and answers[0][1] <= asked
        if may_answer and (asked == len(ahead) or draw(st.booleans())):
            passed.append(answers.pop(0)[0])
        else:
            passed.append(ahead[asked])
            asked += 1
    return passed


INSERTED = [*got("BindComplete", "NoData"), tag("INSERT 0 1")]
PSYCOPG_MANY = [
    (sent("Parse"), got("ParseComplete")),
    *[(sent("Bind", "Describe", "Execute"), INSERTED)] * 6,
    (sent("Sync"), got("ReadyForQuery")),
]
ASYNCPG_MANY = [
    *[(sent("Bind", "Execute"), [INSERTED[0], INSERTED[2]])] * 8,
    (sent("Sync"), got("ReadyForQuery")),
]
COPY = [
    (sent("Query"), got("CopyInResponse")),
    (sent("CopyData", "CopyData", "CopyData", "CopyDone"), [tag("COPY 3"), server("ReadyForQuery")]),
]
BROKEN_COPY = [
    (sent("Query"), got("CopyInResponse")),
    (sent("CopyData"), [server("ErrorResponse", "22P02"), server("ReadyForQuery")]),
    (sent("CopyData", "CopyDone"), []),
]


@given(mingled(PSYCOPG_MANY))
def test_a_pipeline_is_one_round_trip_in_psycopg(talk: Talk) -> None:
    whole = [*query("BEGIN"), *talk, *query("COMMIT")]

    assert exchange(whole).round_trips == 3
    assert exchange(whole).statements == {"BEGIN": 1, "INSERT": 6, "COMMIT": 1}


@given(mingled([*PSYCOPG_MANY, (sent("Flush"), [])]))
def test_a_flush_behind_a_sync_is_not_counted(talk: Talk) -> None:
    """Whether psycopg sends it depends on how fast the answers came."""
    assert exchange([*talk, *PSYCOPG_SELECT]).round_trips == 2
    assert exchange(talk) == exchange([frame for frame in talk if frame.kind != "Flush"])
    assert len(trace(talk)) == len(talk)


@given(mingled(ASYNCPG_MANY))
def test_executemany_is_one_round_trip_in_asyncpg(talk: Talk) -> None:
    assert exchange([*ASYNCPG_PREPARE, *talk, *ASYNCPG_SELECT]).round_trips == 3


@given(mingled(COPY))
def test_copy_is_two_round_trips_whenever_its_data_passes(talk: Talk) -> None:
    assert exchange([*query("BEGIN"), *talk, *query("COMMIT")]).round_trips == 4
    assert exchange(talk).statements == {"COPY": 1}


@given(mingled(BROKEN_COPY))
def test_a_copy_that_fails_is_two_round_trips_too(talk: Talk) -> None:
    assert exchange([*talk, *query("ROLLBACK")]).round_trips == 3
    assert exchange(talk).statements == {"ERROR 22P02": 1}


def test_copy_by_the_extended_protocol_passes_over_the_first_sync() -> None:
    begun = [*sent("Parse", "Bind", "Describe", "Execute", "Sync"),
             *got("ParseComplete", "BindComplete", "NoData", "CopyInResponse")]  # fmt: skip
    done = [*begun, *sent("CopyData", "CopyDone", "Sync"), tag("COPY 1"), server("ReadyForQuery")]
    failed = [*begun, *sent("CopyData", "Sync"), server("ErrorResponse"), *sent("CopyDone", "Sync")]

    assert exchange([*done, *PSYCOPG_SELECT]).round_trips == 3
    assert exchange([*failed, server("ReadyForQuery"), *PSYCOPG_SELECT]).round_trips == 3


@given(
    st.lists(
        st.sampled_from([*SCRAM, *PSYCOPG_SELECT, *ASYNCPG_PREPARE, *CLOSE, *COPY[1][0], *COPY[1][1]]), max_size=30
    )
)
def test_any_messages_can_be_counted(talk: Talk) -> None:
    counted, lines = exchange(talk), trace(talk)

    assert counted.bytes_sent + counted.bytes_received <= sum(frame.size for frame in talk)
    assert {line.round_trip for line in lines} - {0} == set(range(1, counted.round_trips + 1))
    assert counted.round_trips <= sum(frame.from_client for frame in talk) + sum(
        frame.kind in ("ReadyForQuery", "CopyInResponse") for frame in talk
    )


# --- counts ----------------------------------------------------------------------------------------------------------


def test_messages_bytes_and_prepares_are_counted() -> None:
    assert exchange([*query("BEGIN"), *ASYNCPG_PREPARE, *ASYNCPG_UNNAMED]) == Exchange(
        round_trips=3,
        sent={"Query": 1, "Parse": 2, "Describe": 1, "Flush": 1, "Bind": 1, "Execute": 1, "Sync": 1},
        received={
            "CommandComplete": 2, "ReadyForQuery": 2, "ParseComplete": 2, "ParameterDescription": 1,
            "RowDescription": 1, "BindComplete": 1, "DataRow": 1,
        },
        bytes_sent=80,
        bytes_received=70,
        statements={"BEGIN": 1, "SELECT": 1},
        prepares=2,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("frame", "name"),
    [
        (tag("SELECT 10"), "SELECT"),
        (tag("INSERT 0 5"), "INSERT"),
        (tag("DEALLOCATE ALL"), "DEALLOCATE ALL"),
        (tag("COPY 1000"), "COPY"),
        (tag("CREATE TABLE"), "CREATE TABLE"),
        (tag("BEGIN"), "BEGIN"),
        (server("EmptyQueryResponse"), EMPTY),
        (server("PortalSuspended"), PORTION),
        (server("ErrorResponse", "42P05"), "ERROR 42P05"),
    ],
)
def test_a_statement_is_named_by_its_tag_without_numbers(frame: Frame, name: str) -> None:
    assert exchange([frame]).statements == {name: 1}


def test_a_trace_says_in_which_round_trip_a_message_lies() -> None:
    lines = trace([*query("BEGIN"), *ASYNCPG_PREPARE, client("Close", name="S:x"), client("Terminate")])

    assert [line.round_trip for line in lines] == [1, 1, 1, 2, 2, 2, 2, 2, 2, 0, 0]
    assert [line.detail for line in lines if line.detail] == ["BEGIN", "BEGIN", "SELECT $1", "S:x"]


def test_what_is_asked_at_connect_is_listed() -> None:
    assert connect_statements([*SCRAM, *query("SHOW x"), *ASYNCPG_PREPARE]) == ["SHOW x", "SELECT $1"]


def test_a_row_has_the_means_of_the_operations() -> None:
    short, long = query("SELECT"), [*query("BEGIN"), *PSYCOPG_SELECT]
    made = counted("psycopg", short, short, short, long)

    assert (made.round_trips, made.spread, made.operations) == (1.25, (1, 2), 4)
    assert made.statements == {"SELECT": 1.0, "BEGIN": 0.25}
    assert (made.sent["Parse"], made.prepares_per_100) == (0.25, 25.0)
    assert made.bytes_sent == (3 * 10 + 60) / 4
    with pytest.raises(ValueError, match="no operation was counted"):
        counted("psycopg")


# --- explanations ----------------------------------------------------------------------------------------------------


def counted(driver: str, *talks: Talk, tx_end: str = "rollback") -> WireRow:
    exchanges = [exchange(talk) for talk in talks]
    return row(
        arm=driver, scenario="point_reads", layer="core", params="", driver=driver, tx_end=tx_end,  # type: ignore[arg-type]
        exchanges=exchanges, connect=exchange(SCRAM), connect_statements=[], first=exchange([]),
        trace=trace(talks[-1]) if talks else [],
    )  # fmt: skip


CACHED = counted("asyncpg", [*query("BEGIN"), *ASYNCPG_SELECT, *query("ROLLBACK")])
MANY = [*sent("Parse"), *got("ParseComplete"), *[*sent("Bind", "Execute"), *INSERTED] * 12]


@pytest.mark.parametrize(
    ("talk", "said"),
    [
        ([*query("BEGIN"), *PSYCOPG_SELECT, *query("ROLLBACK")], "BEGIN and ROLLBACK are a round trip each: 2 of 3 go"),
        ([*query("BEGIN"), *PSYCOPG_SELECT, *query("ROLLBACK")], "; --tx-end autocommit does without them."),
        (
            [*query("BEGIN"), *PSYCOPG_SELECT, *query("ROLLBACK")],
            "1 Parse per operation, within other round trips, whe",
        ),
        ([*query("BEGIN"), *query("ROLLBACK"), *query("DEALLOCATE ALL")], "DEALLOCATE ALL is one more round trip"),
        ([*ASYNCPG_PREPARE, *ASYNCPG_SELECT], "1 of 2 round trips only prepares one (Parse, Describe, Flush)."),
        ([*ASYNCPG_PREPARE, *ASYNCPG_UNNAMED], "there are 2 Parse per operation."),
        ([*ASYNCPG_PREPARE, *CLOSE, *ASYNCPG_SELECT], ", and 1 closes the one before."),
        ([*query(";", server("EmptyQueryResponse")), *ASYNCPG_SELECT], "(pre-ping): a round trip."),
        (
            [*query("BEGIN"), *query(";", server("EmptyQueryResponse")), *query("ROLLBACK"), *ASYNCPG_SELECT],
            "(pre-ping): 3 round trips, with a BEGIN and a ROLLBACK of its own.",
        ),
        (
            [*query("BEGIN"), *ASYNCPG_PREPARE, *query(";", server("EmptyQueryResponse")), *query("ROLLBACK")],
            "(pre-ping): 4 round trips",
        ),
        ([*query("SELECT 1", *SELECTED), *query("BEGIN"), *query("ROLLBACK")], "(pre-ping): a round trip."),
        ([*ASYNCPG_SELECT, *RESET], "The pool resets a connection when it comes back"),
        (
            [*MANY, *sent("Sync"), *got("ReadyForQuery")],
            "12 INSERT statements is sent as messages of its own, all in 1",
        ),
        (
            query("INSERT", tag("INSERT 0 1")) * 12,
            "Each of 12 INSERT statements is a round trip: nothing is pipelined.",
        ),
        (query("INSERT", tag("INSERT 0 1000")) * 5, "5 INSERT statements of up to 1,000 rows."),
        ([frame for asked, answers in COPY for frame in (*asked, *answers)], "COPY counts as two round trips"),
        (query("SELECT 1", *SELECTED), "Values are part of the SQL"),
    ],
)
def test_a_row_is_explained_by_what_was_counted(talk: Talk, said: str) -> None:
    made = counted("some-driver", talk)
    sentences = explanations(made, [made, CACHED])

    assert any(said in sentence for sentence in sentences), sentences
    assert len(sentences) <= MAX_SENTENCES
    assert all(sentence.endswith(".") for sentence in sentences)


def test_nothing_is_explained_that_was_not_seen() -> None:
    made = counted("asyncpg", ASYNCPG_SELECT, tx_end="autocommit")

    assert explanations(made, [made, CACHED]) == []


def test_a_first_operation_that_costs_more_is_said_to() -> None:
    asks = [*query("BEGIN"), *ASYNCPG_PREPARE, *ASYNCPG_SELECT, *ASYNCPG_SELECT, *query("ROLLBACK")]
    more = msgspec.structs.replace(CACHED, first=exchange(asks))
    prepares = msgspec.structs.replace(
        CACHED, first=exchange([*ASYNCPG_PREPARE, *ASYNCPG_SELECT, *query("BEGIN"), *query("ROLLBACK")])
    )
    within = msgspec.structs.replace(more, spread=(3, 5))

    assert first_operation(more) == (
        "The first operation on a new connection takes 5 round trips instead of 3 (1 SELECT more)"
    )
    assert first_operation(prepares) == "The first operation on a new connection takes 4 round trips instead of 3"
    assert first_operation(within) == "", "as any other operation may"
    assert first_operation(CACHED) == "", "it was not counted"


def test_a_transaction_of_the_scenario_is_not_blamed_on_tx_end() -> None:
    made = counted("asyncpg", [*query("BEGIN"), *ASYNCPG_SELECT, *query("COMMIT")], tx_end="autocommit")

    assert explanations(made, []) == ["BEGIN and COMMIT are a round trip each: 2 of 3 go into transactions."]


def test_operations_that_differ_are_said_to() -> None:
    made = counted("psycopg", ASYNCPG_SELECT, [*ASYNCPG_PREPARE, *ASYNCPG_SELECT], tx_end="autocommit")

    assert explanations(made, []) == [
        "In 50 of 100 operations a statement is prepared, in a round trip of its own.",
        "Not every operation is the same: 1 to 2 round trips.",
    ]


@pytest.mark.parametrize(
    ("value", "text"), [(3.0, "3"), (0, "0"), (2.4, "2.4"), (1_000.0, "1,000"), (1 / 3, "0.33"), (0.001, "<0.01")]
)
def test_a_count_has_no_decimals_when_it_is_whole(value: float, text: str) -> None:
    assert amount(value) == text
