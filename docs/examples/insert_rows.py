"""Insert a batch with executemany."""

from sqlalchemy import text

PARAMS = {"batch": 1000}


def prepare(connection, params):
    connection.execute(text("CREATE TABLE facts (id int, note text)"))


def reset(connection, params):
    connection.execute(text("TRUNCATE facts"))


async def raw(db, params, rng):
    async with db.transaction():
        rows = [(number, "a note") for number in range(params["batch"])]
        await db.execute_many("INSERT INTO facts VALUES ($1, $2)", rows)
