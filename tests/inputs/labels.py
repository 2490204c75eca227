"""Tickets with labels from an enum, in an array, and who has seen them: text[] beside enum[].

Right outcome: "array text": asyncpg gives a list, the others PostgreSQL's text, and the line says column::text[]; with
`labels::text[]` (--set cast=true) all drivers are equal. Before, the line said "3 values" against "str {bug,ui}".
"""

PARAMS = {"cast": False}


def prepare(connection, params):
    connection.exec_driver_sql("CREATE TYPE label AS ENUM ('bug', 'ui', 'needs info')")
    connection.exec_driver_sql("CREATE TABLE tickets (id int PRIMARY KEY, labels label[], seen_by text[])")
    connection.exec_driver_sql(
        "INSERT INTO tickets SELECT n, ARRAY['bug', 'needs info']::label[], ARRAY['ann', NULL] FROM generate_series(1, 200) n"
    )


async def raw(db, params, rng):
    labels = "labels::text[]" if params["cast"] else "labels"
    row = await db.fetch_one(f"SELECT {labels}, seen_by FROM tickets WHERE id = $1", rng.randint(1, 200))
    return tuple(row)
