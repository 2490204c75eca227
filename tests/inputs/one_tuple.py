"""Look a user up with arguments in a tuple, as DB-API code has them: execute(sql, (id,)).

Right outcome: every driver is refused at the check, at the line of the call, with one message: "arguments are given one
by one, (sql, a, b), not together in a list or tuple". Before, psycopg2 was measured (it writes `id = (7)`), and
psycopg and asyncpg looked guilty.
"""


def prepare(connection, params):
    connection.exec_driver_sql("CREATE TABLE users (id int PRIMARY KEY, name text)")
    connection.exec_driver_sql("INSERT INTO users SELECT n, 'user ' || n FROM generate_series(1, 500) n")


async def raw(db, params, rng):
    row = await db.fetch_one("SELECT name FROM users WHERE id = $1", (rng.randint(1, 500),))
    return row[0]
