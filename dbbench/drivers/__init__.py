"""The drivers that can be measured. A new one is one row here and one file beside this one.

Help texts are made from this table, and --help must be fast, so neither this file nor settings.py imports msgspec,
SQLAlchemy or a driver at run time.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from importlib.util import find_spec
from random import Random
from typing import TYPE_CHECKING, Any, Final, Protocol, cast

from dbbench.drivers.settings import (
    ASYNCPG,
    ASYNCPG_SAFE,
    BINARY,
    ON,
    PSYCOPG,
    PSYCOPG2,
    PSYCOPG_MISTAKEN,
    PSYCOPG_SAFE,
    PYTHON,
    Setting,
    Taker,
)
from dbbench.errors import UsageError

if TYPE_CHECKING:
    from dbbench.address import Address
    from dbbench.plan import Layer, Pool, TxEnd, Value


@dataclass(frozen=True)
class Driver:
    """A driver that can be measured: one row of the table below."""

    name: str
    is_async: bool
    requirement: str  # what pip installs for it, with its extras
    distributions: tuple[str, ...]  # packages whose versions affect its speed
    module: str
    summary: str
    dialect: str = ""  # SQLAlchemy's name for it; empty: there is none, so raw is the only layer
    layers: "tuple[Layer, ...]" = ("orm", "core", "raw", "app")
    sqlstate: str = "sqlstate"  # the attribute of its exceptions with the server's error code
    json: str = ""  # how its raw layer takes and gives JSON, PYTHON, where it is no setting
    extra: str = ""  # dbbench's extra that installs it; empty: it comes with dbbench
    settings: Mapping[str, Setting] = field(default_factory=dict)  # those that --driver-set accepts
    safe: "Mapping[str, Value]" = field(default_factory=dict)  # what its documentation says for a transaction pooler
    mistaken: "Mapping[str, Value]" = field(default_factory=dict)  # what people set there, and means the reverse

    def arguments(self, settings: "Mapping[str, Value]", *, raw: bool) -> dict[str, Any]:
        """Those of these settings that are arguments of connect(), of the `raw` driver or of SQLAlchemy's dialect."""
        cursors = {"cursor_factory": cast("Any", self.adapter()).BinaryCursor} if settings.get(BINARY) == ON else {}
        return {**self.taken(settings, "connect", raw=raw), **cursors}

    def taken(self, settings: "Mapping[str, Value]", taker: Taker, *, raw: bool) -> dict[str, Any]:
        """Those of these settings that connect(), the pool or create_engine() takes, as it expects them."""
        layer: Layer = "raw" if raw else "core"
        kinds = {name: self.settings[name] for name in settings}
        return {
            name: kind.argument(settings[name])
            for name, kind in kinds.items()
            if kind.taker == taker and layer in kind.layers
        }

    def adapter(self) -> "Adapter":
        """The driver's own file, imported when it is needed."""
        return cast("Adapter", import_module(self.module))


class Adapter(Protocol):
    """What a driver's module must define."""

    def connect_arguments(self, address: "Address", settings: Mapping[str, str]) -> dict[str, Any]:
        """Arguments of the driver's connect(), the same for SQLAlchemy and raw; `settings` apply to each session."""
        ...

    def facts(self) -> dict[str, str]:
        """What affects its behaviour besides the settings: libraries, and what its pool does on release.

        `adds` is what this file adds to the driver's own behaviour; `idiom` how the driver's users end a transaction
        (a TxEnd), `rollback` what a ROLLBACK brings with it and `reset` what else its pool sends on release: reports
        make sentences of them (reports/run/sends.py).
        """
        ...

    def open_pool(
        self,
        arguments: Mapping[str, Any],
        pool: "Pool",
        keep: int,
        tx_end: "TxEnd",
        settings: "Mapping[str, Value]",
        opened: Callable[[], None],
    ) -> Any:
        """Open the driver's own pool, with up to `pool.capacity` connections, of which `keep` are opened at once.

        `arguments` are those of connect(). `settings` are those that the pool takes and that are not the driver's
        defaults. `opened` is called for every connection that the pool opens. Async drivers define it as a coroutine
        function. The pool has acquire() -> Db, release(db) and close(); its Db has end(), which ends the transaction as
        `tx_end` says, rollback(), to be called after an error, and discard(), after one that may have broken the
        connection.
        """
        ...

    def bare(self, connection: Any, params: Mapping[str, Any], rng: Random, operations: Iterable[int]) -> Any:
        """Time the driver as a person would by hand: point reads (point_read.py) in a for loop, unchecked.

        Sessions share the iterator. `dbbench selfcheck` compares dbbench's own loop with it. Async drivers define it as
        a coroutine function.
        """
        ...


