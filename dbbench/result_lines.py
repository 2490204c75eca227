"""The lines of a result file: how a record becomes one, what a reader takes, and which records may follow which.

Reading and writing keep to the same rules: what the writer takes, every reader takes.
"""

from collections import Counter
from typing import Annotated, Any, Final, Literal, cast

import msgspec
from msgspec import Meta

from dbbench import records, schema1
from dbbench.plan import Plan
from dbbench.records import (
    AnyHeader,
    BreakEven,
    End,
    Finding,
    Header,
    Measurement,
    PoolHeader,
    PoolTrial,
    Problem,
    Record,
    SearchHeader,
    SelfCheckHeader,
    Trial,
    WireHeader,
    WireRow,
)
from dbbench.texts import MAX_TEXT, clean, cut

SCHEMA: Final = 2  # the version that is written; version 1 can be read too
MAX_BYTES: Final = 64 * 1024 * 1024  # of a result file; a run of an hour writes a few megabytes
MAX_LINE_BYTES: Final = 4 * 1024 * 1024  # of one line, which limits the memory that a single untyped value can take
MAX_DEPTH: Final = 32  # of nesting in values without fixed types: parameters, environment, server
MAX_ROWS: Final = 1_000  # cells times arms of a plan
MAX_NAME: Final = 100  # characters in the name of an arm
MAX_FINDINGS: Final = 1_000  # of a self-check
# What is cut where it is long: values that have no fixed types, lists of texts, sentences.
_LOOSE: Final = ("params", "environment", "server", "connect_statements", "first_only", "message", "reason")
_SIZES: Final = ((MAX_TEXT, 10_000), (1_000, 1_000), (100, 100))  # characters of their texts, and parts: the first fit


class NotAResult(Exception):  # noqa: N818 - it becomes an UnreadableError as soon as the path is known
    """The reason why a file cannot be read as a result file."""


class Malformed(NotAResult):
    """A line is not JSON; this is excused in the last line, which may be cut off."""


Line = AnyHeader | Measurement | Problem | BreakEven | Trial | PoolTrial | WireRow | Finding | End
BODY: Final[dict[type[Record], tuple[type[Record], ...]]] = {  # header -> what may follow it, besides problems
    Header: (Measurement, BreakEven, WireRow),
    SearchHeader: (Trial,),
    PoolHeader: (PoolTrial,),
    WireHeader: (WireRow,),
    SelfCheckHeader: (records.Overhead, records.NoiseFloor, records.Sensitivity, records.Pgbench),
}


class _Opening(msgspec.Struct):
    """The part of a first line that all schema versions have."""

    type: Literal["run", "capacity", "pool", "wire", "selfcheck"]
    schema: Annotated[int, Meta(ge=0, le=2**31)]


_LINE: Final = msgspec.json.Decoder(Line)
_OPENING: Final = msgspec.json.Decoder(_Opening)


# --- a record as a line ----------------------------------------------------------------------------------------------


def line_of(record: Record) -> tuple[bytes, Record]:
    """The record as a line that every reader takes, and as it is read again.

    Texts are cleaned, and what is too long is cut, with a mark.

    Raises NotAResult for a record that no file can hold, like one with a count below 0.
    """
    try:
        plain = msgspec.to_builtins(_with_few_failures(record), str_keys=True)
        for most, parts in _SIZES:
            line = msgspec.json.encode(_fitted(plain, most, parts)) + b"\n"
            if len(line) <= MAX_LINE_BYTES:
                break
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise NotAResult(cut(clean(str(error)), 200)) from None
    read = record_of(line, SCHEMA)
    if isinstance(read, AnyHeader):
        _check_header(read)
    return line, read


def fitted(record: Problem) -> Problem:
    """The problem with its message as long as a file has it."""
    return msgspec.structs.replace(record, message=cut(clean(record.message)))


def _fitted(value: Any, most: int, parts: int, depth: int = 0, *, loose: bool = False) -> Any:
    """Plain data with its texts cleaned and cut; `loose`: also with so many parts at most."""
    if isinstance(value, str):
        return cut(clean(value), most if loose else MAX_TEXT)
    if isinstance(value, (dict, list)) and depth >= MAX_DEPTH:
        return "…"  # deeper than a reader looks
    if isinstance(value, dict):
        items = list(value.items())
        made = {
            cut(clean(key), MAX_NAME if loose else MAX_TEXT): _fitted(
                item, most, parts, depth + 1, loose=loose or key in _LOOSE
            )
            for key, item in (items[:parts] if loose else items)
        }
        return made | ({"…": f"({len(items):,} parts)"} if loose and len(items) > parts else {})
    if isinstance(value, list):
        kept = [_fitted(item, most, parts, depth + 1, loose=loose) for item in (value[:parts] if loose else value)]
        return [*kept, f"… ({len(value):,} parts)"] if loose and len(value) > parts else kept
    return value


def _with_few_failures(record: Record) -> Record:
    """The record with the most frequent kinds of failures by name, and the rest together."""
    if not isinstance(record, Measurement) or len(record.failures) <= records.MAX_FAILURES:
        return record
    named = Counter(record.failures).most_common(records.MAX_FAILURES - 1)
    rest = sum(record.failures.values()) - sum(number for _, number in named)
    return msgspec.structs.replace(record, failures={**dict(named), "others": rest})


