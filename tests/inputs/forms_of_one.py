"""Two forms of one statement, chosen when the file is read: the operations are partials and objects, not functions."""

import functools


async def _read(sql, db, params, rng):
    return await db.fetch_one(sql, rng.randint(1, 5))


class Reader:
    """An operation with a state of its own."""

    def __init__(self, statement):
        self.statement = statement

    async def __call__(self, connection, params, rng):
        return (await connection.exec_driver_sql(self.statement)).scalar_one()


raw = functools.partial(_read, "SELECT 2 * $1::int")
core = Reader("SELECT 42")
