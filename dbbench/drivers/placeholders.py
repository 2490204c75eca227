"""Translation of PostgreSQL's own placeholders ($1, $2, ...) into those of DB-API drivers (%s)."""

import re
from collections.abc import Sequence
from typing import Any, Final

# Where a `$1` or a `%` is mere text: 'strings', "names", $tag$ bodies $tag$, -- comments and /* comments */.
_TOKEN: Final = re.compile(
    r"""(?P<text>'(?:[^']|'')*'|"(?:[^"]|"")*"|(?P<tag>\$(?:[A-Za-z_]\w*)?\$).*?(?P=tag)|--[^\n]*|/\*.*?\*/)"""
    r"""|\$(?P<number>\d+)|(?P<percent>%)""",
    re.DOTALL,
)


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

        text = _TOKEN.sub(replaced, sql)
        # Without arguments the drivers do not look for placeholders, so a % must not be doubled.
        self.sql = text if order else sql
        self.order = None if order == list(range(len(order))) else order
        self.plain = bool(order) and self.order is None

    def arguments(self, args: Sequence[Any]) -> Sequence[Any] | None:
        """The arguments as the driver expects them: in the order of the placeholders; None if there are none."""
        if not args:
            return None
        return args if self.order is None else [args[number] for number in self.order]


class Statements(dict[str, Statement]):
    """Statements by their text, each translated once."""

    def __missing__(self, sql: str) -> Statement:
        statement = self[sql] = Statement(sql)
        return statement
