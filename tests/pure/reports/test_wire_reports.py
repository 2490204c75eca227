"""The reports of what was counted on the wire, each read back by a parser, with hostile names everywhere."""

import csv
import io
import json
import re
from collections.abc import Sequence
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from markdown_it.token import Token
from rich.cells import cell_len
from rich.console import Console

from dbbench.commands.identity import COLUMNS as IDENTITY
from dbbench.commands.identity import Identity
from dbbench.commands.wire.changes import ROUND_TRIPS, Change
from dbbench.commands.wire.result import WireResult
from dbbench.records import Exchange, TraceLine, WireRow
from dbbench.reports import formats, report
from dbbench.reports.console import as_text
from dbbench.reports.wire import gate, table, trace

REPORTS = {name: report("wire", name) for name in formats("wire")}
OF_CHANGES = {name: report("gate --wire", name) for name in formats("gate --wire")}
HOSTILE = [
    "<script>alert(1)</script>", "![x](http://x.example)", "[a](http://x)", "@everyone", "a | b", "\x1b[31mred",
    "x\n::error::y", "=cmd()", "+1", "-1", "\t=1", "&amp;", "a\x00b", "\u202egnp", "\ud800", "🐘" * 60, "n" * 100_000,
    "# heading", "- item", "#1 GH-1 www.x.example https://x.example $x$", "`code`", "|", "",
]  # fmt: skip
ANYTHING = st.text(st.characters(exclude_categories=[]))  # half surrogate pairs, too
CSV_COLUMNS = (
    "scenario", "layer", "driver", "tx_end", "operations", "round_trips", "messages_sent", "messages_received",
    "bytes_sent", "bytes_received", "prepares_per_100", "connect_round_trips",
)  # fmt: skip
STARTED = "2026-11-23T03:15:00+00:00"
IDENTIFIED = f"3f9c2a,{STARTED},0.2.0,3.3.9,18.4"
CONNECT = Exchange(14, {"Query": 12, "StartupMessage": 1}, {"ReadyForQuery": 13}, 561, 1155, {"SELECT": 4}, 1)
FIRST = Exchange(4, {"Query": 2}, {"ReadyForQuery": 4}, 98, 109, {"SELECT": 1}, 1)


def line(kind: str, trip: int, detail: str = "", *, client: bool = False, size: int = 11) -> TraceLine:
    return TraceLine(client, kind, size, trip, detail)


TRACE = [
    line("Query", 1, "BEGIN", client=True),
    line("CommandComplete", 1, "BEGIN"),
    line("ReadyForQuery", 1),
    line("Query", 2, "COPY t\n  FROM STDIN", client=True),
    line("CopyInResponse", 2),
    *[line("CopyData", 3, client=True, size=1_000)] * 120,
    line("CopyDone", 3, client=True),
    line("CommandComplete", 3, "COPY 1000"),
    line("ReadyForQuery", 3),
    *[line("Bind", 4, "_pg3_0", client=True), line("Execute", 4, client=True)] * 5,
    line("Sync", 4, client=True),
    line("ReadyForQuery", 4),
    line("Terminate", 0, client=True),
]


def row(driver: str = "psycopg", **changed: Any) -> WireRow:
    made = WireRow(
        arm=driver,
        scenario="point_reads",
        layer="core",
        params="rows=10000",
        driver=driver,
        tx_end="rollback",
        operations=100,
        round_trips=3.0,
        sent={"Query": 2.0, "Parse": 1.0, "Bind": 1.0, "Sync": 1.0},
        received={"CommandComplete": 3.0, "ReadyForQuery": 3.0},
        bytes_sent=98.0,
        bytes_received=1109.25,
        statements={"BEGIN": 1.0, "SELECT": 2.0, "ROLLBACK": 1.0},
        prepares_per_100=100.0,
        spread=(3, 4),
        connect=CONNECT,
        connect_statements=["BEGIN", "select pg_catalog.version()"],
        first=FIRST,
        trace=TRACE,
    )
    return msgspec.structs.replace(made, **changed)


def result(*rows: WireRow, **changed: Any) -> WireResult:
    made = WireResult(
        rows=list(rows),
        tx_end="rollback",
        pool_pre_ping=True,
        settings={"asyncpg": {"statement_cache_size": 0, "x": None}},
        identity=Identity("3f9c2a", STARTED, "0.2.0", {"psycopg": "3.3.9", "asyncpg": "0.32.0"}, "18.4"),
        problems=["psycopg2: no such table"],
    )
    return msgspec.structs.replace(made, **changed)


