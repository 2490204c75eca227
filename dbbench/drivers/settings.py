"""The driver settings that --driver-set accepts: arguments of connect() that decide how statements are prepared.

They are documented at asyncpg's connect(), SQLAlchemy's asyncpg dialect and psycopg's Connection.connect().
"""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:  # --help reads the table of drivers
    from dbbench.plan import Value

UNIQUE: Final = "uuid"


@dataclass(frozen=True)
class Setting:
    """A setting and its possible values."""

    values: str = "a number"  # the possible values, as messages describe them
    none: bool = False  # whether it can be switched off
    names: bool = False  # whether it makes names for statements; its only value is then UNIQUE
    of_sqlalchemy: bool = False  # an argument of SQLAlchemy's dialect, unknown to the raw driver

    def parse(self, text: str) -> "Value":
        """The value in a text; raises ValueError where it is not a possible one."""
        if self.names:
            if text != UNIQUE:
                raise ValueError(text)
            return text
        if self.none and text.lower() == "none":
            return None
        if not text.isdecimal():
            raise ValueError(text)
        return int(text)

    def argument(self, value: "Value") -> Any:
        """The value as connect() expects it."""
        return (lambda: f"__asyncpg_{uuid.uuid4()}__") if self.names else value


PSYCOPG: Final[Mapping[str, Setting]] = {"prepare_threshold": Setting("a number or none", none=True)}
ASYNCPG: Final[Mapping[str, Setting]] = {
    "statement_cache_size": Setting(),
    "max_cached_statement_lifetime": Setting(),
    "max_cacheable_statement_size": Setting(),
    "prepared_statement_cache_size": Setting(of_sqlalchemy=True),
    "prepared_statement_name_func": Setting(UNIQUE, names=True, of_sqlalchemy=True),
}

# What the drivers' and SQLAlchemy's documentation recommends for a pooler in transaction mode.
PSYCOPG_SAFE: Final["Mapping[str, Value]"] = {"prepare_threshold": None}
ASYNCPG_SAFE: Final["Mapping[str, Value]"] = {
    "statement_cache_size": 0,
    "prepared_statement_cache_size": 0,
}
