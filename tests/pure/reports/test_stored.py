"""Result files of capacity, wire, gate --wire and selfcheck: what is printed of them, and files that are none."""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import builders
import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from dbbench import result_file
from dbbench.cli.app import app
from dbbench.errors import ExitCode, UsageError
from dbbench.plan import Gate
from dbbench.records import (
    TRACE_LINES,
    Bounds,
    End,
    Exchange,
    Header,
    NoiseFloor,
    Overhead,
    Pgbench,
    Problem,
    Record,
    SearchHeader,
    SelfCheckHeader,
    Sensitivity,
    TraceLine,
    Trial,
    WireHeader,
    WireRow,
    clean,
)
from dbbench.reports import exportable, report
from dbbench.reports.stored import shown
from dbbench.result_writer import Writer

END = End("complete", "2026-11-23T03:16:01+00:00", 58.2)
KNOWN: dict[str, Any] = msgspec.structs.asdict(builders.header())
SEARCH = SearchHeader(**KNOWN, objective="p99 < 10 ms", bounds=Bounds(1.0, 100_000.0, 0.05))
WIRE = WireHeader(**KNOWN)
WITH_TRACE = WireHeader(**KNOWN, traced=True)
SIDES = builders.plan(arms=["base", "head"])
GATE = WireHeader(**{**KNOWN, "plan": msgspec.structs.replace(SIDES, gate=Gate({}))})
CHECK = SelfCheckHeader(result_file.SCHEMA, "3f9c2a", "2026-11-23T03:15:00+00:00", "0.1.0", {"packages": {}}, 30.0)
EXCHANGED = Exchange(3, {"Query": 3}, {"ReadyForQuery": 3}, 98, 109, {"SELECT": 1}, 0)


def trial(arm: str, rate: float, *, held: bool) -> Trial:
    return Trial(arm, rate, held, 5000.0 if held else 30_000.0, 500, 0, 0)


def bracket(arm: str, rate: float) -> list[Trial]:
    """The trials of a search that has found what it looked for."""
    return [trial(arm, at, held=at == rate) for at in (rate, rate * 1.04, rate, rate * 1.04)]


TRIALS = [*bracket("psycopg", 400.0), *bracket("asyncpg", 848.528), trial("psycopg2", 300.0, held=True)]


def row(arm: str, round_trips: float = 3.0, **changes: Any) -> WireRow:
    made = WireRow(
        arm=arm,
        scenario="point_reads",
        layer="orm",
        params="rows=10000",
        driver=arm if arm not in ("base", "head") else "asyncpg",
        tx_end="rollback",
        operations=20,
        round_trips=round_trips,
        sent={"Query": round_trips},
        received={"ReadyForQuery": round_trips},
        bytes_sent=98.0,
        bytes_received=109.25,
        statements={"BEGIN": 1.0, "SELECT": round_trips - 2, "ROLLBACK": 1.0},
        prepares_per_100=0.0,
        spread=(3, 3),
        connect=EXCHANGED,
        connect_statements=["select pg_catalog.version()"],
        first=EXCHANGED,
    )
    return msgspec.structs.replace(made, **changes)


ROWS = [row("psycopg"), row("asyncpg", 4.0)]
TRACED = [row("asyncpg", trace=[TraceLine(True, "Query", 12, 1, "BEGIN"), TraceLine(False, "ReadyForQuery", 6, 1)])]
FINDINGS = [
    Overhead("psycopg", "raw", 1.01, 0.99, 1.03),
    NoiseFloor("split", 0.01, 0.0, 30.0, 20, 0.01, 0.05, 0.05, 0.04, 0.06),
    Sensitivity("split", 0.014, 60.0, 30),
    Pgbench("psycopg-sync", 23.9, 91.0, 2.72, 2.5, 2.9),
]
PROBLEM = Problem("operation", "raised KeyError: mine.py:12", "point_reads", 0, "psycopg2")
FILES: dict[str, tuple[Record, ...]] = {
    "capacity": (SEARCH, *TRIALS, PROBLEM, END),
    "wire": (WIRE, *ROWS, PROBLEM, END),
    "selfcheck": (CHECK, *FINDINGS, msgspec.structs.replace(PROBLEM, cell=None), END),
    "gate --wire": (GATE, row("base"), row("head", 4.0), END),
}


