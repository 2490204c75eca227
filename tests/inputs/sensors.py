"""Readings of sensors in float4, summed up in a small class of the application's own.

Right outcome: asyncpg is "not comparable" with a line that says float4 and the way out (column::float8, or round to 6
digits), exit 6; with --compare-anyway it is compared, the line is still there, exit 0; and the class, which has no text
of its own, is compared by its attributes. Before, it was compared by its address, so nothing was ever equal.
"""


class Reading:
    def __init__(self, sensor, value, total):
        self.sensor, self.value, self.total = sensor, value, total


def prepare(connection, params):
    connection.exec_driver_sql("CREATE TABLE readings (sensor int, value float4, cost numeric)")
    connection.exec_driver_sql("INSERT INTO readings SELECT mod(n, 10), n * 0.1, n * 1000 FROM generate_series(1, 300) n")


async def raw(db, params, rng):
    rows = await db.fetch_all(
        "SELECT sensor, value, cost FROM readings WHERE sensor = $1 ORDER BY value", rng.randrange(10)
    )
    return [Reading(*row) for row in rows]
