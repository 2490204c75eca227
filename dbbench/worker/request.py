"""One request: check a connection out, run the operation, end the transaction, give the connection back.

Written once for tasks. Threads run this file's sync twin (see twin.py), so that both do the same in the same order:
keep to what has a sync counterpart, and keep it short, since every line here is part of what is measured.
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


def held_raw_request(db: Any, operation: Operation, params: Params, tx_end: TxEnd) -> Request:
    """The session's own connection, held; only the transaction ends, where there is one."""
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
    """The operation with a busy-wait before it: a slow-down of known size, to see whether it is found."""

    async def busy(connection: Any, params: Params, rng: Random) -> Any:
        until = perf_counter_ns() + busy_ns
        while perf_counter_ns() < until:
            pass
        return await operation(connection, params, rng)

    return busy


class Tally:
    """What the sessions of one slice have done so far: written by all of them. Times are of perf_counter_ns."""

    __slots__ = ("begins", "due", "ends", "errors", "limit_ns", "pause_s", "until", "waits", "work")

    def __init__(self, operations: int) -> None:
        self.work: Iterator[int] = iter(range(operations))  # shared: next() of a range iterator is atomic
        self.begins = array("q", bytes(8 * operations))  # by operation; 0: never begun
        self.ends = array("q", bytes(8 * operations))  # 0: not run, or failed
        self.waits = array("q", bytes(8 * operations))  # for a connection, nanoseconds
        self.limit_ns = 0  # nothing is begun later
        self.errors: list[Exception] = []
        self.pause_s: float | None = None  # of a session after each of its operations; 0: it gives way to the others
        self.due: array[int] | None = None  # open loop: when each operation is due
        self.until: Any = None  # open loop: waits for a time


async def session(request: Request, rng: Random, tally: Tally) -> tuple[int, int]:
    """Run operations until there is no more work; gives when the session began and when its last operation was done."""
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
            ends[operation] = begin = end = perf_counter_ns()  # which is when the next one begins
            waits[operation] = wait.ns
        if pause_s is not None:
            await asyncio.sleep(pause_s)
            begin = perf_counter_ns()
    return began, end