def usual() -> WireResult:
    return result(
        row(),
        row("asyncpg", sent={"Bind": 1.0, "Sync": 1.0}, round_trips=2.4, prepares_per_100=0.0, statements={}),
        row(layer="raw", connect_statements=[]),
    )


def hostile(text: str) -> WireResult:
    """Make a result in which every text that somebody else may choose is hostile."""
    names: dict[str, Any] = dict.fromkeys(("scenario", "driver", "params"), text)
    return result(
        row(
            **names,
            statements={"BEGIN": 1.0, text: 2.0},
            sent={text: 1.0},
            received={text: 1.0},
            connect_statements=[text] * 20,
            trace=[line(text, 1, text, client=True), *TRACE],
        ),
        settings={text: {text: text}},
        identity=Identity(text, text, text, {text: text}, text),
        problems=[text] * 40,
    )


def change(**changed: Any) -> Change:
    made = Change("point_reads", "orm", "", "asyncpg", ROUND_TRIPS, 3.0, 4.0, True, "a ROLLBACK was added")
    return msgspec.structs.replace(made, **changed)


FOUND = [change(grew=False, base=4.0, head=2.4, driver="psycopg", because=""), change(), change(head=None, grew=False)]
MADE = [usual(), result(), *map(hostile, HOSTILE)]


def hostile_change(text: str) -> Change:
    return change(scenario=text, layer=text, params=text, driver=text, what=text, because=text)


# --- all -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("format_", REPORTS)
def test_every_result_can_be_reported_and_written(format_: str) -> None:
    for made in MADE:
        shown = REPORTS[format_](made)
        assert shown.endswith("\n") or not made.rows
        assert shown.encode()


@pytest.mark.parametrize("format_", OF_CHANGES)
def test_all_changes_can_be_reported_and_written(format_: str) -> None:
    for made in ([], FOUND, *([hostile_change(text)] for text in HOSTILE)):
        shown = OF_CHANGES[format_](made)
        assert shown.endswith("\n")
        assert shown.encode()


CONTROL = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e]")


@pytest.mark.parametrize("text", HOSTILE, ids=lambda text: ascii(text[:20]))
def test_no_control_character_reaches_people(text: str) -> None:
    assert not CONTROL.search(as_text(trace.render, hostile(text)))
    for name in ("table", "markdown"):
        assert not CONTROL.search(REPORTS[name](hostile(text)))
    for name in ("table", "markdown"):
        assert not CONTROL.search(OF_CHANGES[name]([hostile_change(text)]))


# --- CSV and JSON ----------------------------------------------------------------------------------------------------


def read_csv(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text, newline="")))


def test_csv_has_its_columns_and_whole_counts_without_decimals() -> None:
    text = REPORTS["csv"](usual())

    assert text.startswith(",".join(CSV_COLUMNS))
    assert text.splitlines()[0] == ",".join(
        [*CSV_COLUMNS, "params", "fewest_round_trips", "most_round_trips", "first_round_trips", *IDENTITY]
    )
    assert text.splitlines()[1] == (
        "point_reads,core,psycopg,rollback,100,3,5,6,98,1109.25,100,14,rows=10000,3,4,4," + IDENTIFIED
    )
    assert [line["round_trips"] for line in read_csv(text)] == ["3", "2.4", "3"]


@given(ANYTHING)
def test_no_name_in_a_csv_is_a_formula(text: str) -> None:
    (line,) = read_csv(REPORTS["csv"](hostile(text)))
    (other,) = read_csv(OF_CHANGES["csv"]([hostile_change(text)]))

    for value in (line["scenario"], line["driver"], line["params"], other["driver"], other["because"]):
        assert not value.startswith(("=", "+", "-", "@", "\t", "\r"))
        assert value.removeprefix("'") == text.encode(errors="replace").decode().removeprefix("'")


