"""The messages of one operation per row, as a ladder: what the client sends, what the server answers, who waits."""

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Final, NamedTuple

from rich.cells import cell_len
from rich.console import Console

from dbbench.commands.wire.result import WireResult
from dbbench.records import TraceLine
from dbbench.reports.console import WIDTH, plain, print_title
from dbbench.reports.text import shown
from dbbench.reports.wire.words import place
from dbbench.wording import are, count

MAX_LINES: Final = 200  # of one operation

_LONGEST_REPEAT: Final = 4  # messages that are repeated in turn: Bind, Describe, Execute
_MESSAGE: Final = 22  # columns
_BYTES: Final = 11


class _Rung(NamedTuple):
    """One line of the ladder: a message, or how often it is repeated."""

    from_client: bool
    what: str
    bytes: int
    detail: str


def render(result: WireResult, console: Console) -> None:
    """Print a ladder for each row."""
    for row in result.rows:
        name, rest = place(row)
        print_title(name, [*rest, shown(row.driver), "one operation"], console)
        lines = list(ladder(row.trace, min(WIDTH, console.width)))
        for line in lines[:MAX_LINES]:
            console.print(plain(line, console), no_wrap=True, crop=False, overflow="ignore")
        if more := len(lines) - min(len(lines), MAX_LINES):
            console.print(plain(f"  {count(more, 'more line')} {are(more)} left out", console, "dim"))
        if row.untraced:
            console.print(
                plain(
                    f"  {count(row.untraced, 'more message')} {'was' if row.untraced == 1 else 'were'} not kept",
                    console,
                    "dim",
                )
            )
        console.print()


def ladder(trace: Sequence[TraceLine], width: int = WIDTH) -> Iterator[str]:
    """Write the lines: -> from the client, <- from the server, and one after each round trip.

    Messages that are alike and follow each other are one line, CopyData x 120; those that alternate with others are
    repeated in turn.
    """
    if not trace:
        yield "  no messages"
    for number, lines in groupby(trace, lambda line: line.round_trip):
        for rung in _merged(list(lines)):
            arrow = "->" if rung.from_client else "<-"
            size = f"{rung.bytes:,} B"
            line = f"  {arrow} {rung.what:<{_MESSAGE}} {size:>{_BYTES}}   "
            yield f"{line}{_cut(rung.detail, width - 2 - cell_len(line))}".rstrip()
        if number:
            yield f"  {f'-- round trip {number:,} ':-<{width - 4}}"


def _merged(lines: Sequence[TraceLine]) -> Iterator[_Rung]:
    at = 0
    while at < len(lines):
        length, times = _repeat(lines, at)
        end = at + length * times
        suffix = "" if times == 1 else f" x {times:,}{' in turn' if length > 1 else ''}"
        for first in range(at, at + length):
            line = lines[first]
            size = sum(repeated.size for repeated in lines[first:end:length])
            yield _Rung(line.from_client, f"{shown(line.kind, _MESSAGE)}{suffix}", size, line.detail)
        at = end


def _repeat(lines: Sequence[TraceLine], at: int) -> tuple[int, int]:
    """How many messages from here on are repeated together, and how often: the pattern that covers most of them."""
    best = (1, 1)
    for length in range(1, _LONGEST_REPEAT + 1):
        pattern = list(map(_alike, lines[at : at + length]))
        times = 1
        while list(map(_alike, lines[at + length * times : at + length * (times + 1)])) == pattern:
            times += 1
        if times > 1 and length * times > best[0] * best[1]:
            best = (length, times)
    return best


def _alike(line: TraceLine) -> tuple[bool, str, str]:
    return line.from_client, line.kind, line.detail


def _cut(detail: str, room: int) -> str:
    """As much of the SQL, tag or name as fits on one line."""
    text = shown(" ".join(detail.split()), 2 * WIDTH)
    if cell_len(text) <= room:
        return text
    while text and cell_len(text) > room - 1:
        text = text[:-1]
    return f"{text}…"
