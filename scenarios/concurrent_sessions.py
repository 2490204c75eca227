"""Many sessions with short requests through the pool: one to three reads, a write, commit."""

from datetime import timedelta
from random import Random
from typing import Any

from _patients import SELECT_BY_ID, Patient, fill_table
from sqlalchemy import Connection, select, update
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession

from dbbench.scenario import Db, Params

PARAMS = {"rows": 10_000, "document_bytes": 200}
SESSIONS = (1, 15, 50)
# Added to the current value, so that every write is a change: the ORM leaves out an UPDATE that would change nothing.
_LATER = timedelta(seconds=1)
_UPDATE = "UPDATE patients SET updated_at = $1 WHERE id = $2"


def prepare(connection: Connection, params: Params) -> None:
    """Fill the table once."""
    fill_table(connection, params["rows"], params["document_bytes"])


def _ids(params: Params, rng: Random) -> list[int]:
    """The patients that a request reads; it writes the last one."""
    return [rng.randint(1, params["rows"]) for _ in range(rng.randint(1, 3))]


async def orm(session: AsyncSession, params: Params, rng: Random) -> list[str]:
    """Load mapped objects and change the last one."""
    names = []
    for number in _ids(params, rng):
        patient = await session.get_one(Patient, number)
        names.append(patient.name)
    patient.updated_at += _LATER
    await session.commit()
    return names


async def core(connection: AsyncConnection, params: Params, rng: Random) -> list[str]:
    """Select rows and update the last one."""
    names = []
    for number in _ids(params, rng):
        row = (await connection.execute(select(Patient.__table__).where(Patient.id == number))).one()
        names.append(row.name)
    await connection.execute(update(Patient).where(Patient.id == number).values(updated_at=row.updated_at + _LATER))
    await connection.commit()
    return names


async def raw(db: Db, params: Params, rng: Random) -> list[str]:
    """Run the same statements through the driver."""
    names = []
    async with db.transaction():
        for number in _ids(params, rng):
            row: Any = await db.fetch_one(SELECT_BY_ID, number)
            names.append(row[2])
        await db.execute(_UPDATE, row[6] + _LATER, number)
    return names
