"""How do many rows go in that may be there already? One statement with all of them, arrays, or a list of rows."""

from random import Random
from typing import Any

from sqlalchemy import Column, Connection, Integer, MetaData, Table, Text, func, select
from sqlalchemy.dialects.postgresql import ARRAY, insert
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.sql.expression import bindparam

from dbbench.scenario import Db, Params

PARAMS = {"rows": 10_000, "batch": 100, "form": "values"}
_NAMES = ("id", "name", "left")
_TABLE = Table(
    "stock", MetaData(), Column("id", Integer, primary_key=True), Column("name", Text), Column("left", Integer)
)
_VALUES = insert(_TABLE)
_OF_ARRAYS = insert(_TABLE).from_select(
    list(_NAMES),
    select(
        func.unnest(bindparam("ids", type_=ARRAY(Integer))),
        func.unnest(bindparam("names", type_=ARRAY(Text))),
        func.unnest(bindparam("counts", type_=ARRAY(Integer))),
    ),
)
_INSERT = "INSERT INTO stock"
_UNNESTED = "SELECT * FROM unnest($1::int[], $2::text[], $3::int[])"
_CONFLICT = 'ON CONFLICT (id) DO UPDATE SET name = excluded.name, "left" = excluded."left"'


def prepare(connection: Connection, params: Params) -> None:
    """Fill the table once: half of the rows that come are there."""
    _TABLE.create(connection)
    half = [{"id": number, "name": f"item {number}", "left": 0} for number in range(0, params["rows"], 2)]
    connection.execute(_TABLE.insert(), half)


def reset(connection: Connection, params: Params) -> None:  # noqa: ARG001 - the signature is dbbench's
    """Take out what was inserted, so that half is there again."""
    connection.execute(_TABLE.delete().where(_TABLE.c.id % 2 == 1))


def rows(params: Params) -> int:
    """Rows that one operation inserts or updates."""
    return int(params["batch"])


def _batch(params: Params, rng: Random) -> list[tuple[int, str, int]]:
    first = rng.randrange(params["rows"] - params["batch"])
    return [(number, f"item {number}", rng.randrange(100)) for number in range(first, first + params["batch"])]


def _updating(statement: Any) -> Any:
    new = statement.excluded
    return statement.on_conflict_do_update(index_elements=["id"], set_={"name": new.name, "left": new.left})


async def core(connection: AsyncConnection, params: Params, rng: Random) -> None:
    """Insert or update in one transaction."""
    batch = _batch(params, rng)
    as_dicts = [dict(zip(_NAMES, row, strict=True)) for row in batch]
    match params["form"]:
        case "values":
            await connection.execute(_updating(_VALUES.values(as_dicts)))
        case "many":
            await connection.execute(_updating(_VALUES), as_dicts)
        case "unnest":
            ids, names, counts = map(list, zip(*batch, strict=True))
            await connection.execute(_updating(_OF_ARRAYS), {"ids": ids, "names": names, "counts": counts})
        case other:
            raise ValueError(f"form={other}: values, many or unnest")
    await connection.commit()


async def raw(db: Db, params: Params, rng: Random) -> None:
    """Run the same through the driver."""
    batch = _batch(params, rng)
    async with db.transaction():
        match params["form"]:
            case "values":
                places = ", ".join(f"(${at}, ${at + 1}, ${at + 2})" for at in range(1, 3 * len(batch), 3))
                await db.execute(f"{_INSERT} VALUES {places} {_CONFLICT}", *[each for row in batch for each in row])
            case "many":
                await db.execute_many(f"{_INSERT} VALUES ($1, $2, $3) {_CONFLICT}", batch)
            case "unnest":
                arrays = map(list, zip(*batch, strict=True))
                await db.execute(f"{_INSERT} {_UNNESTED} {_CONFLICT}", *arrays)
            case other:
                raise ValueError(f"form={other}: values, many or unnest")