def write(path: Path, *records: Record) -> Path:
    with Writer.create(path) as writer:
        for record in records:
            writer.write(record)
    return path


def lines(*records: Record) -> bytes:
    return b"".join(msgspec.json.encode(record) + b"\n" for record in records)


def changed(record: Record, **fields: Any) -> bytes:
    return json.dumps({**json.loads(msgspec.json.encode(record)), **fields}).encode() + b"\n"


def dbbench(*arguments: str | Path) -> tuple[int, str, str]:
    done = CliRunner().invoke(app, [str(each) for each in arguments], env={"COLUMNS": "80", "NO_COLOR": "1"})
    return done.exit_code, done.stdout, done.stderr


# --- what is printed -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", FILES)
def test_show_and_export_have_the_formats_of_the_command(tmp_path: Path, command: str) -> None:
    path = write(tmp_path / "found.jsonl", *FILES[command])
    stored = shown(result_file.read_any(path))

    assert stored.command == command
    assert exportable(command)
    for format_ in exportable(command):
        made = report(command, format_)(stored.found)
        assert dbbench("show", path, "--format", format_) == (0, made, "")
        assert dbbench("export", path, "--format", format_) == (0, made, "")
        code, _, _ = dbbench("export", path, "--format", format_, "-o", tmp_path / format_)
        assert code == 0
        assert (tmp_path / format_).read_text(encoding="utf-8") == made


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ("capacity", ("asyncpg sustains 2.1 times psycopg's rate", "psycopg2 was left out", "9 trials", "complete")),
        ("wire", ("per operation", "at connect", "psycopg2: raised KeyError", "tx-end rollback")),
        ("selfcheck", ("harness overhead", "1.010 (0.990-1.030)", "272% (250% to 290%)", "raised KeyError")),
        ("gate --wire", ("FAIL: head does more than base in 1 place.",)),
    ],
)
def test_the_table_says_what_was_found(tmp_path: Path, command: str, expected: tuple[str, ...]) -> None:
    path = write(tmp_path / "found.jsonl", *FILES[command])
    code, stdout, stderr = dbbench("show", path)

    assert (code, stderr) == (0, "")
    for text in expected:
        assert text in stdout
    if command != "gate --wire":  # which is text for a log: no file, no width
        assert path.name in "".join(stdout.split())
        assert max(map(len, stdout.splitlines())) <= 80


def test_a_trace_is_printed_where_it_was_asked_for(tmp_path: Path) -> None:
    with_trace = dbbench("show", write(tmp_path / "with.jsonl", WITH_TRACE, *TRACED, END))[1]
    without = dbbench("show", write(tmp_path / "without.jsonl", WIRE, *TRACED, END))[1]

    assert "-> Query" in with_trace
    assert "->" not in without


def test_the_messages_that_a_trace_left_out_are_counted(tmp_path: Path) -> None:
    cut = [msgspec.structs.replace(TRACED[0], untraced=1234)]

    assert "1,234 more messages were not kept" in dbbench("show", write(tmp_path / "w.jsonl", WITH_TRACE, *cut, END))[1]


def test_the_longest_trace_fits_into_a_line_that_is_read(tmp_path: Path) -> None:
    detail = ('"\\' * 150)[:150]
    longest = row("asyncpg", trace=[TraceLine(True, "SASLInitialResponse", 10**6, 10**4, detail)] * TRACE_LINES)
    stored = result_file.read_any(write(tmp_path / "w.jsonl", WIRE, longest, END))

    assert shown(stored).found.rows == [longest]


def test_json_of_a_self_check_has_no_types_of_lines(tmp_path: Path) -> None:
    document = json.loads(dbbench("show", write(tmp_path / "c.jsonl", *FILES["selfcheck"]), "--format", "json")[1])

    assert document["harness_overhead"] == [
        {"driver": "psycopg", "layer": "raw", "ratio": 1.01, "low": 0.99, "high": 1.03, "sessions": 1}
    ]
    assert "type" not in document["pgbench"]
    assert (document["measured"], document["status"]) == (END.finished, "complete")


# --- what ended early ------------------------------------------------------------------------------------------------


