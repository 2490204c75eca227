"""What sync drivers use in place of what is async: of the standard library, AnyIO, SQLAlchemy and psycopg.

The twin (see twin.py) replaces names when it is made. Attributes are looked up here while an operation runs, since only
then it is known whose they are: a `stream` may be a connection's, or the user's own.
"""

import pkgutil
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from functools import cache, partial
from types import GeneratorType
from typing import Any, Final, TypeVar

_T = TypeVar("_T")

CLOSED: Final = ("asyncio", "anyio", "sqlalchemy.ext.asyncio")
"""Packages of which nothing works in a thread but what NAMES has."""

NAMES: Final[Mapping[str, str]] = {
    "asyncio.sleep": "dbbench.counterparts.sleep",
    "asyncio.to_thread": "dbbench.counterparts.called",
    "asyncio.Lock": "threading.Lock",
    "asyncio.Event": "threading.Event",
    "asyncio.Condition": "threading.Condition",
    "asyncio.Semaphore": "threading.Semaphore",
    "asyncio.BoundedSemaphore": "threading.BoundedSemaphore",
    "asyncio.Barrier": "threading.Barrier",
    "asyncio.BrokenBarrierError": "threading.BrokenBarrierError",
    "asyncio.Queue": "queue.Queue",
    "asyncio.LifoQueue": "queue.LifoQueue",
    "asyncio.PriorityQueue": "queue.PriorityQueue",
    "asyncio.QueueEmpty": "queue.Empty",
    "asyncio.QueueFull": "queue.Full",
    "asyncio.TimeoutError": "builtins.TimeoutError",
    "asyncio.CancelledError": "asyncio.CancelledError",  # never raised in a thread, but caught here and there
    "anyio.sleep": "dbbench.counterparts.sleep",
    "contextlib.asynccontextmanager": "contextlib.contextmanager",
    "contextlib.aclosing": "contextlib.closing",
    "contextlib.AsyncExitStack": "dbbench.counterparts.SyncExitStack",
    "contextlib.AsyncContextDecorator": "contextlib.ContextDecorator",
    "contextlib.AbstractAsyncContextManager": "contextlib.AbstractContextManager",
    "builtins.aiter": "builtins.iter",
    "builtins.anext": "builtins.next",
    "builtins.StopAsyncIteration": "builtins.StopIteration",
    "sqlalchemy.ext.asyncio.AsyncAttrs": "sqlalchemy.ext.asyncio.AsyncAttrs",
    "sqlalchemy.ext.asyncio.AsyncConnection": "sqlalchemy.Connection",
    "sqlalchemy.ext.asyncio.AsyncEngine": "sqlalchemy.Engine",
    "sqlalchemy.ext.asyncio.AsyncTransaction": "sqlalchemy.Transaction",
    "sqlalchemy.ext.asyncio.AsyncResult": "sqlalchemy.Result",
    "sqlalchemy.ext.asyncio.AsyncScalarResult": "sqlalchemy.ScalarResult",
    "sqlalchemy.ext.asyncio.AsyncMappingResult": "sqlalchemy.MappingResult",
    "sqlalchemy.ext.asyncio.AsyncTupleResult": "sqlalchemy.Result",
    "sqlalchemy.ext.asyncio.AsyncSession": "sqlalchemy.orm.Session",
    "sqlalchemy.ext.asyncio.AsyncSessionTransaction": "sqlalchemy.orm.SessionTransaction",
    "sqlalchemy.ext.asyncio.async_sessionmaker": "sqlalchemy.orm.sessionmaker",
    "sqlalchemy.ext.asyncio.async_scoped_session": "sqlalchemy.orm.scoped_session",
    "sqlalchemy.ext.asyncio.async_object_session": "sqlalchemy.orm.object_session",
    "sqlalchemy.ext.asyncio.async_session": "dbbench.counterparts.itself",
    "sqlalchemy.ext.asyncio.close_all_sessions": "sqlalchemy.orm.close_all_sessions",
}
"""Names of functions and classes: async -> sync, without the submodules that packages have."""

METHODS: Final[Mapping[str, str]] = {
    "__aenter__": "__enter__",
    "__aexit__": "__exit__",
    "__aiter__": "__iter__",
    "__anext__": "__next__",
}
"""Names of special methods, of the user's classes too: async -> sync."""

ATTRIBUTES: Final = (
    "aclose", "asend", "async_session", "athrow", "awaitable_attrs", "close_all", "get_async_bind",
    "get_raw_connection", "nested", "run_sync", "start", "stream", "stream_scalars", "sync_connection", "sync_engine",
    "sync_session", "sync_session_class", "sync_transaction",
)  # fmt: skip
"""Attributes that sync objects lack, or have with another meaning: see `attribute`."""

PREFIXED: Final = ("psycopg", "psycopg_pool")
"""Modules whose sync classes have the names of the async ones without "Async"."""


