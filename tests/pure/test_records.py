"""Result files survive the round trip, a crash, and somebody's malice."""

import json
import os
import stat
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import builders
import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dbbench import result_file, result_lines, result_writer
from dbbench.errors import DbbenchError, ExitCode, UsageError
from dbbench.plan import Arm, Plan
from dbbench.records import MAX_BLOCKS, BreakEven, End, Header, Measurement, Problem, Record, Run, Slice, Usage, clean
from dbbench.result_file import default_path, new_id
from dbbench.result_writer import RefusedError, Writer
from dbbench.stats.histogram import MAX_BUCKET

HEADER = builders.header()
MEASURED = builders.measurement("asyncpg", 212.0)
END = End("complete", "2026-11-23T03:16:01Z", 58.2)


def write(path: Path, *written: Record) -> Path:
    with Writer.create(path) as writer:
        for record in written:
            writer.write(record)
    return path


def lines(*written: Record) -> bytes:
    return b"".join(msgspec.json.encode(record) + b"\n" for record in written)


def changed(record: Record, **fields: Any) -> bytes:
    """Encode the record as a line in which some fields are something else."""
    return json.dumps(msgspec.to_builtins(record, str_keys=True) | fields).encode() + b"\n"


# --- writing ---------------------------------------------------------------------------------------------------------


def test_what_was_written_is_read_back(tmp_path: Path) -> None:
    problem = Problem("operation", "raised KeyError: mine.py:12", "point_reads", 0, "psycopg2")

    path = write(tmp_path / "run.jsonl", HEADER, MEASURED, problem, END)

    assert result_file.read(path) == Run(HEADER, [MEASURED], [problem], END, [])


COUNTS = st.integers(0, 2**63 - 1)


@settings(max_examples=50)
@given(
    st.lists(st.builds(Slice, COUNTS, COUNTS, st.builds(Usage, COUNTS, COUNTS, COUNTS, COUNTS), COUNTS), max_size=5),
    st.dictionaries(st.integers(0, MAX_BUCKET), COUNTS, max_size=20),
    st.text(st.characters(exclude_categories=["Cs"])),
    COUNTS,
)
def test_any_record_is_read_back_except_for_control_characters(
    tmp_path_factory: pytest.TempPathFactory, slices: list[Slice], latency: dict[int, int], text: str, number: int
) -> None:
    measured = Measurement(number % MAX_BLOCKS, 0, "psycopg", slices, latency, number, number, {"pid": number})
    end = End("failed", "2026-11-23T03:16:01Z", 0.5, text)

    path = write(tmp_path_factory.mktemp("run") / "run.jsonl", HEADER, measured, end)

    assert result_file.read(path) == Run(HEADER, [measured], [], msgspec.structs.replace(end, reason=clean(text)), [])


NUMBERS = st.integers(-(2**70), 2**70) | st.integers(-1, 3)
FLOATS = st.floats() | st.sampled_from([0.0, 1.0])
TEXTS = st.text(st.characters(exclude_categories=[]), max_size=20) | st.sampled_from(
    ["psycopg", "asyncpg", "\x1b[2J", "\ud800", "x" * 20_000]
)
ANYTHING = st.recursive(
    st.none() | st.booleans() | NUMBERS | FLOATS | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=6,
)
ANY_USAGE = st.builds(Usage, NUMBERS, NUMBERS, NUMBERS, NUMBERS)
ANY_RECORD = st.one_of(
    st.builds(
        Measurement, NUMBERS, st.just(0), TEXTS, st.lists(st.builds(Slice, NUMBERS, NUMBERS, ANY_USAGE), max_size=2),
        st.dictionaries(NUMBERS, NUMBERS, max_size=2), NUMBERS, NUMBERS,
        failures=st.dictionaries(TEXTS, NUMBERS, max_size=2) | st.just({f"Error{n}": n for n in range(1_500)}),
    ),
    st.builds(Problem, st.sampled_from(["operation", "errors"]), TEXTS, TEXTS, st.none() | NUMBERS, st.none() | TEXTS),
    st.builds(BreakEven, NUMBERS, TEXTS, FLOATS, FLOATS, st.none() | FLOATS, st.none() | FLOATS),
    st.just(END),
)  # fmt: skip


