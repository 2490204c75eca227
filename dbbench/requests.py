"""One request: check a connection out, run the operation, end the transaction, give the connection back.

Written once for tasks. Threads run this file's sync twin (see twin.py), so that both do the same in the same order:
keep to what has a sync counterpart, and keep it short, since every line here is part of what is measured.
"""

from array import array
from collections.abc import Awaitable, Callable, Iterator
from random import Random
from time import perf_counter_ns
from typing import Any

from dbbench.plan import TxEnd
from dbbench.scenario import Operation, Params

Request = Callable[[Random], Awaitable[Any]]
"""Runs one operation with the random numbers it is given, and gives what the operation returned."""


def orm_request(maker: Any, operation: Operation, params: Params, tx_end: TxEnd) -> Request:
    """A session for every operation; closing it rolls back what was not committed."""
    commit = tx_end == "commit"

    async def request(rng: Random) -> Any:
        async with maker() as session:
            result = await operation(session, params, rng)
            if commit:
                await session.commit()
            return result

    return request


def core_request(engine: Any, operation: Operation, params: Params, tx_end: TxEnd) -> Request:
    """A connection of the engine for every operation; closing it rolls back what was not committed."""
    commit = tx_end == "commit"

    async def request(rng: Random) -> Any:
        async with engine.connect() as connection:
            result = await operation(connection, params, rng)
            if commit:
                await connection.commit()
            return result

    return request


def raw_request(pool: Any, operation: Operation, params: Params) -> Request:
    """A connection of the driver's pool for every operation."""

    async def request(rng: Random) -> Any:
        db = await pool.acquire()
        try:
            result = await operation(db, params, rng)
            await db.end()
        finally:
            await pool.release(db)
        return result

    return request


def held_core_request(connection: Any, operation: Operation, params: Params, tx_end: TxEnd) -> Request:
    """The session's own connection, held; only the transaction ends."""
    end = connection.commit if tx_end == "commit" else connection.rollback

    async def request(rng: Random) -> Any:
        try:
            result = await operation(connection, params, rng)
        except BaseException:
            await connection.rollback()
            raise
        await end()
        return result

    return request


def held_raw_request(db: Any, operation: Operation, params: Params) -> Request:
    """The session's own connection, held; only the transaction ends."""

    async def request(rng: Random) -> Any:
        result = await operation(db, params, rng)
        await db.end()
        return result

    return request


class Tally:
    """What the sessions of one slice have done so far: written by all of them."""

    __slots__ = ("errors", "latencies", "limit_ns", "work")

    def __init__(self, operations: int, limit_ns: int) -> None:
        self.work: Iterator[int] = iter(range(operations))  # shared: next() of a range iterator is atomic
        self.latencies = array("q", bytes(8 * operations))  # by operation; 0: not run, or failed
        self.limit_ns = limit_ns  # by perf_counter_ns: nothing is begun later
        self.errors: list[Exception] = []


async def session(request: Request, rng: Random, tally: Tally) -> int:
    """Run operations until there is no more work; gives the time at which the last one was done."""
    work, latencies, limit_ns, errors = tally.work, tally.latencies, tally.limit_ns, tally.errors
    end = perf_counter_ns()
    for operation in work:
        start = perf_counter_ns()
        try:
            await request(rng)
        except Exception as error:
            errors.append(error)
            end = perf_counter_ns()
        else:
            end = perf_counter_ns()
            latencies[operation] = end - start
        if end > limit_ns:
            break
    return end
