"""The table that the built-in scenarios work on: patients, as a small clinic's system might store them."""

import datetime
import decimal
import json
import random
import uuid
from typing import Any

from sqlalchemy import Connection, DateTime, Numeric, insert
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

COLUMNS = ("external_id", "name", "birth_date", "document", "balance", "updated_at")
SELECT_BY_ID = f"SELECT id, {', '.join(COLUMNS)} FROM patients WHERE id = $1"  # noqa: S608 - constants
_DOCUMENT = 1 + COLUMNS.index("document")  # its place in such a row
_EPOCH = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
_BATCH = 1000


class Base(DeclarativeBase):
    """Base class of the mapped tables."""


class Patient(Base):
    """One patient."""

    __tablename__ = "patients"

    id: Mapped[int] = mapped_column(primary_key=True)
    external_id: Mapped[uuid.UUID]
    name: Mapped[str]
    birth_date: Mapped[datetime.date]
    document: Mapped[dict[str, Any]] = mapped_column(JSONB)
    balance: Mapped[decimal.Decimal] = mapped_column(Numeric(12, 2))
    updated_at: Mapped[datetime.datetime] = mapped_column(DateTime(timezone=True))


def patient(rng: random.Random, document_bytes: int) -> dict[str, Any]:
    """The columns of a random patient, without its id."""
    return {
        "external_id": uuid.UUID(int=rng.getrandbits(128), version=4),
        "name": f"Patient {rng.randrange(1_000_000):06d}",
        "birth_date": datetime.date(1930, 1, 1) + datetime.timedelta(days=rng.randrange(34_000)),
        "document": {"ward": rng.randrange(40), "allergies": ["pollen", "penicillin"], "notes": "x" * document_bytes},
        "balance": decimal.Decimal(rng.randrange(10_000_000)) / 100,
        "updated_at": moment(rng),
    }


def moment(rng: random.Random) -> datetime.datetime:
    """A random point in time."""
    return _EPOCH + datetime.timedelta(seconds=rng.randrange(10_000_000))


def decoded(row: Any) -> Any:
    """The row of a driver with its document decoded: asyncpg gives JSON as text, the others decode it themselves."""
    document = row[_DOCUMENT]
    if isinstance(document, str):
        return (*row[:_DOCUMENT], json.loads(document), *row[_DOCUMENT + 1 :])
    return row


def encoded(values: dict[str, Any]) -> tuple[Any, ...]:
    """A patient as arguments of a driver, which take JSON as text."""
    return tuple({**values, "document": json.dumps(values["document"])}.values())


def make_table(connection: Connection) -> None:
    """Make the table."""
    Base.metadata.create_all(connection)


def fill_table(connection: Connection, rows: int, document_bytes: int) -> None:
    """Make the table and fill it with patients with the ids 1 to `rows`, the same ones in every run."""
    make_table(connection)
    rng = random.Random(rows)
    for first in range(0, rows, _BATCH):
        batch = [patient(rng, document_bytes) for _ in range(min(_BATCH, rows - first))]
        connection.execute(insert(Patient), batch)