@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(ANYTHING, TEXTS, st.lists(ANY_RECORD, max_size=4))
def test_whatever_the_writer_takes_is_read_again(
    tmp_path_factory: pytest.TempPathFactory, anything: Any, text: str, records: list[Record]
) -> None:
    """Texts and values may be cut; nothing that was taken may be missing."""
    path = tmp_path_factory.mktemp("run") / "run.jsonl"
    plan = builders.plan([builders.cell(params={"value": anything, text: text})])
    header = msgspec.structs.replace(builders.header(plan), environment={"x": anything}, server={text: anything})
    with Writer.create(path) as writer:
        writer.write(header)
        taken = [record for record in records if _takes(writer, record)]
    run = result_file.read(path)

    for kind, read in ((Measurement, run.measurements), (Problem, run.problems), (BreakEven, run.break_evens)):
        assert len(read) == sum(isinstance(each, kind) for each in taken)
    assert (run.end is not None) == any(isinstance(each, End) for each in taken)
    assert list(path.parent.iterdir()) == [path]


LARGE = {
    "text": "é" * 5_000_000,
    "texts": ["x" * 1_000] * 6_000,
    "many": {str(key): [key] * 100 for key in range(20_000)},
    "deep": json.loads("[" * 90 + "]" * 90),
    "huge": 2**70,
    "no number": float("nan"),
}


@pytest.mark.parametrize("value", LARGE.values(), ids=LARGE.keys())
def test_a_large_value_is_cut_to_what_a_file_takes(tmp_path: Path, value: Any) -> None:
    header = builders.header(builders.plan([builders.cell(params={"value": value, "rows": 7})]))

    read = result_file.read(write(tmp_path / "run.jsonl", header, MEASURED, END))

    assert read.header.plan.cells[0].params["rows"] == 7
    assert read.measurements == [MEASURED]


def test_what_was_cut_says_how_much_there_was(tmp_path: Path) -> None:
    params = {"text": "x" * 5_000_000, "list": list(range(20_000)), "dict": {str(key): key for key in range(20_000)}}
    header = builders.header(builders.plan([builders.cell(params=params)]))

    read = result_file.read(write(tmp_path / "run.jsonl", header)).header.plan.cells[0].params

    assert read["text"].endswith("xx… (5,000,000 characters)")
    assert read["list"][9_999:] == [9_999, "… (20,000 parts)"]
    assert (len(read["dict"]), read["dict"]["…"]) == (10_001, "(20,000 parts)")


def test_the_most_frequent_of_many_kinds_of_failures_keep_their_names(tmp_path: Path) -> None:
    many = msgspec.structs.replace(MEASURED, failures={f"Error{number}": number for number in range(1_500)})

    (read,) = result_file.read(write(tmp_path / "run.jsonl", HEADER, many)).measurements

    assert len(read.failures) == 1_000
    assert read.failures["Error1499"] == 1_499
    assert read.failures["others"] == sum(range(501))
    assert sum(read.failures.values()) == sum(many.failures.values())


@pytest.mark.parametrize(
    ("plan", "fault"),
    [
        (builders.plan([builders.cell(rows=-1)]), "a cell has a negative number of rows"),
        (builders.plan(arms=["x" * 101]), "the name of an arm has no or more than 100 characters"),
        (builders.plan([builders.cell()] * 334), "has more than 1,000 cells times arms"),
    ],
)
def test_a_plan_that_no_reader_takes_is_refused_before_anything_is_measured(
    tmp_path: Path, plan: Plan, fault: str
) -> None:
    with pytest.raises(UsageError, match=fault):
        write(tmp_path / "run.jsonl", builders.header(plan))
    assert list(tmp_path.iterdir()) == []


