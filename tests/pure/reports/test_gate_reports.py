"""The reports of a gate, each read back by a parser that is not its own, with hostile names everywhere."""

import csv
import io
import json
import re
from collections.abc import Callable, Iterator
from typing import Any, Literal
from xml.etree import ElementTree as ET

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from junitparser import Error, Failure, JUnitXml, Skipped
from markdown_it import MarkdownIt
from markdown_it.token import Token
from rich.cells import cell_len
from rich.console import Console

from dbbench.commands.gate.result import Difference, Finding, GateResult, GateRow, GateVerdict, Metric, Side
from dbbench.reports import formats, report
from dbbench.reports.gate import annotations, markdown, table
from dbbench.reports.gate.markdown import COMMENT_BYTES, inert
from dbbench.reports.gate.sentences import row_sentence, verdict_sentence
from dbbench.reports.text import shown

REPORTS = {name: report("gate", name) for name in formats("gate")}
FIELDS = GateRow.__struct_fields__
COLUMNS_OF_CSV = (*FIELDS, "run", "started", "dbbench", "base_version", "head_version", "server_version")
HOSTILE = [
    "<script>alert(1)</script>",
    "![x](http://x.example)",
    "[a](http://x)",
    "@everyone",
    "a | b",
    "\x1b[31mred",
    "x\n::error::y",
    "::set-output name=a::b",
    "=cmd()",
    "]]>",
    "&amp;",
    "a\x00b",
    "a\ufffeb",
    "\u202egnp",
    "\ud800",
    "🐘" * 10,
    "n" * 100_000,
    "</details>",
    "# heading",
    "- item",
    "#1 GH-1 www.x.example https://x.example $x$",
    "%0A::error::z",
    "`code`",
    "|",
    "",
]
ANYTHING = st.text(st.characters(exclude_categories=[]))  # half surrogate pairs, too


def finding(
    scenario: str = "orders",
    driver: str = "asyncpg",
    loss: float | None = 0.002,
    *,
    verdict: GateVerdict = GateVerdict.PASS,
    metric: Metric = "time",
    layer: str = "orm",
    sessions: int = 1,
    within: float = 0.009,
    p: float | None = 0.4,
    tolerance: float = 0.05,
    base_us: float | None = 400.0,
    detectable: float | None = None,
    blocks_wanted: int | None = None,
    params: str = "rows=10000",
    reason: str = "",
) -> Finding:
    low, high = (None, None) if loss is None else (loss - within, loss + within)
    head_us = None if loss is None or base_us is None else base_us * (1 + loss)
    row = GateRow(
        scenario, layer, sessions, driver, metric, loss, low, high, None if loss is None else p, verdict, params
    )
    return Finding(row, tolerance, base_us, head_us, detectable, blocks_wanted, reason)


FAILING = finding(loss=0.062, verdict=GateVerdict.FAIL, p=0.00024)
OPEN = finding(
    "bulk", "psycopg2", 0.03, verdict=GateVerdict.INCONCLUSIVE, within=0.05, detectable=0.081, blocks_wanted=44
)
UNMEASURED = finding("bulk", "psycopg", None, verdict=GateVerdict.INCONCLUSIVE, reason="head: no module named psycopg")
ADVISORY = finding(loss=0.3, verdict=GateVerdict.ADVISORY, metric="p99", reason="too few operations")


def result(verdict: GateVerdict = GateVerdict.PASS, *findings: Finding, **changes: Any) -> GateResult:
    made = GateResult(
        verdict=verdict,
        blocks=12,
        findings=list(findings),
        base=Side("asyncpg==0.30.0", "CPython 3.11.7", {"asyncpg": "0.30.0"}),
        head=Side("asyncpg==0.31.0", "CPython 3.11.7", {"asyncpg": "0.31.0"}),
        differences=[Difference("asyncpg", "0.30.0", "0.31.0")],
        problems=[],
        conditions=[("server", "PostgreSQL 18.4, embedded, unix socket"), ("", "intervals hold at once (95%)")],
        run_id="3f9c2a",
        started="2026-11-23T03:15:00+00:00",
        measured_s=312.4,
        status="complete",
        dbbench="0.2.0",
        server="18.4",
    )
    return msgspec.structs.replace(made, **changes)