_ROWS: Final = (
    Driver(
        name="psycopg",
        dialect="postgresql+psycopg",
        is_async=True,
        requirement="psycopg[binary,pool]",
        distributions=("psycopg", "psycopg-binary", "psycopg-c", "psycopg-pool"),
        module="dbbench.drivers.psycopg",
        summary="psycopg 3, async",
        settings=PSYCOPG,
        safe=PSYCOPG_SAFE,
        mistaken=PSYCOPG_MISTAKEN,
    ),
    Driver(
        name="asyncpg",
        dialect="postgresql+asyncpg",
        is_async=True,
        requirement="asyncpg",
        distributions=("asyncpg",),
        module="dbbench.drivers.asyncpg",
        summary="asyncpg, async only",
        settings=ASYNCPG,
        safe=ASYNCPG_SAFE,
    ),
    Driver(
        name="psycopg2",
        dialect="postgresql+psycopg2",
        is_async=False,
        requirement="psycopg2-binary",
        distributions=("psycopg2-binary", "psycopg2"),
        module="dbbench.drivers.psycopg2",
        summary="psycopg2, sync, in threads",
        sqlstate="pgcode",
        settings=PSYCOPG2,
    ),
    Driver(
        name="psycopg-sync",
        dialect="postgresql+psycopg",
        is_async=False,
        requirement="psycopg[binary,pool]",
        distributions=("psycopg", "psycopg-binary", "psycopg-c", "psycopg-pool"),
        module="dbbench.drivers.psycopg_sync",
        summary="psycopg 3, sync, in threads: separates async from driver",
        settings=PSYCOPG,
        safe=PSYCOPG_SAFE,
        mistaken=PSYCOPG_MISTAKEN,
    ),
    Driver(
        name="pg8000",
        dialect="postgresql+pg8000",
        is_async=False,
        requirement="pg8000",
        distributions=("pg8000",),
        module="dbbench.drivers.pg8000",
        summary="pg8000, pure Python, sync, in threads",
        extra="pg8000",
    ),
    Driver(
        name="psqlpy",
        is_async=True,
        requirement="psqlpy",
        distributions=("psqlpy",),
        module="dbbench.drivers.psqlpy",
        summary="psqlpy, in Rust, async; raw alone",
        layers=("raw",),
        json=PYTHON,
        extra="psqlpy",
    ),
)
DRIVERS: Final[dict[str, Driver]] = {row.name: row for row in _ROWS}
DEFAULT: Final = ("psycopg", "asyncpg", "psycopg2")
PRESETS: Final[dict[str, tuple[str, ...]]] = {
    "async": tuple(row.name for row in _ROWS if row.is_async and not row.extra),
    # psycopg 3 is the baseline of both.
    "sync": tuple(row.name for row in reversed(_ROWS) if not row.is_async and not row.extra),
    "all": tuple(row.name for row in _ROWS if not row.extra),
}


def of_extras(names: Iterable[str]) -> list[str]:
    """What pip installs for those of these drivers that do not come with dbbench."""
    return [DRIVERS[name].requirement for name in names if DRIVERS[name].extra]


def check_installed(names: Iterable[str]) -> None:
    """Raise UsageError for a driver of an extra that is not installed."""
    for driver in map(DRIVERS.__getitem__, filter(None, names)):
        if driver.extra and find_spec(driver.distributions[0]) is None:
            raise UsageError(f"{driver.name} is not installed", f"pip install 'dbbench[{driver.extra}]'")


def check_layers(names: Iterable[str], layers: "Iterable[Layer]") -> None:
    """Raise UsageError for a driver that does not have all of these layers."""
    for driver in map(DRIVERS.__getitem__, names):
        missing = sorted(set(layers) - set(driver.layers))
        if missing:
            raise UsageError(
                f"{driver.name} has no {' and no '.join(missing)} layer",
                f"--layer {','.join(driver.layers)} measures what it has, or leave {driver.name} out",
            )
