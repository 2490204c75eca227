"""What becomes of a result file, whatever ends the command."""

import signal
from datetime import UTC, datetime
from pathlib import Path

import builders
import pytest

from dbbench import result_file
from dbbench.commands.recording import Journal, recording
from dbbench.errors import DbbenchError, ExitCode, Interrupted, ServerLostError, UsageError
from dbbench.records import Problem

STARTED = datetime(2026, 11, 23, 3, 15, tzinfo=UTC)
HEADER = builders.header()
MEASURED = builders.measurement("asyncpg", 200.0)
DIFFERENT = Problem("not comparable", "asyncpg gave 1, psycopg gave 2")
BROKEN = Problem("operation", "raised KeyError")


def recorded(folder: Path, *records: Problem, cause: BaseException | None = None, measured: bool = True) -> Journal:
    with recording(folder, STARTED, "3f9c2a", {"not comparable": ExitCode.INCONCLUSIVE}) as journal:
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
    assert result_file.read(path).status == "incomplete"


def test_a_file_that_exists_is_neither_written_nor_removed(tmp_path: Path) -> None:
    path = tmp_path / "mine.jsonl"
    path.write_text("mine")

    with pytest.raises(UsageError, match="exists already"), recording(path, STARTED, "3f9c2a"):
        pass
    assert path.read_text() == "mine"
