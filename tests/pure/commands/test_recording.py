"""What becomes of a result file, whatever ends the command: nothing that was measured is lost."""

import os
import resource
import signal
from datetime import UTC, datetime
from io import FileIO
from pathlib import Path

import builders
import msgspec
import pytest
from engine.runs import Listener
from processes import in_a_process_with_small_files

from dbbench import result_file
from dbbench.commands.recording import Journal, recording
from dbbench.errors import DbbenchError, ExitCode, Interrupted, ServerLostError, UsageError
from dbbench.records import Problem
from dbbench.texts import MAX_TEXT

STARTED = datetime(2026, 11, 23, 3, 15, tzinfo=UTC)
HEADER = builders.header()
MEASURED = builders.measurement("asyncpg", 200.0)
DIFFERENT = Problem("not comparable", "asyncpg gave 1, psycopg gave 2")
BROKEN = Problem("operation", "raised KeyError")


def recorded(folder: Path, *records: Problem, cause: BaseException | None = None, measured: bool = True) -> Journal:
    with recording(folder, STARTED, "3f9c2a", Listener(), {"not comparable": ExitCode.INCONCLUSIVE}) as journal:
        journal.write(HEADER)
        for record in records:
            journal.write(record)
        if measured:
            journal.write(MEASURED)
        if cause:
            raise cause
    return journal


@pytest.mark.parametrize(
    ("problems", "exit_code", "status"),
    [
        ((), ExitCode.OK, "complete"),
        ((DIFFERENT,), ExitCode.INCONCLUSIVE, "complete"),
        ((DIFFERENT, BROKEN), ExitCode.DEGRADED, "degraded"),
        ((BROKEN, DIFFERENT), ExitCode.DEGRADED, "degraded"),
    ],
)
def test_the_worst_problem_decides(
    tmp_path: Path, problems: tuple[Problem, ...], exit_code: ExitCode, status: str
) -> None:
    journal = recorded(tmp_path, *problems)
    run = result_file.read(journal.path)

    assert journal.path == tmp_path / "20261123T031500Z-3f9c2a.jsonl"
    assert journal.exit_code == exit_code
    assert (run.status, run.problems, run.measurements) == (status, list(problems), [MEASURED])


@pytest.mark.parametrize(
    ("cause", "exit_code", "status", "reason"),
    [
        (Interrupted(signal.SIGTERM), 143, "interrupted", "SIGTERM"),
        (UsageError("no"), ExitCode.USAGE, "failed", "no"),
        (ServerLostError("the server went away"), ExitCode.DEGRADED, "failed", "the server went away"),
    ],
)
def test_what_was_measured_is_kept(
    tmp_path: Path, cause: BaseException, exit_code: int, status: str, reason: str
) -> None:
    journal = recorded(tmp_path, cause=cause)
    run = result_file.read(journal.path)

    assert journal.exit_code == exit_code
    assert run.end is not None
    assert (run.end.status, run.end.reason, run.measurements) == (status, reason, [MEASURED])
    assert [problem.kind for problem in run.problems] == (["server lost"] if isinstance(cause, ServerLostError) else [])


@pytest.mark.parametrize("cause", [Interrupted(signal.SIGINT), DbbenchError("no"), ValueError("a bug")])
def test_where_nothing_was_measured_no_file_is_left(tmp_path: Path, cause: BaseException) -> None:
    with pytest.raises(type(cause)):
        recorded(tmp_path, BROKEN, cause=cause, measured=False)

    assert list(tmp_path.iterdir()) == []


def test_even_a_bug_does_not_lose_what_was_measured(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="a bug"):
        recorded(tmp_path, cause=ValueError("a bug"))
    (path,) = tmp_path.iterdir()

    assert result_file.read(path).measurements == [MEASURED]
    assert result_file.read(path).status == "failed"


def test_a_file_that_exists_is_neither_written_nor_removed(tmp_path: Path) -> None:
    path = tmp_path / "mine.jsonl"
    path.write_text("mine")

    with pytest.raises(UsageError, match="exists already"), recording(path, STARTED, "3f9c2a", Listener()):
        pass
    assert path.read_text() == "mine"


# --- what no command foresees ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("cause", [OSError(5, "Input/output error"), BrokenPipeError(32, "Broken pipe"), MemoryError()])
def test_what_the_system_does_ends_a_run_as_degraded(tmp_path: Path, cause: BaseException) -> None:
    journal = recorded(tmp_path, cause=cause)
    run = result_file.read(journal.path)

    assert journal.exit_code == ExitCode.DEGRADED
    assert (run.status, run.measurements) == ("failed", [MEASURED])
    assert run.end is not None
    assert run.end.reason == (getattr(cause, "strerror", None) or "MemoryError: ")


def test_a_bug_says_where_what_was_measured_is(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="a bug") as bug:
        recorded(tmp_path, cause=ValueError("a bug"))

    assert bug.value.__notes__ == [f"what was measured is in {tmp_path / '20261123T031500Z-3f9c2a.jsonl'}"]