def test_a_search_that_was_killed_says_what_is_known(tmp_path: Path) -> None:
    path = write(tmp_path / "killed.jsonl", SEARCH, *TRIALS[:2])
    with path.open("ab") as file:
        file.write(lines(TRIALS[2])[:40])
    code, stdout, _ = dbbench("show", path)

    assert code == 0
    assert "psycopg had held at 400/s and failed at 416/s when the search ended" in " ".join(stdout.split())
    assert "asyncpg was not tried before the search ended." in stdout
    assert "line 4 is torn and was dropped" in stdout
    assert "the run is incomplete" in stdout


@pytest.mark.parametrize(("header", "found"), [(WIRE, ROWS[0]), (CHECK, FINDINGS[0])])
def test_what_was_counted_or_checked_before_a_kill_is_shown(tmp_path: Path, header: Record, found: Record) -> None:
    code, stdout, stderr = dbbench("show", write(tmp_path / "killed.jsonl", header, found))

    assert code == 0
    assert "psycopg" in stdout
    assert "incomplete" in stdout
    assert "the run is incomplete: its file does not say how it ended" in stderr


@pytest.mark.parametrize(("header", "found"), [(SEARCH, TRIALS[0]), (WIRE, ROWS[0]), (CHECK, FINDINGS[0])])
def test_what_ended_it_early_is_said(tmp_path: Path, header: Record, found: Record) -> None:
    end = End("interrupted", END.finished, 3.0, "SIGINT")
    code, stdout, stderr = dbbench("show", write(tmp_path / "interrupted.jsonl", header, found, end))

    assert (code, stderr) == (0, "")
    assert "interrupted" in stdout
    assert "SIGINT" in stdout
    assert "do not trust" not in stdout, "of noise nothing is known yet"


@pytest.mark.parametrize("records", [[row("base"), row("head")], [row("base"), PROBLEM, END]])
def test_half_a_gate_has_no_verdict(tmp_path: Path, records: list[Record]) -> None:
    records = [msgspec.structs.replace(one, arm=None) if isinstance(one, Problem) else one for one in records]
    code, stdout, stderr = dbbench("show", write(tmp_path / "half.jsonl", GATE, *records))

    assert (code, stdout) == (ExitCode.DEGRADED, "")
    assert "there is no verdict" in stderr


# --- commands that take runs alone -----------------------------------------------------------------------------------


@pytest.mark.parametrize("command", FILES)
def test_compare_takes_runs_alone(tmp_path: Path, command: str) -> None:
    path = write(tmp_path / "found.jsonl", *FILES[command])
    code, stdout, stderr = dbbench("compare", path, path)

    assert (code, stdout) == (ExitCode.USAGE, "")
    name = command.removeprefix("gate --")
    assert f"is a result of dbbench {name}, not of a run or a gate" in " ".join(stderr.split())


def test_history_lists_runs_and_counts_what_else_there_is(tmp_path: Path) -> None:
    for number, command in enumerate(FILES):
        write(tmp_path / f"{number}.jsonl", *FILES[command])
    alone = dbbench("history", tmp_path)
    write(tmp_path / "run.jsonl", builders.header(), *builders.measurements({"psycopg": 300.0, "asyncpg": 200.0}), END)
    code, stdout, stderr = dbbench("history", tmp_path)

    assert alone[0] == ExitCode.USAGE
    assert "no result in" in alone[2]
    assert code == 0
    assert "3f9c2a" in stdout
    assert "not read" not in stdout
    assert stderr.count("\n") == 1
    assert "left out: 1 of capacity, 1 of selfcheck, 2 of wire; dbbench show prints them" in stderr


@pytest.mark.parametrize(
    ("command", "arguments", "formats"),
    [
        ("capacity", ("--format", "markdown"), "csv, json"),
        ("capacity", ("--format", "pyperf"), "csv, json"),
        ("capacity", ("--table", "breakdown"), "csv, json"),
        ("wire", ("--format", "junit"), "csv, json, markdown"),
        ("selfcheck", (), "json"),
        ("gate --wire", ("--format", "hgrm"), "csv, json, markdown"),
    ],
)
def test_export_names_the_formats_that_there_are(
    tmp_path: Path, command: str, arguments: tuple[str, ...], formats: str
) -> None:
    path = write(tmp_path / "found.jsonl", *FILES[command])
    code, stdout, stderr = dbbench("export", path, *arguments)

    assert (code, stdout) == (ExitCode.USAGE, "")
    assert f"a result of dbbench {command} can be exported as {formats}\n" in stderr


