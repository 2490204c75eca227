"""An application's script, pasted as it is: an engine and a main() of its own, beside the function to be measured."""

import asyncio

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncAttrs, AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

engine = create_async_engine("postgresql+asyncpg://app@db.example/app", pool_size=20)
Session = async_sessionmaker(engine, expire_on_commit=False)


class Base(AsyncAttrs, DeclarativeBase):
    pass


class Visit(Base):
    __tablename__ = "visits"
    id: Mapped[int] = mapped_column(primary_key=True)
    page: Mapped[str]


def prepare(connection, params):
    Base.metadata.create_all(connection)
    connection.exec_driver_sql("INSERT INTO visits SELECT n, 'page ' || mod(n, 5) FROM generate_series(1, 50) n")


async def popular(session: AsyncSession, least: int):
    found = await session.execute(
        select(Visit.page, func.count()).group_by(Visit.page).having(func.count() > least).order_by(Visit.page)
    )
    return [tuple(row) for row in found]


async def orm(session, params, rng):
    return await popular(session, rng.randint(1, 9))


async def once(least):
    async with Session() as session:
        return await popular(session, least)


async def main():
    print(await asyncio.gather(*(once(least) for least in range(10))))


if __name__ == "__main__":
    asyncio.run(main())