def passing() -> GateResult:
    cells = [("point_reads", 1), ("orders", 15), ("bulk", 15)]
    drivers = ("psycopg", "asyncpg", "psycopg2")
    return result(GateVerdict.PASS, *(finding(name, driver, sessions=n) for name, n in cells for driver in drivers))


def failing() -> GateResult:
    return result(GateVerdict.FAIL, finding(), OPEN, FAILING, ADVISORY, UNMEASURED)


def inconclusive() -> GateResult:
    return result(GateVerdict.INCONCLUSIVE, finding(), OPEN, UNMEASURED, budget_hint="--budget 900 would decide")


def large(rows: int = 200, verdict: GateVerdict = GateVerdict.FAIL) -> GateResult:
    findings = [finding(f"scenario_{row}", verdict=verdict, loss=0.06 + row / 10_000) for row in range(rows)]
    return result(verdict, *findings)


def hostile(text: str, verdict: GateVerdict = GateVerdict.FAIL) -> GateResult:
    """Make a gate in which every text that somebody else may choose is hostile."""
    names: dict[str, Any] = dict.fromkeys(("scenario", "driver", "layer", "params", "reason"), text)
    return result(
        verdict,
        finding(**names, loss=0.07, verdict=GateVerdict.FAIL),
        finding(**names, loss=0.01, verdict=GateVerdict.INCONCLUSIVE, detectable=0.1, blocks_wanted=20, metric="cpu"),
        finding(**names, loss=None, verdict=GateVerdict.INCONCLUSIVE, metric="p95"),
        finding(**names, verdict=GateVerdict.ADVISORY, metric="p99"),
        finding(**names, sessions=15),
        base=Side(text, text, {text: text}),
        head=Side(text, f"{text}2", {text: text}),
        differences=[Difference(text, text, None), Difference(text, None, text)],
        problems=[text],
        conditions=[(text, text), ("", text)],
        run_id=text,
        started=text,
        status=text,
        budget_hint=text,
    )


MADE = [
    passing(),
    failing(),
    inconclusive(),
    large(),
    result(),
    result(GateVerdict.INCONCLUSIVE),
    result(GateVerdict.FAIL),
]
MADE += [hostile(text, verdict) for text in HOSTILE for verdict in (GateVerdict.FAIL, GateVerdict.INCONCLUSIVE)]


# --- all -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("format_", REPORTS)
def test_every_gate_can_be_reported_and_written(format_: str) -> None:
    for made in MADE:
        shown_ = REPORTS[format_](made)
        assert shown_.endswith("\n")
        assert shown_.encode()


def test_numbers_that_are_none_are_nowhere() -> None:
    nan, inf = float("nan"), float("inf")
    row = GateRow("orders", "orm", 1, "asyncpg", "time", nan, -inf, inf, nan, GateVerdict.INCONCLUSIVE, "")
    made = result(GateVerdict.INCONCLUSIVE, Finding(row, 0.05, nan, inf, nan, None, ""), measured_s=nan)
    for name, write in REPORTS.items():
        assert not re.search(r"\b(nan|inf|infinity)\b", write(made), re.IGNORECASE), name


@pytest.mark.parametrize("name", ["table", "markdown"])
def test_no_control_character_reaches_people(name: str) -> None:
    for text in HOSTILE:
        assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e]", REPORTS[name](hostile(text)))


