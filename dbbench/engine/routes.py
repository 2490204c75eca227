"""How the connections of each cell reach the server: directly, through a relay that delays them, through a pooler."""

import contextlib
from collections.abc import Mapping
from contextlib import ExitStack
from statistics import quantiles
from time import perf_counter
from typing import Final

from dbbench.address import Address
from dbbench.drivers.libpq import connect_arguments
from dbbench.engine.pooler_arms import server_connections
from dbbench.errors import CannotStartError
from dbbench.messages import Route, Start
from dbbench.plan import Cell, Plan, Pooler
from dbbench.relay.handle import RelayProcess
from dbbench.server.own_pooler import APPLICATION, OwnPooler
from dbbench.server.pgbouncer import PoolerSettings, RunningPooler, pooler

_PINGS: Final = 25
_MOST_TUNED: Final = 0.1  # share of the round-trip time by which the delay is shortened at most
_TUNED_S: Final = 0.05  # longer round-trip times are not tuned: a third of a millisecond hardly matters there


class Routes:
    """The routes of one run. Relay and poolers are started when they are first needed, and ended by `stack`."""

    def __init__(
        self,
        start: Start,
        plan: Plan,
        schemas: Mapping[tuple[str, str], str],
        stack: ExitStack,
        via: OwnPooler | None = None,
    ) -> None:
        self._server = start.address
        self._session = start.session
        self._plan = plan
        self._schemas = schemas
        self._stack = stack
        self._relay: RelayProcess | None = None
        self._delayed: dict[float, Address] = {}
        self._poolers: dict[Pooler, RunningPooler] = {}
        self._via = via
        self._looked_at: set[str] = set()
        if via is not None:
            stack.callback(via.tidy, plan.most_connections)

    def __call__(self, cell: Cell, arm: str, schema: str) -> Route | None:
        """The route of the arm's connections in the cell; None: directly to the server."""
        if self._via is not None:
            return self._through(self._via, schema) if cell.pooler else Route(self._server, qualified=True)
        if cell.pooler is not None:
            return self._pooled(cell.pooler, self._alias(schema, arm))
        if cell.rtt_s is None:
            return None
        if cell.rtt_s not in self._delayed:
            self._delayed[cell.rtt_s] = delayed(self.relay, cell.rtt_s)
        return Route(self._delayed[cell.rtt_s])

    def _through(self, via: OwnPooler, schema: str) -> Route:
        """The route through the user's own pooler, where no arm finds what another has left."""
        if schema not in self._looked_at:
            via.refuse_others(schema)
            self._looked_at.add(schema)
        via.tidy(self._plan.most_connections)
        return Route(via.address, APPLICATION, pooled=True, qualified=True)

    def _pooled(self, wanted: Pooler, alias: str) -> Route:
        """The route through a pooler, with fresh server connections."""
        if wanted not in self._poolers:
            self._poolers[wanted] = self._stack.enter_context(self._pooler(wanted))
        running = self._poolers[wanted]
        running.reconnect(alias)
        return Route(running.address(alias), pooled=True)

    def _pooler(self, wanted: Pooler) -> contextlib.AbstractContextManager[RunningPooler]:
        """Start a pooler with server connections for every arm and schema, on the server's CPUs."""
        connections = server_connections(wanted.mode, self._plan.shared.pool)
        return pooler(
            self._server,
            PoolerSettings(wanted.mode, wanted.max_prepared_statements, connections),
            {
                self._alias(schema, arm.name): schema
                for schema in dict.fromkeys(self._schemas.values())
                for arm in self._plan.arms
            },
            self._plan.placement.server_cpus,
            self._session,
        )

    def check(self) -> None:
        """Raise ServerLostError where a pooler has ended; never waits."""
        for running in self._poolers.values():
            running.check()

    def _alias(self, schema: str, arm: str) -> str:
        """The pooler's alias for an arm's use of a schema; with the arm's number, as its name may not fit an alias."""
        return f"{schema}_{[each.name for each in self._plan.arms].index(arm)}"

    @property
    def relay(self) -> RelayProcess:
        """The relay in front of the server, on the server's CPUs: it stands for the network, not for the client."""
        if self._relay is None:
            cpus = self._plan.placement.server_cpus
            self._relay = self._stack.enter_context(RelayProcess(self._server, cpus))
        return self._relay


def delayed(relay: RelayProcess, rtt_s: float) -> Address:
    """Where a round trip takes `rtt_s` longer than through a relay without a delay, as measured by a client.

    With the delay, every process on the way wakes up from a longer sleep, which adds a third of a millisecond per round
    trip on a virtual machine. So the relay's delay is shortened by that much, within limits: on a busy machine a ping
    says little.
    """
    address = relay.listen(rtt_s=rtt_s)
    if not 0 < rtt_s <= _TUNED_S:
        return address
    excess_s = _ping_s(address) - _ping_s(relay.listen()) - rtt_s
    return relay.listen(rtt_s=rtt_s - min(_MOST_TUNED * rtt_s, max(0.0, excess_s)))


def _ping_s(address: Address) -> float:
    """The duration of an undisturbed round trip, seconds: the first quintile of several pings."""
    import psycopg

    from dbbench.server.impatient import Connection

    took = []
    try:
        with contextlib.closing(
            Connection.connect(**connect_arguments(address, {"application_name": "dbbench"}), autocommit=True)
        ) as pinged:
            for _ in range(_PINGS):
                began = perf_counter()
                pinged.execute("")
                took.append(perf_counter() - began)
    except psycopg.Error as error:
        raise CannotStartError(
            f"cannot connect to {address} through the relay: {' '.join(str(error).split())}"
        ) from None
    return quantiles(took, n=5)[0]
