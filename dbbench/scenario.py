"""A scenario module: one workload, written once; dbbench finds its functions by their names.

    PARAMS = {"rows": 10_000}                      optional: parameters and their defaults (--set rows=...)
    SESSIONS = (1, 15, 50)                         optional: concurrencies to measure (--sessions), default 1
    def prepare(connection, params): ...           optional: make and fill tables, untimed, once per run
    def reset(connection, params): ...             optional: untimed, before every slice
    def rows(params): ...                          optional: rows that one operation moves, for rows per second
    async def orm(session, params, rng): ...       \
    async def core(connection, params, rng): ...    | at least one of these: the operation
    async def raw(db, params, rng): ...            /
    def app(sessions, params): ...                 optional: an ASGI application, and
    def request(rng, params): ...                  what a client asks it: (method, path), or with a body for JSON

`prepare` and `reset` get a sync SQLAlchemy connection whose transaction is committed for them.
"""

import math
import random
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol, get_args

import msgspec

from dbbench.errors import ScenarioError, UsageError
from dbbench.plan import Layer
from dbbench.units import INT64
from dbbench.wording import not_text

LAYERS: Final[tuple[Layer, ...]] = get_args(Layer)

Params = Mapping[str, Any]
Operation = Callable[[Any, Params, random.Random], Any]
"""orm, core or raw: a coroutine function, or a plain one in the sync twin. app: an App."""


class Db(Protocol):
    """The first argument of `raw`: a thin adapter over one connection of the driver, with a method per call of its API.

    Statements are written with PostgreSQL's own placeholders ($1, $2, ...). In a sync twin nothing is awaited.
    """

    def fetch_one(self, sql: str, *args: object) -> Awaitable[Sequence[Any] | None]:
        """One row, as the driver returns it, or None."""
        ...

    def fetch_all(self, sql: str, *args: object) -> Awaitable[Sequence[Sequence[Any]]]:
        """All rows, as the driver returns them."""
        ...

    def execute(self, sql: str, *args: object) -> Awaitable[None]:
        """Run a statement without fetching rows."""
        ...

    def execute_many(self, sql: str, rows: Iterable[Sequence[object]]) -> Awaitable[None]:
        """Run a statement once for every row of arguments, in the driver's fastest general way."""
        ...

    def copy_in(self, table: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> Awaitable[None]:
        """COPY rows into a table."""
        ...

    def transaction(self) -> AbstractAsyncContextManager[object]:
        """BEGIN, and COMMIT at the end of the block or ROLLBACK when it raises."""
        ...


@dataclass(frozen=True)
class App:
    """The operation of the layer `app`: a request to an application that gets its sessions from dbbench."""

    make: Callable[[Any, Params], Any]  # (sessionmaker, params) -> the ASGI application
    request: Callable[[random.Random, Params], tuple[Any, ...]]

    async def __call__(self, client: Any, params: Params, rng: random.Random) -> Any:
        """Ask through a client of the application."""
        return await client(self.request(rng, params))


class Description(msgspec.Struct, frozen=True):
    """A scenario's description of itself, for the plan."""

    name: str
    summary: str  # the first line of its docstring
    params: dict[str, Any]
    layers: list[Layer]
    sessions: list[int]
    rows: int | None  # that one operation moves
    has_reset: bool


@dataclass(frozen=True)
class Scenario:
    """A loaded scenario module."""

    name: str
    path: Path
    summary: str
    defaults: dict[str, Any]
    sessions: list[int]
    operations: dict[Layer, Operation]
    prepare: Callable[[Any, Params], object] | None
    reset: Callable[[Any, Params], object] | None
    rows: Callable[[Params], int] | None

    def params(self, overrides: Mapping[str, str]) -> dict[str, Any]:
        """The parameters, with the overrides that apply to this scenario; raises UsageError for an impossible value."""
        params = dict(self.defaults)
        for key, text in overrides.items():
            scenario, _, name = key.rpartition(".")
            if name in params and scenario in ("", self.name):
                params[name] = converted(key, text, params[name])
        return params

    def describe(self, overrides: Mapping[str, str]) -> Description:
        """What a plan needs to know; raises UsageError for a value that a parameter cannot have."""
        params = self.params(overrides)
        return Description(
            name=self.name,
            summary=self.summary,
            params=params,
            layers=list(self.operations),
            sessions=self.sessions,
            rows=None if self.rows is None else self._rows(params),
            has_reset=self.reset is not None,
        )

    def _rows(self, params: Params) -> int:
        assert self.rows is not None
        found: object = self.rows(params)
        if not isinstance(found, int) or isinstance(found, bool) or not 0 <= found <= INT64[1]:
            kind = f"{found:.0e}" if isinstance(found, int) and found > 0 else type(found).__name__
            raise ScenarioError(f"{self.path.name}: rows() must give a whole number of rows, 0 or more, not {kind}")
        return found


def cannot_be(value: object) -> str:
    """Why no parameter can have this value; empty: it can."""
    if isinstance(value, int) and not INT64[0] <= value <= INT64[1]:
        return "must fit into 64 bits"
    if isinstance(value, float) and not math.isfinite(value):
        return "must be a finite number"
    return not_text(value) if isinstance(value, str) else ""


def converted(name: str, text: str, default: object) -> object:
    """`text` as a value of the type of `default`; double quotes around it are no part of it.

    Raises UsageError, which names the parameter, for anything else and for several values with commas: a comma that is
    meant is in quotes, or the default has one, too.
    """
    kind = type(default)
    if len(text) > 1 and text[0] == text[-1] == '"':
        text = text[1:-1]
    elif "," in text and "," not in str(default):
        like = "" if kind is str else f", like {default!r}"
        varied = name.rpartition(".")[2]
        quoted = f"""; a comma that belongs to it goes in quotes: --set '{name}="{text}"'""" if kind is str else ""
        raise UsageError(
            f"--set {name}={text}: one run takes one value of {name}{like}",
            f"--vary set.{varied}={text} compares several{quoted}",
        )
    try:
        if kind is bool:
            return {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}[text.lower()]
        if kind in (int, float):
            value = kind(text)
            if not cannot_be(value):
                return value
            raise ValueError(text)  # noqa: TRY301
    except (KeyError, ValueError):
        raise UsageError(f"--set {name}={text}: {name} takes a value like {default!r} ({kind.__name__})") from None
    return text
