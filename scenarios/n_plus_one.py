"""What does lazy loading cost? A page of orders with their lines, loaded one by one, together, or in one join."""

from random import Random
from typing import Any, Final

from sqlalchemy import Connection, ForeignKey, select, text
from sqlalchemy.ext.asyncio import AsyncAttrs, AsyncSession
from sqlalchemy.orm import DeclarativeBase, Mapped, joinedload, mapped_column, relationship, selectinload, subqueryload

from dbbench.scenario import Params

PARAMS = {"orders": 1_000, "lines": 5, "page": 20, "form": "lazy"}


class Base(AsyncAttrs, DeclarativeBase):
    """Base class of the mapped tables."""


class Line(Base):
    """One line of an order."""

    __tablename__ = "lines"
    id: Mapped[int] = mapped_column(primary_key=True)
    order_id: Mapped[int] = mapped_column(ForeignKey("orders.id"), index=True)
    quantity: Mapped[int]


class Order(Base):
    """One order."""

    __tablename__ = "orders"
    id: Mapped[int] = mapped_column(primary_key=True)
    customer: Mapped[str]
    lines: Mapped[list[Line]] = relationship(order_by=Line.id)


_LOADED: Final[dict[str, Any]] = {
    "lazy": [],
    "selectin": [selectinload(Order.lines)],
    "joined": [joinedload(Order.lines)],
    "subquery": [subqueryload(Order.lines)],
}


def prepare(connection: Connection, params: Params) -> None:
    """Fill both tables once."""
    Base.metadata.create_all(connection)
    connection.execute(
        text("INSERT INTO orders SELECT n, 'customer ' || n FROM generate_series(1, :orders) AS n"),
        {"orders": params["orders"]},
    )
    connection.execute(
        text(
            "INSERT INTO lines (order_id, quantity) SELECT orders.id, n"
            " FROM orders, generate_series(1, :lines) AS n ORDER BY orders.id, n"
        ),
        {"lines": params["lines"]},
    )


async def orm(session: AsyncSession, params: Params, rng: Random) -> list[tuple[str, list[int]]]:
    """Load a page of orders, and the lines of each."""
    first = rng.randint(1, params["orders"] - params["page"] + 1)
    page = select(Order).where(Order.id >= first).order_by(Order.id).limit(params["page"])
    if params["form"] not in _LOADED:
        raise ValueError(f"form={params['form']}: {', '.join(_LOADED)}")
    orders = (await session.scalars(page.options(*_LOADED[params["form"]]))).unique().all()
    return [(order.customer, [line.quantity for line in await order.awaitable_attrs.lines]) for order in orders]