# --- sentences -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (FAILING, "6.2% more time per operation (5.3% to 7.1%), tolerance 5%"),
        (OPEN, "3.0% more time per operation (2.0% less to 8.0% more), tolerance 5%"),
        (finding(loss=-0.05, metric="cpu"), "5.0% less client CPU per operation (4.1% to 5.9%), tolerance 5%"),
        (finding(loss=0.2, metric="p95"), "20.0% higher p95 latency (19.1% to 20.9%), tolerance 5%"),
        (finding(loss=-0.2, metric="p99"), "20.0% lower p99 latency (19.1% to 20.9%), tolerance 5%"),
        (finding(loss=0.05004, within=0.00002), "5.004% more time per operation (5.002% to 5.006%), tolerance 5%"),
        (finding(loss=0.05, within=0.0, tolerance=0.05), "5.0% more time per operation (5.0% to 5.0%), tolerance 5%"),
        (finding(tolerance=0.025), "0.2% more time per operation (0.7% less to 1.1% more), tolerance 2.5%"),
        (
            finding(loss=0.03, verdict=GateVerdict.FAIL, p=0.004),
            "3.0% more time per operation (2.1% to 3.9%), within the tolerance of 5%, but no chance result (p 0.004)",
        ),
        (
            finding(loss=0.03, verdict=GateVerdict.FAIL, p=1e-9),
            "3.0% more time per operation (2.1% to 3.9%), within the tolerance of 5%, but no chance result (p < 0.001)",
        ),
        (UNMEASURED, "no loss can be given for time per operation: head: no module named psycopg"),
    ],
)
def test_a_row_is_said_in_words(made: Finding, said: str) -> None:
    row = made.row
    assert row_sentence(made) == f"{row.scenario}, orm, 1 session, {row.driver}: {said}"


def test_the_verdict_names_what_failed_worst_first() -> None:
    made = large(5)

    said = verdict_sentence(made)
    assert said.startswith("5 of 5 comparisons fail: scenario_4, orm, 1 session, asyncpg: 6.0% more")
    assert said.endswith("; and 2 more.")


def test_the_verdict_says_how_many_are_open_and_advisory() -> None:
    said = verdict_sentence(failing())

    assert said.startswith("1 of 4 comparisons fails: orders, orm, 1 session, asyncpg: 6.2% more")
    assert said.endswith("; 2 are inconclusive. 1 is advisory and no part of the verdict.")


def test_an_inconclusive_verdict_says_what_would_decide() -> None:
    assert verdict_sentence(inconclusive()).startswith("2 of 3 comparisons are inconclusive: bulk, ")
    assert verdict_sentence(inconclusive()).endswith(" --budget 900 would decide.")


@pytest.mark.parametrize(
    ("findings", "said"),
    [
        ([finding()], "The only comparison is within the tolerance of 5%."),
        ([finding(), finding()], "All 2 comparisons are within the tolerance of 5%."),
        ([finding(), finding(tolerance=0.1)], "All 2 comparisons are within their tolerances."),
        ([ADVISORY], "Nothing was compared that could fail. 1 is advisory and no part of the verdict."),
    ],
)
def test_a_pass_says_within_what(findings: list[Finding], said: str) -> None:
    assert verdict_sentence(result(GateVerdict.PASS, *findings)) == said


@given(ANYTHING, st.integers(1, 50))
def test_shown_text_is_short_and_on_one_line(text: str, most: int) -> None:
    made = shown(text, most)

    assert len(made) <= most
    assert "\n" not in made
    assert made.encode().decode() == made


# --- JSON and CSV ----------------------------------------------------------------------------------------------------


def read_json(name: str, made: GateResult) -> Any:
    return json.loads(REPORTS[name](made), parse_constant=pytest.fail)


def read_csv(made: GateResult) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(REPORTS["csv"](made), newline="")))


