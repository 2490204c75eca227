"""How a command that measures keeps what it finds: in a new result file, line by line, whatever ends it."""

import contextlib
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic
from typing import Final

import msgspec

from dbbench import result_file
from dbbench.engine.opening import problem_line
from dbbench.engine.watcher import Watcher
from dbbench.errors import DbbenchError, ExitCode, Interrupted, ServerLostError
from dbbench.records import AnyHeader, BreakEven, End, Problem, Record
from dbbench.result_file import Writer
from dbbench.server.target import redacted

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

    def __init__(self, writer: Writer, exit_codes: Mapping[str, ExitCode]) -> None:
        self._writer = writer
        self._exit_codes = exit_codes
        self._began = monotonic()
        self._begun = False  # whether there is a header
        self._early: list[Problem] = []  # what went wrong before
        self.path = writer.path
        self.measured = False  # whether there is anything to tell
        self.measured_s: float | None = None  # None: since the journal began
        self.exit_code: int = ExitCode.OK

    def write(self, record: Record, *, measures: bool = True) -> None:
        """Write one record; a problem that comes before the header is written after it.

        `measures`: whether the record is worth a file by itself, if it is of a kind that may be.
        """
        if isinstance(record, AnyHeader):
            self._begun = True
            self._writer.write(record)
            for problem in self._early:
                self._writer.write(problem)
        elif self._begun:
            self._writer.write(record)
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
        problem = msgspec.structs.replace(problem, message=message)
        self.write(problem)
        watch.problem(problem_line(problem))

    def end(self) -> None:
        """Write how the command ended, with nothing that ended it early."""
        self._end(End("degraded" if self.exit_code == ExitCode.DEGRADED else "complete", "", 0.0))

    def end_early(self, cause: Interrupted | DbbenchError) -> None:
        """Write what ended the command early."""
        if isinstance(cause, ServerLostError):
            self.write(Problem("server lost", str(cause)))
        self._end(End("interrupted" if isinstance(cause, Interrupted) else "failed", "", 0.0, str(cause)))
        self.exit_code = cause.exit_code

    def _end(self, end: End) -> None:
        spent_s = monotonic() - self._began if self.measured_s is None else self.measured_s
        finished = datetime.now(UTC).isoformat(timespec="seconds")
        self.write(msgspec.structs.replace(end, finished=finished, measured_s=spent_s))


@contextlib.contextmanager
def recording(
    output: Path | None, started: datetime, run_id: str, exit_codes: Mapping[str, ExitCode] | None = None
) -> Iterator[Journal]:
    """The journal of a new result file; what ends the command early, once something was measured, ends it here.

    `output` is the file, or a folder for it. `exit_codes` has, by kind, those of problems that do not degrade a result.
    Before anything was measured Interrupted and DbbenchError are raised, and no file is left.
    """
    path = output or _FOLDER
    if output is None or os.path.isdir(path):  # noqa: PTH112 - Path.is_dir raises where it may not look
        path = result_file.default_path(path, started, run_id)
    with Writer.create(path) as writer:
        journal = Journal(writer, exit_codes or {})
        try:
            with _ended(journal):
                yield journal
        except BaseException:
            if not journal.measured:
                path.unlink(missing_ok=True)
            raise


@contextlib.contextmanager
def _ended(journal: Journal) -> Iterator[None]:
    """Let the journal end with what ends the `with` block."""
    try:
        yield
    except (Interrupted, DbbenchError) as cause:
        if not journal.measured:
            raise
        journal.end_early(cause)
    else:
        journal.end()
