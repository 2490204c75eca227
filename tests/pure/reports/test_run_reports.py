"""What reports show: golden outputs, hostile names, and what is exported.

UPDATE_GOLDEN=1 pytest tests/pure/reports/test_run_reports.py writes tests/golden anew;
look at the difference before committing it.
"""

import csv
import html
import io
import json
import os
import re
from collections.abc import Callable, Sequence
from pathlib import Path

import builders
import msgspec
import pytest
from builders import (
    cell,
    changed,
    explained,
    layered_run,
    many_sided_run,
    measurement,
    measurements,
    open_loop_run,
    plan,
    run,
)
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console

from dbbench.analysis.analysis import Analysis, analyse
from dbbench.analysis.breakdown import Breakdown, Failure, LayerTax
from dbbench.analysis.rows import COLUMNS
from dbbench.analysis.series import Point
from dbbench.commands.identity import COLUMNS as IDENTITY
from dbbench.errors import UsageError
from dbbench.plan import Placement
from dbbench.records import Problem, Run
from dbbench.reports import console, exporter, formats, report
from dbbench.reports.columns import NOTHING, ratio
from dbbench.reports.exported import exported
from dbbench.reports.markdown_text import escaped
from dbbench.reports.run import table
from dbbench.reports.run.csv import TABLES
from dbbench.reports.run.pyperf import suite
from dbbench.reports.run.remarks import UNKNOWN
from dbbench.reports.run.sentences import sentence

GOLDEN = Path(__file__).parents[2] / "golden"
EVIL = "[bold]x[/oops]|`y`<b>\x1b[2J\u202e@me"


def reported(format_: str, of: Run) -> str:
    return report("run", format_)(analyse(of))


def printed(
    of: Run, width: int, *, terminal: bool = False, encoding: str = "utf-8", result: str = "", details: bool = False
) -> str:
    raw = io.BytesIO()
    file = io.TextIOWrapper(raw, encoding=encoding, newline="\n")
    console = Console(file=file, width=width, force_terminal=terminal, legacy_windows=False)
    table.render(analyse(of), console, file=result, details=details)
    file.flush()
    return raw.getvalue().decode(encoding)


def evil_run() -> Run:
    """Make a run in which every text that somebody else may choose is hostile."""
    arms = ["psycopg", EVIL]
    made = plan([cell(EVIL, params={EVIL: EVIL})], arms)
    made = msgspec.structs.replace(made, placement=Placement("free", note=EVIL))
    measured = [
        explained(one, wait_us=150.0, loop_lag_ms=2.0, failures={EVIL: 3, "=1+1": 2})
        for one in measurements({"psycopg": 300.0, EVIL: 200.0}, errors=1)
    ]
    hostile = run(made, measured, [Problem("errors", EVIL, EVIL)], warnings=[EVIL])
    header = msgspec.structs.replace(
        hostile.header, id=EVIL, started=EVIL, server={"version": EVIL}, drivers={EVIL: {EVIL: EVIL}}
    )
    return msgspec.structs.replace(hostile, header=header)


# --- all -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("format_", "ending"), [("table", "txt"), ("csv", "csv"), ("markdown", "md"), ("json", "json")]
)
def test_the_output_is_the_golden_one(format_: str, ending: str) -> None:
    assert_golden(f"many_sided.{ending}", reported(format_, many_sided_run()))


@pytest.mark.parametrize(("name", "made"), [("layered", layered_run()), ("open_loop", open_loop_run())])
def test_the_detailed_output_is_the_golden_one(name: str, made: Run) -> None:
    assert_golden(f"{name}.txt", report("run", "table")(analyse(made), details=True))
    assert_golden(f"{name}.md", report("run", "markdown")(analyse(made), details=True))


def assert_golden(name: str, shown: str) -> None:
    path = GOLDEN / name
    if os.environ.get("UPDATE_GOLDEN"):
        path.write_text(shown, encoding="utf-8")

    assert shown == path.read_text(encoding="utf-8")


@pytest.mark.parametrize("format_", formats("run"))
def test_a_run_with_nothing_measured_can_be_shown(format_: str) -> None:
    assert reported(format_, run(measured=[], end=None))
    assert reported(format_, run(plan([]), []))


