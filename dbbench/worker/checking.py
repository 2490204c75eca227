"""The check of an operation before it counts: it awaits what it calls, and it sends something to the server."""

import gc
import inspect
import re
import sys
import traceback
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random
from time import perf_counter_ns
from typing import Any, Final

from dbbench.catalog import blame, is_installed, line_of, shown_path
from dbbench.errors import ScenarioError, UnfitError, text_of
from dbbench.scenario import Operation
from dbbench.twin import ASYNC_ONLY
from dbbench.worker.canonical import limited, lines
from dbbench.worker.checked_db import way_out
from dbbench.worker.client import Client

_OURS: Final = Path(__file__).resolve().parents[1]
_ORIGIN: Final = 32  # frames above the creation of a coroutine among which the scenario's own is looked for
_MORE_OPERATIONS: Final = 100  # that are run at most where the first ones send nothing: most may find a cache filled
_MORE_NS: Final = 1_000_000_000  # for as long at most
SYNC: Final = (
    "sync drivers run this file without `await`, so what it awaits must be in this file, in SQLAlchemy or in db; "
    f"copy it here, or {ASYNC_ONLY}"
)
_MISSING: Final = (  # what errors say -> the word that is missing where they arise
    (re.compile(r"(['\"<]|non-iterable |got |of type |, )coroutine\b"), "await"),
    (re.compile(r"(['\"<]|non-iterable |object )async_generator\b"), "async for"),
    (re.compile(r"'Async\w*Result' object is not (iterable|an iterator)"), "async for"),
    (re.compile(r"'_?Async\w+' object does not support the context manager protocol"), "async with"),
)


def explained(error: BaseException, shown: str, *, sync: bool) -> str:
    """`file:line: error`; and, where a missing `await` has caused it, that this is so."""
    said = blame(error, shown)
    word = _missing(error)
    if not word:
        return said
    return f"{said}: {SYNC}" if sync else f"{said}: {_article(word)} `{word}` is missing"


def _missing(error: BaseException) -> str:
    """The word whose absence has caused the error, or an empty text."""
    text = text_of(error)
    return next((word for pattern, word in _MISSING if pattern.search(text)), "")


def _article(word: str) -> str:
    return "an" if word.startswith("a") else "a"


@dataclass
class Check:
    """The check of the operation for which a cell is open."""

    client: Client
    shown: str  # the scenario's file, as messages name it

    def run(self, seeds: Sequence[str]) -> list[str]:
        """Run an operation for each seed and give their results as lines (see canonical.py).

        Raises UnfitError where nothing is measured by it, and the operations' own exception where all of them raise it.
        """
        found: list[str] = []
        with _dropped_coroutines() as dropped, _watched(self.client) as use:
            failures, uses = self._run(seeds, found, use)
            silent = not failures and not any(uses[1:] or uses) and not self._sends_later(use, seeds[-1])
        worst = failures[-1] if failures else None
        if dropped and (worst is None or _missing(worst)):
            raise self._not_awaited(dropped[0])
        if worst is not None and _missing(worst):
            raise UnfitError(explained(worst, self.shown, sync=self._sync))
        if len(failures) == len(seeds):
            if mends := way_out(failures[-1]):
                raise ScenarioError(blame(failures[-1], self.shown), mends)
            raise failures[-1]
        if silent:
            raise self._sends_nothing(once=uses[0])
        return found

    @property
    def _sync(self) -> bool:
        return not self.client.driver.is_async

    def _run(self, seeds: Sequence[str], found: list[str], use: "_Use") -> tuple[list[Exception], list[bool]]:
        """Run the operations and fill `found`: the exceptions of those that failed, and which sent something."""
        failures: list[Exception] = []
        uses: list[bool] = []
        for number, seed in enumerate(seeds, 1):
            use.seen = False
            try:
                result = self.client.run_one(Random(seed), use.told_of)
            except Exception as error:
                # An operation may fail now and then; drivers have their own exceptions for it.
                _clear_frames(error)
                failures.append(error)
                found.append(f"operation {number}: raised")
            else:
                self._check_result(result)
                found.extend(limited(lines(result, f"operation {number}")))
            uses.append(use.seen)
        return failures, uses

    def _sends_later(self, use: "_Use", seed: str) -> bool:
        """Whether any of the next operations sends something; one that fails is no proof that it does not."""
        until = perf_counter_ns() + _MORE_NS
        for number in range(_MORE_OPERATIONS):
            try:
                self._check_result(self.client.run_one(Random(f"{seed}/{number}"), use.told_of))
            except UnfitError:
                raise
            except Exception:
                return True
            if use.seen or perf_counter_ns() > until:
                break
        return use.seen

    def _check_result(self, result: object) -> None:
        if inspect.isasyncgen(result):
            where = f"{self.shown}:{line_of(self.client.operation)}"
            reason = SYNC if self._sync else "an `async for` is missing"
            raise UnfitError(f"{where}: {self.client.layer} returns an async generator: {reason}")
        if inspect.isawaitable(result):
            raise self._not_awaited(result)

    def _not_awaited(self, awaitable: object) -> UnfitError:
        if inspect.iscoroutine(awaitable):
            awaitable.close()
        reason = SYNC if self._sync else "an `await` is missing"
        return UnfitError(f"{_not_awaited(awaitable, self.shown, self.client.operation)}: {reason}")

    def _sends_nothing(self, *, once: bool) -> UnfitError:
        layer = self.client.layer
        argument = {"orm": "session", "core": "connection", "raw": "db", "app": "sessions"}[layer]
        after = " after the first operation" if once else ""
        return UnfitError(
            f"{self.shown}:{line_of(self.client.operation)}: {layer} sends nothing to the server through its {argument}"
            f"{after}, so there is nothing to measure: does it return early, or find all it needs in a cache?"
        )