def test_json_has_everything_and_names_as_they_are() -> None:
    made = failing()
    document = read_json("json", made)

    assert list(document) == [
        "schema", "verdict", "blocks", "cells", "details", "base", "head", "differences", "problems", "run",
    ]  # fmt: skip
    assert (document["schema"], document["verdict"], document["blocks"]) == (1, "fail", 12)
    assert [tuple(cell) for cell in document["cells"]] == [FIELDS] * 5
    assert document["cells"][2]["loss"] == 0.062
    assert document["cells"][2]["p_adjusted"] == 0.00024
    assert document["details"][1] == {
        "params": "rows=10000",
        "tolerance": 0.05,
        "base_us": 400.0,
        "head_us": 412.0,
        "detectable": 0.081,
        "blocks_wanted": 44,
        "reason": "",
    }
    assert document["base"] == {"label": "asyncpg==0.30.0", "python": "CPython 3.11.7"}
    assert document["differences"] == [{"package": "asyncpg", "base": "0.30.0", "head": "0.31.0"}]
    assert document["run"] == {
        "id": "3f9c2a",
        "started": "2026-11-23T03:15:00+00:00",
        "measured_s": 312.4,
        "status": "complete",
        "dbbench": "0.2.0",
        "server_version": "18.4",
    }
    for text in HOSTILE:
        assert read_json("json", hostile(text))["cells"][0]["driver"] == text


def test_json_rounds() -> None:
    cell = read_json("json", result(GateVerdict.PASS, finding(loss=-0.000001, within=0.0123456789, p=1.23456789e-9)))[
        "cells"
    ]

    assert [cell[0][name] for name in FIELDS[5:9]] == [0.0, -0.01235, 0.01234, 1.23457e-9]


def test_csv_has_the_columns_of_a_row() -> None:
    lines = read_csv(failing())

    assert [tuple(line) for line in lines] == [COLUMNS_OF_CSV] * 5
    assert list(lines[2].values()) == [
        "orders", "orm", "1", "asyncpg", "time", "0.062", "0.053", "0.071", "0.00024", "fail", "rows=10000",
        "3f9c2a", "2026-11-23T03:15:00+00:00", "0.2.0", "0.30.0", "0.31.0", "18.4",
    ]  # fmt: skip
    assert [lines[4][name] for name in FIELDS[5:10]] == ["", "", "", "", "inconclusive"]


@given(st.floats(0, 1), st.floats(-0.99, 10))
def test_csv_has_plain_decimals_and_no_p_of_zero(p: float, loss: float) -> None:
    line = read_csv(result(GateVerdict.PASS, finding(loss=loss, p=p)))[0]

    assert re.fullmatch(r"\d(\.\d+)?", line["p_adjusted"])
    assert float(line["p_adjusted"]) == pytest.approx(max(p, 1e-12), rel=0.001)
    assert re.fullmatch(r"-?\d+(\.\d{1,4})?", line["loss"])
    assert line["loss"] != "-0"
    assert float(line["loss"]) == pytest.approx(loss, abs=0.0001)


@given(ANYTHING)
def test_no_name_in_a_csv_is_a_formula(text: str) -> None:
    lines = read_csv(hostile(text))

    assert len(lines) == 5
    for line in lines:
        assert not line["driver"].startswith(("=", "+", "-", "@", "\t", "\r"))
        assert line["driver"].removeprefix("'") == text.encode(errors="replace").decode().removeprefix("'")


# --- Markdown --------------------------------------------------------------------------------------------------------

COLUMNS = 10
UNESCAPED_PIPE = re.compile(r"(?<!\\)(?:\\\\)*\|")


def tokens(made: str) -> Iterator[Token]:
    """Read it as GitHub does, as far as CommonMark and tables go: every token, those within lines, too."""
    for token in MarkdownIt("commonmark").enable("table").parse(made):
        yield token
        yield from token.children or ()


def assert_harmless(made: str) -> None:
    """Check that there is nothing but what the report itself writes."""
    found = list(tokens(made))
    kinds = {token.type for token in found}
    assert not kinds & {"link_open", "image", "html_inline", "code_inline", "em_open", "s_open", "fence", "hr"}
    assert {token.content.strip() for token in found if token.type == "html_block"} <= {
        "<details><summary>Conditions</summary>", "</details>",
    }  # fmt: skip
    assert [token.tag for token in found if token.type == "heading_open"] == ["h2"]
    assert all(UNESCAPED_PIPE.match(line) for line in made.split("\n") if UNESCAPED_PIPE.search(line))
    for lines in tables(made):
        assert len({len(UNESCAPED_PIPE.findall(line)) for line in lines}) == 1
    texts = " ".join(token.content for token in found if token.type == "text")
    # What GitHub looks for in the text that was rendered.
    assert not re.search(r"@\w|#\d|://|\bwww\.|\bGH-\d", texts, re.IGNORECASE)


