"""Writing and reading the result file (JSON Lines).

A result file is one header, then what was found and `Problem` lines as they happen, then one `End`. The type of the
header names the command that wrote it. The file is not trusted, as it may come from anywhere: reading limits sizes,
checks types and values, and removes control characters.
"""

import os
import secrets
import stat
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import partial
from io import FileIO
from pathlib import Path
from types import TracebackType
from typing import Annotated, Any, Final, Literal, Self, TypeVar, cast

import msgspec
from msgspec import Meta

from dbbench import records, schema1
from dbbench.errors import DbbenchError, UnreadableError, UsageError
from dbbench.plan import Plan
from dbbench.records import (
    AnyHeader,
    BreakEven,
    Counts,
    End,
    Finding,
    Header,
    Measurement,
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
    clean,
)

SCHEMA: Final = 2  # the version that is written; version 1 can be read too
MAX_BYTES: Final = 64 * 1024 * 1024  # of a result file that is read; a run of an hour writes a few megabytes
MAX_LINE_BYTES: Final = 4 * 1024 * 1024  # of one line, which limits the memory that a single untyped value can take
MAX_DEPTH: Final = 32  # of nesting in values without fixed types: parameters, environment, server
MAX_ROWS: Final = 1_000  # cells times arms of a plan that is read
MAX_NAME: Final = 100  # characters in the name of an arm
MAX_FINDINGS: Final = 1_000  # of a self-check


# --- writing ---------------------------------------------------------------------------------------------------------


def new_id() -> str:
    """Six random hex digits that distinguish runs started in the same second.

    The first is a letter: pandas and spreadsheets take 638810 and 12e456 for numbers.
    """
    return secrets.choice("abcdef") + secrets.token_hex(3)[1:]


def default_path(directory: Path, started: datetime, run_id: str) -> Path:
    """The default path of a run's file, which sorts by time: results/20261123T031500Z-3f9c2a.jsonl."""
    return directory / f"{started.astimezone(UTC):%Y%m%dT%H%M%SZ}-{run_id}.jsonl"


class Writer:
    """Appends records to a new result file; lines already written stay intact, whatever happens to the next record."""

    def __init__(self, path: Path, file: FileIO) -> None:
        self.path = path
        self._file = file
        self._size = 0  # bytes up to the end of the last whole line

    @classmethod
    def create(cls, path: Path) -> Self:
        """Make the file, readable by its owner only, and its folder. Raises UsageError if the file exists."""
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            file = FileIO(path, "xb", opener=partial(os.open, mode=0o600))
        except FileExistsError as error:
            if error.filename == str(path):
                raise UsageError(f"{path} exists already", "give another --output, or remove it") from error
            raise UsageError(f"{path} cannot be written: {error.filename} is not a folder") from error
        except (OSError, ValueError) as error:  # ValueError: a NUL in the name
            raise UsageError(f"{path} cannot be written: {_reason(error)}", "--output names another") from error
        return cls(path, file)

    def write(self, record: Record) -> None:
        """Append one line and hand it to the operating system; raises DbbenchError when that fails."""
        line = msgspec.json.encode(record) + b"\n"
        try:
            rest = memoryview(line)
            while rest:  # a disk that is nearly full may take only a part
                rest = rest[self._file.write(rest) :]
        except BaseException as error:
            # Half a line would make the following lines unreadable too.
            self._file.truncate(self._size)
            self._file.seek(self._size)
            if isinstance(error, OSError):
                raise DbbenchError(f"{self.path} cannot be written: {_reason(error)}") from error
            raise
        self._size += len(line)

    def close(self) -> None:
        """Flush the file to disk and close it; closing twice is fine."""
        if self._file.closed:
            return
        try:
            os.fsync(self._file.fileno())
        except OSError as error:
            raise DbbenchError(f"{self.path} cannot be flushed to disk: {_reason(error)}") from error
        finally:
            self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


# --- reading ---------------------------------------------------------------------------------------------------------


class _Unreadable(Exception):  # noqa: N818 - it becomes an UnreadableError as soon as the path is known
    """The reason why a file cannot be read as a result file."""


class _Malformed(_Unreadable):
    """A line is not JSON; this is excused in the last line, which may be cut off."""


Line = AnyHeader | Measurement | Problem | BreakEven | Trial | WireRow | Finding | End
_BODY: Final[dict[type[Record], tuple[type[Record], ...]]] = {  # header -> what may follow it, besides problems
    Header: (Measurement, BreakEven, WireRow),
    SearchHeader: (Trial,),
    WireHeader: (WireRow,),
    SelfCheckHeader: (records.Overhead, records.NoiseFloor, records.Sensitivity, records.Pgbench),
}