def test_json_has_everything_and_names_as_they_are() -> None:
    document = json.loads(REPORTS["json"](usual()), parse_constant=pytest.fail)

    assert list(document) == ["schema", "wire", "cells"]
    assert document["schema"] == 1
    assert document["wire"] == {
        "tx_end": "rollback",
        "pool_pre_ping": True,
        "null_pool": False,
        "settings": {"asyncpg": {"statement_cache_size": 0, "x": None}},
        "run": "3f9c2a",
        "started": STARTED,
        "dbbench": "0.2.0",
        "versions": {"psycopg": "3.3.9", "asyncpg": "0.32.0"},
        "server": "18.4",
        "status": "complete",
        "problems": ["psycopg2: no such table"],
    }
    cell = document["cells"][0]
    assert tuple(cell)[: len(CSV_COLUMNS)] == CSV_COLUMNS
    assert cell["sent"] == {"Query": 2, "Parse": 1, "Bind": 1, "Sync": 1}
    assert cell["received"] == {"CommandComplete": 3, "ReadyForQuery": 3}
    assert cell["statements"] == {"BEGIN": 1, "SELECT": 2, "ROLLBACK": 1}
    assert cell["connect_statements"] == ["BEGIN", "select pg_catalog.version()"]
    assert cell["explanations"][1].startswith("1 Parse per operation, within other round trips, where asyncpg needs")
    assert isinstance(cell["round_trips"], int)
    assert document["cells"][1]["round_trips"] == 2.4
    for text in HOSTILE:
        made = REPORTS["json"](hostile(text))
        assert made.isascii()
        assert json.loads(made)["cells"][0]["driver"] == text


# --- terminal --------------------------------------------------------------------------------------------------------


def test_the_table_says_it_all() -> None:
    shown = REPORTS["table"](usual())

    assert shown.startswith("point_reads · core · rows=10000 · per operation\n")
    assert re.search(r"psycopg +3 +5 +6 +98 +1,109 +100\n", shown)
    assert re.search(r"asyncpg +2\.4 +2 +6 +98 +1,109 +0\n", shown)
    assert "  psycopg: statements: BEGIN, SELECT x 2, ROLLBACK\n" in shown
    assert "  asyncpg: statements: none\n" in shown
    assert re.search(r"psycopg: BEGIN and ROLLBACK are a round trip each: 2 of 3 go into\s+transactions;", shown)
    assert "at connect · the first connection\n" in shown
    assert re.search(r"psycopg +core +14 +13 +2\n", shown)
    assert "asked by psycopg (core), asyncpg (core): BEGIN; select pg_catalog.version()\n" in shown
    assert "asked by psycopg (raw): nothing\n" in shown
    assert "server    PostgreSQL 18.4\n" in shown
    assert re.search(r"settings  tx-end rollback, pre-ping, asyncpg.statement_cache_size=0,\s+asyncpg.x=none\n", shown)
    assert "counted   100 operations each\n" in shown
    assert "problem   psycopg2: no such table\n" in shown


def test_what_the_first_operation_costs_is_shown_where_it_costs_more() -> None:
    first = Exchange(8, {"Query": 2}, {"ReadyForQuery": 3}, 1, 1, {"BEGIN": 1, "SELECT": 4, "ROLLBACK": 1}, 3)
    only = ["WITH RECURSIVE typeinfo_tree AS (...)", "SELECT colour\nFROM cars"]
    of = result(row("asyncpg", first=first, first_only=only), row())
    said = (
        "asyncpg: The first operation on a new connection takes 8 round trips instead of 3 (2 SELECT more); "
        "the SQL that only it sends: WITH RECURSIVE typeinfo_tree AS (...); SELECT colour FROM cars"
    )
    cells = {cell["driver"]: cell for cell in json.loads(REPORTS["json"](of))["cells"]}

    assert said in " ".join(REPORTS["table"](of).split())
    assert "The first operation on a new connection takes 8 round trips" in REPORTS["markdown"](of)
    assert "The first operation" not in REPORTS["table"](
        result(row(first=msgspec.structs.replace(first, round_trips=3)))
    )
    assert cells["asyncpg"]["first_statements"] == {"BEGIN": 1, "SELECT": 4, "ROLLBACK": 1}
    assert (cells["asyncpg"]["first_only"], cells["asyncpg"]["first_round_trips"]) == (only, 8)


def test_the_same_connect_is_shown_once() -> None:
    shown = REPORTS["table"](result(row(), row(scenario="other"), row(params="rows=1")))

    assert len(re.findall(r"psycopg +core +14", shown)) == 1


def test_an_execute_without_a_tag_is_said_to_be_one() -> None:
    assert "(portion): an Execute that ended at its row limit" in REPORTS["table"](
        result(row(statements={"(portion)": 1}))
    )
    assert "(portion)" not in REPORTS["table"](usual())


