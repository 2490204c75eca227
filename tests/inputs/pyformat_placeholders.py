"""A statement with psycopg's own placeholders in exec_driver_sql(): three of the four drivers can run it, asyncpg cannot.

Right: with --driver asyncpg --baseline asyncpg -d psycopg,psycopg2 the baseline cannot be measured; psycopg2 is
compared with psycopg instead ("time vs psycopg"), asyncpg is `failed` and in `--table errors` as "in the check", and
`dbbench compare` of two such files compares by psycopg. With -d asyncpg,psycopg alone nothing is measured, at once:
"nothing is left to compare psycopg with ... --driver psycopg --baseline psycopg measures it alone", exit 3.
"""


def prepare(connection, params):
    connection.exec_driver_sql("CREATE TABLE parts (id int PRIMARY KEY, label text)")
    connection.exec_driver_sql("INSERT INTO parts SELECT n, 'part ' || n FROM generate_series(1, 500) n")


async def core(connection, params, rng):
    result = await connection.exec_driver_sql(
        "SELECT id, label FROM parts WHERE id BETWEEN %s AND %s ORDER BY id", (start := rng.randint(1, 480), start + 9)
    )
    return [tuple(row) for row in result]