def tables(made: str) -> list[list[str]]:
    parts = (part.split("\n") for part in made.split("\n\n"))
    return [lines for lines in parts if lines[0].startswith("|")]


def cells(made: str) -> list[list[str]]:
    """Give the rows of the table of findings without its heading."""
    return [[cell.strip() for cell in UNESCAPED_PIPE.split(line)[1:-1]] for line in tables(made)[0][2:]]


@pytest.mark.parametrize("text", HOSTILE, ids=lambda text: ascii(text[:20]))
@pytest.mark.parametrize("verdict", [GateVerdict.FAIL, GateVerdict.INCONCLUSIVE])
def test_hostile_names_are_inert_in_markdown(text: str, verdict: GateVerdict) -> None:
    made = markdown.report(hostile(text, verdict))

    assert_harmless(made)
    assert len(cells(made)) == 5
    assert all(len(row) == COLUMNS for row in cells(made))


@given(st.text(st.characters(exclude_categories=[], exclude_characters="_")))  # _x_ is in italics, and no more
def test_any_name_is_inert_in_markdown(text: str) -> None:
    assert_harmless(markdown.report(hostile(text)))


@pytest.mark.parametrize("text", ["@me", "#12", "GH-12", "https://x.example", "www.x.example", "a@b.example", "$x$"])
def test_github_finds_nothing_to_link(text: str) -> None:
    rendered = "".join(token.content for token in tokens(inert(text)) if token.type == "text")

    assert text not in rendered or text == "$x$"
    assert rendered.replace("\u200b", "") == text
    assert "$" not in inert(text)


def test_markdown_has_failing_rows_first_and_says_what_failed() -> None:
    made = markdown.report(failing())

    assert made.startswith("## dbbench gate: FAIL\n\n1 of 4 comparisons fails: orders, ")
    assert [row[9] for row in cells(made)] == ["**FAIL**", "inconclusive", "inconclusive", "pass", "advisory"]
    assert cells(made)[0] == [
        "orders, rows=10000", "orm", "1", "asyncpg", "time per operation", "400 µs", "425 µs", "+6.2% (+5.3 to +7.1)",
        "5%", "**FAIL**",
    ]  # fmt: skip
    assert "- Note: bulk, orm, 1 session, psycopg: no loss can be given" in made
    assert "a loss of 8.1% would have been found, about 44 blocks would decide" in made
    assert "| asyncpg | 0.30.0 | 0.31.0 |" in made


def test_markdown_tells_of_python_and_of_equal_packages() -> None:
    other = markdown.report(result(head=Side("head", "CPython 3.13.1"), problems=["the server was lost"]))
    same = markdown.report(result(differences=[]))
    unknown = markdown.report(result(differences=[], base=Side("a", "3"), head=Side("b", "3")))

    assert "| Python | CPython 3.11.7 | CPython 3.13.1 |" in other
    assert "- Problem: the server was lost" in other
    assert "The installed packages are the same in base and head." in same
    assert "Which packages are installed in base and head is not known." in unknown


