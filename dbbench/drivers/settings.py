"""The driver settings that --driver-set and --vary accept.

Those that decide how statements are prepared are arguments of connect(), documented at asyncpg's connect(), at
SQLAlchemy's asyncpg dialect and at psycopg's Connection.connect(). `binary` is psycopg's argument of execute(), for all
statements; `executemany_mode` is create_engine()'s for psycopg2; `reset` is asyncpg's pool's. `json` has a driver of
the raw layer give and take JSON otherwise than it does by itself.
"""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

from dbbench import units

if TYPE_CHECKING:  # --help reads the table of drivers
    from dbbench.plan import Layer, Value

UNIQUE: Final = "uuid"
JSON: Final = "json"  # the name of a setting of every driver
TEXT: Final = "text"  # its values: JSON goes in and comes out as text,
PYTHON: Final = "python"  # or as Python's dict and list
BINARY: Final = "binary"  # of psycopg: results come in binary format
RESET: Final = "reset"  # of asyncpg's pool: it sends a reset query when a connection comes back
ON: Final = "on"
OFF: Final = "off"
Taker = Literal["connect", "cursor", "pool", "engine"]
"""What takes a setting: connect(), the cursors, the pool of the raw layer, or create_engine()."""


@dataclass(frozen=True)
class Setting:
    """A setting and its possible values."""

    values: str = "a number"  # the possible values, as messages describe them
    none: bool = False  # whether it can be switched off
    names: bool = False  # whether it makes names for statements; its only value is then UNIQUE
    words: tuple[str, ...] = ()  # the possible values, where they are words
    layers: "tuple[Layer, ...]" = ("orm", "core", "raw", "app")  # those that it changes anything for
    taker: Taker = "connect"

    def parse(self, text: str) -> "Value":
        """The value in a text; raises ValueError where it is not a possible one."""
        if self.names:
            if text != UNIQUE:
                raise ValueError(text)
            return text
        if self.words:
            if text not in self.words:
                raise ValueError(text)
            return text
        if self.none and text.lower() == "none":
            return None
        return units.whole(text, *units.INT32)

    def argument(self, value: "Value") -> Any:
        """The value as connect() expects it."""
        return (lambda: f"__asyncpg_{uuid.uuid4()}__") if self.names else value


def _one_of(*words: str, taker: Taker = "connect", layers: "tuple[Layer, ...]" = Setting.layers) -> Setting:
    return Setting(" or ".join(words), words=words, layers=layers, taker=taker)


_JSON: Final = {JSON: _one_of(TEXT, PYTHON, taker="pool", layers=("raw",))}
_OF_SQLALCHEMY: Final = ("orm", "core", "app")

PSYCOPG: Final[Mapping[str, Setting]] = {
    "prepare_threshold": Setting("a number or none", none=True),
    BINARY: _one_of(OFF, ON, taker="cursor"),
    **_JSON,
}
PSYCOPG2: Final[Mapping[str, Setting]] = {
    "executemany_mode": _one_of("values_only", "values_plus_batch", taker="engine", layers=_OF_SQLALCHEMY),
    **_JSON,
}
ASYNCPG: Final[Mapping[str, Setting]] = {
    "statement_cache_size": Setting(),
    "max_cached_statement_lifetime": Setting(),
    "max_cacheable_statement_size": Setting(),
    "prepared_statement_cache_size": Setting(layers=_OF_SQLALCHEMY),
    "prepared_statement_name_func": Setting(UNIQUE, names=True, layers=_OF_SQLALCHEMY),
    RESET: _one_of(ON, OFF, taker="pool", layers=("raw",)),
    **_JSON,
}

# What the drivers' and SQLAlchemy's documentation recommends for a pooler in transaction mode.
PSYCOPG_SAFE: Final["Mapping[str, Value]"] = {"prepare_threshold": None}
PSYCOPG_MISTAKEN: Final["Mapping[str, Value]"] = {"prepare_threshold": 0}  # "at once", and widely taken for "off"
ASYNCPG_SAFE: Final["Mapping[str, Value]"] = {
    "statement_cache_size": 0,
    "prepared_statement_cache_size": 0,
}
