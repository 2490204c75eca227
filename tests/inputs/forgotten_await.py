"""List the open invoices with their totals; an await is missing in front of scalars(), as after a port to async.

Right: async drivers are refused with exit 3 and "forgotten_await.py:LINE: AsyncSession.scalars is not awaited: an
`await` is missing", not with "'coroutine' object is not iterable" alone. Sync drivers, which run the file without
`await`, are measured: psycopg2 against psycopg-sync.
"""

from sqlalchemy import select
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


class Base(DeclarativeBase):
    pass


class Invoice(Base):
    __tablename__ = "invoices"
    id: Mapped[int] = mapped_column(primary_key=True)
    total: Mapped[int]
    paid: Mapped[bool]


def prepare(connection, params):
    Base.metadata.create_all(connection)
    connection.exec_driver_sql("INSERT INTO invoices SELECT n, n * 3, mod(n, 4) <> 0 FROM generate_series(1, 200) n")


async def orm(session, params, rng):
    unpaid = session.scalars(select(Invoice).where(Invoice.paid.is_(False)).order_by(Invoice.id).limit(20))
    return [(invoice.id, invoice.total) for invoice in unpaid]