@pytest.mark.parametrize("limit", [3_000, 10_000, COMMENT_BYTES])
@pytest.mark.parametrize("name", ["scenario", "🐘" * 40, "@|" * 40])
def test_markdown_keeps_to_its_limit_in_bytes(limit: int, name: str) -> None:
    findings = [finding(name, f"{row}", params="", verdict=GateVerdict.PASS) for row in range(1_500)]
    made = result(
        GateVerdict.FAIL,
        *findings,
        finding(loss=0.1, verdict=GateVerdict.FAIL),
        differences=[Difference(f"{name}{number}", name, None) for number in range(400)],
        problems=[name] * 300,
        conditions=[("server", name)] * 300,
    )
    text = markdown.report(made, limit)

    assert limit * 0.6 < len(text.encode()) <= limit
    assert_harmless(text)
    assert cells(text)[0][9] == "**FAIL**"
    left_out = [
        int(more.replace(",", "")) for more in re.findall(r"([\d,]+) more (?:is|are) left out for size\.", text)
    ]
    assert len(cells(text)) + left_out[0] == 1_501


def test_markdown_leaves_nothing_out_that_fits() -> None:
    whole = markdown.report(large(), 1_000_000)
    size = len(whole.encode())

    assert len(cells(whole)) == 200
    assert "left out" not in whole
    assert markdown.report(large(), size) == whole
    assert "left out" in markdown.report(large(), size - 1)


# --- JUnit -----------------------------------------------------------------------------------------------------------


def test_junit_has_a_case_per_finding() -> None:
    text = REPORTS["junit"](failing())
    suites = list(JUnitXml.fromstring(text.encode()))
    plain, open_, failed, advisory, unmeasured = list(suites[0])

    assert (suites[0].name, suites[0].tests, suites[0].failures) == ("dbbench gate", 5, 1)
    assert (suites[0].errors, suites[0].skipped, len(suites)) == (1, 1, 1)
    assert (plain.classname, plain.name) == ("dbbench.orders", "orm, 1 session, asyncpg, time per operation")
    assert plain.time == pytest.approx(312.4 / 5)
    assert plain.is_passed
    assert isinstance(open_.result[0], Skipped)
    assert "about 44 blocks would decide" in open_.result[0].message
    assert isinstance(failed.result[0], Failure)
    assert failed.result[0].text == failed.result[0].message
    assert failed.result[0].text.startswith("orders, orm, 1 session, asyncpg: 6.2% more")
    assert advisory.is_passed
    assert advisory.system_out.startswith("advisory: orders, ")
    assert advisory.system_out.endswith("; too few operations")
    assert isinstance(unmeasured.result[0], Error)
    assert "no module named psycopg" in unmeasured.result[0].message
    properties = {one.name: one.value for one in suites[0].properties()}  # type: ignore[no-untyped-call]
    assert (properties["base"], properties["head"]) == ("asyncpg==0.30.0", "asyncpg==0.31.0")
    assert (properties["base python"], properties["run"], properties["verdict"]) == ("CPython 3.11.7", "3f9c2a", "fail")


@given(ANYTHING)
def test_junit_of_any_name_is_xml(text: str) -> None:
    assert_junit(hostile(text))


@pytest.mark.parametrize("text", HOSTILE, ids=lambda text: ascii(text[:20]))
def test_junit_of_hostile_names_is_xml(text: str) -> None:
    assert_junit(hostile(text))


def assert_junit(made: GateResult) -> None:
    root = ET.fromstring(REPORTS["junit"](made).encode())  # noqa: S314 - our own

    assert {element.tag for element in root.iter()} == {
        "testsuites", "testsuite", "properties", "property", "testcase", "failure", "error", "skipped", "system-out",
    } - (set() if made.findings[2].reason else {"error"})  # fmt: skip
    names = [shown(one.row.driver).replace("\ufffe", "").replace("\uffff", "") for one in made.findings]
    for case, name in zip(root.iter("testcase"), names, strict=True):
        assert name in case.attrib["name"]


# --- annotations -----------------------------------------------------------------------------------------------------

COMMAND = re.compile(r"::(error|warning|notice) title=([^:,\r\n]*)::([^\r\n]*)")


def commands(made: GateResult) -> list[tuple[str, str, str]]:
    """Read them as the runner does: a line each, and nothing but commands."""
    found = []
    for line in REPORTS["annotations"](made).split("\n")[:-1]:
        match = COMMAND.fullmatch(line)
        assert match
        found.append((match[1], unescaped(match[2]), unescaped(match[3])))
    return found


