"""A request handler that keeps its session while it calls another service for a while."""

import asyncio

PARAMS = {"call_ms": 5}


def prepare(connection, params):
    connection.exec_driver_sql("CREATE TABLE users (id int PRIMARY KEY, name text)")
    connection.exec_driver_sql("INSERT INTO users SELECT n, 'u' || n FROM generate_series(1, 100) n")


async def core(connection, params, rng):
    row = (await connection.exec_driver_sql(f"SELECT name FROM users WHERE id = {rng.randint(1, 100)}")).one()
    await asyncio.sleep(params["call_ms"] / 1000)
    return row[0]
