"""A scenario over SQLAlchemy's async API: an operation for each part of it, chosen by `case`.

Each returns plain values that every driver must agree on; test_async_api.py says which part of the API it stands for.
"""

import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from random import Random
from typing import Any, Self

from sqlalchemy import Connection, ForeignKey, func, inspect, select, text
from sqlalchemy.ext.asyncio import (
    AsyncAttrs,
    AsyncConnection,
    AsyncEngine,
    AsyncMappingResult,
    AsyncResult,
    AsyncScalarResult,
    AsyncSession,
    AsyncSessionTransaction,
    AsyncTransaction,
    AsyncTupleResult,
    async_object_session,
    async_scoped_session,
    async_session,
    async_sessionmaker,
    close_all_sessions,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, relationship

PARAMS = {"case": ""}
NUMBERS = "SELECT n, n * 10 AS tens FROM generate_series(1, 25) AS n ORDER BY n"


class Base(AsyncAttrs, DeclarativeBase):
    """Mapped classes."""


class Author(Base):
    """Somebody with books, loaded when they are asked for."""

    __tablename__ = "authors"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    books: Mapped[list["Book"]] = relationship(order_by="Book.id")


class Book(Base):
    """A book."""

    __tablename__ = "books"
    id: Mapped[int] = mapped_column(primary_key=True)
    author_id: Mapped[int] = mapped_column(ForeignKey("authors.id"))
    title: Mapped[str]


def prepare(connection: Connection, params: dict[str, Any]) -> None:  # noqa: ARG001 - the signature is dbbench's
    """Make two authors with two books each."""
    Base.metadata.create_all(connection)
    connection.execute(text("INSERT INTO authors SELECT n, 'author ' || n FROM generate_series(1, 2) n"))
    connection.execute(text("INSERT INTO books SELECT n, 1 + n % 2, 'book ' || n FROM generate_series(1, 4) n"))


# --- AsyncConnection, AsyncEngine, AsyncTransaction -----------------------------------------------------------------


async def stream_awaited(connection: Any) -> Any:
    result = await connection.stream(text(NUMBERS), execution_options={"yield_per": 10})
    rows = [tuple(row) async for row in result]
    return rows, result.closed


async def stream_with(connection: Any) -> Any:
    total = 0
    async with connection.stream(text("SELECT :low + 1"), {"low": 2}, execution_options={"yield_per": 2}) as result:
        async for row in result:
            total += row[0]
    return total, result.closed


async def stream_broken_off(connection: Any) -> Any:
    async with connection.stream(text(NUMBERS), execution_options={"yield_per": 2}) as result:
        async for row in result:
            if row.n == 3:
                break
    return row.n, result.closed, await connection.scalar(text("SELECT 4"))


async def stream_scalars(connection: Any) -> Any:
    awaited = await connection.stream_scalars(text(NUMBERS))
    first = await awaited.fetchmany(2)
    await awaited.close()
    async with connection.stream_scalars(text(NUMBERS), execution_options={"yield_per": 10}) as result:
        return first, [number async for number in result]


async def streamed_on_the_server(connection: Any) -> Any:
    """Whether there is a cursor on the server while a result is streamed."""
    async with connection.stream(text(NUMBERS), execution_options={"max_row_buffer": 5}) as result:
        first = await result.fetchone()
        return tuple(first), await connection.scalar(text("SELECT count(*) > 0 FROM pg_cursors"))


def _add(connection: Connection, one: int, *, two: int) -> Any:
    return isinstance(connection, Connection), connection.scalar(text(f"SELECT {one} + {two}"))


async def run_sync(connection: Any) -> Any:
    return await connection.run_sync(_add, 1, two=2), await connection.run_sync(lambda same: same.closed)


async def transactions(connection: Any) -> Any:
    seen = []
    async with connection.begin() as outer:
        async with connection.begin_nested() as inner:
            await connection.execute(text("CREATE TEMPORARY TABLE kept (n int) ON COMMIT DROP"))
            seen += [connection.in_nested_transaction(), inner.nested, outer.nested, inner.is_active, inner.is_valid]
            seen.append(connection.get_nested_transaction() == inner)
            seen.append(connection.get_transaction() == outer)
            seen.append(inner.connection == connection)
        with contextlib.suppress(ZeroDivisionError):
            async with connection.begin_nested():
                await connection.execute(text("INSERT INTO kept VALUES (1)"))
                _fail()
        savepoint = await connection.begin_nested()
        await connection.execute(text("INSERT INTO kept VALUES (2)"))
        await savepoint.rollback()
        savepoint = await connection.begin_nested().start()
        await connection.execute(text("INSERT INTO kept VALUES (3)"))
        await savepoint.commit()
        seen += [savepoint.is_active, connection.in_transaction(), outer.sync_transaction.is_active]
        seen += (await connection.scalars(text("SELECT n FROM kept"))).all()
        await outer.close()
    return seen, connection.in_transaction(), connection.get_nested_transaction()


def _fail() -> None:
    raise ZeroDivisionError


async def raw_connection(connection: Any) -> Any:
    pooled = await connection.get_raw_connection()
    another = await connection.engine.raw_connection()
    same = pooled.driver_connection is (await connection.get_raw_connection()).driver_connection
    other = another.driver_connection is not pooled.driver_connection
    another.close()
    return same, other, pooled.is_valid


async def connection_itself(connection: Any) -> Any:
    sync = connection.sync_connection
    return (
        isinstance(sync, Connection),
        connection.sync_engine is sync.engine,
        connection.engine.sync_engine is sync.engine,
        connection.dialect.name,
        connection.default_isolation_level,
        await connection.get_isolation_level(),
        connection.closed,
        connection.invalidated,
        connection.info == {},
        isinstance(connection, AsyncConnection),
        isinstance(connection.engine, AsyncEngine),
    )


async def connections_of_ones_own(connection: Any) -> Any:
    engine = connection.engine
    async with contextlib.aclosing(await engine.connect()) as one:
        inside = await one.scalar(text("SELECT 1"))
    other = engine.connect()
    await other.start()
    await other.aclose()
    async with engine.begin() as third, engine.connect() as fourth:
        sums = await third.scalar(text("SELECT 3")) + await fourth.scalar(text("SELECT 4"))
    return inside, one.closed, other.closed, third.closed, sums


async def statements(connection: Any) -> Any:
    changed = await connection.execution_options(isolation_level="SERIALIZABLE")
    level = await connection.get_isolation_level()
    rows = (await connection.exec_driver_sql("SELECT 1, 'one'")).all()
    await connection.rollback()
    await connection.invalidate()
    gone = connection.invalidated
    await connection.rollback()
    return changed is connection, level, [tuple(row) for row in rows], gone, await connection.scalar(text("SELECT 5"))


async def engine_itself(connection: Any) -> Any:
    engine = connection.engine
    logged = engine.execution_options(logging_token="a")
    async with logged.connect() as other:
        options = other.sync_connection.get_execution_options()["logging_token"], await other.scalar(text("SELECT 1"))
    engine.clear_compiled_cache()
    return (
        engine.name,
        engine.url.drivername.partition("+")[0],
        engine.echo,
        engine.driver != "",
        options,
        isinstance(logged, AsyncEngine),
        dict(engine.get_execution_options()),
        engine.pool is engine.sync_engine.pool,
        engine.dialect is engine.engine.dialect,
    )


# --- AsyncResult, AsyncScalarResult, AsyncMappingResult -------------------------------------------------------------


async def _numbers(connection: Any, limit: int = 25) -> Any:
    return await connection.stream(text("SELECT n, n * 10 AS tens FROM generate_series(1, :n) AS n"), {"n": limit})


async def rows_of_results(connection: Any) -> Any:
    some = await _numbers(connection)
    found: list[Any] = [await anext(some), await some.fetchone(), await some.fetchmany(2), list(some.keys())]
    found.append(len(await some.fetchall()))
    found += [await anext(some, None), some.closed]
    found += [await (await _numbers(connection)).first(), await (await _numbers(connection, 1)).one()]
    found += [await (await _numbers(connection, 0)).one_or_none(), await (await _numbers(connection)).scalar()]
    found += [await (await _numbers(connection, 1)).scalar_one()]
    found += [await (await _numbers(connection, 0)).scalar_one_or_none()]
    found += [len(await (await _numbers(connection)).all())]
    return [tuple(each) if hasattr(each, "_mapping") else each for each in found]


async def partitions(connection: Any) -> Any:
    sizes = [len(part) async for part in (await _numbers(connection)).partitions(10)]
    result = (await _numbers(connection)).yield_per(7).columns("tens")
    sizes += [len(part) async for part in result.partitions()]
    return sizes


async def kinds_of_results(connection: Any) -> Any:
    rows = await _numbers(connection, 3)
    scalars = (await _numbers(connection, 3)).scalars("tens")
    mappings = (await _numbers(connection, 2)).mappings()
    parities = (await connection.stream_scalars(text("SELECT n % 2 FROM generate_series(1, 9) n"))).unique()
    kinds = [isinstance(rows, AsyncResult), isinstance(scalars, AsyncScalarResult)]
    kinds += [isinstance(mappings, AsyncMappingResult), AsyncTupleResult is not None]
    found = [await scalars.all(), [dict(each) async for each in mappings], await parities.fetchall()]
    await rows.close()
    return kinds, found, list(mappings.keys())


async def more_of_results(connection: Any) -> Any:
    frozen = await (await _numbers(connection, 2)).freeze()
    scalars = (await _numbers(connection, 1)).scalars()
    one = await scalars.one()
    first = await (await _numbers(connection, 2)).scalars().yield_per(1).first()
    none = await (await _numbers(connection, 0)).scalars().one_or_none()
    part = [list(each) async for each in (await _numbers(connection, 3)).scalars().partitions(2)]
    many = await (await _numbers(connection, 3)).scalars().fetchmany(2)
    return [tuple(row) for row in frozen()], one, first, none, part, many, scalars.closed


async def more_of_mappings(connection: Any) -> Any:
    async def made(limit: int) -> Any:
        return (await _numbers(connection, limit)).mappings()

    some = await made(9)
    found = [dict(await some.fetchone()), len(await some.fetchmany(3)), len(await some.fetchall()), some.closed]
    found += [
        dict(await (await made(1)).one()),
        await (await made(0)).one_or_none(),
        dict(await (await made(2)).first()),
    ]
    found += [len(await (await made(4)).unique().all())]
    found += [[len(part) async for part in (await made(5)).yield_per(2).columns("n").partitions()]]
    closed = await made(3)
    await closed.close()
    return found, closed.closed


async def by_hand(connection: Any) -> Any:
    """The protocols without their statements."""
    result = await connection.stream_scalars(text(NUMBERS))
    iterator = aiter(result)
    found = [await iterator.__anext__(), await anext(iterator)]
    await result.close()
    async with contextlib.AsyncExitStack() as stack:
        third = await stack.enter_async_context(connection.stream_scalars(text("SELECT 3")))
        stack.push_async_callback(connection.rollback)
        found += await third.all()
    return found, connection.in_transaction()


# --- AsyncSession, AsyncSessionTransaction, async_sessionmaker, AsyncAttrs ------------------------------------------


async def session_streams(session: Any) -> Any:
    rows = await session.stream(select(Author).order_by(Author.id), execution_options={"yield_per": 1})
    names = [row.Author.name async for row in rows]
    books = await session.stream_scalars(select(Book.title).where(Book.id > 2).order_by(Book.id))
    pages = await session.stream(select(Book.id).order_by(Book.id))
    return names, [title async for title in books], [len(page) async for page in pages.partitions(3)]


def _count(session: Session, least: int) -> Any:
    return isinstance(session, Session), session.scalar(select(func.count()).where(Book.id >= least))


async def session_run_sync(session: Any) -> Any:
    return await session.run_sync(_count, 2)


async def session_itself(session: Any) -> Any:
    return (
        isinstance(session, AsyncSession),
        isinstance(session.sync_session, Session),
        session.sync_session_class is Session,
        session.get_bind().dialect.name,
        session.bind == session.get_async_bind(),
        isinstance(session.get_async_bind(), (AsyncEngine, AsyncConnection)),
        isinstance(await session.connection(), AsyncConnection),
        await session.scalar(text("SELECT 1")),
        session.info,
        session.autoflush,
        session.is_active,
        len(session.identity_map),
        isinstance(session.binds, dict) or session.binds is not None,
    )


async def session_transactions(session: Any) -> Any:
    seen: list[Any] = []
    async with session.begin() as outer:
        session.add(Author(id=3, name="third"))
        async with session.begin_nested() as inner:
            seen += [inner.nested, outer.nested, inner.is_active, inner.session is session]
            seen += [isinstance(inner, AsyncSessionTransaction), isinstance(inner, AsyncTransaction)]
            seen += [session.get_nested_transaction() is inner, session.in_nested_transaction()]
            seen.append(inner.sync_transaction.is_active)
        with contextlib.suppress(ZeroDivisionError):
            async with session.begin_nested():
                session.add(Author(id=4, name="fourth"))
                await session.flush()
                _fail()
        savepoint = await session.begin_nested()
        session.add(Author(id=5, name="fifth"))
        await session.flush()
        await savepoint.rollback()
        started = await session.begin_nested().start()
        await started.commit()
        seen += (await session.scalars(select(Author.id).order_by(Author.id))).all()
        await session.rollback()
    return seen, session.in_transaction(), session.get_transaction()


async def lazy_attributes(session: Any) -> Any:
    author = await session.get_one(Author, 1)
    titles = [book.title for book in await author.awaitable_attrs.books]
    await session.refresh(author, ["name"])
    session.expire(author)
    return titles, await author.awaitable_attrs.name, [each.id for each in await author.awaitable_attrs.books]


async def session_of_an_object(session: Any) -> Any:
    author = await session.get(Author, 2)
    mine = async_object_session(author) is session
    return mine, inspect(author).async_session is session, async_session(session.sync_session) is session


async def session_binds(session: Any) -> Any:
    session.bind_mapper(Author, session.bind)
    session.bind_table(Book.__table__, session.bind)
    author = await session.get_one(Author, 1)
    transaction = session.get_transaction()
    bound = transaction.bound_connection(Author)
    seen = [isinstance(bound, AsyncConnection), [isinstance(each, AsyncConnection) for each in transaction.connections]]
    seen += [session.object_session(author) is session.sync_session, session.identity_key(instance=author)[1]]
    session.expunge_all()
    return seen, author in session


async def session_lists(session: Any) -> Any:
    authors = await session.merge_all([Author(id=1, name="one"), Author(id=8, name="eight")])
    await session.flush()
    await session.delete_all(authors[1:])
    await session.flush()
    return (await session.scalars(select(Author.name).order_by(Author.id))).all()


async def session_work(session: Any) -> Any:
    author = await session.merge(Author(id=2, name="renamed"))
    new = Author(id=9, name="new")
    session.add_all([new, Book(id=9, author_id=9, title="ninth")])
    await session.flush()
    await session.delete(await session.get_one(Book, 9))
    dirty = (author in session, new in session, session.is_modified(author), len(list(session)))
    found = [row[0] for row in await session.execute(select(Author.name).order_by(Author.id))]
    session.expunge(new)
    session.expire_all()
    with session.no_autoflush:
        one = await session.scalar(select(func.count(Book.id)))
    await session.rollback()
    await session.invalidate()
    await session.reset()
    return dirty, found, one, len(session.new), len(session.deleted), len(session.dirty), await session.get(Author, 7)


async def makers(session: Any) -> Any:
    maker = async_sessionmaker(session.bind, class_=AsyncSession, expire_on_commit=False)
    maker.configure(info={"made": True})
    async with maker() as one, maker.begin() as two:
        names: list[Any] = [(await one.get_one(Author, 1)).name, (await two.get_one(Author, 2)).name, one.info]
        names.append(isinstance(one, maker.class_))
    third = AsyncSession(session.bind)
    async with contextlib.aclosing(third):
        names.append((await third.get_one(Book, 1)).title)
    await third.aclose()
    scoped = async_scoped_session(maker, scopefunc=lambda: 1)
    names.append((await scoped.get_one(Author, 1)).name)
    names.append([name async for name in await scoped.stream_scalars(select(Author.name).order_by(Author.id))])
    names.append(scoped() is scoped.registry() and scoped.session_factory is maker)
    await scoped.aclose()
    await scoped.remove()
    return names


async def closing_all(session: Any) -> Any:
    await session.get(Author, 1)
    before = session.in_transaction()
    await close_all_sessions()
    return before, session.in_transaction()


async def closing_all_by_the_class(session: Any) -> Any:
    await session.get(Author, 1)
    await session.close_all()
    return session.in_transaction()


# --- the user's own --------------------------------------------------------------------------------------------------


class Feed:
    """Has methods with the names of SQLAlchemy's, and the protocols of async."""

    nested = "mine"

    def __init__(self, connection: Any) -> None:
        self.connection = connection
        self.left = [1, 2]

    async def stream(self, what: str) -> str:
        """Not SQLAlchemy's."""
        return f"streamed {what} {await self.connection.scalar(text('SELECT 1'))}"

    def start(self) -> str:
        """Not SQLAlchemy's."""
        return "started"

    def __enter__(self) -> Self:
        raise TypeError

    def __exit__(self, *_: object) -> None:
        raise TypeError

    async def __aenter__(self) -> Self:
        await self.connection.execute(text("SELECT 2"))
        return self

    async def __aexit__(self, *_: object) -> None:
        self.left.append(0)

    def __aiter__(self) -> "Feed":
        return self

    async def __anext__(self) -> int:
        if not self.left:
            raise StopAsyncIteration
        return self.left.pop()


@contextlib.asynccontextmanager
async def _savepoint(connection: Any) -> AsyncIterator[Any]:
    async with connection.begin_nested() as transaction:
        yield transaction


async def _pages(connection: Any) -> AsyncGenerator[list[int], None]:
    async with connection.stream_scalars(text(NUMBERS)) as result:
        async for part in result.partitions(20):
            yield part


async def ones_own(connection: Any) -> Any:
    async with Feed(connection) as feed:
        said = await feed.stream("all"), feed.start(), feed.nested
    found = [number async for number in feed]
    async with _savepoint(connection) as transaction, contextlib.aclosing(_pages(connection)) as pages:
        sizes = [len(page) async for page in pages]
        active = transaction.is_active
    return said, found, sizes, active


CORE: dict[str, Callable[[Any], Any]] = {
    function.__name__: function
    for function in (
        stream_awaited, stream_with, stream_broken_off, stream_scalars, streamed_on_the_server, run_sync, transactions,
        raw_connection, connection_itself, connections_of_ones_own, statements, engine_itself, rows_of_results,
        partitions, kinds_of_results, more_of_results, more_of_mappings, by_hand, ones_own,
    )
}  # fmt: skip
ORM: dict[str, Callable[[Any], Any]] = {
    function.__name__: function
    for function in (
        session_streams, session_run_sync, session_itself, session_transactions, lazy_attributes, session_of_an_object,
        session_work, session_binds, session_lists, makers, closing_all, closing_all_by_the_class,
    )
}  # fmt: skip


async def core(connection: Any, params: dict[str, Any], rng: Random) -> Any:  # noqa: ARG001
    """Run a case of Core."""
    return await CORE[params["case"]](connection)


async def orm(session: Any, params: dict[str, Any], rng: Random) -> Any:  # noqa: ARG001
    """Run a case of the ORM."""
    return await ORM[params["case"]](session)