def unescaped(text: str) -> str:
    for escape in re.findall("%(..)?", text):
        assert escape in ("25", "3A", "2C")  # a line's end was removed before
    return text.replace("%3A", ":").replace("%2C", ",").replace("%25", "%")


def test_annotations_are_errors_and_warnings() -> None:
    found = commands(failing())

    assert [level for level, *_ in found] == ["error", "warning", "warning"]
    assert found[0] == ("error", "dbbench gate: FAIL in orders, asyncpg", row_sentence(FAILING))
    assert found[1][2] == f"{row_sentence(OPEN)}; a loss of 8.1% would have been found, about 44 blocks would decide"


@pytest.mark.parametrize(
    ("made", "level"),
    [(passing(), "notice"), (result(GateVerdict.FAIL), "error"), (result(GateVerdict.INCONCLUSIVE), "warning")],
)
def test_a_verdict_that_no_row_explains_is_annotated(made: GateResult, level: str) -> None:
    assert commands(made) == [(level, f"dbbench gate: {made.verdict.upper()}", verdict_sentence(made))]


@pytest.mark.parametrize(("verdict", "level"), [(GateVerdict.FAIL, "error"), (GateVerdict.INCONCLUSIVE, "warning")])
def test_github_shows_all_annotations_of_a_kind(verdict: GateVerdict, level: str) -> None:
    most = annotations.MAX_OF_A_KIND
    assert len(commands(large(most, verdict))) == most

    found = commands(large(200, verdict))
    assert [one[0] for one in found] == [level] * most
    assert found[-1][2].startswith("191 more comparisons ")
    assert all("scenario_" in one[2] for one in found[:-1])


@given(ANYTHING)
def test_no_name_becomes_a_workflow_command(text: str) -> None:
    assert [level for level, *_ in commands(hostile(text))] == ["error", "warning", "warning"]


@pytest.mark.parametrize("text", HOSTILE, ids=lambda text: ascii(text[:20]))
def test_no_hostile_name_becomes_a_workflow_command(text: str) -> None:
    assert [level for level, *_ in commands(hostile(text))] == ["error", "warning", "warning"]


# --- other tools -----------------------------------------------------------------------------------------------------


def test_bmf_has_times_in_nanoseconds_and_losses() -> None:
    assert read_json("bmf", failing())["orders/orm/1/asyncpg/rows=10000"] == {
        "latency": {"value": 424_800},
        "time-loss": {"value": 0.062, "lower_value": 0.053, "upper_value": 0.071},
        "p99-latency": {"value": 520_000},
        "p99-loss": {"value": 0.3, "lower_value": 0.291, "upper_value": 0.309},
    }
    assert "bulk/orm/1/psycopg/rows=10000" not in read_json("bmf", failing())


@pytest.mark.parametrize("name", ["bmf", "customSmallerIsBetter"])
def test_cells_that_differ_in_parameters_alone_are_series_of_their_own(name: str) -> None:
    few, many = finding(params="rows=10"), finding(params="rows=10000")
    document = read_json(name, result(GateVerdict.PASS, few, many))
    series = list(document) if isinstance(document, dict) else [entry["name"] for entry in document]

    assert len(set(series)) == 2
    assert ["rows=10" in each and "rows=10000" not in each for each in series] == [True, False]


def test_bmf_keeps_to_its_schema() -> None:
    """Check what bencher.dev/bmf.json demands, and how long names may be."""
    for made in MADE:
        for name, measures in read_json("bmf", made).items():
            assert 0 < len(name) <= 1024
            assert measures
            for slug, values in measures.items():
                assert re.fullmatch(r"[a-z0-9-]{1,64}", slug)
                assert set(values) in ({"value"}, {"value", "lower_value", "upper_value"})
                assert all(isinstance(value, int | float) for value in values.values())


