"""One request: check a connection out, run the operation, end the transaction, return the connection.

Written once, for tasks. Threads run this file's sync twin (see twin.py), so both do the same in the same order. Use
only what has a sync counterpart, and keep it short, since every line here is part of what is measured.
"""

import asyncio
from array import array
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from functools import partial
from random import Random
from time import perf_counter_ns
from typing import Any

from dbbench.plan import TxEnd
from dbbench.scenario import Operation, Params
from dbbench.worker.pool_wait import WAIT, Wait

Request = Callable[[Random], Awaitable[Any]]
"""Runs one operation with the given random numbers and returns its result."""


def orm_request(maker: Any, operation: Operation, params: Params, tx_end: TxEnd) -> Request:
    """A request with a session of its own; closing it rolls back what was not committed."""
    commit = tx_end == "commit"

    async def request(rng: Random) -> Any:
        async with maker() as session:
            result = await operation(session, params, rng)
            if commit:
                await session.commit()
            return result

    return request


def core_request(engine: Any, operation: Operation, params: Params, tx_end: TxEnd) -> Request:
    """A request with a connection of the engine; closing it rolls back what was not committed."""
    commit = tx_end == "commit"

    async def request(rng: Random) -> Any:
        async with engine.connect() as connection:
            result = await operation(connection, params, rng)
            if commit:
                await connection.commit()
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
        except BaseException:
            with suppress(Exception):
                await db.rollback()
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
        except BaseException:
            await connection.rollback()
            raise
        await end()
        return result

    return request


def held_raw_request(db: Any, operation: Operation, params: Params, tx_end: TxEnd) -> Request:
    """A request on a connection that the session holds throughout; only the transaction ends, where there is one."""
    if tx_end == "autocommit":
        return partial(operation, db, params)

    async def request(rng: Random) -> Any:
        try:
            result = await operation(db, params, rng)
            await db.end()
        except BaseException:
            with suppress(Exception):
                await db.rollback()
            raise
        return result

    return request


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

    __slots__ = ("begins", "due", "ends", "errors", "limit_ns", "pause_s", "until", "waits", "work")

    def __init__(self, operations: int) -> None:
        self.work: Iterator[int] = iter(range(operations))  # shared: next() of a range iterator is atomic
        self.begins = array("q", bytes(8 * operations))  # by operation; 0: never begun
        self.ends = array("q", bytes(8 * operations))  # by operation; 0: not run, or failed
        self.waits = array("q", bytes(8 * operations))  # by operation: the wait for a connection, nanoseconds
        self.limit_ns = 0  # no operation begins later
        self.errors: list[Exception] = []
        self.pause_s: float | None = None  # of a session after each of its operations; 0: it yields to the others
        self.due: array[int] | None = None  # open loop: when each operation is due
        self.until: Any = None  # open loop: the function that waits until a time


async def session(request: Request, rng: Random, tally: Tally) -> tuple[int, int]:
    """Run operations until there is no more work; returns when the session began and when its last operation ended."""
    work, begins, ends, waits = tally.work, tally.begins, tally.ends, tally.waits
    limit_ns, pause_s, due, until = tally.limit_ns, tally.pause_s, tally.due, tally.until
    wait = Wait()
    WAIT.set(wait)
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
            begin = end = perf_counter_ns()
        else:
            ends[operation] = begin = end = perf_counter_ns()  # the next operation begins at once
            waits[operation] = wait.ns
        if pause_s is not None:
            await asyncio.sleep(pause_s)
            begin = perf_counter_ns()
    return began, end