@pytest.mark.parametrize("format_", ["table", "markdown"])  # the others give data as it is
def test_no_control_character_reaches_people(format_: str) -> None:
    shown = report("run", format_)(analyse(evil_run()), details=True)

    assert EVIL.partition("\x1b")[0] in html.unescape(shown).replace("\\", "")
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e]", shown)


# --- CSV and JSON ----------------------------------------------------------------------------------------------------


def parsed(of: Run) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(reported("csv", of), newline="")))


def test_csv_has_a_line_for_every_row_and_only_plain_numbers() -> None:
    made = many_sided_run()
    for line, row in zip(parsed(made), analyse(made).rows, strict=True):
        for name in COLUMNS:
            value = getattr(row, name)
            if value is None:
                assert line[name] == ""
            elif isinstance(value, (int, float)):
                assert re.fullmatch(r"\d+(\.\d{1,4})?", line[name])
                assert float(line[name]) == pytest.approx(value, abs=0.0005)
            else:
                assert line[name] == value


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1))
def test_no_text_in_a_csv_is_a_formula(text: str) -> None:
    shown = parsed(run(plan([cell(text)]), []))[0]["scenario"]

    assert not shown.startswith(("=", "+", "-", "@", "\t", "\r"))
    assert shown.removeprefix("'") == text.removeprefix("'")