def test_rows_of_a_cell_are_together_wherever_they_come_from() -> None:
    shown = REPORTS["table"](result(row(), row(layer="raw"), row("asyncpg")))

    assert shown.count("per operation\n") == 2


@pytest.mark.parametrize("part", [table, trace], ids=["table", "trace"])
@pytest.mark.parametrize("text", ["usual", "🐘" * 60, "a" * 60, "SELECT " * 40])
def test_what_a_terminal_shows_fits_80_columns(part: Any, text: str) -> None:
    made = usual() if text == "usual" else hostile(text)
    if part is trace and text != "usual":  # a kind is one of the protocol's own
        made = result(row(text, trace=[line("Query", 1, text, client=True)]))

    assert all(cell_len(shown) <= 80 for shown in as_text(part.render, made).splitlines())


@pytest.mark.parametrize("width", [20, 40, 80, 200])
def test_no_number_is_cut_however_narrow_the_terminal(width: int) -> None:
    file = io.StringIO()
    table.render(usual(), Console(file=file, width=width, force_terminal=False, legacy_windows=False), trace=True)

    assert {"98", "1,109", "100"} <= set(file.getvalue().split())


def test_the_table_can_be_printed_in_ascii_and_with_its_traces() -> None:
    raw = io.BytesIO()
    file = io.TextIOWrapper(raw, encoding="ascii", newline="\n")
    table.render(usual(), Console(file=file, width=80, force_terminal=False, legacy_windows=False), trace=True)
    file.flush()

    assert b"-> Query " in raw.getvalue()


def test_a_trace_is_a_ladder_with_a_line_after_each_round_trip() -> None:
    shown = as_text(trace.render, result(row()))
    lines = [re.sub(" +", " ", each).strip() for each in shown.splitlines()]

    assert lines == [
        "point_reads · core · rows=10000 · psycopg · one operation",
        "-> Query 11 B BEGIN",
        "<- CommandComplete 11 B BEGIN",
        "<- ReadyForQuery 11 B",
        f"-- round trip 1 {'-' * 60}",
        "-> Query 11 B COPY t FROM STDIN",
        "<- CopyInResponse 11 B",
        f"-- round trip 2 {'-' * 60}",
        "-> CopyData x 120 120,000 B",
        "-> CopyDone 11 B",
        "<- CommandComplete 11 B COPY 1000",
        "<- ReadyForQuery 11 B",
        f"-- round trip 3 {'-' * 60}",
        "-> Bind x 5 in turn 55 B _pg3_0",
        "-> Execute x 5 in turn 55 B",
        "-> Sync 11 B",
        "<- ReadyForQuery 11 B",
        f"-- round trip 4 {'-' * 60}",
        "-> Terminate 11 B",
        "",
    ]


def test_a_long_trace_is_cut() -> None:
    long = [line("Query", number, f"SELECT {number}", client=True) for number in range(1, 500)]

    assert f"{2 * 499 - trace.MAX_LINES} more lines are left out" in as_text(trace.render, result(row(trace=long)))
    assert "no messages" in as_text(trace.render, result(row(trace=[])))


@given(st.lists(st.sampled_from(TRACE), max_size=40))
def test_a_ladder_loses_no_byte(lines: Sequence[TraceLine]) -> None:
    text = "\n".join(trace.ladder(lines))

    sizes = [int(size.replace(",", "")) for size in re.findall(r"([\d,]+) B\b", text)]
    assert sum(sizes) == sum(each.size for each in lines)


# --- Markdown --------------------------------------------------------------------------------------------------------

UNESCAPED_PIPE = re.compile(r"(?<!\\)(?:\\\\)*\|")


def tokens(made: str) -> list[Token]:
    parsed = MarkdownIt("commonmark").enable("table").parse(made)
    return [each for token in parsed for each in (token, *(token.children or ()))]


def assert_harmless(made: str) -> None:
    found = tokens(made)
    kinds = {token.type for token in found}
    assert not kinds & {
        "link_open", "image", "html_inline", "html_block", "code_inline", "em_open", "s_open", "fence", "code_block",
        "hr",
    }  # fmt: skip
    for part in made.split("\n\n"):
        if part.startswith("|"):
            assert len({len(UNESCAPED_PIPE.findall(each)) for each in part.strip().split("\n")}) == 1
    texts = " ".join(token.content for token in found if token.type == "text")
    assert not re.search(r"@\w|#\d|://|\bwww\.|\bGH-\d", texts, re.IGNORECASE)