def _clear_frames(error: BaseException) -> None:
    """Let go of the variables of an operation that failed: one of them may be the coroutine that is not awaited."""
    cause: BaseException | None = error
    seen: list[BaseException] = []
    while cause is not None and not any(cause is each for each in seen):  # a chain may be a circle
        seen.append(cause)
        traceback.clear_frames(cause.__traceback__)
        if isinstance(cause, AttributeError):
            cause.obj = None
        cause = cause.__cause__ or cause.__context__


def _not_awaited(awaitable: object, shown: str, function: Operation) -> str:
    """`file:line: name is not awaited`: the line where the coroutine was made, in the scenario or in a module of it."""
    frames: Sequence[tuple[str, int, str]] = getattr(awaitable, "cr_origin", None) or ()
    theirs = (frame for frame in frames if frame[0] == shown or not (is_installed(frame[0]) or _is_ours(frame[0])))
    file, line, _ = next(theirs, (shown, line_of(function), ""))
    where = file if file == shown else shown_path(Path(file))
    return f"{where}:{line}: {getattr(awaitable, '__qualname__', '') or 'what it returns'} is not awaited"


def _is_ours(file: str) -> bool:
    return Path(file).is_relative_to(_OURS)


@contextmanager
def synchronous(function: Callable[..., Any] | None, shown: str) -> Iterator[None]:
    """Raise ScenarioError at the end of the block if it left a coroutine unawaited; `function`: prepare or reset."""
    with _dropped_coroutines() as dropped:
        yield
    if dropped and function is not None:
        said = _not_awaited(dropped[0], shown, function)
        raise ScenarioError(f"{said}: {function.__name__} is a plain function, and so must be what it calls")


# --- coroutines that nobody awaited ----------------------------------------------------------------------------------


@contextmanager
def _dropped_coroutines() -> Iterator[list[object]]:
    """Collect the coroutines that are dropped before anybody awaits them; at the end of the block all are there."""
    dropped: list[object] = []
    depth = sys.get_coroutine_origin_tracking_depth()
    sys.set_coroutine_origin_tracking_depth(_ORIGIN)
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            yield dropped
            gc.collect()  # those in reference cycles
        dropped += [each.source for each in caught if "was never awaited" in str(each.message)]
    finally:
        sys.set_coroutine_origin_tracking_depth(depth)


# --- whether anything is sent ----------------------------------------------------------------------------------------


class _Use:
    """Whether the operation that runs has used its connection. Where that cannot be told, it has."""

    def __init__(self, *, raw: bool) -> None:
        self.seen = False
        self._raw = raw

    def mark(self, *_: object, **__: object) -> None:
        """Note a use; takes the arguments of any event."""
        self.seen = True

    def told_of(self, operation: Operation) -> Operation:
        """The operation, with an adapter that tells of each access; SQLAlchemy's events tell of the other layers."""
        if not self._raw:
            return operation
        return lambda db, params, rng: operation(_Told(db, self), params, rng)


class _Told:
    """An adapter of a driver's connection that tells of each access to it."""

    def __init__(self, db: Any, use: _Use) -> None:
        self._db = db
        self._use = use

    def __getattr__(self, name: str) -> Any:
        self._use.mark()
        return getattr(self._db, name)


@contextmanager
def _watched(client: Client) -> Iterator[_Use]:
    """Watch what operations of the client use, for the length of a `with` block."""
    use = _Use(raw=client.layer == "raw")
    with ExitStack() as stack:
        if client.engines:
            from sqlalchemy import Connection, Engine, event

            for engine in client.engines:
                event.listen(engine, "before_cursor_execute", use.mark)
                stack.callback(event.remove, engine, "before_cursor_execute", use.mark)
            # Whoever has the driver's connection can send anything over it, unseen; and this has no event.
            stack.enter_context(_taken_from_outside(Connection, "connection", use))
            stack.enter_context(_taken_from_outside(Connection, "get_isolation_level", use))
            stack.enter_context(_taken_from_outside(Engine, "raw_connection", use))
        yield use


@contextmanager
def _taken_from_outside(owner: type, name: str, use: _Use) -> Iterator[None]:
    """Note it as a use when other code than SQLAlchemy's own takes this property or calls this method."""
    own = owner.__dict__[name]
    take: Callable[[Any], Any] = getattr(own, "fget", own)

    def taken(this: Any) -> Any:
        if _is_outside(sys._getframe().f_back):  # noqa: SLF001 - the documented way to the caller
            use.mark()
        return take(this)

    setattr(owner, name, property(taken) if isinstance(own, property) else taken)
    try:
        yield
    finally:
        setattr(owner, name, own)


def _is_outside(frame: Any) -> bool:
    """Whether the caller is not SQLAlchemy; in a greenlet that begins there, as SQLAlchemy makes it, it has none."""
    return frame is None or frame.f_globals.get("__name__", "").partition(".")[0] != "sqlalchemy"