@pytest.mark.parametrize("formula", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", '=cmd|"/c calc"!A1'])
def test_a_formula_in_a_csv_is_shown_as_text(formula: str) -> None:
    assert parsed(run(plan([cell(formula)]), []))[0]["scenario"] == f"'{formula}"


def test_json_is_one_document_with_the_columns_of_the_csv() -> None:
    made = many_sided_run()
    document = json.loads(reported("json", made), parse_constant=pytest.fail)

    assert document["schema"] == 1
    assert [tuple(one) for one in document["cells"]] == [(*COLUMNS, *IDENTITY)] * 12
    assert document["run"]["status"] == "degraded"
    assert document["run"]["plan"]["baseline"] == "psycopg"
    assert [problem["kind"] for problem in document["run"]["problems"]] == ["operation", "not comparable", "errors"]
    for line, one in zip(parsed(made), document["cells"], strict=True):
        assert {name: value for name, value in one.items() if isinstance(value, str)}.items() <= line.items()
        assert all(float(line[name]) == value for name, value in one.items() if isinstance(value, int | float))


def test_json_of_an_incomplete_run_says_so() -> None:
    document = json.loads(reported("json", run(end=None, warnings=["torn"])))["run"]

    assert (document["status"], document["finished"], document["warnings"]) == ("incomplete", None, ["torn"])


ALL_TABLES: dict[str, tuple[type[msgspec.Struct], Callable[[Analysis], Sequence[msgspec.Struct]]]] = {
    "breakdown": (Breakdown, lambda analysis: analysis.breakdowns),
    "errors": (Failure, lambda analysis: analysis.failures),
    "layers": (LayerTax, lambda analysis: analysis.layer_tax),
    "series": (Point, lambda analysis: analysis.series),
}


@pytest.mark.parametrize("name", ALL_TABLES)
@pytest.mark.parametrize("made", [many_sided_run(), layered_run(), open_loop_run()])
def test_each_table_is_a_csv_and_a_part_of_the_json_document(name: str, made: Run) -> None:
    record, records = ALL_TABLES[name]
    ((_, shown),) = exporter("csv")(analyse(made), None, table=name)
    lines = list(csv.DictReader(io.StringIO(shown, newline="")))
    document = json.loads(reported("json", made), parse_constant=pytest.fail)
    if name == "series":  # long, and a document of its own
        assert name not in document
        ((_, own),) = exporter("json")(analyse(made), None, table=name)
        points = json.loads(own, parse_constant=pytest.fail)[name]
        document[name] = [{key: value for key, value in point.items() if key not in IDENTITY} for point in points]
    expected = [exported(one) for one in records(analyse(made))]

    assert shown.splitlines()[0] == ",".join([*record.__struct_fields__, *IDENTITY])
    assert document["layer_tax" if name == "layers" else name] == expected
    assert len(lines) == len(expected)
    for line, one in zip(lines, expected, strict=True):
        for column, value in one.items():
            shown_value = {True: "yes", False: "no"}[value] if isinstance(value, bool) else value
            assert (
                line[column] == shown_value
                if isinstance(shown_value, str)
                else float(line[column] or "nan")
                == pytest.approx(float("nan") if value is None else value, nan_ok=True)
            )


def test_the_cells_are_the_first_of_the_tables() -> None:
    made = many_sided_run()

    assert list(TABLES) == ["cells", *ALL_TABLES]
    assert exporter("csv")(analyse(made), None) == [(None, reported("csv", made))]


def test_no_code_in_the_csv_of_errors_is_a_formula() -> None:
    ((_, text),) = exporter("csv")(analyse(evil_run()), None, table="errors")
    lines = text.splitlines()

    assert sum(",'=1+1," in line for line in lines) == 2
    assert not any(",=" in line for line in lines)


# --- Markdown --------------------------------------------------------------------------------------------------------


def test_hostile_names_stay_inside_their_markdown_cell() -> None:
    lines = [line for line in reported("markdown", evil_run()).splitlines() if line.startswith("|")]

    assert len(lines) == 4
    assert {len(re.findall(r"(?<!\\)\|", line)) for line in lines} == {len(re.findall(r"\|", lines[0]))}


@given(st.text())
def test_escaped_markdown_is_one_inert_line(text: str) -> None:
    shown = escaped(text)

    assert len(shown.splitlines()) <= 1
    assert not re.search(r"[<>@]", shown)
    without_escapes = re.sub(r"\\[\\|`*~\[\]]", "", shown)
    assert not re.search(r"[\\|`*~\[\]]", without_escapes)


def test_hostile_codes_and_names_stay_inside_every_markdown_table() -> None:
    made = evil_run()
    layered = plan([cell(EVIL, layer="raw"), cell(EVIL)], ["psycopg", EVIL])
    header = msgspec.structs.replace(made.header, plan=layered)
    made = msgspec.structs.replace(made, header=header, measurements=[
        *made.measurements, *(msgspec.structs.replace(one, cell=1) for one in made.measurements)
    ])  # fmt: skip
    shown = report("run", "markdown")(analyse(made), details=True)

    assert shown.count("where the time goes") == 2
    assert shown.count("what the layers add") == 1
    for block in re.split("\n\n+", shown):
        lines = [line for line in block.splitlines() if line.startswith("|")]
        assert len({len(re.findall(r"(?<!\\)\|", line)) for line in lines}) <= 1
    assert not re.search(r"[<>@]", shown)


# --- table -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("width", [80, 100, 200])
def test_the_table_fits_and_no_number_is_cut(width: int) -> None:
    shown = printed(many_sided_run(), width, result="results/20261123T031500Z-3f9c2a.jsonl")

    assert max(cell_len(line.rstrip()) for line in shown.splitlines()) <= min(width, console.PROSE)
    assert "…" not in shown
    for number in ("2,501", "4,247", "41,478", "1,211", "53.4 (53.4-53.4)", "0.59 (0.58-0.60)", "1.03 (0.96-1.11)"):
        assert f" {number}" in shown


def test_the_tables_are_the_same_in_a_wide_terminal() -> None:
    narrow, wide = (
        [
            line.rstrip()
            for line in printed(many_sided_run(), width).splitlines()
            if re.match("  (psycopg|driver|──)", line)
        ]
        for width in (80, 200)
    )
    assert narrow[:4] == wide[:4]


def test_columns_move_together_before_a_name_has_to_wrap() -> None:
    made = run(
        plan([cell(rows=1000)], ["psycopg", "psycopg-sync"]),
        measurements({"psycopg": 1_012.0, "psycopg-sync": 20_240.0}, errors=12),
    )
    shown = printed(made, 80)

    assert "psycopg-sync" in shown
    assert max(cell_len(line.rstrip()) for line in shown.splitlines()) <= 80


def test_a_narrow_terminal_wraps_lines_and_loses_no_number() -> None:
    shown = printed(many_sided_run(), 40)

    assert "1.03 (0.96-1.11)" in shown
    assert "14,748" in shown


def test_a_long_name_wraps_in_its_column() -> None:
    long = "a_driver_with_a_name_that_is_longer_than_it_should_be"
    shown = printed(run(plan(arms=["psycopg", long]), measurements({"psycopg": 300.0, long: 200.0})), 80)

    assert max(cell_len(line.rstrip()) for line in shown.splitlines()) <= 80
    assert "0.67 (0.66-0.67)" in shown


def test_there_are_no_colours_without_a_terminal() -> None:
    assert "\x1b" not in printed(many_sided_run(), 80)


def test_faster_is_green_and_slower_is_red_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    lines = printed(many_sided_run(), 80, terminal=True).splitlines()

    assert any("\x1b[32m" in line and "4,247" in line for line in lines)
    assert any("\x1b[31m" in line and "17.90" in line for line in lines)


def test_no_color_is_respected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm-256color")

    assert not re.search("\x1b\\[[0-9;]*3[0-7]", printed(many_sided_run(), 80, terminal=True))


def test_markup_in_names_is_shown_as_it_is() -> None:
    shown = printed(evil_run(), 200, terminal=True)

    assert "[bold]x[/oops]|`y`<b>[2J@me" in shown
    assert set(re.findall("\x1b[^m]*m?", shown)) <= set(re.findall("\x1b\\[[0-9;]*m", shown))


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "latin-1"])
def test_a_terminal_without_unicode_gets_plain_letters(encoding: str) -> None:
    shown = printed(many_sided_run(), 80, encoding=encoding)

    assert shown.isascii()
    assert " us " in shown
    assert "?" not in shown


