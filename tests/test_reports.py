"""What reports show: golden outputs, hostile names, and pyperf itself reading what is exported.

UPDATE_GOLDEN=1 pytest tests/test_reports.py writes tests/golden anew; look at the difference before committing it.
"""

import csv
import io
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import builders
import msgspec
import pytest
from builders import cell, many_sided_run, measurements, plan, run
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console

from dbbench.compare import COLUMNS, groups, rows
from dbbench.errors import UsageError
from dbbench.plan import Placement
from dbbench.records import Problem, Run
from dbbench.reports import REPORTS, table
from dbbench.reports.markdown import escaped
from dbbench.reports.pyperf import suite, text
from dbbench.reports.sentences import sentence

GOLDEN = Path(__file__).parent / "golden"
EVIL = "[bold]x[/oops]|`y`<b>\x1b[2J\u202e@me"


def reported(format_: str, of: Run) -> str:
    return REPORTS[format_](of, rows(of))


def printed(of: Run, width: int, *, terminal: bool = False, encoding: str = "utf-8", result: str = "") -> str:
    raw = io.BytesIO()
    file = io.TextIOWrapper(raw, encoding=encoding, newline="\n")
    console = Console(file=file, width=width, force_terminal=terminal, legacy_windows=False)
    table.render(of, rows(of), console, result)
    file.flush()
    return raw.getvalue().decode(encoding)


def evil_run() -> Run:
    """Make a run in which every text that somebody else may choose is hostile."""
    arms = ["psycopg", EVIL]
    made = plan([cell(EVIL, params={EVIL: EVIL})], arms)
    made = msgspec.structs.replace(made, placement=Placement("free", note=EVIL))
    hostile = run(made, measurements({"psycopg": 300.0, EVIL: 200.0}), [Problem("errors", EVIL, EVIL)], warnings=[EVIL])
    header = msgspec.structs.replace(
        hostile.header, id=EVIL, started=EVIL, server={"version": EVIL}, drivers={EVIL: {EVIL: EVIL}}
    )
    return msgspec.structs.replace(hostile, header=header)


# --- all -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("format_", "ending"), [("table", "txt"), ("csv", "csv"), ("markdown", "md"), ("json", "json")]
)
def test_the_output_is_the_golden_one(format_: str, ending: str) -> None:
    path = GOLDEN / f"many_sided.{ending}"
    shown = reported(format_, many_sided_run())
    if os.environ.get("UPDATE_GOLDEN"):
        path.write_text(shown, encoding="utf-8")

    assert shown == path.read_text(encoding="utf-8")


@pytest.mark.parametrize("format_", [name for name in REPORTS if name != "pyperf"])
def test_a_run_with_nothing_measured_can_be_shown(format_: str) -> None:
    assert reported(format_, run(measured=[], end=None))
    assert reported(format_, run(plan([]), []))


@pytest.mark.parametrize("format_", ["table", "markdown"])  # the others give data as it is
def test_no_control_character_reaches_people(format_: str) -> None:
    shown = reported(format_, evil_run())

    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e]", shown)


def test_csv_loads_neither_rich_nor_pyperf() -> None:
    code = (
        "import sys, builders; from dbbench.compare import rows; from dbbench.reports import REPORTS\n"
        "run = builders.run(); REPORTS['csv'](run, rows(run)); REPORTS['json'](run, rows(run))\n"
        "print([name for name in ('rich', 'pyperf', 'sqlalchemy', 'asyncpg', 'psycopg') if name in sys.modules])"
    )
    done = python("-c", code, cwd=Path(builders.__file__).parent)

    assert done.stdout == "[]\n"


def python(*arguments: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    path = str(Path(__file__).parent.parent)
    return subprocess.run(
        [sys.executable, *arguments],
        env={**os.environ, "PYTHONPATH": path, "PYTHONIOENCODING": "utf-8"},
        cwd=cwd,
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=True,
    )


# --- CSV and JSON ----------------------------------------------------------------------------------------------------


def parsed(of: Run) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(reported("csv", of), newline="")))


def test_csv_has_a_line_for_every_row_and_only_plain_numbers() -> None:
    made = many_sided_run()
    for line, row in zip(parsed(made), rows(made), strict=True):
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
    assert [tuple(one) for one in document["cells"]] == [COLUMNS] * 12
    assert document["run"]["status"] == "degraded"
    assert document["run"]["plan"]["baseline"] == "psycopg"
    assert [problem["kind"] for problem in document["run"]["problems"]] == ["operation", "not comparable", "errors"]
    for line, one in zip(parsed(made), document["cells"], strict=True):
        assert {name: value for name, value in one.items() if isinstance(value, str)}.items() <= line.items()
        assert all(float(line[name]) == value for name, value in one.items() if isinstance(value, int | float))