def counterpart(name: str) -> Any:
    """What replaces a name, like "asyncio.sleep"; None where it stays. Raises LookupError where nothing can."""
    package = next((each for each in CLOSED if name.startswith(f"{each}.")), "")
    if package and not is_module(name):
        name = f"{package}.{name.rpartition('.')[2]}"
        if name not in NAMES:
            raise LookupError(name)
    if name in NAMES:
        return pkgutil.resolve_name(NAMES[name])
    module, _, last = name.rpartition(".")
    if module in PREFIXED and last.startswith("Async"):
        try:
            return pkgutil.resolve_name(f"{module}.{last.removeprefix('Async')}")
        except AttributeError:
            raise LookupError(name) from None
    return None


def is_module(name: str) -> bool:
    """Whether this is the name of a module."""
    try:
        pkgutil.resolve_name(f"{name}:")
    except (ImportError, ValueError):
        return False
    return True


def attribute(value: Any, name: str) -> Any:
    """`value.name`, or what a sync object has in its place."""
    replacement = _replacement(value if isinstance(value, type) else type(value), name)
    return getattr(value, name) if replacement is None else replacement(value)


@cache
def _replacement(of: type, name: str) -> Callable[[Any], Any] | None:
    """What makes the attribute's value of an object of this class; None where the object has its own."""
    for kind, replacement in _attributes()[name]:
        # A class derived from SQLAlchemy's may have something of its own by this name.
        if issubclass(of, kind) and getattr(of, name, None) is getattr(kind, name, None):
            return replacement
    return None


@cache
def _attributes() -> Mapping[str, Sequence[tuple[type, Callable[[Any], Any]]]]:
    """The members of ATTRIBUTES: for each kind of object what makes the attribute's value of the object."""
    from sqlalchemy import Connection, Engine, Transaction
    from sqlalchemy.engine import NestedTransaction
    from sqlalchemy.ext.asyncio import AsyncAttrs
    from sqlalchemy.orm import InstanceState, Session, SessionTransaction, close_all_sessions, scoped_session

    sessions, transactions = (Session, scoped_session), (Transaction, SessionTransaction)

    def of(kinds: Iterable[type], make: Callable[[Any], Any]) -> list[tuple[type, Callable[[Any], Any]]]:
        return [(kind, make) for kind in kinds]

    return {
        "stream": of((Connection, *sessions), _stream),
        "stream_scalars": of((Connection, *sessions), _stream_scalars),
        "run_sync": of((Connection, *sessions), lambda value: partial(_run_sync, value)),
        "start": of((Connection, *transactions), lambda value: partial(itself, value)),
        "nested": of((Transaction,), lambda value: isinstance(value, NestedTransaction)),
        "sync_session": of(sessions, itself),
        "sync_session_class": of(sessions, lambda _: Session),  # the twin refuses others
        "sync_connection": of((Connection,), itself),
        "sync_engine": [*of((Connection,), lambda value: value.engine), *of((Engine,), itself)],
        "sync_transaction": of(transactions, itself),
        "get_raw_connection": of((Connection,), lambda value: partial(getattr, value, "connection")),
        "get_async_bind": of(sessions, lambda value: value.get_bind),
        "close_all": of(sessions, lambda _: close_all_sessions),
        "awaitable_attrs": of((AsyncAttrs,), itself),
        "async_session": of((InstanceState,), lambda value: value.session),
        "aclose": of((Connection, *sessions, GeneratorType), lambda value: value.close),
        "asend": of((GeneratorType,), lambda value: value.send),
        "athrow": of((GeneratorType,), lambda value: value.throw),
    }


def _stream(value: Any) -> Callable[..., Any]:
    """Make stream(), which is execute() with a server-side cursor, awaited or not."""

    def stream(*arguments: Any, execution_options: Mapping[str, Any] | None = None, **more: Any) -> Any:
        options = {**(execution_options or {}), "stream_results": True}
        return value.execute(*arguments, execution_options=options, **more)

    return stream


def _stream_scalars(value: Any) -> Callable[..., Any]:
    stream = _stream(value)
    return lambda *arguments, **more: stream(*arguments, **more).scalars()


def _run_sync(value: Any, function: Callable[..., _T], *arguments: Any, **more: Any) -> _T:
    return function(value, *arguments, **more)


def itself(value: _T) -> _T:
    """The value."""
    return value


def called(function: Callable[..., _T], *arguments: Any, **more: Any) -> _T:
    """Call the function: a thread may block."""
    return function(*arguments, **more)


def sleep(delay: float, result: Any = None) -> Any:
    """Sleep for a number of seconds; as asyncio.sleep(), it takes negative ones and gives a result."""
    time.sleep(max(0.0, delay))
    return result


class SyncExitStack(ExitStack):
    """An ExitStack with the methods of an AsyncExitStack."""

    enter_async_context = ExitStack.enter_context
    push_async_exit = ExitStack.push
    push_async_callback = ExitStack.callback
    aclose = ExitStack.close