def test_the_footer_names_the_conditions_and_the_file() -> None:
    shown = printed(many_sided_run(), 100, result="results/x.jsonl")

    for fact in (
        "PostgreSQL 18.4, unix socket",
        "psycopg 3.3.9, asyncpg 0.32.0, psycopg2 2.9.13",
        "split: client on CPU 0, server on CPU 1",
        "pool 5+10, checkout per request, tx-end rollback, loop asyncio",
        "3f9c2a, 2026-11-23 03:15 UTC, 12 blocks (4 to 12 of each cell), 58 s, seed 7, degraded",
        "results/x.jsonl",
        "closed loop",
        "6 of 114 operations failed",
    ):
        assert fact in shown


def test_a_thousand_problems_do_not_bury_the_table() -> None:
    problems = [Problem("errors", f"number {number} " + "x" * 10_000) for number in range(1000)]
    shown = printed(run(problems=problems), 80)

    assert "number 19 " in shown
    assert "number 20 " not in shown
    assert "980 more problems are in the result file" in shown
    assert len(shown) < 20_000


def test_the_footer_says_what_an_open_loop_is() -> None:
    shown = " ".join(printed(open_loop_run(), 100).split())

    assert "open loop: 1,200 operations per second due (poisson), latency is response time, " in shown
    assert "response time, from when the operation was due" in shown
    assert '"time vs psycopg" compares mean latency, since the pace is set' in shown
    assert "closed loop" not in shown


@pytest.mark.parametrize(("seconds", "pause"), [(0.01, "10 ms"), (1.5, "1.5 s"), (0.0005, "0.5 ms")])
def test_the_footer_says_how_long_sessions_pause(seconds: float, pause: str) -> None:
    shown = " ".join(printed(run(changed(plan(), think_s=seconds)), 100).split())

    assert f"p99 are optimistic; a session pauses {pause} after each operation" in shown
    assert "compares mean latency" in shown


def test_the_footer_says_for_what_intervals_hold_where_there_are_any() -> None:
    few = run(measured=measurements({"psycopg": 300.0, "asyncpg": 200.0}, blocks=3))

    assert "intervals hold for the whole table at once (95%)" in printed(run(), 80)
    assert "intervals hold" not in printed(few, 80)


# --- below the sentence ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("made", [layered_run(), open_loop_run(), many_sided_run()])
def test_every_table_fits_eighty_columns(made: Run) -> None:
    assert max(cell_len(line.rstrip()) for line in printed(made, 80, details=True).splitlines()) <= 80