class _Opening(msgspec.Struct):
    """The part of a first line that all schema versions have."""

    type: Literal["run", "capacity", "wire", "selfcheck"]
    schema: Annotated[int, Meta(ge=0, le=2**31)]


_LINE: Final = msgspec.json.Decoder(Line)
_OPENING: Final = msgspec.json.Decoder(_Opening)
_R = TypeVar("_R", bound=Record)


def read(path: Path) -> Run:
    """Read the result file of a run or a gate; raises UnreadableError, which says what is wrong with it."""
    stored = read_any(path)
    if not isinstance(stored, Run):
        reason = f"is a result of dbbench {command(stored)}, not of a run or a gate"
        raise UnreadableError(clean(str(path)), reason)
    return stored


def read_any(path: Path) -> Stored:
    """Read the result file of any command; raises UnreadableError, which says what is wrong with it."""
    shown = clean(str(path))
    try:
        _check_file(path)
        with path.open("rb") as file:
            return _assemble(iter(partial(file.readline, MAX_LINE_BYTES + 1), b""))
    except _Unreadable as error:
        raise UnreadableError(shown, str(error)) from None
    except RecursionError:
        raise UnreadableError(shown, "nested too deeply to be a result file") from None
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        raise UnreadableError(shown, f"cannot be read: {_reason(error)}") from error


def command(stored: Stored) -> str:
    """The command that wrote the file; of a gate that measured: run."""
    return _tag(stored.header)


def _check_file(path: Path) -> None:
    """Check before opening: a named pipe would block, and a huge file would exhaust memory."""
    status = path.stat()
    if stat.S_ISDIR(status.st_mode):
        raise _Unreadable("is a folder, not a result file")
    if not stat.S_ISREG(status.st_mode):
        raise _Unreadable("is not a regular file")
    if status.st_size > MAX_BYTES:
        raise _Unreadable(f"is too large to be a result file ({status.st_size >> 20} MB, at most {MAX_BYTES >> 20})")


def _assemble(lines: Iterator[bytes]) -> Stored:
    """Put the records together, each checked against the first."""
    first = next(lines, b"")
    if not first:
        raise _Unreadable("is empty")
    assembly = _Assembly(_header(first))
    warnings: list[str] = []
    for number, line in enumerate(lines, 2):
        try:
            assembly.add(_record(line, assembly.header.schema))
        except _Malformed as error:
            if line.endswith(b"\n"):
                raise _Unreadable(f"line {number}: {error}") from None
            warnings.append(f"line {number} is torn and was dropped")
        except _Unreadable as error:
            raise _Unreadable(f"line {number}: {error}") from None
    if assembly.end is None:
        warnings.append("the run is incomplete: its file does not say how it ended")
    return assembly.whole(warnings)


class _Assembly:
    """The records of the lines so far."""

    def __init__(self, header: AnyHeader) -> None:
        self.header = header
        self.end: End | None = None
        self._records: list[Record] = []
        self._seen: set[tuple[int, int, str]] = set()
        self._number: Counter[str] = Counter()  # of records whose number has a limit

    def add(self, record: Record) -> None:
        """Add the next record; raises _Unreadable if it does not fit the previous ones."""
        if self.end:
            raise _Unreadable("the file goes on after its end")
        if isinstance(record, AnyHeader):
            raise _Unreadable("a second run begins")
        if isinstance(record, End):
            self.end = record
            return
        if not isinstance(record, (*_BODY[type(self.header)], Problem)):
            raise _Unreadable(f"a {_tag(record)} is no part of a result of dbbench {_tag(self.header)}")
        self._check(record)
        self._records.append(record)

    def _check(self, record: Record) -> None:
        match record:
            case Measurement(block=block, cell=cell, arm=arm):
                self._check_place(cell, arm)
                if (block, cell, arm) in self._seen:
                    raise _Unreadable(f"block {block} of {arm} appears twice in cell {cell}")
                self._seen.add((block, cell, arm))
            case Problem(cell=cell, arm=arm) | BreakEven(cell=cell, arm=arm):
                self._check_place(cell, arm)
            case Trial(arm=arm):
                self._check_place(None, arm)
                self._count(f"trials of {arm}", cast("SearchHeader", self.header).bounds.max_trials)
            case WireRow(arm=arm):
                self._check_place(None, arm)
                self._count("rows", MAX_ROWS)
            case _:
                self._count("findings", MAX_FINDINGS)

    def _count(self, what: str, most: int) -> None:
        self._number[what] += 1
        if self._number[what] > most:
            raise _Unreadable(f"there are more than {most:,} {what}")

    def _check_place(self, cell: int | None, arm: str | None) -> None:
        if isinstance(self.header, SelfCheckHeader):
            return  # it has no plan
        plan = self.header.plan
        if cell is not None and cell >= len(plan.cells):
            raise _Unreadable(f"cell {cell} is not in the plan, which has {len(plan.cells)}")
        if arm is not None and all(arm != known.name for known in plan.arms):
            raise _Unreadable(f"arm {arm[:MAX_NAME]!r} is not in the plan")

    def whole(self, warnings: list[str]) -> Stored:
        """The whole file."""
        problems = self._all(Problem)
        match self.header:
            case SearchHeader() as header:
                return Search(header, self._all(Trial), problems, self.end, warnings)
            case WireHeader() as header:
                return Counts(header, self._all(WireRow), problems, self.end, warnings)
            case SelfCheckHeader() as header:
                findings = [record for record in self._records if isinstance(record, Finding)]
                return SelfChecked(header, findings, problems, self.end, warnings)
            case header:
                measured, ties, counts = self._all(Measurement), self._all(BreakEven), self._all(WireRow)
                return Run(header, measured, problems, self.end, warnings, ties, counts)

    def _all(self, kind: type[_R]) -> list[_R]:
        return [record for record in self._records if isinstance(record, kind)]


