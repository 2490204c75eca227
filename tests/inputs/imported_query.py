"""A query that lives in the application's own module, as services have it: an async def that is imported.

Right: async drivers are measured. Sync drivers are refused in every command (run, wire, capacity, gate, gate --wire)
with this file's line, the reason and `--driver psycopg,asyncpg`; exit 3, and never "0 and 0 round trips ... PASS".
The neighbour is written by the scenario itself, so that this is one file.
"""

import sys
import types

_QUERIES = '''
from sqlalchemy import text

async def newest(connection, number):
    result = await connection.execute(text("SELECT id, body FROM posts ORDER BY id DESC LIMIT :n"), {"n": number})
    return [tuple(row) for row in result]
'''
queries = sys.modules.setdefault("queries_of_the_blog", types.ModuleType("queries_of_the_blog"))
exec(compile(_QUERIES, "queries_of_the_blog.py", "exec"), queries.__dict__)

from queries_of_the_blog import newest  # noqa: E402


def prepare(connection, params):
    connection.exec_driver_sql("CREATE TABLE posts (id int PRIMARY KEY, body text)")
    connection.exec_driver_sql("INSERT INTO posts SELECT n, 'post ' || n FROM generate_series(1, 300) n")


async def core(connection, params, rng):
    return await newest(connection, 10)
