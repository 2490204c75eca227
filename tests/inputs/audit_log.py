"""COPY an audit log into a table whose names have capitals and keywords: tags, payloads, an address, empty notes.

Right outcome: all four drivers leave the same rows, and are compared. Before, psycopg and psycopg2 failed on the names
("relation auditlog does not exist") and, with quotes written by hand, asyncpg did; psycopg2 broke arrays and bytes
and wrote '' as NULL.
"""

import datetime
import uuid


def prepare(connection, params):
    connection.exec_driver_sql(
        'CREATE TABLE "AuditLog" (id int, "order" uuid, tags text[], payload bytea, note text, at timestamptz, '
        "detail jsonb, client inet)"
    )


def reset(connection, params):
    connection.exec_driver_sql('TRUNCATE "AuditLog"')


def rows(params):
    return 100


async def raw(db, params, rng):
    at = datetime.datetime(2026, 1, 2, 3, 4, 5, tzinfo=datetime.UTC)
    lines = [
        (
            n,
            uuid.UUID(int=rng.getrandbits(128)),
            ["new", None, 'a "quoted" tag', "back\\slash, {brace}", ""][: n % 6],
            bytes([n, 0, 92, 10]),
            [None, "", "tab\there", "line\nbreak", r"\N"][n % 5],
            at,
            '{"n": %d}' % n,
            f"10.0.0.{n}",
        )
        for n in range(100)
    ]
    async with db.transaction():
        await db.copy_in("AuditLog", ["id", "order", "tags", "payload", "note", "at", "detail", "client"], lines)
    found = await db.fetch_one(
        "SELECT count(*), count(note), sum(length(payload)), sum(cardinality(tags)) FROM \"AuditLog\""
    )
    return tuple(found)
