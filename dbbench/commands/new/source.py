"""The text of a new scenario file."""

from typing import Final

from dbbench.commands.new.sql import Parsed

COMMENTED: Final = '''"""Which name has an item? Read one by its number."""

from sqlalchemy import text

# Parameters and their defaults: --set rows=100000 changes one, --vary set.rows=1000,100000 compares two.
PARAMS = {"rows": 10_000}

# Concurrent sessions that are measured: --sessions 50 measures another number.
SESSIONS = (1, 15)


def prepare(connection, params):
    """Make and fill tables, once per run. They are in a schema of this run's own, which is dropped at the end."""
    connection.execute(text("CREATE TABLE items (id int PRIMARY KEY, name text NOT NULL)"))
    connection.execute(
        text("INSERT INTO items SELECT id, 'item ' || id FROM generate_series(1, :rows) AS id"),
        {"rows": params["rows"]},
    )


# For operations that write: reset() is called before each slice, untimed, so that tables do not grow.
#
# def reset(connection, params):
#     connection.execute(text("TRUNCATE items"))


# One operation. It is written once, for async drivers; sync ones run it without its awaits. What it returns is compared
# between drivers before anything is timed. `rng` draws the same values for all of them.
async def core(connection, params, rng):
    """Through SQLAlchemy Core: a connection of an engine with your pool settings."""
    statement = text("SELECT name FROM items WHERE id = :id")
    return (await connection.execute(statement, {"id": rng.randint(1, params["rows"])})).scalar_one()


async def raw(db, params, rng):
    """Through the driver itself, with PostgreSQL's placeholders: fetch_one, fetch_all, execute, execute_many, ..."""
    row = await db.fetch_one("SELECT name FROM items WHERE id = $1", rng.randint(1, params["rows"]))
    return row[0]


# The third layer, with your mapped classes:
#
# async def orm(session, params, rng):
#     return (await session.get(Item, rng.randint(1, params["rows"]))).name
'''


_FROM_SQL: Final = '''"""How long does {file} take?"""

{imports}from sqlalchemy import text

# The statement as SQLAlchemy takes it, and as drivers do.
NAMED = {named}
NUMBERED = {numbered}


{prepare}

def arguments(rng):
    """The values of one operation, by the names of their placeholders."""
    return {{{values}}}


async def core(connection, params, rng):
    """Through SQLAlchemy Core."""
    {core}


async def raw(db, params, rng):
    """Through the driver itself."""
    {raw}
'''
_NO_TABLES: Final = """\
# Tables that are there are found by their full name, like public.orders. A function prepare(connection, params) can
# make and fill others, in a schema of the run's own.
"""
_PREPARE: Final = '''\
def prepare(connection, params):
    """Make and fill tables, once per run, in a schema of the run's own."""
{calls}
'''


def from_sql(parsed: Parsed, file: str) -> str:
    """A scenario that executes the statement with values that are drawn for each operation."""
    calls = "\n".join(f"    connection.execute(text({_literal(each)}))" for each in parsed.before)
    executed = "await connection.execute(text(NAMED), arguments(rng))"
    given = "NUMBERED, *arguments(rng).values()"
    end = "\n    " if parsed.values else ""
    return _FROM_SQL.format(
        file=file.replace("\\", "/").replace('"', "'"),
        imports="import datetime\n\n" if any("datetime." in each for each in parsed.values.values()) else "",
        named=_literal(parsed.named),
        numbered=_literal(parsed.numbered),
        prepare=_PREPARE.format(calls=calls) if calls else _NO_TABLES,
        values="".join(f'\n        "{name}": {drawn},' for name, drawn in parsed.values.items()) + end,
        core=f"return ({executed}).all()" if parsed.gives_rows else executed,
        raw=f"return await db.fetch_all({given})" if parsed.gives_rows else f"await db.execute({given})",
    )


def _literal(sql: str) -> str:
    """The statement as a literal of Python, over several lines where it has several."""
    if "\n" not in sql or '"""' in sql or sql.endswith(('"', "\\")):
        return repr(sql)
    raw = "r" if "\\" in sql else ""
    return f'{raw}"""\n{sql}\n"""'
