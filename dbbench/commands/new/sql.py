"""A file of SQL: statements, the last one's placeholders, and what values they take."""

import datetime
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from dbbench.errors import UsageError, nearest
from dbbench.wording import listed

# 'strings', "names", $tag$ bodies $tag$, -- comments and /* comments */: a ; or a placeholder in them is mere text.
_QUOTED: Final = (
    r"""(?P<text>'(?:[^']|'')*'|"(?:[^"]|"")*"|(?P<tag>\$(?:[A-Za-z_]\w*)?\$).*?(?P=tag)|--[^\n]*|/\*.*?\*/)"""
)
_TOKEN: Final = re.compile(_QUOTED + r"|(?P<end>;)", re.DOTALL)
_PLACEHOLDER: Final = re.compile(
    _QUOTED + r"|\$(?P<number>\d+)|%\((?P<named>[A-Za-z_]\w*)\)s|(?P<each>%s)|(?<![:\w]):(?P<colon>[A-Za-z_]\w*)",
    re.DOTALL,
)
_RANGE: Final = re.compile(r"--\s*(?P<name>\$\d+|:?[A-Za-z_]\w*)\s*:\s+(?P<values>\S.*?)\s*")
_GIVES_ROWS: Final = re.compile(r"\s*(SELECT|WITH|VALUES|TABLE)\b|.*\bRETURNING\b", re.IGNORECASE | re.DOTALL)
_COMMENT: Final = re.compile(r"--[^\n]*|/\*.*?\*/", re.DOTALL)
EXAMPLE: Final = "-- {name}: 1..1000"


@dataclass(frozen=True)
class Parsed:
    """What a file of SQL asks for."""

    before: Sequence[str]  # statements that make and fill tables, as text() takes them
    named: str  # the last statement with :name placeholders, as SQLAlchemy's text() takes it
    numbered: str  # the same with $1, $2, ..., as raw operations take it
    values: Mapping[str, str]  # name of a placeholder -> the expression that draws a value, in the order of numbers
    gives_rows: bool


def parsed(sql: str, file: str) -> Parsed:
    """Read the statements; UsageError where there is none, or where a placeholder has no values."""
    statements = [each for each in _statements(sql) if _COMMENT.sub("", each).strip()]
    if not statements:
        raise UsageError(f"{file}: there is no statement in it")
    *before, last = statements
    ranges = {name.lstrip(":"): values for name, values in _ranges(sql)}
    last = "\n".join(line for line in last.splitlines() if not _RANGE.fullmatch(line.strip())).strip()
    names: dict[str, str] = {}  # as it is written -> a name in Python
    kinds: set[str] = set()

    def name_of(match: re.Match[str]) -> str:
        kind = str(match.lastgroup)
        kinds.add(kind)
        written = f"${len(names) + 1}" if kind == "each" else f"${match['number']}" if kind == "number" else match[0]
        plain = match["named"] or match["colon"] or written
        return names.setdefault(plain, f"p{plain[1:]}" if plain.startswith("$") else plain)

    named = _PLACEHOLDER.sub(lambda match: _escaped(match[0]) if match["text"] else f":{name_of(match)}", last)
    if len(kinds) > 1:
        raise UsageError(f"{file}: it mixes placeholders of several kinds", "write all of them as :name, or as $1, $2")
    numbers = {name: number for number, name in enumerate(names.values(), 1)}
    names_again = iter(re.findall(r"(?<![:\w\\]):([A-Za-z_]\w*)", named)) if kinds == {"each"} else None

    def numbered(match: re.Match[str]) -> str:
        if match["text"]:
            return match[0]
        name = next(names_again) if names_again is not None else names[_plain(match)]
        return f"${numbers[name]}"

    return Parsed(
        before=[_escaped(each.strip()) for each in before],
        named=named,
        numbered=_PLACEHOLDER.sub(numbered, last),
        values={name: _drawn(written, ranges, file) for written, name in names.items()},
        gives_rows=bool(_GIVES_ROWS.match(_COMMENT.sub("", last))),
    )


def _plain(match: re.Match[str]) -> str:
    return match["named"] or match["colon"] or f"${match['number']}"


def _statements(sql: str) -> Iterator[str]:
    at = 0
    for match in _TOKEN.finditer(sql):
        if match["end"]:
            yield sql[at : match.start()]
            at = match.end()
    yield sql[at:]


def _ranges(sql: str) -> Iterator[tuple[str, str]]:
    for line in sql.splitlines():
        if match := _RANGE.fullmatch(line.strip()):
            yield match["name"], match["values"]


def _escaped(text: str) -> str:
    r"""Mere text for text(), which would take a :word in it for a placeholder."""
    return re.sub(r"(?<!:):(?=\w)", r"\\:", text)


def _drawn(written: str, ranges: Mapping[str, str], file: str) -> str:
    """The expression in Python that draws a value of the placeholder; UsageError where nothing says which."""
    if written not in ranges:
        name = written if written.startswith("$") else f":{written}"
        said = f" ({nearest(written, ranges)})" if ranges else ""
        raise UsageError(
            f"{file}: nothing says what {name} may be{said}", f"add a line like {EXAMPLE.format(name=name)}"
        )
    values = ranges[written]
    least, dots, most = values.partition("..")
    if not dots:
        words = [word.strip() for word in values.split(",")]
        return f"rng.choice([{', '.join(_constant(word) for word in words)}])"
    for convert, draw in _KINDS:
        try:
            low, high = convert(least.strip()), convert(most.strip())
        except ValueError:
            continue
        if low > high:  # type: ignore[operator]
            raise UsageError(f"{file}: {written}: {values} is empty", f"write {most.strip()}..{least.strip()}")
        return draw(low, high)
    kinds = listed(["1..1000", "0.5..9.5", "2026-01-01..2026-12-31", "open, closed"])
    raise UsageError(f"{file}: {written}: {values} is no range", f"there are {kinds}")


def _constant(word: str) -> str:
    if len(word) > 1 and word[0] == word[-1] and word[0] in "'\"":
        return repr(word[1:-1])
    return word if re.fullmatch(r"-?\d+", word) else repr(word)


def _days(low: datetime.date, high: datetime.date) -> str:
    first = f"datetime.date({low.year}, {low.month}, {low.day})"
    return f"{first} + datetime.timedelta(days=rng.randrange({(high - low).days + 1}))"


_KINDS: Final[Sequence[tuple[Callable[[str], object], Callable[..., str]]]] = (
    (int, lambda low, high: f"rng.randint({low}, {high})"),
    (float, lambda low, high: f"rng.uniform({low}, {high})"),
    (datetime.date.fromisoformat, _days),
)
