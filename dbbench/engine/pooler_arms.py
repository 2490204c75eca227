"""What is compared when a pooler stands in front of the server: the pooler's settings, and those of every driver."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

import msgspec

from dbbench.drivers import DRIVERS
from dbbench.plan import Arm, Cell, Connections, Pool, Pooler, PoolerMode, Value

SERVER_CONNECTIONS_PER_ARM: Final = 5  # fewer than its clients, so that these have to share them
PREPARED_STATEMENTS: Final = (0, 200)  # max_prepared_statements: as before 1.21, and the default since 1.24
SAFE: Final = "safe"
NULL: Final = "null"


def server_connections(mode: PoolerMode, pool: Pool) -> int:
    """The pooler's server connections for each arm; in session mode every client keeps one, so one per client."""
    return pool.capacity if mode == "session" else SERVER_CONNECTIONS_PER_ARM


def variants(mode: PoolerMode, *, follows_prepared_statements: bool) -> list[Pooler]:
    """The variants of the pooler that differ for drivers."""
    if mode == "session" or not follows_prepared_statements:
        return [Pooler(mode)]
    return [Pooler(mode, most) for most in PREPARED_STATEMENTS]


def behind(cells: Sequence[Cell], poolers: Sequence[Pooler]) -> list[Cell]:
    """Every cell directly on the server, and behind each of the poolers."""
    return [msgspec.structs.replace(cell, pooler=each) for cell in cells for each in (None, *poolers)]


def matrix(drivers: Sequence[str], connections: Connections) -> list[Arm]:
    """The arms: every driver with its defaults and with the settings that its documentation recommends for poolers.

    Each comes with SQLAlchemy's QueuePool and with NullPool; what is often set by mistake with the former alone.
    """
    return [arm for name in drivers for arm in _of_driver(name, connections)]


def _of_driver(name: str, connections: Connections) -> Iterator[Arm]:
    driver = DRIVERS[name]
    mistakes = {f"{setting}={value}": {setting: value} for setting, value in driver.mistaken.items()}
    documented: dict[str, Mapping[str, Value]] = {"": {}, **({SAFE: driver.safe} if driver.safe else {})}
    for null in (False, True):
        for label, settings in {**documented, **({} if null else mistakes)}.items():
            own = {**connections.settings.get(name, {}), **settings}
            arm = msgspec.structs.replace(connections, settings={name: own} if own else {}, null_pool=null)
            yield Arm("+".join(filter(None, (name, label, NULL if null else ""))), name, arm)