def test_the_tables_of_twelve_letters_fit_eighty_columns_too() -> None:
    arms = {"psycopg-sync": "psycopg", "asyncpg": "asyncpg"}
    for made in (layered_run(), open_loop_run()):
        named = json.loads(msgspec.json.encode(made).replace(b'"psycopg"', b'"psycopg-sync"'))
        renamed = msgspec.convert(named, Run, str_keys=True)
        shown = printed(renamed, 80, details=True)

        assert arms.keys() & set(shown.split()) == arms.keys()
        assert max(cell_len(line.rstrip()) for line in shown.splitlines()) <= 80


def test_a_long_maximum_widens_no_table_beyond_eighty_columns() -> None:
    made = open_loop_run()
    slow = [msgspec.structs.replace(one, max_ns=2_345_678_000) for one in made.measurements]
    shown = printed(msgspec.structs.replace(made, measurements=slow), 80)

    assert " 2,346 " in shown
    assert max(cell_len(line.rstrip()) for line in shown.splitlines()) <= 80


def test_loop_lag_below_a_millisecond_is_not_told_more_exactly() -> None:
    for lag_ms, expected in ((0.2, "<1 ms"), (12.0, "17 ms")):
        one = explained(measurement("psycopg", 300.0), loop_lag_ms=lag_ms)

        assert expected in printed(run(plan(arms=["psycopg"]), [one]), 80, details=True)


def test_few_connects_do_not_look_like_none() -> None:
    one = explained(measurement("psycopg", 300.0, rounds=1, operations=100_000), connects=1)
    shown = printed(run(plan(arms=["psycopg"]), [one]), 80, details=True)

    assert re.search(r" 0\.1  +64\.0", shown)


def test_details_are_shown_when_they_are_asked_for() -> None:
    made = layered_run()

    assert "where the time goes" not in printed(made, 80)
    assert printed(made, 80, details=True).count("where the time goes") == 3


def test_an_older_file_says_that_it_has_no_details() -> None:
    flat = " ".join(printed(run(), 80, details=True).split())

    assert UNKNOWN in flat
    assert UNKNOWN not in " ".join(printed(run(), 80).split())
    assert UNKNOWN not in printed(run(measured=[], end=None), 200, details=True)


def waits(**shares: float) -> Run:
    """A run in which connections are waited for as long as a share of 300 us."""
    return run(
        plan(arms=list(shares)),
        [explained(one, wait_us=300 * shares[one.arm]) for one in measurements(dict.fromkeys(shares, 300.0), noise=0)],
    )


def test_a_wait_for_connections_is_said_of_those_who_wait_long() -> None:
    shown = " ".join(printed(waits(psycopg=0.7, asyncpg=0.05, psycopg2=0.25), 200).split())

    assert re.search(
        r"Waiting for a connection takes 2\d\d of psycopg's 29\d µs \(p50\) and 7\d\.\d of psycopg2's", shown
    )
    assert "asyncpg's" not in shown


def test_a_short_wait_for_connections_is_not_worth_a_line() -> None:
    assert "Waiting" not in printed(waits(psycopg=0.15, asyncpg=0.01), 80)


def codes(failures: dict[str, int], errors: int) -> str:
    one = explained(measurement("psycopg", 300.0, rounds=1, operations=1000, errors=errors), failures=failures)
    shown = " ".join(printed(run(plan(arms=["psycopg"]), [one]), 100).split())
    return shown[shown.find("psycopg: ") : shown.find(" server PostgreSQL")]


def test_what_failed_is_said_by_code_with_its_meaning() -> None:
    assert codes({"23505": 2, "40001": 10, "TimeoutError": 1}, 13) == (
        "psycopg: 13 of 1,013 operations failed: 40001 transaction rollback (10), "
        "23505 integrity constraint violation (2), TimeoutError (1)"
    )


def test_errors_of_an_older_file_are_said_without_codes() -> None:
    assert codes({}, 13) == "psycopg: 13 of 1,013 operations failed"


def test_many_or_long_codes_do_not_bury_the_table() -> None:
    shown = codes({f"E{number}" + "x" * 10_000: 1 for number in range(900)}, 900)

    assert shown.count("x…") == 5
    assert shown.endswith("other (895)")
    assert len(shown) < 500


