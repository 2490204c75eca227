"""One request: check a connection out, run the operation, end the transaction, return the connection.

Written once, for tasks. Threads run this file's sync twin (see twin.py), so both do the same in the same order. Use
only what has a sync counterpart, and keep it short, since every line here is part of what is measured.
"""

import asyncio
from array import array
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from random import Random, random
from time import perf_counter_ns
from typing import Any, Final

from dbbench.plan import TxEnd
from dbbench.scenario import Operation, Params
from dbbench.worker.failures import breaks, refuses
from dbbench.worker.pool_wait import WAIT, Wait

FIRST_BACK_OFF_S: Final = 0.1
LONGEST_BACK_OFF_S: Final = 1.0
REFUSED_NS: Final = 4_000_000_000  # after which a session that the server refuses gives up for this slice
CONNECTS_PER_S: Final = 15.0  # of all sessions together, once the server refuses them
Request = Callable[[Random], Awaitable[Any]]
"""Runs one operation with the given random numbers and returns its result."""


def app_request(client: Any, operation: Operation, params: Params) -> Request:
    """A request to an application, which opens and closes its sessions itself."""

    async def request(rng: Random) -> Any:
        return await operation(client, params, rng)

    return request


def orm_request(maker: Any, operation: Operation, params: Params, tx_end: TxEnd) -> Request:
    """A request with a session of its own; closing it rolls back what was not committed."""
    commit = tx_end == "commit"

    async def request(rng: Random) -> Any:
        async with maker() as session:
            try:
                result = await operation(session, params, rng)
                if commit:
                    await session.commit()
            except BaseException as error:
                if breaks(error):
                    await session.invalidate()
                raise
            return result

    return request


def core_request(engine: Any, operation: Operation, params: Params, tx_end: TxEnd) -> Request:
    """A request with a connection of the engine; closing it rolls back what was not committed."""
    commit = tx_end == "commit"

    async def request(rng: Random) -> Any:
        async with engine.connect() as connection:
            try:
                result = await operation(connection, params, rng)
                if commit:
                    await connection.commit()
            except BaseException as error:
                if breaks(error):
                    await connection.invalidate()
                raise
            return result

    return request


def raw_request(pool: Any, operation: Operation, params: Params) -> Request:
    """A request with a connection of the driver's own pool."""

    async def request(rng: Random) -> Any:
        begin = perf_counter_ns()
        db = await pool.acquire()
        WAIT.get().ns += perf_counter_ns() - begin
        try:
            result = await operation(db, params, rng)
            await db.end()
        except BaseException as error:
            await after_error(db, error)
            raise
        finally:
            await pool.release(db)
        return result

    return request


def held_core_request(connection: Any, operation: Operation, params: Params, tx_end: TxEnd) -> Request:
    """A request on a connection that the session holds throughout; only the transaction ends."""
    end = connection.commit if tx_end == "commit" else connection.rollback

    async def request(rng: Random) -> Any:
        try:
            result = await operation(connection, params, rng)
            await end()
        except BaseException as error:
            if breaks(error):
                await connection.invalidate()  # it connects again when it is next used
            await connection.rollback()
            raise
        return result

    return request


def held_raw_request(pool: Any, db: Any, operation: Operation, params: Params, tx_end: TxEnd) -> Request:
    """A request on a connection that the session holds throughout; only the transaction ends, where there is one.

    A connection that breaks is replaced, as SQLAlchemy does by itself.
    """
    ends = tx_end != "autocommit"
    held = True

    async def replace(error: BaseException) -> None:
        nonlocal held
        await after_error(db, error)
        if breaks(error):
            if held:
                held = False
                await pool.release(db)
            db.connection = (await pool.acquire()).connection
            held = True

    async def request(rng: Random) -> Any:
        try:
            result = await operation(db, params, rng)
            if ends:
                await db.end()
        except BaseException as error:
            with suppress(Exception):
                await replace(error)
            raise
        return result

    return request


async def given_back(pool: Any, db: Any) -> None:
    """Return a connection that was held; where it had broken and could not be replaced, there is none."""
    with suppress(Exception):
        await pool.release(db)


async def after_error(db: Any, error: BaseException) -> None:
    """End the transaction, or a connection in a state that nobody knows, which its pool then replaces."""
    with suppress(Exception):
        if breaks(error):
            await db.discard()
        else:
            await db.rollback()


def slowed(operation: Operation, busy_ns: int) -> Operation:
    """The operation after a busy-wait: a slow-down of known size, to test whether it is found."""

    async def busy(connection: Any, params: Params, rng: Random) -> Any:
        until = perf_counter_ns() + busy_ns
        while perf_counter_ns() < until:
            pass
        return await operation(connection, params, rng)

    return busy


class Tally:
    """The state that the sessions of one slice share, written by all of them. Times are perf_counter_ns()."""

    __slots__ = ("begins", "due", "ends", "errors", "limit_ns", "pause_s", "sessions", "until", "waits", "work")

    def __init__(self, operations: int, sessions: int = 1) -> None:
        self.sessions = sessions
        self.work: Iterator[int] = iter(range(operations))  # shared: next() of a range iterator is atomic
        self.begins = array("q", bytes(8 * operations))  # by operation; 0: never begun
        self.ends = array("q", bytes(8 * operations))  # by operation; 0: not run, or failed
        self.waits = array("q", bytes(8 * operations))  # by operation: the wait for a connection, nanoseconds
        self.limit_ns = 0  # no operation begins later
        self.errors: list[Exception] = []
        self.pause_s: float | None = None  # of a session after each of its operations; 0: it yields to the others
        self.due: array[int] | None = None  # open loop: when each operation is due
        self.until: Any = None  # open loop: the function that waits until a time

    def back_off_s(self, refusals: int, chance: float) -> float:
        """How long a session waits after so many refused connects in a row, seconds.

        `chance` (0 to 1) has them come back at different times. Together the sessions connect CONNECTS_PER_S times a
        second at most, on average, whatever their number.
        """
        usual_s = min(LONGEST_BACK_OFF_S, FIRST_BACK_OFF_S * 2.0 ** min(refusals - 1, 10))
        longest_s: float = max(usual_s, self.sessions / CONNECTS_PER_S)
        return (0.5 + chance) * longest_s


async def session(request: Request, rng: Random, tally: Tally) -> tuple[int, int]:
    """Run operations until there is no more work; returns when the session began and when its last operation ended."""
    work, begins, ends, waits = tally.work, tally.begins, tally.ends, tally.waits
    limit_ns, pause_s, due, until = tally.limit_ns, tally.pause_s, tally.due, tally.until
    wait = Wait()
    WAIT.set(wait)
    refusals, refused_since = 0, 0
    began = begin = end = perf_counter_ns()
    for operation in work:
        if due is not None:
            await until(due[operation])
            begin = perf_counter_ns()
        if begin > limit_ns:
            break
        wait.ns = 0
        begins[operation] = begin
        try:
            await request(rng)
        except Exception as error:
            tally.errors.append(error)
            end = perf_counter_ns()
            refusals = refusals + 1 if refuses(error) else 0
            if refusals == 1:
                refused_since = end
            if refusals:
                await asyncio.sleep(tally.back_off_s(refusals, random()))
            begin = perf_counter_ns()
            if refusals and begin - refused_since > REFUSED_NS:
                break  # the others, and other arms, would wait for the end of this slice
        else:
            ends[operation] = begin = end = perf_counter_ns()  # the next operation begins at once
            waits[operation] = wait.ns
        if pause_s is not None:
            await asyncio.sleep(pause_s)
            begin = perf_counter_ns()
    return began, end
