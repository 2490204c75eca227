"""An ASGI application, called in this process: a request is a call with scope, receive and send, without HTTP.

The loop goes on between slices, in a thread of its own, as a server's does: a framework's pool of threads ends with the
task that owns it, and would be made anew in every slice.
"""

import asyncio
import json
import threading
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from typing import Any, Final, TypeVar
from urllib.parse import unquote

from dbbench.errors import ScenarioError, text_of

_T = TypeVar("_T")
_FAILED: Final = 400  # from this status on a request has failed
_JSON: Final = (b"content-type", b"application/json")
_HOST: Final = (b"host", b"dbbench")


class StatusError(Exception):
    """An answer with a status of 400 or above; such failures are counted by it."""

    def __init__(self, asked: str, status: int, answer: str) -> None:
        super().__init__(f"{asked}: {status}: {answer}")
        self.sqlstate = self.pgcode = f"HTTP {status}"  # where the code of a failure is looked for


class InProcess:
    """The client of an application: gives the status and the body of each answer."""

    def __init__(self, application: Any) -> None:
        if not callable(application):
            kind = type(application).__name__
            raise ScenarioError(f"app() gave a value of type {kind}, which is no ASGI application")
        self._application: Callable[..., Awaitable[object]] = application

    async def __call__(self, asked: tuple[Any, ...]) -> tuple[int, str]:
        """Ask (method, path), or (method, path, what goes as JSON); raises StatusError."""
        method, path, *content = asked
        plain, _, query = path.partition("?")
        body = json.dumps(content[0]).encode() if content else b""
        scope = {
            "type": "http", "asgi": {"version": "3.0", "spec_version": "2.3"}, "http_version": "1.1",
            "method": method, "scheme": "http", "path": unquote(plain), "raw_path": plain.encode(),
            "query_string": query.encode(), "root_path": "", "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 80),
            "headers": [_HOST, _JSON, (b"content-length", b"%d" % len(body))] if content else [_HOST],
        }  # fmt: skip
        exchange = _Exchange(body)
        try:
            await self._application(scope, exchange.receive, exchange.send)
        except Exception as error:  # frameworks send 500 and raise it again, for the server's log
            if not exchange.status:
                raise
            said = f"{type(error).__name__}: {text_of(error)}"
            raise StatusError(f"{method} {path}", exchange.status, said) from error
        answer = b"".join(exchange.parts).decode(errors="replace")
        if exchange.status >= _FAILED:
            raise StatusError(f"{method} {path}", exchange.status, answer)
        return exchange.status, answer


class _Exchange:
    """One request and its answer."""

    __slots__ = ("_body", "_over", "parts", "status")

    def __init__(self, body: bytes) -> None:
        self._body: bytes | None = body
        self._over: asyncio.Event | None = None
        self.status = 0
        self.parts: list[bytes] = []

    async def receive(self) -> Mapping[str, object]:
        body, self._body = self._body, None
        if body is None:  # whoever waits for a disconnect waits until the answer is complete
            self._over = self._over or asyncio.Event()
            await self._over.wait()
            return {"type": "http.disconnect"}
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(self, message: Mapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
        elif message["type"] == "http.response.body":
            self.parts.append(message.get("body", b""))
            if self._over is not None and not message.get("more_body"):
                self._over.set()


class Loop:
    """An event loop in a thread of its own, with the method of asyncio.Runner that matters here."""

    def __init__(self, factory: Callable[[], asyncio.AbstractEventLoop] | None) -> None:
        self._loop = (factory or asyncio.new_event_loop)()
        self._stop = asyncio.Event()
        self._thread = threading.Thread(target=self._go_on, name="loop", daemon=True)
        self._thread.start()

    def _go_on(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._stop.wait())

    def run(self, coroutine: Coroutine[Any, Any, _T]) -> _T:
        """Run it there, and wait for what it gives or raises."""
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result()

    def close(self) -> None:
        """End the loop and its thread."""
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()
        self._loop.run_until_complete(self._loop.shutdown_asyncgens())
        self._loop.close()