def test_an_open_loop_shows_service_beside_response_and_what_never_began() -> None:
    shown = printed(open_loop_run(), 80)

    assert "open loop · times in ms" in shown
    assert re.search(r"psycopg2 +1,200 +41\.29 +57\.28 +57\.54 +57\.56 +0\.36 +0\.50 +55\.71 +672\n", shown)
    assert "open loop · " not in printed(layered_run(), 80)


def test_layers_that_were_not_measured_add_nothing_to_the_table() -> None:
    made = layered_run()
    raw = msgspec.structs.replace(made, measurements=[one for one in made.measurements if one.cell == 2])
    part = [one for one in made.measurements if one.cell == 2 or (one.cell == 0 and one.arm == "asyncpg")]
    shown = printed(msgspec.structs.replace(made, measurements=part), 80)

    assert "what the layers add" not in printed(raw, 80)
    assert re.search(rf"psycopg +122\.2 +{NOTHING} +{NOTHING}\n", shown)
    assert re.search(rf"asyncpg +67\.7 +{NOTHING} +\+168 \(x3\.48\)", shown)


# --- sentences -------------------------------------------------------------------------------------------------------


def sentences(of: Run) -> list[str]:
    return [sentence(of, of_cell.rows) for of_cell in analyse(of).cells]


def said(means: dict[str, float], blocks: int = 12, noise: float = 0.01) -> str:
    return sentences(run(plan(arms=list(means)), measurements(means, blocks=blocks, noise=noise)))[0]


def test_less_time_is_said_in_per_cent_with_the_interval() -> None:
    assert re.fullmatch(
        r"asyncpg needs 50% less time per operation than psycopg \(4\d% to 5\d%\)\.",
        said({"psycopg": 200.0, "asyncpg": 100.0}, noise=0.05),
    )


def test_a_narrow_interval_gets_a_decimal() -> None:
    assert said({"psycopg": 200.0, "asyncpg": 190.0}, noise=0.001) == (
        "asyncpg needs 5.0% less time per operation than psycopg (4.9% to 5.1%)."
    )


def test_more_time_is_more_and_a_multiple_from_two_on() -> None:
    assert said({"psycopg": 100.0, "psycopg2": 130.0, "slow": 350.0}, noise=0) == (
        "psycopg2 needs 30.0% more time per operation than psycopg (30.0% to 30.0%); "
        "slow needs 3.50 times as much (3.50 to 3.50)."
    )


def test_ties_are_said_together() -> None:
    assert (
        said({"psycopg": 100.0, "asyncpg": 100.1, "psycopg2": 99.9})
        == "asyncpg and psycopg2 tie with psycopg within 3%."
    )


def test_too_few_blocks_are_said_with_the_way_out() -> None:
    means = {"psycopg": 100.0, "asyncpg": 50.0}

    assert said(means, blocks=4) == (
        "Undecided after 4 blocks: an interval needs at least 6 blocks; --blocks 6 gives them."
    )
    fixed = run(plan(arms=list(means), blocks=1), measurements(means, blocks=1))
    assert sentences(fixed) == ["Undecided after 1 block: an interval needs at least 6 blocks; --blocks 6 gives them."]


def test_an_interval_needs_more_blocks_the_more_is_compared() -> None:
    means = {"psycopg": 100.0, "asyncpg": 50.0}
    many = run(plan([cell(str(number)) for number in range(30)], blocks=2), measurements(means, blocks=2))

    assert sentences(many)[0] == (
        "asyncpg is undecided after 2 blocks (an interval needs at least 12 blocks; --blocks 12 gives them); "
        "psycopg2 could not be measured (see below)."
    )


def test_a_difference_may_be_known_before_its_interval() -> None:
    means = {"psycopg": 100.0, "asyncpg": 84.0, "slow": 350.0}
    early = run(plan(arms=list(means)), measurements(means, blocks=6))
    group = analyse(early).rows

    assert [ratio(row) for row in group] == ["baseline", "0.84 (faster)", "3.49 (slower)"]
    assert sentence(early, group) == (
        "asyncpg needs about 16% less time per operation than psycopg; slow needs about 3.5 times as much; "
        "how much exactly is not known (an interval needs at least 7 blocks; --blocks 7 gives them)."
    )


