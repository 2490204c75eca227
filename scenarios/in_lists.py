"""How should a list of keys go into a query? As IN with a placeholder each, as one array, or as a table to join."""

from collections.abc import Sequence
from random import Random
from typing import Any

from _patients import Patient, fill_table
from sqlalchemy import ARRAY, Connection, Integer, any_, bindparam, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from dbbench.scenario import Db, Params

PARAMS = {"rows": 10_000, "keys": 100, "form": "any"}
_KEYS = bindparam("keys", type_=ARRAY(Integer))
_WANTED = func.unnest(_KEYS).table_valued("id", name="wanted").render_derived()
_BASE = select(Patient.id, Patient.name).order_by(Patient.id)
_ANY = _BASE.where(Patient.id == any_(_KEYS))
_UNNEST = _BASE.join(_WANTED, Patient.id == _WANTED.c.id)
_SELECT = "SELECT id, name FROM patients"


def prepare(connection: Connection, params: Params) -> None:
    """Fill the table once."""
    fill_table(connection, params["rows"], 200)


def _keys(params: Params, rng: Random) -> list[int]:
    """Distinct keys, as many in every operation: a driver prepares the same statement each time."""
    return rng.sample(range(1, params["rows"] + 1), params["keys"])


async def core(connection: AsyncConnection, params: Params, rng: Random) -> Sequence[Any]:
    """Select the rows."""
    keys = _keys(params, rng)
    match params["form"]:
        case "in":
            return (await connection.execute(_BASE.where(Patient.id.in_(keys)))).all()
        case "any":
            return (await connection.execute(_ANY, {"keys": keys})).all()
        case "unnest":
            return (await connection.execute(_UNNEST, {"keys": keys})).all()
    raise ValueError(f"form={params['form']}: in, any or unnest")


async def raw(db: Db, params: Params, rng: Random) -> Sequence[Any]:
    """Select the same rows through the driver."""
    keys = _keys(params, rng)
    match params["form"]:
        case "in":
            places = ", ".join(f"${number}" for number in range(1, len(keys) + 1))
            return await db.fetch_all(f"{_SELECT} WHERE id IN ({places}) ORDER BY id", *keys)
        case "any":
            return await db.fetch_all(f"{_SELECT} WHERE id = ANY($1) ORDER BY id", keys)
        case "unnest":
            return await db.fetch_all(f"{_SELECT} JOIN unnest($1::int[]) AS id USING (id) ORDER BY id", keys)
    raise ValueError(f"form={params['form']}: in, any or unnest")