def _header(line: bytes) -> AnyHeader:
    """Decode the first line, checking the schema before anything else."""
    try:
        opening = _OPENING.decode(line)
    except (msgspec.DecodeError, ValueError):
        raise _Unreadable("is not a dbbench result file") from None
    if not 1 <= opening.schema <= SCHEMA:
        raise _Unreadable(f"has schema {opening.schema}, this dbbench reads schemas 1 to {SCHEMA}")
    try:
        header = cast("AnyHeader", _record(line, opening.schema))  # the type that the opening has
        _check_header(header)
    except _Unreadable as error:
        raise _Unreadable(f"line 1: {error}") from None
    return header


def _record(line: bytes, schema: int) -> Record:
    """Decode a line by its type, with all its texts cleaned (see records.clean)."""
    if len(line) > MAX_LINE_BYTES:
        raise _Unreadable("is too long")
    try:
        record: Record = (
            _LINE.decode(line)
            if schema == SCHEMA
            else msgspec.convert(schema1.upgraded(msgspec.json.decode(line)), Line, str_keys=True)
        )
        # In JSON all control characters but DEL are escaped, so plain ASCII without escapes is clean, as nearly always.
        if isinstance(record, AnyHeader) or b"\\" in line or b"\x7f" in line or not line.isascii():
            plain = _cleaned(msgspec.to_builtins(record, str_keys=True))
            record = msgspec.convert(plain, Line, str_keys=True)
    except msgspec.ValidationError as error:
        raise _Unreadable(clean(str(error))[:200]) from None
    except (msgspec.DecodeError, ValueError):  # ValueError: not UTF-8
        raise _Malformed("is not JSON") from None
    return record


def _cleaned(value: Any, depth: int = 0) -> Any:
    if depth > MAX_DEPTH:
        raise RecursionError
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, dict):
        return {clean(key): _cleaned(item, depth + 1) for key, item in value.items()}
    if isinstance(value, list):
        return [_cleaned(item, depth + 1) for item in value]
    return value


def _check_header(header: AnyHeader) -> None:
    if isinstance(header, SelfCheckHeader):
        return
    _check_plan(header.plan)
    if isinstance(header, SearchHeader) and len(header.plan.cells) != 1:
        raise _Unreadable(f"a search has one cell, not {len(header.plan.cells)}")


def _check_plan(plan: Plan) -> None:
    """Refuse a plan that no run can have had; all further code relies on this."""
    names = [arm.name for arm in plan.arms]
    if len(set(names)) != len(names):
        raise _Unreadable("two arms have the same name")
    if not all(0 < len(name) <= MAX_NAME for name in names):
        raise _Unreadable(f"the name of an arm has no or more than {MAX_NAME} characters")
    if plan.baseline not in names:
        raise _Unreadable(f"the baseline {plan.baseline[:MAX_NAME]!r} is not one of the arms")
    if any(cell.baseline not in ("", *names) for cell in plan.cells):
        raise _Unreadable("the baseline of a cell is not one of the arms")
    if len(plan.arms) * len(plan.cells) > MAX_ROWS:
        raise _Unreadable(f"has more than {MAX_ROWS:,} cells times arms")
    if any(cell.sessions < 1 for cell in plan.cells):
        raise _Unreadable("a cell has fewer sessions than 1")
    if any(cell.rows is not None and cell.rows < 0 for cell in plan.cells):
        raise _Unreadable("a cell has a negative number of rows")


def _tag(record: Record) -> str:
    """The type of the record as its line has it."""
    return str(type(record).__struct_config__.tag)


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or clean(str(error))
