"""The workers of an arm that runs in several processes, as one: web servers have several, each with its own pool.

Sessions and operations are spread over the processes. They begin a slice at one time, by the clock that they share, and
what they did is put together exactly: completions of all before the time per operation is taken, samples of all before
any percentile is.
"""

from array import array
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import accumulate
from time import perf_counter_ns
from types import TracebackType
from typing import Any, Final, Self, TypeVar, cast

import msgspec

from dbbench import messages
from dbbench.child import WorkerFailedError, WorkerProcess
from dbbench.plan import Connections, Load
from dbbench.records import Usage
from dbbench.worker.pace import elapsed_ns

START_NS: Final = 2_000_000  # from when the processes are told to start until they do
_REPLY = TypeVar("_REPLY", bound=messages.Message)


def shares(whole: int, parts: int) -> list[int]:
    """A whole number as so many parts, which differ by 1 at most; the larger ones come first."""
    return [whole // parts + (number < whole % parts) for number in range(parts)]


def proportional(whole: int, weights: Sequence[int]) -> list[int]:
    """A whole number as parts in proportion to weights, each within 1 of its share."""
    total = sum(weights)
    ends = [whole * end // total for end in accumulate(weights)]
    return [end - begin for begin, end in zip([0, *ends], ends, strict=False)]


@dataclass
class Team:
    """See engine.site.Worker; the first member answers where one answer is enough."""

    members: Sequence[WorkerProcess]
    connections: Connections
    _sessions: list[int] = field(default_factory=list)  # of each member in the open cell; only the first ones have any

    @property
    def pid(self) -> int:
        """Of the first."""
        return self.members[0].pid

    def disturbance(self) -> str:
        """What kept any of them from running."""
        return "; ".join(dict.fromkeys(filter(None, [member.disturbance() for member in self.members])))

    def reply(self, kind: type[_REPLY], patience: float, meanwhile: Callable[[], None] | None = None) -> _REPLY:
        """The first one's reply, once all have given theirs."""
        return self._replies(self.members, kind, patience, meanwhile)[0]

    def ask(
        self,
        request: messages.Request,
        kind: type[_REPLY],
        patience: float,
        meanwhile: Callable[[], None] | None = None,
    ) -> _REPLY:
        """Have those do it whom it concerns, and put together what they reply."""
        match request:
            case messages.Open(cell=cell, pool=pool):
                if pool is not None:
                    self.connections = msgspec.structs.replace(self.connections, pool=pool)
                self._sessions = [number for number in shares(cell.sessions, len(self.members)) if number]
                own = [msgspec.structs.replace(cell, sessions=number) for number in self._sessions]
                opening = [msgspec.structs.replace(request, cell=each) for each in own]
                return self._all(opening, kind, patience, meanwhile)[0]
            case messages.RunSlice():
                return self._slice(request, kind, patience, meanwhile)
            case messages.Close():
                closed: Any = self._all([request] * len(self._sessions), kind, patience, meanwhile)
                lock = closed[0].gil if closed else ""
                return cast("_REPLY", messages.Closed(sum(each.peak_bytes for each in closed), lock))
        return self._all([request], kind, patience, meanwhile)[0]

    def _slice(
        self, request: messages.RunSlice, kind: type[_REPLY], patience: float, meanwhile: Callable[[], None] | None
    ) -> _REPLY:
        if request.lead_in:
            before = msgspec.structs.replace(
                request, operations=request.lead_in, seed=f"{request.seed}/lead-in", lead_in=0, load=Load()
            )
            self._all(self._parts(before), kind, patience, meanwhile)
        start_ns = perf_counter_ns() + START_NS
        parts = self._parts(msgspec.structs.replace(request, lead_in=0, start_ns=start_ns))
        ran: Any = self._all(parts, kind, patience, meanwhile)
        connections = sum(self.connections.in_process(sessions) for sessions in self._sessions)
        # Where the load is paced the whole slice counts, as it does in one process: see worker/load.py.
        return cast("_REPLY", together(ran, 1 if request.load.paced else connections))

    def _parts(self, request: messages.RunSlice) -> list[messages.Request]:
        """What each member does of a slice."""
        operations = proportional(request.operations, self._sessions)
        rate = request.load.rate
        rates = [rate and rate * own / request.operations for own in operations]
        return [
            msgspec.structs.replace(
                request,
                operations=own,
                seed=f"{request.seed}/process {number}",
                load=msgspec.structs.replace(request.load, rate=own_rate),
            )
            for number, (own, own_rate) in enumerate(zip(operations, rates, strict=True))
        ]

    def _all(
        self,
        requests: Sequence[messages.Request],
        kind: type[_REPLY],
        patience: float,
        meanwhile: Callable[[], None] | None,
    ) -> list[_REPLY]:
        """Ask the first members, one for each request, at the same time."""
        asked = self.members[: len(requests)]
        for member, request in zip(asked, requests, strict=True):
            member.ask_later(request)
        return self._replies(asked, kind, patience, meanwhile)

    def _replies(
        self,
        asked: Sequence[WorkerProcess],
        kind: type[_REPLY],
        patience: float,
        meanwhile: Callable[[], None] | None,
    ) -> list[_REPLY]:
        """The replies of all; where some failed, all are waited for before the first failure is raised."""
        replies: list[_REPLY] = []
        failures: list[WorkerFailedError] = []
        for member in asked:
            try:
                replies.append(member.reply(kind, patience, meanwhile))
            except WorkerFailedError as error:
                failures.append(error)
        if failures:
            raise failures[0]
        return replies

    def __enter__(self) -> Self:
        """Use it for the length of a `with` block."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None, /
    ) -> None:
        """End all."""
        with ExitStack() as stack:
            for member in self.members:
                stack.callback(member.end)


def together(parts: Sequence[messages.Ran], connections: int) -> messages.Ran:
    """What processes did in one slice, as if one process had done it; `connections` share a closed loop.

    Samples are in the order of the processes, in each in order of issue.
    """
    ends = array("q", b"".join(part.ends for part in parts))
    began_ns = min(part.began_ns for part in parts)
    ended_ns = max((part.began_ns + part.usage.elapsed_ns for part in parts), default=began_ns)
    last_ns = max(ends, default=ended_ns) if connections > 1 else ended_ns
    services = [part.services for part in parts]
    said = dict.fromkeys(message for part in parts for message in part.errors)
    return messages.Ran(
        latencies=b"".join(part.latencies for part in parts),
        waits=b"".join(part.waits for part in parts),
        services=None if None in services else b"".join(each for each in services if each is not None),
        loop_lags=b"".join(part.loop_lags for part in parts),
        began_ns=began_ns,
        usage=msgspec.structs.replace(
            _sum([part.usage for part in parts]), elapsed_ns=elapsed_ns(ends, began_ns, last_ns, connections)
        ),
        failures=dict(sum((Counter(part.failures) for part in parts), Counter())),
        errors=list(said)[: messages.MAX_ERRORS],
        ends=ends.tobytes(),
    )


def _sum(usages: Sequence[Usage]) -> Usage:
    return Usage(*(sum(getattr(usage, name) for usage in usages) for name in Usage.__struct_fields__))