def test_a_file_appears_with_its_header(tmp_path: Path) -> None:
    with recording(tmp_path, STARTED, "3f9c2a", Listener()) as journal:
        assert list(tmp_path.iterdir()) == []
        journal.report(BROKEN, "", Listener())
        assert list(tmp_path.iterdir()) == []
        journal.write(HEADER)
        assert [each.name for each in tmp_path.iterdir()] == [journal.path.name]
        assert result_file.read(journal.path).problems == [BROKEN]


def test_a_file_that_appears_meanwhile_is_neither_written_nor_removed(tmp_path: Path) -> None:
    def record() -> None:
        with recording(tmp_path / "run.jsonl", STARTED, "3f9c2a", Listener()) as journal:
            journal.path.write_text("another's")
            journal.write(HEADER)

    with pytest.raises(UsageError, match="exists already"):
        record()
    assert [(each.name, each.read_text()) for each in tmp_path.iterdir()] == [("run.jsonl", "another's")]


@pytest.mark.parametrize("cause", [None, Interrupted(signal.SIGTERM)])
def test_a_disk_that_stays_full_costs_only_what_does_not_fit(tmp_path: Path, cause: BaseException | None) -> None:
    """Not even the last line has room; a signal's code is worth more than that."""
    (tmp_path / "codes").touch()

    def act() -> None:
        listener = Listener()
        with recording(tmp_path / "run.jsonl", STARTED, "3f9c2a", listener) as journal:
            journal.write(HEADER)
            journal.write(MEASURED)
            resource.setrlimit(resource.RLIMIT_FSIZE, ((size := journal.path.stat().st_size + 10), size))
            if cause:
                raise cause
            journal.write(msgspec.structs.replace(MEASURED, block=1))
        (tmp_path / "codes").write_text(f"{journal.exit_code:d} {listener.problems}")

    assert in_a_process_with_small_files(act) == 0
    run = result_file.read(tmp_path / "run.jsonl")
    code, said = (tmp_path / "codes").read_text().split(" ", 1)

    assert (run.measurements, run.status) == ([MEASURED], "incomplete")
    assert run.warnings == ["the run is incomplete: its file does not say how it ended"]
    assert int(code) == (143 if cause else ExitCode.DEGRADED)
    assert "run.jsonl cannot be written: File too large; what was measured before is in it" in said


class Unsyncable(FileIO):
    """A file that cannot be flushed to a disk: its descriptor is a pipe's."""

    pipe = os.pipe()[0]

    def fileno(self) -> int:
        """See FileIO."""
        return self.pipe


def test_a_disk_that_fails_at_the_end_costs_nothing_but_the_exit_code(tmp_path: Path) -> None:
    listener = Listener()
    with recording(tmp_path / "run.jsonl", STARTED, "3f9c2a", listener) as journal:
        journal.write(HEADER)
        assert journal._writer._file is not None
        journal._writer._file.close()
        journal._writer._file = Unsyncable(journal.path, "ab")
        journal.write(MEASURED)
    run = result_file.read(journal.path)

    assert journal.exit_code == ExitCode.DEGRADED
    assert (run.status, run.measurements) == ("complete", [MEASURED])
    assert "cannot be flushed to disk: Invalid argument" in listener.problems[0]


def test_a_count_below_0_is_a_problem_and_costs_no_other(tmp_path: Path) -> None:
    backwards = [builders.with_usage(each, cpu_ns=-5) for each in MEASURED.slices]
    listener = Listener()
    with recording(tmp_path / "run.jsonl", STARTED, "3f9c2a", listener) as journal:
        journal.write(HEADER)
        journal.write(MEASURED)
        journal.write(msgspec.structs.replace(MEASURED, block=1, slices=backwards))
    run = result_file.read(journal.path)

    assert (run.status, run.measurements) == ("degraded", [MEASURED])
    assert [(each.kind, each.cell, each.arm) for each in run.problems] == [("operation", 0, "asyncpg")]
    assert "no result file can hold this: Expected `int` >= 0 - at `$.slices[0].usage.cpu_ns`" in listener.problems[0]


def test_a_long_text_is_cut_before_anybody_sees_it(tmp_path: Path) -> None:
    listener = Listener()
    with recording(tmp_path / "run.jsonl", STARTED, "3f9c2a", listener) as journal:
        journal.write(HEADER)
        journal.report(msgspec.structs.replace(BROKEN, message="raised\x1b[2J" + "x" * 5_000_000), "", listener)
        journal.write(MEASURED)
    (problem,) = result_file.read(journal.path).problems

    assert problem.message.startswith("raised[2Jxxx")
    assert problem.message.endswith("x… (5,000,009 characters)")
    assert len(listener.problems[0]) == len(problem.message) == MAX_TEXT