# --- a line as a record ----------------------------------------------------------------------------------------------


def header_of(line: bytes) -> AnyHeader:
    """Decode the first line, checking the schema before anything else."""
    try:
        opening = _OPENING.decode(line)
    except (msgspec.DecodeError, ValueError):
        raise NotAResult("is not a dbbench result file") from None
    if not 1 <= opening.schema <= SCHEMA:
        raise NotAResult(f"has schema {opening.schema}, this dbbench reads schemas 1 to {SCHEMA}")
    try:
        header = cast("AnyHeader", record_of(line, opening.schema))  # the type that the opening has
        _check_header(header)
    except NotAResult as error:
        raise NotAResult(f"line 1: {error}") from None
    return header


def record_of(line: bytes, schema: int) -> Record:
    """Decode a line by its type, with all its texts cleaned (see texts.clean)."""
    if len(line) > MAX_LINE_BYTES:
        raise NotAResult("is too long")
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
        raise NotAResult(clean(str(error))[:200]) from None
    except (msgspec.DecodeError, ValueError):  # ValueError: not UTF-8
        raise Malformed("is not JSON") from None
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
    if isinstance(header, SearchHeader | PoolHeader) and len(header.plan.cells) != 1:
        raise NotAResult(f"a search has one cell, not {len(header.plan.cells)}")


def _check_plan(plan: Plan) -> None:
    """Refuse a plan that no run can have had; all further code relies on this."""
    names = [arm.name for arm in plan.arms]
    if len(set(names)) != len(names):
        raise NotAResult("two arms have the same name")
    if not all(0 < len(name) <= MAX_NAME for name in names):
        raise NotAResult(f"the name of an arm has no or more than {MAX_NAME} characters")
    if plan.baseline not in names:
        raise NotAResult(f"the baseline {plan.baseline[:MAX_NAME]!r} is not one of the arms")
    if any(name not in ("", *names) for cell in plan.cells for name in (cell.baseline, *cell.instead.values())):
        raise NotAResult("the baseline of a cell is not one of the arms")
    against = {arm.name: arm.baseline or plan.baseline for arm in plan.arms}
    if any(against.get(baseline) != baseline for baseline in against.values()):
        raise NotAResult("the baseline of an arm is not one of the arms, or is compared with another one")
    if len(plan.arms) * len(plan.cells) > MAX_ROWS:
        raise NotAResult(f"has more than {MAX_ROWS:,} cells times arms")
    if any(cell.sessions < 1 for cell in plan.cells):
        raise NotAResult("a cell has fewer sessions than 1")
    if any(cell.rows is not None and cell.rows < 0 for cell in plan.cells):
        raise NotAResult("a cell has a negative number of rows")


def tag(record: Record) -> str:
    """The type of the record as its line has it."""
    return str(type(record).__struct_config__.tag)


# --- which records make a file ---------------------------------------------------------------------------------------


class Rules:
    """What may come next in a file that has begun so; raises NotAResult where something may not."""

    def __init__(self, header: AnyHeader) -> None:
        self.header = header
        self.ended = False
        self._seen: set[tuple[int, int, str]] = set()
        self._number: Counter[str] = Counter()  # of records whose number has a limit

    def check(self, record: Record) -> None:
        """Take note of the next record."""
        if self.ended:
            raise NotAResult("the file goes on after its end")
        if isinstance(record, AnyHeader):
            raise NotAResult("a second run begins")
        if isinstance(record, End):
            self.ended = True
            return
        if not isinstance(record, (*BODY[type(self.header)], Problem)):
            raise NotAResult(f"a {tag(record)} is no part of a result of dbbench {tag(self.header)}")
        self._check(record)

    def _check(self, record: Record) -> None:
        match record:
            case Measurement(block=block, cell=cell, arm=arm):
                self._check_place(cell, arm)
                if (block, cell, arm) in self._seen:
                    raise NotAResult(f"block {block} of {arm} appears twice in cell {cell}")
                self._seen.add((block, cell, arm))
            case Problem(cell=cell, arm=arm) | BreakEven(cell=cell, arm=arm):
                self._check_place(cell, arm)
            case Trial(arm=arm):
                self._check_place(None, arm)
                self._count(f"trials of {arm}", cast("SearchHeader", self.header).bounds.max_trials)
            case PoolTrial(arm=arm):
                self._check_place(None, arm)
                self._count(f"trials of {arm}", records.MAX_TRIALS)
            case WireRow(arm=arm):
                self._check_place(None, arm)
                self._count("rows", MAX_ROWS)
            case _:
                self._count("findings", MAX_FINDINGS)

    def _count(self, what: str, most: int) -> None:
        self._number[what] += 1
        if self._number[what] > most:
            raise NotAResult(f"there are more than {most:,} {what}")

    def _check_place(self, cell: int | None, arm: str | None) -> None:
        if isinstance(self.header, SelfCheckHeader):
            return  # it has no plan
        plan = self.header.plan
        if cell is not None and cell >= len(plan.cells):
            raise NotAResult(f"cell {cell} is not in the plan, which has {len(plan.cells)}")
        if arm is not None and all(arm != known.name for known in plan.arms):
            raise NotAResult(f"arm {arm[:MAX_NAME]!r} is not in the plan")
