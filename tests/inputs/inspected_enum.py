"""Filter by an enum with a list of its values through asyncpg's own pool: the first operation asks about types.

Right: `dbbench wire` says for asyncpg that the first operation on a new connection takes more round trips than the
others (9 instead of 4 at the raw layer), and names the SQL that only it sends (typeinfo_tree). psycopg and psycopg2
have no such line.
"""


def prepare(connection, params):
    connection.exec_driver_sql("CREATE TYPE mood AS ENUM ('sad', 'ok', 'happy')")
    connection.exec_driver_sql("CREATE TABLE people (id int PRIMARY KEY, mood mood)")
    connection.exec_driver_sql(
        "INSERT INTO people SELECT n, (ARRAY['sad','ok','happy'])[1 + mod(n, 3)]::mood FROM generate_series(1, 300) n"
    )


async def raw(db, params, rng):
    rows = await db.fetch_all(
        "SELECT id FROM people WHERE mood = ANY($1::mood[]) ORDER BY id LIMIT 10", rng.sample(["sad", "ok", "happy"], 2)
    )
    return [row[0] for row in rows]