def test_what_an_interval_needs_is_said_once() -> None:
    means = {"psycopg": 100.0, "asyncpg": 84.0, "psycopg2": 100.1}

    assert said(means, blocks=6) == (
        "asyncpg needs about 16% less time per operation than psycopg; "
        "psycopg2 is undecided after 6 blocks (an interval needs at least 7 blocks; --blocks 7 gives them)."
    )


def test_a_verdict_without_an_interval_says_what_it_rests_on() -> None:
    few = run(measured=measurements({"psycopg": 100.0, "asyncpg": 84.0, "psycopg2": 350.0}, blocks=6))

    assert "(faster)" in printed(few, 80)
    assert "sign-flip test of the whole table (95%) tells the direction" in " ".join(printed(few, 80).split())
    assert "sign-flip" not in printed(run(), 80)


def test_a_precision_needs_a_longer_budget_for_an_interval() -> None:
    means = {"psycopg": 100.0, "asyncpg": 50.0}
    made = changed(plan(arms=list(means)), precision=0.02, budget_s=900.0)

    assert sentences(run(made, measurements(means, blocks=4))) == [
        "Undecided after 4 blocks: an interval needs at least 6 blocks; --budget 90 should give them."
    ]


def test_an_arm_that_was_lost_early_is_not_advised_to_measure_what_was_measured() -> None:
    lost = [
        one
        for one in measurements({"psycopg": 100.0, "asyncpg": 50.0, "psycopg2": 50.0})
        if one.block < 4 or one.arm != "asyncpg"
    ]

    assert sentences(run(measured=lost))[0].endswith(
        "asyncpg is undecided after 4 blocks (an interval needs at least 7 blocks)."
    )


def test_a_single_driver_has_nothing_to_be_compared_with() -> None:
    assert said({"asyncpg": 50.0}) == "Only asyncpg was asked for: there is nothing to compare it with."


def failing(*problems: Problem) -> Run:
    """Two cells, in the first of which nothing could be measured."""
    return run(
        plan([cell("broken"), cell()]),
        measurements({"psycopg": 300.0, "asyncpg": 200.0, "psycopg2": 300.0}, cell=1),
        list(problems),
    )


@pytest.mark.parametrize(
    ("problems", "expected"),
    [
        (
            [Problem("operation", "no such table", "broken", 0, arm) for arm in ("psycopg", "asyncpg", "psycopg2")],
            ["No driver could be measured: no such table"],
        ),
        (
            [
                Problem("operation", "no such table", "broken", 0, "psycopg"),
                Problem("operation", "undefined table", "broken", 0, "asyncpg"),
                Problem("operation", "no such table", "broken", 0, "psycopg2"),
            ],
            [
                "psycopg and psycopg2 could not be measured: no such table",
                "asyncpg could not be measured: undefined table",
            ],
        ),
        ([Problem("scenario", "prepare failed", "broken")], ["No driver could be measured: prepare failed"]),
        ([], ["No driver could be measured"]),
    ],
)
def test_a_cell_that_fails_for_everybody_is_its_reasons_alone(problems: list[Problem], expected: list[str]) -> None:
    made = failing(*problems, Problem("errors", "6 failed", "point_reads", 1, "asyncpg"))
    text, markdown = reported("table", made), reported("markdown", made)
    above, _, below = text.partition("point_reads")

    assert [line.strip() for line in above.splitlines() if line] == [
        "broken · orm · 8 sessions · rows=10000",
        *expected,
    ]
    assert "ops/s" in below
    assert "6 failed" in below
    assert markdown.partition("### point")[0].count("|") == 0
    for problem in problems:
        assert text.count(problem.message) == above.count(problem.message)


def test_a_run_of_which_nothing_could_be_measured_has_no_notes_on_numbers() -> None:
    made = run(plan([cell()], ["psycopg"]), [], [Problem("operation", "no such table", "point_reads", 0, "psycopg")])
    text = reported("table", made)

    assert "psycopg could not be measured: no such table\n\nserver" in text
    assert "closed loop" not in text
    assert "problem" not in text


def test_a_baseline_that_failed_is_named() -> None:
    assert sentences(run(measured=measurements({"asyncpg": 50.0}))) == [
        "psycopg, the baseline, was not measured here: nothing is compared with it."
    ]


def test_different_results_are_said_before_any_number() -> None:
    assert sentences(run(problems=[Problem("not comparable", "values differ", cell=0)])) == [
        "The drivers did not return the same: nothing is compared (see below)."
    ]