@pytest.mark.parametrize("text", HOSTILE, ids=lambda text: ascii(text[:20]))
def test_hostile_names_are_inert_in_markdown(text: str) -> None:
    made = REPORTS["markdown"](hostile(text))

    assert_harmless(made)
    assert [token.tag for token in tokens(made) if token.type == "heading_open"] == ["h3", "h3"]
    assert_harmless(OF_CHANGES["markdown"]([hostile_change(text)]))


@given(st.text(st.characters(exclude_categories=[], exclude_characters="_")))  # _x_ is in italics, and no more
def test_any_name_is_inert_in_markdown(text: str) -> None:
    assert_harmless(REPORTS["markdown"](hostile(text)))
    assert_harmless(OF_CHANGES["markdown"]([hostile_change(text)]))


def test_markdown_has_a_table_sentences_and_the_connect() -> None:
    made = REPORTS["markdown"](usual())

    assert made.startswith("### Per operation: point_reads, core, rows=10000\n\n| driver | round trips |")
    assert "| psycopg | 3 | 5 | 6 | 98 | 1,109 | 100 | BEGIN, SELECT x 2, ROLLBACK |" in made
    assert "\n- For psycopg: BEGIN and ROLLBACK are a round trip each: 2 of 3 go into transactions;" in made
    assert "| asyncpg | core | 14 | 13 | 2 | BEGIN; select pg_catalog.version() |" in made
    assert "- settings: tx-end rollback, pre-ping, asyncpg.statement_cache_size=0, asyncpg.x=none\n" in made


def test_no_name_makes_an_explanation_look_like_the_list_of_statements() -> None:
    made = REPORTS["markdown"](msgspec.structs.replace(usual(), rows=[row("x: statements: y")]))

    assert "\n- For x: statements: y: BEGIN and ROLLBACK are a round trip each" in made


# --- changes ---------------------------------------------------------------------------------------------------------


def test_changes_are_a_line_each_and_a_verdict_with_those_first_that_fail() -> None:
    assert OF_CHANGES["table"](FOUND).splitlines() == [
        "more  point_reads, asyncpg, orm: 3 -> 4 round trips per operation: a ROLLBACK was added",
        "note  point_reads, psycopg, orm: 4 -> 2.4 round trips per operation",
        "note  point_reads, asyncpg, orm: counted in base only: a ROLLBACK was added",
        "FAIL: head does more than base in 1 place; 2 other changes do not fail it.",
    ]
    assert OF_CHANGES["table"](FOUND[:1]).splitlines()[-1] == (
        "PASS: head does nothing more than base; 1 change beside that."
    )
    assert OF_CHANGES["table"]([]) == "PASS: head and base put the same on the wire.\n"


def test_changes_as_json_have_a_verdict() -> None:
    document = json.loads(OF_CHANGES["json"](FOUND))

    assert (document["schema"], document["verdict"]) == (1, "fail")
    assert document["changes"][1] == {
        "scenario": "point_reads",
        "layer": "orm",
        "params": "",
        "driver": "asyncpg",
        "what": "round trips per operation",
        "base": 3,
        "head": 4,
        "grew": True,
        "because": "a ROLLBACK was added",
    }
    assert document["changes"][2]["head"] is None
    assert json.loads(OF_CHANGES["json"]([])) == {"schema": 1, "verdict": "pass", "changes": []}


def test_changes_as_markdown_are_a_table() -> None:
    made = OF_CHANGES["markdown"](FOUND)

    assert made.startswith("## dbbench gate --wire: FAIL\n\nhead does more than base in 1 place;")
    assert "| asyncpg | orm | point_reads | more: 3 -&#62; 4 round trips per operation | a ROLLBACK was added |" in made
    assert OF_CHANGES["markdown"]([]).count("|") == 0


def test_changes_as_csv_have_their_fields() -> None:
    lines = OF_CHANGES["csv"](FOUND).splitlines()

    assert lines[0] == "scenario,layer,params,driver,what,base,head,grew,because"
    assert lines[2] == "point_reads,orm,,asyncpg,round trips per operation,3,4,yes,a ROLLBACK was added"


@pytest.mark.parametrize("name", ["table", "markdown"])
def test_long_lists_of_changes_are_cut(name: str) -> None:
    made = OF_CHANGES[name]([change(driver=f"d{number}") for number in range(gate.MAX_LINES + 7)])

    assert re.search(r"^7 more .*JSON report", made, re.MULTILINE)
