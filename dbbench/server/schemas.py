"""The schemas that runs make on a server: tagged when they are made, found again, dropped by name.

A run works in schemas called dbbench_<run>_<number>, whose comment is the tag; only what has both is ours. Dropping one
drops what is in it and nothing else: where something outside depends on it, a view of the user's on our table say, the
schema stays. PostgreSQL's RESTRICT would refuse our own tables, too, and its CASCADE would drop the view. So ours is
dropped with CASCADE in a transaction, which is rolled back if anything outside went with it.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from typing import Any, Final, NamedTuple

from dbbench.address import Address
from dbbench.errors import CannotStartError

SETTINGS: Final[Mapping[str, str]] = {"statement_timeout": "60s", "idle_session_timeout": "0"}
"""Of the parent's own sessions, whatever their role has."""
_UNKNOWN: Final = ("idle_session_timeout",)  # to PostgreSQL 12 and 13
LOCK_LIMIT_S: Final = 5.0  # for the locks of other sessions on a schema's tables
DROP_LIMIT_S: Final = 30.0  # for all schemas of a run, a server that restarts meanwhile included
_RETRY_S: Final = 0.5
_PREFIX: Final = "dbbench_"
_TAG: Final = ("made by dbbench, run ", "; safe to drop when that run is over")
_AT_ONCE: Final = 100  # tables
_SHOWN: Final = 3  # objects of the user's that are named; the others are counted

# Every object outside the schema that depends on anything, or that anything depends on. Parts of a table (its rules,
# which views consist of, defaults, triggers, policies, constraints, columns) are where the table is. What is in no
# schema, like a cast or a member of a publication, cannot be the user's without being about our own objects. The tables
# in pg_toast hold the long values of other tables.
_OUTSIDE: Final = """
    SELECT o.classid::bigint, o.objid::bigint, o.objsubid
      FROM (SELECT DISTINCT classid, objid, objsubid FROM pg_depend) o
      LEFT JOIN pg_rewrite r ON o.classid = 'pg_rewrite'::regclass AND r.oid = o.objid
      LEFT JOIN pg_attrdef d ON o.classid = 'pg_attrdef'::regclass AND d.oid = o.objid
      LEFT JOIN pg_trigger g ON o.classid = 'pg_trigger'::regclass AND g.oid = o.objid
      LEFT JOIN pg_policy y ON o.classid = 'pg_policy'::regclass AND y.oid = o.objid
      LEFT JOIN pg_constraint k ON o.classid = 'pg_constraint'::regclass AND k.oid = o.objid
      LEFT JOIN pg_class c ON c.oid = coalesce(r.ev_class, d.adrelid, g.tgrelid, y.polrelid, nullif(k.conrelid, 0),
                                               CASE WHEN o.classid = 'pg_class'::regclass THEN o.objid END)
      LEFT JOIN pg_type t ON o.classid = 'pg_type'::regclass AND t.oid = o.objid
      LEFT JOIN pg_proc p ON o.classid = 'pg_proc'::regclass AND p.oid = o.objid
      LEFT JOIN pg_operator q ON o.classid = 'pg_operator'::regclass AND q.oid = o.objid
      LEFT JOIN pg_opclass l ON o.classid = 'pg_opclass'::regclass AND l.oid = o.objid
      LEFT JOIN pg_extension e ON o.classid = 'pg_extension'::regclass AND e.oid = o.objid
      LEFT JOIN pg_statistic_ext s ON o.classid = 'pg_statistic_ext'::regclass AND s.oid = o.objid
     WHERE coalesce(c.relnamespace, k.connamespace, t.typnamespace, p.pronamespace, q.oprnamespace, l.opcnamespace,
                    e.extnamespace, s.stxnamespace) NOT IN (%s, 'pg_toast'::regnamespace)
"""


_DESCRIPTION: Final = "SELECT pg_describe_object(%s::oid, %s::oid, %s)"


class Schema(NamedTuple):
    """A schema of ours."""

    name: str
    run: str  # the id of the run that made it
    in_use: bool  # the run still has a session


