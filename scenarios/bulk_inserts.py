"""Insert many patients in one transaction; the table is emptied between slices, so that it never grows."""

from random import Random
from typing import Any

from _patients import COLUMNS, Patient, encoded, make_table, patient
from sqlalchemy import Connection, insert, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession

from dbbench.scenario import Db, Params

PARAMS = {"batch": 1_000, "document_bytes": 200}
_INSERT = f"INSERT INTO patients ({', '.join(COLUMNS)}) VALUES ($1, $2, $3, $4, $5, $6)"  # noqa: S608 - constants
_BATCHES: dict[tuple[int, int], list[dict[str, Any]]] = {}


def prepare(connection: Connection, params: Params) -> None:  # noqa: ARG001 - the signature is dbbench's
    """Make the empty table."""
    make_table(connection)


def reset(connection: Connection, params: Params) -> None:  # noqa: ARG001
    """Empty the table."""
    connection.execute(text("TRUNCATE patients RESTART IDENTITY"))


def rows(params: Params) -> int:
    """Rows that one operation inserts."""
    return int(params["batch"])


def _batch(params: Params) -> list[dict[str, Any]]:
    """The patients to insert, made only once, since making them is not the driver's work."""
    key = params["batch"], params["document_bytes"]
    if key not in _BATCHES:
        rng = Random(0)
        _BATCHES[key] = [patient(rng, key[1]) for _ in range(key[0])]
    return _BATCHES[key]


async def orm(session: AsyncSession, params: Params, rng: Random) -> None:  # noqa: ARG001
    """Add mapped objects and flush them together."""
    session.add_all([Patient(**values) for values in _batch(params)])
    await session.commit()


async def core(connection: AsyncConnection, params: Params, rng: Random) -> None:  # noqa: ARG001
    """Execute one INSERT with a list of rows."""
    await connection.execute(insert(Patient), _batch(params))
    await connection.commit()


async def raw(db: Db, params: Params, rng: Random) -> None:  # noqa: ARG001
    """Use the driver's executemany(), in a transaction."""
    async with db.transaction():
        await db.execute_many(_INSERT, [encoded(values) for values in _batch(params)])