# --- pyperf ----------------------------------------------------------------------------------------------------------


def test_pyperf_runs_are_blocks_and_values_are_seconds_per_operation() -> None:
    made = run()
    benchmark = suite(made, "asyncpg").get_benchmarks()[0]
    first = next(one for one in made.measurements if one.arm == "asyncpg")

    assert benchmark.get_nrun() == 12
    assert benchmark.get_runs()[0].values == pytest.approx(
        [part.usage.elapsed_ns / part.usage.operations / 1e9 for part in first.slices]
    )
    assert benchmark.get_unit() == "second"
    assert benchmark.get_loops() == builders.OPERATIONS


def test_pyperf_gets_equally_many_values_of_all_arms() -> None:
    measured = [
        msgspec.structs.replace(one, slices=one.slices[: 5 if one.block else 8]) if one.arm == "asyncpg" else one
        for one in measurements({"psycopg": 300.0, "asyncpg": 200.0})
        if not (one.arm == "psycopg" and one.block == 11)
    ]
    made = run(measured=measured)

    assert suite(made, "psycopg").get_benchmarks()[0].get_nvalue() == 8 + 10 * 5
    assert suite(made, "asyncpg").get_benchmarks()[0].get_nvalue() == 8 + 10 * 5


def test_pyperf_gets_every_value_of_arms_that_share_no_round() -> None:
    measured = [
        one for one in measurements({"psycopg": 300.0, "asyncpg": 200.0}) if (one.arm == "psycopg") == (one.block < 6)
    ]
    made = run(measured=measured)

    assert {one.get_nvalue() for one in suite(made, None).get_benchmarks()} == {48}


def test_pyperf_metadata_names_the_run_and_nobody() -> None:
    made = run()
    private = {
        "hostname": "h",
        "user": "u",
        "python_executable": "/home/u/python",
        "loops": 7,
        "tags": ["x"],
        "duration": -1.0,
    }
    machine = {**made.header.environment["machine"], **private, "nothing": None, "two lines": "a\nb", "list": [1]}
    header = msgspec.structs.replace(made.header, environment={**made.header.environment, "machine": machine})

    metadata = suite(msgspec.structs.replace(made, header=header), "asyncpg").get_benchmarks()[0].get_metadata()

    assert not {"hostname", "user", "python_executable", "duration", "nothing", "two lines", "list"} & metadata.keys()
    assert metadata["tags"] == ["orm"]
    assert metadata["cpu_count"] == 2
    assert metadata["dbbench_run"] == "3f9c2a"
    assert metadata["sqlalchemy_version"] == "2.1.9"
    assert metadata["driver_results"] == "binary"


def test_pyperf_names_cells_by_parameters_where_nothing_else_differs() -> None:
    made = run(
        plan([cell(params={"rows": 1}), cell(params={"rows": 2}), cell("other")], ["psycopg"]),
        [one for index in range(3) for one in measurements({"psycopg": 300.0}, cell=index)],
    )

    assert suite(made, "psycopg").get_benchmark_names() == [
        "point_reads[orm,sessions=8,rows=1]",
        "point_reads[orm,sessions=8,rows=2]",
        "other[orm,sessions=8]",
    ]


def test_pyperf_keeps_two_cells_apart_that_are_wholly_alike() -> None:
    made = run(
        plan([cell(), cell()], ["psycopg"]),
        [one for index in range(2) for one in measurements({"psycopg": 300.0}, cell=index)],
    )

    assert len(set(suite(made, "psycopg").get_benchmark_names())) == 2


@pytest.mark.parametrize("arm", ["asyncpg", None])
def test_pyperf_of_a_run_without_values_is_a_usage_error(arm: str | None) -> None:
    with pytest.raises(UsageError, match="nothing to export"):
        suite(run(measured=[]), arm)


def test_pyperf_of_an_arm_that_was_not_there_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match="pg8000 was not part of this run, which has psycopg, asyncpg, psycopg2"):
        suite(run(), "pg8000")


def test_pyperf_takes_hostile_names() -> None:
    made = evil_run()

    assert len(suite(made, None).get_benchmark_names()) == 2
