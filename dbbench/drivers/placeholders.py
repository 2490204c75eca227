"""PostgreSQL's own placeholders ($1, $2, ...): their rules, and their translation into those of DB-API drivers (%s)."""

import re
from collections.abc import Sequence
from typing import Any, Final

from dbbench.wording import count

# Where a `$1` or a `%` is mere text: 'strings', "names", $tag$ bodies $tag$, -- comments and /* comments */.
_TOKEN: Final = re.compile(
    r"""(?P<text>'(?:[^']|'')*'|"(?:[^"]|"")*"|(?P<tag>\$(?:[A-Za-z_]\w*)?\$).*?(?P=tag)|--[^\n]*|/\*.*?\*/)"""
    r"""|\$(?P<number>\d+)|(?P<percent>%)""",
    re.DOTALL,
)
_FOREIGN: Final = re.compile(r"%s|%\(\w+\)s|(?<![:\w]):[A-Za-z_]\w*|\?")  # placeholders of drivers and SQLAlchemy
_IN: Final = re.compile(r"\b(NOT\s+)?IN\s+\$(\d+)", re.IGNORECASE)
_OWN: Final = re.compile(r"\s*(PREPARE|CREATE)\b", re.IGNORECASE)  # its placeholders are not of this execution
_OF_ARRAY: Final = re.compile(r"\b(?:ANY|ALL)\s*\(\s*\$(\d+)", re.IGNORECASE)


class StatementError(Exception):
    """A statement breaks the rules that are the same for all drivers, or its arguments do not fit it."""


def check(sql: str, args: Sequence[Any]) -> None:
    """Raise StatementError for what only some of the drivers would take: one rule holds for all of them."""
    if _OWN.match(sql) and not args:
        return
    bare = _TOKEN.sub(lambda match: " " if match["text"] else match[0], sql)
    if match := _IN.search(bare):
        instead = f"<> ALL(${match[2]})" if match[1] else f"= ANY(${match[2]})"
        raise StatementError(f"IN ${match[2]} takes no list in PostgreSQL; write {instead} and give a list")
    for match in _OF_ARRAY.finditer(bare):
        for value in args[int(match[1]) - 1 :][:1]:
            if isinstance(value, tuple | set | frozenset):
                kind = type(value).__name__
                raise StatementError(f"{match[0]}) takes a list, not a {kind}; list(value) makes one")
    numbers = {int(match["number"]) for match in _TOKEN.finditer(sql) if match["number"]}
    if len(args) == 1 and _is_all_of(numbers, args[0]):
        raise StatementError("arguments are given one by one, (sql, a, b), not together in a list or tuple")
    if args and not numbers:
        foreign = _FOREIGN.search(bare)
        what = f"{foreign[0]} is no placeholder" if foreign else f"{count(len(args), 'argument')} and no placeholder"
        raise StatementError(f"{what}; write $1, $2, ... for every driver, as PostgreSQL has them")
    if numbers != set(range(1, len(args) + 1)):
        shown = ", ".join(f"${number}" for number in sorted(numbers))
        raise StatementError(f"the placeholders are {shown}, and there {_are(len(args))}")


def _is_all_of(numbers: set[int], argument: object) -> bool:
    """Whether one argument holds those of all placeholders; a list of one may be an array."""
    if not isinstance(argument, list | tuple) or numbers != set(range(1, len(argument) + 1)):
        return False
    return len(numbers) > 1 or isinstance(argument, tuple)


def _are(arguments: int) -> str:
    return f"{'is' if arguments == 1 else 'are'} {count(arguments, 'argument')}"


class Statement:
    """A statement with %s placeholders and, unless these are simply $1, $2, ... in order, the order of its arguments.

    `plain`: there are placeholders and they are in order, so arguments can be passed as they are.
    """

    __slots__ = ("order", "plain", "sql")

    def __init__(self, sql: str) -> None:
        order: list[int] = []

        def replaced(match: re.Match[str]) -> str:
            if match["number"]:
                order.append(int(match["number"]) - 1)
                return "%s"
            return match[0].replace("%", "%%")

        text = sql if _OWN.match(sql) else _TOKEN.sub(replaced, sql)
        # Without arguments the drivers do not look for placeholders, so a % must not be doubled.
        self.sql = text if order else sql
        self.order = None if order == list(range(len(order))) else order
        self.plain = bool(order) and self.order is None

    def arguments(self, args: Sequence[Any]) -> Sequence[Any] | None:
        """The arguments as the driver expects them: in the order of the placeholders; None if there are none.

        Raises StatementError where no placeholder takes them: the driver might take its own kind.
        """
        if not args:
            return None
        if self.order is not None:
            return [args[number] for number in self.order]
        if not self.plain:
            check(self.sql, args)
        return args


class Statements(dict[str, Statement]):
    """Statements by their text, each translated once."""

    def __missing__(self, sql: str) -> Statement:
        statement = self[sql] = Statement(sql)
        return statement
