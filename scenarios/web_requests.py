"""What does a request to a FastAPI application cost? One patient, a list of fifty, a change: 8 to 1 to 1."""

from datetime import timedelta
from random import Random
from typing import Annotated, Any

from _patients import Patient, fill_table
from sqlalchemy import Connection, select
from sqlalchemy.ext.asyncio import AsyncSession

from dbbench.scenario import Params

PARAMS = {"rows": 10_000, "document_bytes": 200, "one": 8, "list": 1, "post": 1, "get_db": "minimal"}
SESSIONS = (1, 15, 50)
PAGE = 50  # patients in a list


def prepare(connection: Connection, params: Params) -> None:
    """Fill the table once."""
    fill_table(connection, params["rows"], params["document_bytes"])


def app(sessions: Any, params: Params) -> Any:
    """The application: FastAPI awaits `async def` routes, and runs those of sync drivers in its pool of threads."""
    from fastapi import Depends, FastAPI, HTTPException

    async def minimal() -> Any:
        async with sessions() as session:
            yield session

    async def commit() -> Any:
        async with sessions() as session:
            yield session
            await session.commit()

    async def document() -> Any:
        async with sessions() as session:
            try:
                yield session
            finally:
                await session.close()

    get_db = {"minimal": minimal, "commit": commit, "document": document}[params["get_db"]]
    Session = Annotated[AsyncSession, Depends(get_db)]  # noqa: N806 - a type
    web = FastAPI()

    @web.get("/patients/{number}")
    async def one(number: int, session: Session) -> dict[str, Any]:
        patient = await session.get(Patient, number)
        if patient is None:
            raise HTTPException(404)
        return {"id": patient.id, "name": patient.name, "balance": str(patient.balance), "document": patient.document}

    @web.get("/patients")
    async def page(after: int, session: Session) -> list[dict[str, Any]]:
        found = await session.scalars(select(Patient).where(Patient.id > after).order_by(Patient.id).limit(PAGE))
        return [{"id": each.id, "name": each.name, "balance": str(each.balance)} for each in found]

    @web.post("/patients/{number}/visits")
    async def visit(number: int, later: dict[str, int], session: Session) -> dict[str, Any]:
        patient = await session.get(Patient, number)
        if patient is None:
            raise HTTPException(404)
        # Added to the current value: the ORM leaves out an UPDATE that would change nothing.
        patient.updated_at += timedelta(seconds=later["seconds"])
        await session.commit()
        return {"id": number}

    return web


def request(rng: Random, params: Params) -> tuple[Any, ...]:
    """One of the three requests, in the proportions of the parameters."""
    number = rng.randint(1, params["rows"])
    (kind,) = rng.choices(["one", "list", "post"], [params["one"], params["list"], params["post"]])
    if kind == "one":
        return "GET", f"/patients/{number}"
    if kind == "list":
        return "GET", f"/patients?after={min(number, params['rows'] - PAGE)}"
    return "POST", f"/patients/{number}/visits", {"seconds": rng.randint(1, 60)}