def test_custom_smaller_is_better_is_a_list_of_values() -> None:
    entries = read_json("customSmallerIsBetter", failing())

    assert len(entries) == 4  # not what was not measured
    assert entries[2] == {
        "name": "orders/orm/1/asyncpg/rows=10000: time per operation",
        "unit": "us/op",
        "value": 424.8,
        "range": "± 3.6",
        "extra": "loss: +6.2% (+5.3 to +7.1), tolerance 5%\nverdict: fail\nbase: 400 us/op",
    }
    assert entries[3]["unit"] == "us"
    for text in HOSTILE:
        assert not any(set("`|\n") & set(entry["name"]) for entry in read_json("customSmallerIsBetter", hostile(text)))


# --- table -----------------------------------------------------------------------------------------------------------


def printed(made: GateResult, width: int, *, terminal: bool = False, encoding: str = "utf-8", path: str = "") -> str:
    raw = io.BytesIO()
    colours: Literal["standard"] | None = "standard" if terminal else None
    file = io.TextIOWrapper(raw, encoding=encoding, newline="\n")
    console = Console(file=file, width=width, force_terminal=terminal, legacy_windows=False, color_system=colours)
    table.render(made, console, file=path)
    file.flush()
    return raw.getvalue().decode(encoding)


@pytest.mark.parametrize("make", [passing, failing, inconclusive, large])
def test_the_table_fits_80_columns(make: Callable[[], GateResult]) -> None:
    assert all(cell_len(line) <= 80 for line in REPORTS["table"](make()).splitlines())


def test_the_table_says_it_all() -> None:
    shown_ = REPORTS["table"](failing())

    assert shown_.startswith("dbbench gate: FAIL · 5 comparisons · 12 blocks\nbase  asyncpg==0.30.0, CPython 3.11.7\n")
    assert re.search(r"asyncpg +time +400 +425 +\+6\.2% \(\+5\.3 to \+7\.1\) +5% +FAIL", shown_)
    assert "psycopg2: a loss of 8.1% would have been found, about 44 blocks would decide" in shown_
    assert "psycopg: no loss can be given for time per operation: head: no module named" in shown_
    assert "advisory: asyncpg, p99 latency (too few operations)" in shown_
    assert "\nFAIL: 1 of 4 comparisons fails: orders, orm, 1 session, asyncpg: 6.2% more time" in shown_
    assert re.search(r"asyncpg +0\.30\.0 +0\.31\.0", shown_)
    assert "server  PostgreSQL 18.4" in shown_


def test_the_table_has_a_metric_only_where_there_are_several() -> None:
    assert "metric" not in REPORTS["table"](passing())
    assert re.search(r"asyncpg +p99 +400", REPORTS["table"](failing()))


def test_long_lists_are_cut_in_the_table() -> None:
    differences = [Difference(f"package-{number}", "1", "2") for number in range(200)]
    shown_ = REPORTS["table"](result(differences=differences, problems=["lost"] * 100))

    assert f"{200 - table.MAX_PACKAGES} more are different" in shown_
    assert "80 more problems are in the JSON report" in shown_


def test_the_table_names_the_file_and_equal_packages() -> None:
    shown_ = printed(result(differences=[]), 80, path="results/x.jsonl")

    assert re.search(r"file +results/x\.jsonl", shown_)
    assert "The installed packages are the same in base and head." in shown_


@pytest.mark.parametrize(("make", "colour"), [(passing, 32), (failing, 31), (inconclusive, 33)])
def test_the_verdict_has_its_colour(make: Callable[[], GateResult], colour: int) -> None:
    assert f"\x1b[1;{colour}m{make().verdict.upper()}" in printed(make(), 80, terminal=True)


@pytest.mark.parametrize("width", [20, 40, 80, 200])
def test_no_number_is_cut_however_narrow_the_terminal(width: int) -> None:
    assert "+6.2% (+5.3 to +7.1)" in re.sub(r"\s+", " ", printed(failing(), width))


def test_the_table_can_be_printed_in_ascii() -> None:
    for made in MADE:
        assert printed(made, 80, encoding="ascii")
