"""Read one patient by primary key: the shortest useful round trip."""

from random import Random
from typing import Any

from _patients import SELECT_BY_ID, Patient, decoded, fill_table
from sqlalchemy import Connection, Row, select
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession

from dbbench.scenario import Db, Params

PARAMS = {"rows": 10_000, "document_bytes": 200}


def prepare(connection: Connection, params: Params) -> None:
    """Fill the table once."""
    fill_table(connection, params["rows"], params["document_bytes"])


async def orm(session: AsyncSession, params: Params, rng: Random) -> Patient | None:
    """Load one mapped object."""
    return await session.get(Patient, rng.randint(1, params["rows"]))


async def core(connection: AsyncConnection, params: Params, rng: Random) -> Row[Any]:
    """Select one row."""
    statement = select(Patient.__table__).where(Patient.id == rng.randint(1, params["rows"]))
    return (await connection.execute(statement)).one()


async def raw(db: Db, params: Params, rng: Random) -> Any:
    """Fetch the same row through the driver."""
    return decoded(await db.fetch_one(SELECT_BY_ID, rng.randint(1, params["rows"])))
