"""Upsert a batch: one long VALUES list that is compiled each time, or one statement with a list of rows."""

from sqlalchemy import Column, Integer, MetaData, Table, Text
from sqlalchemy.dialects.postgresql import insert

PARAMS = {"batch": 300, "form": "many"}

meta = MetaData()
facts = Table(
    "facts",
    meta,
    Column("id", Integer, primary_key=True),
    Column("source", Text),
    Column("weight", Integer),
    Column("note", Text),
)


def prepare(connection, params):
    meta.create_all(connection)


def reset(connection, params):
    connection.exec_driver_sql("TRUNCATE facts")


def rows(params):
    return params["batch"]


def _batch(params, rng):
    start = rng.randrange(1000)
    return [{"id": start + n, "source": f"feed {n % 7}", "weight": n, "note": "x" * 30} for n in range(params["batch"])]


async def core(connection, params, rng):
    batch = _batch(params, rng)
    if params["form"] == "values":
        statement = insert(facts).values(batch)
        statement = statement.on_conflict_do_update(index_elements=["id"], set_={"weight": statement.excluded.weight})
        await connection.execute(statement)
    else:
        statement = insert(facts)
        statement = statement.on_conflict_do_update(index_elements=["id"], set_={"weight": statement.excluded.weight})
        await connection.execute(statement, batch)
    await connection.commit()
