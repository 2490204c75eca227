"""The settings of drivers that --driver-set takes: arguments of connect() that decide how statements are prepared.

Which they are and what they do: asyncpg's connect(), SQLAlchemy's asyncpg dialect, psycopg's Connection.connect().
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
    """What a setting may be."""

    values: str = "a number"  # as messages say it
    none: bool = False  # whether it can be switched off
    names: bool = False  # whether it makes names, and then the only value is UNIQUE
    of_sqlalchemy: bool = False  # an argument of SQLAlchemy's dialect, which the raw driver does not have

    def parse(self, text: str) -> "Value":
        """The value that was written; ValueError where it is none."""
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
        """The value as connect() takes it."""
        return (lambda: f"__asyncpg_{uuid.uuid4()}__") if self.names else value


PSYCOPG: Final[Mapping[str, Setting]] = {"prepare_threshold": Setting("a number or none", none=True)}
ASYNCPG: Final[Mapping[str, Setting]] = {
    "statement_cache_size": Setting(),
    "max_cached_statement_lifetime": Setting(),
    "max_cacheable_statement_size": Setting(),
    "prepared_statement_cache_size": Setting(of_sqlalchemy=True),
    "prepared_statement_name_func": Setting(UNIQUE, names=True, of_sqlalchemy=True),
}

# What the drivers' and SQLAlchemy's documentation say for a pooler in transaction mode.
PSYCOPG_SAFE: Final["Mapping[str, Value]"] = {"prepare_threshold": None}
ASYNCPG_SAFE: Final["Mapping[str, Value]"] = {
    "statement_cache_size": 0,
    "prepared_statement_cache_size": 0,
}