def test_show_refuses_a_format_that_the_command_does_not_have(tmp_path: Path) -> None:
    code, stdout, stderr = dbbench("show", write(tmp_path / "c.jsonl", *FILES["capacity"]), "--format", "markdown")

    assert (code, stdout) == (ExitCode.USAGE, "")
    assert "--format markdown: capacity has table, csv, json" in stderr


def test_show_without_a_name_takes_the_newest_of_any_kind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write(Path("results/20261123T031500Z-000000.jsonl"), builders.header(), END)
    write(Path("results/20261123T031600Z-000001.jsonl"), *FILES["gate --wire"])

    assert dbbench("show")[1].endswith("FAIL: head does more than base in 1 place.\n")


# --- files that are none ---------------------------------------------------------------------------------------------

TWO_CELLS = msgspec.to_builtins(builders.plan([builders.cell(), builders.cell("other")]))
NARROW = {"min_rate": 1.0, "max_rate": 10.0, "precision": 0.05, "max_trials": 2}
HOSTILE = {
    "objective": (changed(SEARCH, objective="p98 < 10 ms"), "line 1: Expected `str` matching regex"),
    "objective with commands": (changed(SEARCH, objective="p99 < 10 ms\x1b[2J"), "line 1: Expected `str` matching"),
    "no bounds": (changed(SEARCH, bounds=None), "line 1: Expected `object`, got `null`"),
    "endless search": (changed(SEARCH, bounds=NARROW | {"max_trials": 10**9}), "line 1: Expected `int` <= 1000"),
    "no precision": (changed(SEARCH, bounds=NARROW | {"precision": 0}), "line 1: Expected `float` > 0"),
    "two cells": (changed(SEARCH, plan=TWO_CELLS), "line 1: a search has one cell, not 2"),
    "no rate": (lines(SEARCH) + changed(TRIALS[0], rate=0), "line 2: Expected `float` >= "),
    "negative rate": (lines(SEARCH) + changed(TRIALS[0], rate=-5), "line 2: Expected `float` >= "),
    "huge rate": (lines(SEARCH) + changed(TRIALS[0], rate=1e300), "line 2: Expected `float` <= "),
    "unknown arm": (lines(SEARCH) + changed(TRIALS[0], arm="oracle"), "line 2: arm 'oracle' is not in the plan"),
    "truth": (lines(SEARCH) + changed(TRIALS[0], held="yes"), "line 2: Expected `bool`, got `str`"),
    "many trials": (
        changed(SEARCH, bounds=NARROW) + lines(*TRIALS[:3]),
        "line 4: there are more than 2 trials of psycopg",
    ),
    "row of a search": (lines(SEARCH, ROWS[0]), "line 2: a counts is no part of a result of dbbench capacity"),
    "measurement": (
        lines(WIRE, builders.measurement("asyncpg", 200.0)),
        "line 2: a measurement is no part of a result of dbbench wire",
    ),
    "trial of a run": (lines(builders.header(), TRIALS[0]), "line 2: a trial is no part of a result of dbbench run"),
    "second header": (lines(WIRE, CHECK), "line 2: a second run begins"),
    "after the end": (lines(CHECK, END, FINDINGS[0]), "line 3: the file goes on after its end"),
    "row of an unknown arm": (lines(WIRE) + changed(ROWS[0], arm="oracle"), "line 2: arm 'oracle' is not in the plan"),
    "many rows": (lines(WIRE) + lines(ROWS[0]) * 1001, "line 1002: there are more than 1,000 rows"),
    "spread": (lines(WIRE) + changed(ROWS[0], spread=[1]), "line 2: Expected `array` of length 2"),
    "negative bytes": (lines(WIRE) + changed(ROWS[0], bytes_sent=-1), "line 2: Expected `float` >= 0"),
    "layer": (lines(WIRE) + changed(ROWS[0], layer="x\x1b[2J"), "line 2: Invalid enum value 'x"),
    "trace": (lines(WIRE) + changed(ROWS[0], trace=[{"kind": "Query"}]), "line 2: Expected `array`, got `object`"),
    "endless trace": (
        lines(WIRE) + changed(ROWS[0], trace=[[True, "Query", 1, 1]] * (TRACE_LINES + 1)),
        "line 2: Expected `array` of length <= ",
    ),
    "findings": (lines(CHECK) + lines(FINDINGS[0]) * 1001, "line 1002: there are more than 1,000 findings"),
    "huge ratio": (lines(CHECK) + changed(FINDINGS[0], ratio=1e300), "line 2: Expected `float` <= "),
    "ratio in words": (lines(CHECK) + changed(FINDINGS[0], ratio="much"), "line 2: Expected `float`, got `str`"),
    "unknown header": (b'{"type":"doctor","schema":2}\n', "not a dbbench result file"),
    "header of schema 3": (changed(CHECK, schema=3), "has schema 3, this dbbench reads schemas 1 to 2"),
    "missing field": (b'{"type":"selfcheck","schema":2}\n', "line 1: Object missing required field"),
    "like-named arms": (
        changed(WIRE, plan=msgspec.to_builtins(builders.plan(arms=["psycopg", "psycopg"]))),
        "line 1: two arms have the same name",
    ),
}


