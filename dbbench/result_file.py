"""Reading the result file (JSON Lines); result_writer.py writes it.

A result file is one header, then what was found and `Problem` lines as they happen, then one `End`. The type of the
header names the command that wrote it. The file is not trusted, as it may come from anywhere: reading limits sizes,
checks types and values, and removes control characters.
"""

import secrets
import stat
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TypeVar

from dbbench.errors import UnreadableError, reason
from dbbench.records import (
    AnyHeader,
    BreakEven,
    Counts,
    End,
    Finding,
    Measurement,
    PoolHeader,
    PoolSearch,
    PoolTrial,
    Problem,
    Record,
    Run,
    Search,
    SearchHeader,
    SelfChecked,
    SelfCheckHeader,
    Stored,
    Trial,
    WireHeader,
    WireRow,
)
from dbbench.result_lines import MAX_BYTES, MAX_LINE_BYTES, Malformed, NotAResult, Rules, header_of, record_of, tag
from dbbench.result_lines import SCHEMA as SCHEMA
from dbbench.texts import clean

_R = TypeVar("_R", bound=Record)


def new_id() -> str:
    """Six random hex digits that distinguish runs started in the same second.

    The first is a letter: pandas and spreadsheets take 638810 and 12e456 for numbers.
    """
    return secrets.choice("abcdef") + secrets.token_hex(3)[1:]


def default_path(directory: Path, started: datetime, run_id: str) -> Path:
    """The default path of a run's file, which sorts by time: results/20261123T031500Z-3f9c2a.jsonl."""
    return directory / f"{started.astimezone(UTC):%Y%m%dT%H%M%SZ}-{run_id}.jsonl"


def read(path: Path) -> Run:
    """Read the result file of a run or a gate; raises UnreadableError, which says what is wrong with it."""
    stored = read_any(path)
    if not isinstance(stored, Run):
        what = f"is a result of dbbench {command(stored)}, not of a run or a gate"
        raise UnreadableError(clean(str(path)), what)
    return stored


def read_any(path: Path) -> Stored:
    """Read the result file of any command; raises UnreadableError, which says what is wrong with it."""
    shown = clean(str(path))
    try:
        _check_file(path)
        with path.open("rb") as file:
            return _assemble(iter(partial(file.readline, MAX_LINE_BYTES + 1), b""))
    except NotAResult as error:
        raise UnreadableError(shown, str(error)) from None
    except RecursionError:
        raise UnreadableError(shown, "nested too deeply to be a result file") from None
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        raise UnreadableError(shown, f"cannot be read: {reason(error)}") from error


def command(stored: Stored) -> str:
    """The command that wrote the file; of a gate that measured: run."""
    return tag(stored.header)


def _check_file(path: Path) -> None:
    """Check before opening: a named pipe would block, and a huge file would exhaust memory."""
    status = path.stat()
    if stat.S_ISDIR(status.st_mode):
        raise NotAResult("is a folder, not a result file")
    if not stat.S_ISREG(status.st_mode):
        raise NotAResult("is not a regular file")
    if status.st_size > MAX_BYTES:
        raise NotAResult(f"is too large to be a result file ({status.st_size >> 20} MB, at most {MAX_BYTES >> 20})")


def _assemble(lines: Iterator[bytes]) -> Stored:
    """Put the records together, each checked against the first."""
    first = next(lines, b"")
    if not first:
        raise NotAResult("is empty")
    assembly = _Assembly(header_of(first))
    warnings: list[str] = []
    for number, line in enumerate(lines, 2):
        try:
            assembly.add(record_of(line, assembly.header.schema))
        except Malformed as error:
            if line.endswith(b"\n"):
                raise NotAResult(f"line {number}: {error}") from None
            warnings.append(f"line {number} is torn and was dropped")
        except NotAResult as error:
            raise NotAResult(f"line {number}: {error}") from None
    if assembly.end is None:
        warnings.append("the run is incomplete: its file does not say how it ended")
    return assembly.whole(warnings)


class _Assembly:
    """The records of the lines so far."""

    def __init__(self, header: AnyHeader) -> None:
        self.header = header
        self.end: End | None = None
        self._rules = Rules(header)
        self._records: list[Record] = []

    def add(self, record: Record) -> None:
        """Add the next record; raises NotAResult if it does not fit the previous ones."""
        self._rules.check(record)
        if isinstance(record, End):
            self.end = record
        else:
            self._records.append(record)

    def whole(self, warnings: list[str]) -> Stored:
        """The whole file."""
        problems = self._all(Problem)
        match self.header:
            case SearchHeader() as header:
                return Search(header, self._all(Trial), problems, self.end, warnings)
            case PoolHeader() as header:
                return PoolSearch(header, self._all(PoolTrial), problems, self.end, warnings)
            case WireHeader() as header:
                return Counts(header, self._all(WireRow), problems, self.end, warnings)
            case SelfCheckHeader() as header:
                findings = [record for record in self._records if isinstance(record, Finding)]
                return SelfChecked(header, findings, problems, self.end, warnings)
            case header:
                measured, ties, counts = self._all(Measurement), self._all(BreakEven), self._all(WireRow)
                steady = [each for each in measured if not each.disturbed]
                spoiled = [each for each in measured if each.disturbed]
                return Run(header, steady, problems, self.end, warnings, ties, counts, spoiled)

    def _all(self, kind: type[_R]) -> list[_R]:
        return [record for record in self._records if isinstance(record, kind)]
