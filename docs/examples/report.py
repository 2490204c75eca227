"""A report that keeps the server busy for 20 ms, and its connection with it."""

from sqlalchemy import text


async def core(connection, params, rng):
    return (await connection.execute(text("SELECT 1, pg_sleep(0.02)::text"))).one()[0]