class Kept(NamedTuple):
    """A schema of ours that could not be dropped."""

    schema: str
    reason: str


def application(run_id: str) -> str:
    """The application_name of all sessions of a run, which is also the prefix of its schemas' names."""
    return f"{_PREFIX}{run_id}"


def tag(run_id: str) -> str:
    """The comment on the schemas of a run."""
    return run_id.join(_TAG)


def create(connection: Any, run_id: str, number: int) -> str:
    """Make a schema of the run, never one without its tag, and return its name."""
    from psycopg import sql

    name = f"{application(run_id)}_{number}"
    with connection.transaction():
        connection.execute(sql.SQL("CREATE SCHEMA {}").format(sql.Identifier(name)))
        connection.execute(sql.SQL("COMMENT ON SCHEMA {} IS {}").format(sql.Identifier(name), sql.Literal(tag(run_id))))
    return name


def find(connection: Any) -> list[Schema]:
    """All schemas of ours in the database, sorted by name."""
    before, after = _TAG
    rows = connection.execute(
        "SELECT nspname, substr(comment, length(%(before)s) + 1,"
        "       length(comment) - length(%(before)s) - length(%(after)s)) AS run"
        "  FROM (SELECT nspname, obj_description(oid, 'pg_namespace') AS comment FROM pg_namespace"
        "         WHERE starts_with(nspname, %(prefix)s)) found"
        " WHERE starts_with(comment, %(before)s) AND right(comment, length(%(after)s)) = %(after)s ORDER BY nspname",
        {"before": before, "after": after, "prefix": _PREFIX},
    ).fetchall()
    sessions = {name for (name,) in connection.execute("SELECT application_name FROM pg_stat_activity").fetchall()}
    return [
        Schema(name, run, application(run) in sessions) for name, run in rows if name.startswith(f"{application(run)}_")
    ]


def drop_all(address: Address, run_id: str, limit_s: float = DROP_LIMIT_S) -> list[Kept]:
    """Drop the schemas of a run, after ending its sessions, which may have locks; returns what had to stay.

    A server that does not answer is asked again until `limit_s` seconds are over: it may be restarting.
    """
    import psycopg

    deadline = time.monotonic() + limit_s
    while True:
        try:
            with connected(address, application(run_id)) as connection:
                end_sessions(connection, run_id)
                names = [schema.name for schema in find(connection) if schema.run == run_id]
                return [kept for name in names if (kept := drop(connection, name)) is not None]
        except (psycopg.Error, CannotStartError) as error:
            if time.monotonic() + _RETRY_S >= deadline:
                return [Kept(f"{application(run_id)}_*", _line(error))]
            time.sleep(_RETRY_S)


def end_sessions(connection: Any, run_id: str) -> None:
    """End the sessions of a run, except for this one."""
    connection.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = %s"
        " AND usename = current_user AND pid <> pg_backend_pid()",
        [application(run_id)],
    )


def drop(connection: Any, schema: str) -> Kept | None:
    """Drop one of our schemas with all that is in it and nothing else; returns why it had to stay, if it had to.

    The connection is in autocommit mode. Raises psycopg.OperationalError when the server is lost.
    """
    from psycopg import errors, sql

    name = sql.Identifier(schema)
    try:
        try:
            outside = _drop(connection, schema, [], sql.SQL("DROP SCHEMA {} CASCADE").format(name))
        except errors.OutOfMemory:  # more tables than one transaction can lock
            outside = _drop_tables(connection, schema, _tables(connection, schema)) or _drop(
                connection, schema, [], sql.SQL("DROP SCHEMA {} CASCADE").format(name)
            )
    except errors.LockNotAvailable:
        return Kept(schema, f"another session keeps a lock on what is in it for more than {LOCK_LIMIT_S:g} s")
    except errors.InvalidSchemaName:
        return None  # somebody else has dropped it
    except errors.OperationalError:
        raise
    except errors.Error as error:
        return Kept(schema, _line(error))
    if not outside:
        return None
    more = f" and {len(outside) - _SHOWN} more" if len(outside) > _SHOWN else ""
    return Kept(schema, f"{', '.join(outside[:_SHOWN])}{more}, which is not ours, depends on it")


