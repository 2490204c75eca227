"""Export in parts: an ORM query through a server-side cursor, each part with what it loads lazily, a savepoint for each."""

import contextlib

from sqlalchemy import ForeignKey, select
from sqlalchemy.ext.asyncio import AsyncAttrs
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

PARAMS = {"part": 10}


class Base(AsyncAttrs, DeclarativeBase):
    pass


class Customer(Base):
    __tablename__ = "customers"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    orders: Mapped[list["Order"]] = relationship(order_by="Order.id")


class Order(Base):
    __tablename__ = "orders"
    id: Mapped[int] = mapped_column(primary_key=True)
    customer_id: Mapped[int] = mapped_column(ForeignKey("customers.id"), index=True)
    total: Mapped[int]


def prepare(connection, params):
    Base.metadata.create_all(connection)
    connection.exec_driver_sql("INSERT INTO customers SELECT n, 'c' || n FROM generate_series(1, 25) n")
    connection.exec_driver_sql("INSERT INTO orders SELECT n, 1 + mod(n, 25), n FROM generate_series(1, 100) n")


@contextlib.asynccontextmanager
async def savepoint(session):
    async with session.begin_nested() as transaction:
        yield transaction


async def parts(session, size):
    result = await session.stream_scalars(select(Customer).order_by(Customer.id), execution_options={"yield_per": size})
    async for part in result.partitions():
        yield part


async def orm(session, params, rng):
    exported = []
    async with contextlib.aclosing(parts(session, params["part"])) as pages:
        async for page in pages:
            async with savepoint(session):
                for customer in page[:2]:
                    exported.append((customer.name, [each.total for each in await customer.awaitable_attrs.orders]))
    return exported, await session.run_sync(lambda same: len(same.new))


async def core(connection, params, rng):
    sizes = []
    async with connection.stream(select(Order.total), execution_options={"yield_per": params["part"]}) as result:
        async for part in result.partitions(30):
            sizes.append(len(part))
    level = await connection.get_isolation_level()
    raw = await connection.get_raw_connection()
    return sizes, level, raw.is_valid
