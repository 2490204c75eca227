"""How a command that measures keeps what it finds: in a new result file, line by line, whatever ends it."""

import contextlib
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic
from typing import Final, Literal

import msgspec

from dbbench import result_file
from dbbench.engine.opening import problem_line
from dbbench.engine.watcher import Watcher
from dbbench.errors import DbbenchError, ExitCode, Interrupted, LeftBehindError, ServerLostError, reason
from dbbench.records import AnyHeader, BreakEven, End, Problem, Record
from dbbench.result_lines import fitted
from dbbench.result_writer import RefusedError, Writer
from dbbench.server.passwords import redacted

_FOLDER: Final = Path("results")
_NOT_MEASURED: Final = (AnyHeader, Problem, BreakEven, End)
_SEVERITY: Final[tuple[int, ...]] = (ExitCode.OK, ExitCode.INCONCLUSIVE, ExitCode.DEGRADED)


@dataclass(frozen=True)
class Ended:
    """How a command that measured ended."""

    path: Path  # of the result file
    exit_code: int


class Journal:
    """Writes records, and remembers what decides how the command ends."""

    def __init__(self, writer: Writer, exit_codes: Mapping[str, ExitCode], watch: Watcher) -> None:
        self._writer = writer
        self._exit_codes = exit_codes
        self._watch = watch
        self._began = monotonic()
        self._begun = False  # whether there is a header
        self._early: list[Problem] = []  # what went wrong before
        self.path = writer.path
        self.measured = False  # whether there is anything to tell
        self.measured_s: float | None = None  # None: since the journal began
        self.exit_code: int = ExitCode.OK
        self.cause: BaseException | None = None  # what ended the command early

    def write(self, record: Record, *, measures: bool = True) -> None:
        """Write one record; a problem that comes before the header is written after it.

        `measures`: whether the record is worth a file by itself, if it is of a kind that may be. What no file can hold,
        like a count below 0, becomes a problem.
        """
        if isinstance(record, AnyHeader):
            self._writer.write(record)
            self._begun = True
            for problem in self._early:
                self._writer.write(problem)
        elif self._begun:
            try:
                self._writer.write(record)
            except RefusedError as refused:
                if isinstance(record, Problem):
                    raise
                self.report(_refused(record, refused), "", self._watch)
                return
        else:
            assert isinstance(record, Problem), "a result file begins with its header"
            self._early.append(record)
        self.measured = self.measured or (measures and not isinstance(record, _NOT_MEASURED))
        if isinstance(record, Problem):
            code = self._exit_codes.get(record.kind, ExitCode.DEGRADED)
            self.exit_code = max(self.exit_code, code, key=_SEVERITY.index)

    def report(self, problem: Problem, secret: str, watch: Watcher) -> None:
        """Write a problem and say it, both without the password `secret`."""
        message = redacted(problem.message, secret)  # a scenario's exception may say anything
        problem = fitted(msgspec.structs.replace(problem, message=message))
        self.write(problem)
        watch.problem(problem_line(problem))

    def end(self) -> None:
        """Write how the command ended, with nothing that ended it early."""
        self._end(End("degraded" if self.exit_code == ExitCode.DEGRADED else "complete", "", 0.0))

    def end_early(self, cause: BaseException) -> None:
        """Write what ended the command early."""
        self.cause = cause
        self.exit_code = cause.exit_code if isinstance(cause, (Interrupted, DbbenchError)) else ExitCode.DEGRADED
        if isinstance(cause, ServerLostError):
            self._last(Problem("server lost", str(cause)))
        self._end(End(_status(cause), "", 0.0, why(cause)))

    def _end(self, end: End) -> None:
        spent_s = monotonic() - self._began if self.measured_s is None else self.measured_s
        finished = datetime.now(UTC).isoformat(timespec="seconds")
        self._last(msgspec.structs.replace(end, finished=finished, measured_s=spent_s))

    def _last(self, record: Record) -> None:
        """Write one of the last records; where that fails, what was written before stands."""
        try:
            self._writer.write(record)
        except DbbenchError as error:
            self.failed(error)

    def failed(self, error: DbbenchError) -> None:
        """Say that the result file lacks something; what else is wrong with the command counts more."""
        self._watch.problem(f"{error}; what was measured before is in it")
        self.exit_code = self.exit_code or ExitCode.DEGRADED


def _refused(record: Record, refused: RefusedError) -> Problem:
    """What is left of a record that no result file can hold."""
    cell, arm = getattr(record, "cell", None), getattr(record, "arm", None)
    return Problem("operation", f"was measured, and is left out: {refused}", cell=cell, arm=arm)


def why(cause: BaseException) -> str:
    """What ended a command early, for its result file."""
    if isinstance(cause, (Interrupted, DbbenchError)):
        return str(cause)
    if isinstance(cause, OSError):
        return f"{f'{cause.filename}: ' if cause.filename else ''}{reason(cause)}"
    return f"{type(cause).__name__}: {cause}"


def _status(cause: BaseException) -> Literal["interrupted", "degraded", "failed"]:
    match cause:
        case Interrupted():
            return "interrupted"
        case LeftBehindError():  # everything was measured
            return "degraded"
        case _:
            return "failed"


@contextlib.contextmanager
def recording(
    output: Path | None,
    started: datetime,
    run_id: str,
    watch: Watcher,
    exit_codes: Mapping[str, ExitCode] | None = None,
) -> Iterator[Journal]:
    """The journal of a new result file; what ends the command early, once something was measured, ends it here.

    `output` is the file, or a folder for it. `exit_codes` has, by kind, those of problems that do not degrade a result.
    Before anything was measured every exception is raised, and no file is left. Afterwards the file stays, whatever
    comes: only what is a bug of dbbench is raised, with a note that names the file.
    """
    path = output or _FOLDER
    if output is None or os.path.isdir(path):  # noqa: PTH112 - Path.is_dir raises where it may not look
        path = result_file.default_path(path, started, run_id)
    writer = Writer.create(path)
    journal = Journal(writer, exit_codes or {}, watch)
    try:
        with _ended(journal):
            yield journal
    except BaseException:
        if not journal.measured:
            writer.remove()
        raise
    finally:
        try:
            writer.close()
        except DbbenchError as error:
            journal.failed(error)


@contextlib.contextmanager
def _ended(journal: Journal) -> Iterator[None]:
    """Let the journal end with what ends the `with` block."""
    try:
        yield
    except BaseException as cause:
        if not journal.measured:
            raise
        cause.add_note(f"what was measured is in {journal.path}")
        journal.end_early(cause)
        if not isinstance(cause, (Interrupted, DbbenchError, OSError, MemoryError)):
            raise
    else:
        journal.end()