def _drop_tables(connection: Any, schema: str, tables: Sequence[str]) -> list[str]:
    """Drop tables, as many in a transaction as it can lock; see _drop."""
    from psycopg import errors, sql

    if len(tables) <= _AT_ONCE:
        statement = sql.SQL("DROP TABLE {} CASCADE").format(
            sql.SQL(", ").join(sql.Identifier(schema, table) for table in tables)
        )
        try:
            return _drop(connection, schema, tables, statement)
        except errors.OutOfMemory:
            if len(tables) == 1:
                raise
    half = len(tables) // 2
    return _drop_tables(connection, schema, tables[:half]) + _drop_tables(connection, schema, tables[half:])


def _drop(connection: Any, schema: str, tables: Sequence[str], statement: Any) -> list[str]:
    """Execute the statement, unless that drops anything outside the schema: then return a description of that.

    Only the locks on `tables`, all of the schema's where there are none, keep others from depending on them meanwhile.
    """
    from psycopg import Rollback, sql

    with connection.transaction() as transaction:
        connection.execute(f"SET LOCAL lock_timeout = {round(LOCK_LIMIT_S * 1000)}")
        locked = [sql.Identifier(schema, name) for name in tables or _tables(connection, schema)]
        if locked:
            connection.execute(sql.SQL("LOCK TABLE {} IN ACCESS EXCLUSIVE MODE").format(sql.SQL(", ").join(locked)))
        (namespace,) = connection.execute("SELECT %s::regnamespace::oid", [schema]).fetchone()
        before = set(connection.execute(_OUTSIDE, [namespace]).fetchall())
        connection.execute(statement)
        lost = before - set(connection.execute(_OUTSIDE, [namespace]).fetchall())
        if lost:
            raise Rollback(transaction)
    if not lost:
        return []
    rows = (connection.execute(_DESCRIPTION, each).fetchone() for each in sorted(lost))
    # What has no description was dropped by somebody else in the same moment, not by us.
    described = [text for (text,) in dict.fromkeys(rows) if text]
    # Every relation has a row type, every view a rule: they say nothing more.
    named = [text for text in described if not text.startswith(("type ", "rule "))]
    return named or described or _drop(connection, schema, tables, statement)


def _tables(connection: Any, schema: str) -> list[str]:
    rows = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = %s ORDER BY 1", [schema]).fetchall()
    return [name for (name,) in rows]


@contextmanager
def connected(address: Address, name: str) -> Iterator[Any]:
    """A connection that may write, in autocommit mode, for the length of a `with` block."""
    settings = {**SETTINGS, "default_transaction_read_only": "off"}
    with closing(connect(address, name, settings)) as connection:
        yield connection


def connect(address: Address, name: str, settings: Mapping[str, str] = SETTINGS) -> Any:
    """A connection of the parent's own; `name` is its application_name, `settings` go before those of its role.

    Raises CannotStartError, which names user, server and reason.
    """
    import psycopg

    from dbbench.drivers.libpq import connect_arguments
    from dbbench.server.impatient import Connection

    arguments = connect_arguments(address, {"application_name": name, **settings})
    try:
        return Connection.connect(**arguments, autocommit=True, prepare_threshold=None)
    except (psycopg.Error, UnicodeError) as error:
        if settings and "unsupported startup parameter" in str(error):  # a pooler, which says so when it is asked
            return connect(address, name, {})
        if any(each in settings for each in _UNKNOWN) and "unrecognized configuration parameter" in str(error):
            return connect(address, name, {each: settings[each] for each in settings if each not in _UNKNOWN})
        # libpq's messages have host, port, user and database in them, and no password.
        raise CannotStartError(f"cannot connect to {address}: {_line(error)}") from None


def _line(error: BaseException) -> str:
    return "; ".join(line.strip() for line in str(error).splitlines() if line.strip()) or type(error).__name__
