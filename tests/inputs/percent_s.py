"""Page through orders with the placeholders of psycopg's documentation.

Right outcome: every driver is refused at the check with "%s is no placeholder; write $1, $2, ... for every driver".
Before, psycopg and psycopg2 were measured and compared, and asyncpg failed.
"""


def prepare(connection, params):
    connection.exec_driver_sql("CREATE TABLE orders (id int PRIMARY KEY, customer int, total numeric(10, 2))")
    connection.exec_driver_sql("INSERT INTO orders SELECT n, mod(n, 50), n * 1.5 FROM generate_series(1, 1000) n")


async def raw(db, params, rng):
    rows = await db.fetch_all(
        "SELECT id, total FROM orders WHERE customer = %s ORDER BY id LIMIT %s", rng.randrange(50), 10
    )
    return [tuple(row) for row in rows]