def test_a_file_takes_no_more_than_a_reader(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(result_writer, "MAX_BYTES", result_writer.RESERVE_BYTES + 40_000)
    with Writer.create(tmp_path / "run.jsonl") as writer:
        writer.write(HEADER)
        with pytest.raises(DbbenchError, match="is full: a result file has 0 MB at most"):  # noqa: PT012 - which one?
            for block in range(1_000):
                writer.write(msgspec.structs.replace(MEASURED, block=block))
        writer.write(END)
    run = result_file.read(tmp_path / "run.jsonl")

    assert run.measurements
    assert run.end == END


def _takes(writer: Writer, record: Record) -> bool:
    try:
        writer.write(record)
    except RefusedError:
        return False
    return True


def test_every_line_is_in_the_file_as_soon_as_it_is_written(tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    with Writer.create(path) as writer:
        writer.write(HEADER)
        writer.write(MEASURED)

        assert path.read_bytes() == lines(HEADER, MEASURED)


def test_a_new_file_is_private_and_its_folders_are_made(tmp_path: Path) -> None:
    path = write(tmp_path / "a" / "b" / "run.jsonl", HEADER)

    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_file_that_exists_is_never_touched(tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    path.write_text("mine")

    with pytest.raises(UsageError, match=r"run\.jsonl exists already"):
        Writer.create(path)
    assert path.read_text() == "mine"


def test_a_link_is_not_followed_to_a_file_elsewhere(tmp_path: Path) -> None:
    (tmp_path / "run.jsonl").symlink_to(tmp_path / "elsewhere")

    with pytest.raises(UsageError, match="exists already"):
        Writer.create(tmp_path / "run.jsonl")
    assert not (tmp_path / "elsewhere").exists()


def test_a_file_in_the_place_of_a_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "results").write_text("")

    with pytest.raises(UsageError, match=r"results.*cannot be written"):
        Writer.create(tmp_path / "results" / "run.jsonl")
    with pytest.raises(UsageError, match=r"results.*cannot be written"):
        Writer.create(tmp_path / "results" / "deeper" / "run.jsonl")


def test_a_place_that_cannot_be_written_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match=r"/proc/dbbench/run\.jsonl cannot be written"):
        Writer.create(Path("/proc/dbbench/run.jsonl"))


def test_a_full_disk_ends_the_run_and_leaves_whole_lines(tmp_path: Path) -> None:
    pid = os.fork()
    if pid == 0:  # a limit on file sizes is for the rest of a process's life
        os._exit(_write_until_full(tmp_path / "run.jsonl"))
    _, status = os.waitpid(pid, 0)

    assert os.waitstatus_to_exitcode(status) == ExitCode.DEGRADED
    run = result_file.read(tmp_path / "run.jsonl")
    assert run.measurements
    assert (run.end, run.warnings) == (END, [])


def _write_until_full(path: Path) -> int:
    import resource
    import signal

    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
    writer = Writer.create(path)
    code = 0
    try:
        writer.write(HEADER)
        for block in range(1000):
            writer.write(msgspec.structs.replace(MEASURED, block=block))
    except DbbenchError as error:
        code = error.exit_code
    writer.write(END)  # shorter, so there is room where the torn line was
    writer.close()
    return code


def test_closing_twice_is_fine(tmp_path: Path) -> None:
    writer = Writer.create(tmp_path / "run.jsonl")
    writer.close()
    writer.close()


def test_the_default_path_sorts_by_utc_time() -> None:
    started = datetime(2026, 11, 23, 4, 15, tzinfo=timezone(timedelta(hours=1)))

    assert default_path(Path("results"), started, "3f9c2a") == Path("results/20261123T031500Z-3f9c2a.jsonl")
    assert default_path(Path(), started.astimezone(UTC), "0") == Path("20261123T031500Z-0.jsonl")


def test_ids_are_six_hex_digits_that_differ() -> None:
    ids = {new_id() for _ in range(50)}

    assert len(ids) > 45
    assert all(len(one) == 6 and int(one, 16) >= 0 for one in ids)
    assert all(one[0].isalpha() for one in ids), "no program takes one for a number"


# --- reading ---------------------------------------------------------------------------------------------------------


def test_a_file_without_an_end_is_incomplete(tmp_path: Path) -> None:
    run = result_file.read(write(tmp_path / "run.jsonl", HEADER, MEASURED))

    assert run.status == "incomplete"
    assert run.measurements == [MEASURED]
    assert run.warnings == ["the run is incomplete: its file does not say how it ended"]


@given(st.data())
@settings(max_examples=60)
def test_a_file_that_ends_anywhere_gives_its_whole_lines(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    head, whole = lines(HEADER), lines(HEADER, MEASURED, END)
    cut = data.draw(st.integers(len(head), len(whole)))
    path = tmp_path_factory.mktemp("run") / "run.jsonl"
    path.write_bytes(whole[:cut])

    run = result_file.read(path)

    rest = whole[len(head) : cut]
    complete = [record for record in (MEASURED, END) if lines(record)[:-1] in rest]
    assert [*run.measurements, *filter(None, [run.end])] == complete
    torn = rest.removeprefix(b"".join(lines(record) for record in complete)).removeprefix(b"\n")
    if complete and rest == lines(*complete)[:-1]:
        torn = b""  # all but the last line feed
    assert any("is torn and was dropped" in warning for warning in run.warnings) == bool(torn)


def test_text_from_a_file_cannot_command_a_terminal(tmp_path: Path) -> None:
    evil = "\x1b]0;owned\x07\x1b[2J\x9b2J\u202egnp.exe\u2066 one\r\ntwo\x00"
    plan = msgspec.structs.replace(builders.plan(), cells=[builders.cell(params={evil: [evil, {"deep": evil}]})])
    header = msgspec.structs.replace(
        builders.header(plan), server={"version": evil}, drivers={"asyncpg": {evil: evil}}, environment={evil: evil}
    )
    problem = Problem("operation", evil)

    run = result_file.read(write(tmp_path / "run.jsonl", header, problem, End("failed", evil, 1.0, evil)))

    shown = "]0;owned[2J2Jgnp.exe one two"
    assert run.problems[0].message == shown
    assert run.end is not None
    assert run.end.reason == shown
    assert run.header.plan.cells[0].params == {shown: [shown, {"deep": shown}]}
    assert run.header.environment == run.header.drivers["asyncpg"] == {shown: shown}
    assert run.header.server == {"version": shown}


@pytest.mark.parametrize("written", [b"\x7f", b"\\u001b", b"\\n", b"\xc2\x9b", b"\xe2\x80\xae", b"\\u202e"])
def test_a_control_character_is_cleaned_however_it_is_written(tmp_path: Path, written: bytes) -> None:
    path = tmp_path / "run.jsonl"
    path.write_bytes(lines(HEADER) + b'{"type":"problem","kind":"errors","message":"a' + written + b'b"}\n')

    assert result_file.read(path).problems[0].message in ("ab", "a b")


@given(st.text())
def test_clean_text_is_one_line_without_control_characters(text: str) -> None:
    cleaned = clean(text)

    assert len(cleaned.splitlines()) <= 1
    assert not any(ord(character) < 32 or 127 <= ord(character) < 160 for character in cleaned)
    assert clean(cleaned) == cleaned


BAD_SLICE = msgspec.to_builtins(MEASURED.slices[0])
TWO_LIKE_NAMED = msgspec.to_builtins(builders.plan(arms=["psycopg", "psycopg"]))
NO_BASELINE = msgspec.to_builtins(builders.plan()) | {"baseline": "nobody"}
CHAINED_ARMS = [
    msgspec.to_builtins(Arm(name, name, baseline=baseline))
    for name, baseline in (("psycopg", ""), ("asyncpg", "psycopg2"), ("psycopg2", "asyncpg"))
]
CHAINED = msgspec.to_builtins(builders.plan()) | {"arms": CHAINED_ARMS}
NO_OWN_BASELINE = msgspec.to_builtins(builders.plan([msgspec.structs.replace(builders.cell(), baseline="nobody")]))
NO_SESSIONS = msgspec.to_builtins(builders.plan([builders.cell(sessions=0)]))
MANY_ROWS = msgspec.to_builtins(builders.plan([builders.cell()] * 2000, [f"arm{number}" for number in range(51)]))
HOSTILE = {
    "empty": (b"", "is empty"),
    "text": (b"hello\n", "not a dbbench result file"),
    "binary": (bytes(range(256)) * 10, "not a dbbench result file"),
    "other JSON": (b'{"benchmarks": []}\n', "not a dbbench result file"),
    "a JSON array": (b"[1, 2]\n", "not a dbbench result file"),
    "newer schema": (changed(HEADER, schema=3), "has schema 3, this dbbench reads schemas 1 to 2"),
    "huge schema": (changed(HEADER, schema=10**400), "not a dbbench result file"),
    "torn header": (lines(HEADER)[:100], "not a dbbench result file"),
    "deep header": (b'{"type":"run","schema":1,"environment":' + b'{"a":' * 200_000, "nested too deeply"),
    "deep environment": (changed(HEADER, environment={"a": json.loads("[" * 50 + "]" * 50)}), "nested too deeply"),
    "deep line": (lines(HEADER) + b"[" * 200_000 + b"\n", "line 2"),
    "deep unknown field": (lines(HEADER) + b'{"type":"end","zz":' + b"[" * 200_000 + b"\n", "nested too deeply"),
    "long line": (
        lines(HEADER) + b'{"type":"problem","kind":"errors","message":"' + b"x" * 2**22 + b'"}\n',
        "too long",
    ),
    "NaN": (lines(HEADER) + changed(END, measured_s=float("nan")), "line 2: is not JSON"),
    "infinity": (lines(HEADER) + lines(END).replace(b"58.2", b"1e999"), "line 2: Number out of range"),
    "wrong type": (lines(HEADER) + changed(MEASURED, block="first"), r"line 2: Expected `int`, got `str`.*block"),
    "missing field": (lines(HEADER) + b'{"type":"end"}\n', "missing required field"),
    "schema 1 without a plan": (changed(HEADER, schema=1, plan=[]), "Expected `object`, got `array`"),
    "schema 1 with arms of another kind": (
        changed(HEADER, schema=1, plan=msgspec.to_builtins(builders.plan()) | {"arms": [{"name": "a", "driver": []}]}),
        "Expected `str`, got `array`",
    ),
    "schema 1 with one slice": (
        changed(HEADER, schema=1) + changed(MEASURED, slices={"position": 0}),
        "Expected `array`, got `object`",
    ),
    "unknown record": (lines(HEADER) + b'{"type":"surprise"}\n', "line 2: Invalid value 'surprise'"),
    "cell out of range": (lines(HEADER) + changed(MEASURED, cell=1), "line 2: cell 1 is not in the plan, which has 1"),
    "negative cell": (lines(HEADER) + changed(MEASURED, cell=-1), "line 2: Expected `int` >= 0"),
    "unknown arm": (lines(HEADER) + changed(MEASURED, arm="oracle"), "line 2: arm 'oracle' is not in the plan"),
    "negative count": (
        lines(HEADER) + changed(MEASURED, slices=[BAD_SLICE | {"usage": BAD_SLICE["usage"] | {"operations": -1}}]),
        "Expected `int` >= 0",
    ),
    "negative bucket": (lines(HEADER) + changed(MEASURED, latency={"-5": 1}), "Expected `int` >= 0"),
    "endless bucket": (lines(HEADER) + changed(MEASURED, latency={"99999999": 1}), "Expected `int` <= "),
    "endless number": (lines(HEADER) + changed(MEASURED, sum_ns=2**64), "line 2: Expected `int` <= "),
    "problem elsewhere": (lines(HEADER, Problem("errors", "", cell=9)), "line 2: cell 9 is not in the plan"),
    "same block twice": (lines(HEADER, MEASURED, MEASURED), "line 3: block 0 of asyncpg appears twice in cell 0"),
    "two runs": (lines(HEADER, HEADER), "line 2: a second run begins"),
    "after the end": (lines(HEADER, END, MEASURED), "line 3: the file goes on after its end"),
    "broken middle": (lines(HEADER) + b'{"type":\n' + lines(END), "line 2: is not JSON"),
    "not UTF-8": (lines(HEADER) + b'{"type":"\xff"}\n', "line 2: is not JSON"),
    "like-named arms": (changed(HEADER, plan=TWO_LIKE_NAMED), "line 1: two arms have the same name"),
    "no baseline": (changed(HEADER, plan=NO_BASELINE), "line 1: the baseline 'nobody' is not one of the arms"),
    "no baseline of an arm": (changed(HEADER, plan=CHAINED), "line 1: the baseline of an arm is not one of the arms"),
    "no baseline of a cell": (changed(HEADER, plan=NO_OWN_BASELINE), "line 1: the baseline of a cell is not one of"),
    "no sessions": (changed(HEADER, plan=NO_SESSIONS), "line 1: a cell has fewer sessions than 1"),
    "endless table": (changed(HEADER, plan=MANY_ROWS), "line 1: has more than 1,000 cells times arms"),
    "terminal commands": (lines(HEADER) + b'{"type":"\\u001b[2J\\r\\nx"}\n', r"line 2: Invalid value '\[2J x'"),
}


@pytest.mark.parametrize(("content", "complaint"), HOSTILE.values(), ids=HOSTILE.keys())
def test_a_hostile_file_is_refused_in_one_line(tmp_path: Path, content: bytes, complaint: str) -> None:
    path = tmp_path / "run.jsonl"
    path.write_bytes(content)
    before = time.process_time()

    with pytest.raises(UsageError, match=complaint) as refused:
        result_file.read(path)

    assert time.process_time() - before < 1
    assert refused.value.exit_code == ExitCode.USAGE
    message = str(refused.value)
    assert str(path) in message
    assert message == clean(message)
    assert len(message) < len(str(path)) + 250


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(st.sampled_from([HEADER, MEASURED, END]), st.data())
@settings(max_examples=200)
def test_any_value_in_any_field_is_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, record: Record, data: st.DataObject
) -> None:
    field = data.draw(st.sampled_from(["type", *record.__struct_fields__]))
    line = changed(record, **{field: data.draw(JSON)})
    path = tmp_path_factory.mktemp("run") / "run.jsonl"
    path.write_bytes(line if isinstance(record, Header) else lines(HEADER) + line)

    try:
        result_file.read(path)
    except UsageError as error:
        assert str(error) == clean(str(error))  # noqa: PT017 - being read is as good


def folder(path: Path) -> None:
    path.mkdir()


def too_large(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(result_lines.MAX_BYTES + 1)


@pytest.mark.parametrize(
    ("make", "complaint"),
    [
        (lambda _: None, "No such file"),
        (folder, "is a folder"),
        (os.mkfifo, "is not a regular file"),
        (too_large, "is too large to be a result file"),
        (lambda path: path.symlink_to(path), "symbolic links"),
    ],
    ids=["missing", "folder", "pipe", "too large", "loop"],
)
def test_what_is_no_file_of_ours_is_refused_in_one_line(
    tmp_path: Path, make: Callable[[Path], None], complaint: str
) -> None:
    path = tmp_path / "run.jsonl"
    make(path)

    with pytest.raises(UsageError, match=complaint) as refused:
        result_file.read(path)
    assert str(path) in str(refused.value)


def test_a_path_that_no_file_can_have_is_refused() -> None:
    with pytest.raises(UsageError):
        result_file.read(Path("a\0b"))
    with pytest.raises(UsageError):
        Writer.create(Path("a\0b"))


def test_names_stay_inert_when_a_path_is_shown(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as refused:
        result_file.read(tmp_path / "\x1b[2J")
    assert "\x1b" not in str(refused.value)