@pytest.mark.parametrize(("content", "complaint"), HOSTILE.values(), ids=HOSTILE.keys())
def test_a_hostile_file_is_refused_in_one_line(tmp_path: Path, content: bytes, complaint: str) -> None:
    path = tmp_path / "hostile.jsonl"
    path.write_bytes(content)
    before = time.process_time()

    with pytest.raises(UsageError, match=complaint) as refused:
        result_file.read_any(path)

    assert time.process_time() - before < 1
    message = str(refused.value)
    assert message == clean(message)
    assert message.startswith(f"{path}: ")
    assert len(message) < len(str(path)) + 250


def test_an_objective_that_no_search_can_have_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "hostile.jsonl"
    path.write_bytes(changed(SEARCH, objective="p99 < 0 s"))
    code, stdout, stderr = dbbench("show", path)

    assert (code, stdout) == (ExitCode.USAGE, "")
    assert stderr.count("\n") == 1


def test_text_from_a_file_cannot_command_a_terminal(tmp_path: Path) -> None:
    evil = "\x1b]0;owned\x07\x1b[2J\x9b2J\u202egnp.exe"
    paths = [
        write(tmp_path / "wire.jsonl", WIRE, row("asyncpg", scenario=evil, params=evil, statements={evil: 1.0}), END),
        write(tmp_path / "check.jsonl", CHECK, Overhead(evil, "raw", 1.0, None, None), Problem("errors", evil), END),
        write(tmp_path / "search.jsonl", SEARCH, *TRIALS, Problem("errors", evil), END),
    ]
    for path in paths:
        code, stdout, _ = dbbench("show", path)
        assert code == 0
        assert "gnp.exe" in stdout
        assert not set(stdout) & set("\x1b\x07\x9b\u202e")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
EACH = [(records[0], record) for records in FILES.values() for record in records]


@given(st.sampled_from(EACH), st.data())
@settings(max_examples=150)
def test_any_value_in_any_field_is_printed_or_refused(
    tmp_path_factory: pytest.TempPathFactory, place: tuple[Record, Record], data: st.DataObject
) -> None:
    header, record = place
    field = data.draw(st.sampled_from(["type", *record.__struct_fields__]))
    path = tmp_path_factory.mktemp("found") / "found.jsonl"
    line = changed(record, **{field: data.draw(JSON)})
    path.write_bytes(line if record is header else lines(header) + line)
    code, _, stderr = dbbench("show", path)

    assert code in (ExitCode.OK, ExitCode.USAGE, ExitCode.DEGRADED), stderr
    assert not set(stderr) & set("\x1b\x07\x9b\u202e")


def test_only_a_run_is_read_as_one(tmp_path: Path) -> None:
    read: Callable[[Path], Any] = result_file.read
    run = write(tmp_path / "run.jsonl", builders.header(), END)

    assert type(read(run).header) is Header
    with pytest.raises(UsageError, match="is a result of dbbench selfcheck, not of a run or a gate"):
        read(write(tmp_path / "check.jsonl", CHECK, END))