def test_json_of_an_incomplete_run_says_so() -> None:
    document = json.loads(reported("json", run(end=None, warnings=["torn"])))["run"]

    assert (document["status"], document["finished"], document["warnings"]) == ("incomplete", None, ["torn"])


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


# --- table -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("width", [80, 100, 200])
def test_the_table_fits_and_no_number_is_cut(width: int) -> None:
    shown = printed(many_sided_run(), width, result="results/20261123T031500Z-3f9c2a.jsonl")

    assert max(cell_len(line.rstrip()) for line in shown.splitlines()) <= min(width, table.PROSE)
    assert "…" not in shown
    for number in ("2,501", "4,247", "41,478", "1,211", "53.4 (53.4-53.4)", "0.59 (0.59-0.59)", "1.03 (0.99-1.08)"):
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

    assert "1.03 (0.99-1.08)" in shown
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
        "3f9c2a, 2026-11-23 03:15 UTC, 12 blocks, 58 s, seed 7, degraded",
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


# --- sentences -------------------------------------------------------------------------------------------------------


def sentences(of: Run) -> list[str]:
    return [sentence(of, group) for _, group in groups(of, rows(of))]


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

    assert said(means, blocks=4) == "Undecided after 4 blocks: an interval needs at least 6; --budget 90 gives them."
    fixed = run(plan(arms=list(means), blocks=1), measurements(means, blocks=1))
    assert sentences(fixed) == ["Undecided after 1 block: an interval needs at least 6; --blocks 6 gives them."]


def test_a_single_driver_has_nothing_to_be_compared_with() -> None:
    assert said({"asyncpg": 50.0}) == "Only asyncpg was asked for: there is nothing to compare it with."


def test_a_baseline_that_failed_is_named() -> None:
    assert sentences(run(measured=measurements({"asyncpg": 50.0}))) == [
        "psycopg, the baseline, was not measured here: nothing is compared with it."
    ]


def test_different_results_are_said_before_any_number() -> None:
    assert sentences(run(problems=[Problem("not comparable", "values differ", cell=0)])) == [
        "The drivers did not return the same: nothing is compared (see below)."
    ]


# --- pyperf ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def suites(tmp_path: Path) -> dict[str, str]:
    """Files of each arm's suite, and of all arms in one."""
    made = many_sided_run()
    paths = {}
    for arm in (*builders.DRIVERS, None):
        path = tmp_path / f"{arm or 'all'}.json"
        path.write_text(text(suite(made, arm)), encoding="utf-8")
        paths[arm or "all"] = str(path)
    return paths


def test_pyperf_reads_the_suites(suites: dict[str, str]) -> None:
    stats = python("-m", "pyperf", "stats", suites["asyncpg"]).stdout

    assert "point_reads[orm,sessions=8]" in stats
    assert "bulk_inserts[core,sessions=1]" in stats
    assert "/asyncpg" not in stats
    assert "Number of run with values: 12" in stats


def test_pyperf_compares_two_arms(suites: dict[str, str]) -> None:
    done = python("-m", "pyperf", "compare_to", "-v", suites["psycopg"], suites["asyncpg"])

    assert re.search(r"point_reads\[orm,sessions=8\].*1\.70x faster", done.stdout.replace("\n", " "))
    assert "ERROR" not in done.stdout + done.stderr


def test_pyperf_compares_all_arms_of_two_runs(suites: dict[str, str]) -> None:
    done = python("-m", "pyperf", "compare_to", "--table", suites["all"], suites["all"])

    assert "Benchmarks with tag 'asyncpg'" in done.stdout
    assert "point_reads[orm,sessions=8]/asyncpg" in python("-m", "pyperf", "stats", suites["all"]).stdout
    assert "ERROR" not in done.stdout + done.stderr


def test_pyperf_runs_are_blocks_and_values_are_seconds_per_operation() -> None:
    made = run()
    benchmark = suite(made, "asyncpg").get_benchmarks()[0]
    first = next(one for one in made.measurements if one.arm == "asyncpg")

    assert benchmark.get_nrun() == 12
    assert benchmark.get_runs()[0].values == pytest.approx(
        [part.elapsed_ns / part.operations / 1e9 for part in first.slices]
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
