"""What is compared when a pooler stands in front of the server: its own settings, and those of every driver."""

from collections.abc import Sequence
from typing import Final

import msgspec

from dbbench.drivers import DRIVERS
from dbbench.plan import Arm, Cell, Connections, Pool, Pooler, PoolerMode

SERVER_CONNECTIONS_PER_ARM: Final = (
    5  # server connections for each arm: fewer than its clients, so that they have to share them
)
PREPARED_STATEMENTS: Final = (0, 200)  # followed by the pooler: as before 1.21, and the default since 1.24
SAFE: Final = "safe"
NULL: Final = "null"


def server_connections(mode: PoolerMode, pool: Pool) -> int:
    """How many the pooler has for each arm; in session mode a client keeps one, so one for each."""
    return pool.capacity if mode == "session" else SERVER_CONNECTIONS_PER_ARM


def variants(mode: PoolerMode, *, follows_prepared_statements: bool) -> list[Pooler]:
    """The settings of the pooler that matter to drivers."""
    if mode == "session" or not follows_prepared_statements:
        return [Pooler(mode)]
    return [Pooler(mode, most) for most in PREPARED_STATEMENTS]


def behind(cells: Sequence[Cell], poolers: Sequence[Pooler]) -> list[Cell]:
    """Every cell straight to the server, and behind each of the poolers."""
    return [msgspec.structs.replace(cell, pooler=each) for cell in cells for each in (None, *poolers)]


def matrix(drivers: Sequence[str], connections: Connections) -> list[Arm]:
    """Every driver with its defaults and with the settings that its documentation gives for poolers, as arms.

    Each with SQLAlchemy's QueuePool and with NullPool.
    """
    made = []
    for name in drivers:
        safe = dict(DRIVERS[name].safe)
        for null in (False, True):
            for settings in ({}, safe) if safe else ({},):
                parts = [name, *([SAFE] if settings else []), *([NULL] if null else [])]
                own = {**connections.settings.get(name, {}), **settings}
                of_driver = {name: own} if own else {}
                arm = msgspec.structs.replace(connections, settings=of_driver, null_pool=null)
                made.append(Arm("+".join(parts), name, arm))
    return made
