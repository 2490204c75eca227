"""Notices when the server goes away and when it is back, to a fraction of a second, and costs nothing meanwhile.

A thread sleeps on an idle connection of its own until the server closes that; then it tries to connect.
"""

import os
import select
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Self

from dbbench.errors import CannotStartError, ServerLostError

_RETRY_S: Final = 0.2
_NOTICE_S: Final = 1.0


@dataclass
class _Outage:
    since: float
    until: float | None = None


class Sentry:
    """Watches one server. Use it as a context manager."""

    def __init__(self, connect: Callable[[], Any]) -> None:
        """Begin to watch; `connect` makes a psycopg connection, or raises CannotStartError."""
        self._connect = connect
        self._connection = connect()
        self._changed = threading.Condition()
        self._outages: list[_Outage] = []
        self._reported = 0  # outages that wait() has returned
        self._over = threading.Event()
        self._wake, self._waker = os.pipe()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    @property
    def lost(self) -> bool:
        """Whether the server has gone away since wait() returned, even if it is back."""
        return len(self._outages) > self._reported

    def wait(self, limit_s: float) -> float:
        """Wait until the server is back; returns for how many seconds it was away.

        Raises ServerLostError after `limit_s` seconds.
        """
        began = time.monotonic()
        with self._changed:  # others may notice a moment earlier
            self._changed.wait_for(lambda: self.lost, _NOTICE_S)
        if not self.lost:  # it closes nothing and does not answer, as when it is stopped
            self._knock(began + limit_s)
            return time.monotonic() - began
        with self._changed:
            if not self._changed.wait_for(lambda: self._outages[-1].until is not None, limit_s):
                raise ServerLostError(f"the server was not back within {limit_s:g} s")
            new, self._reported = self._outages[self._reported :], len(self._outages)
        return sum(outage.until - outage.since for outage in new if outage.until is not None)

    def _knock(self, deadline: float) -> None:
        while True:
            try:
                self._connect().close()
            except CannotStartError as error:
                if time.monotonic() > deadline:
                    raise ServerLostError(f"the server did not answer again: {error.message}") from None
                time.sleep(_RETRY_S)
            else:
                return

    def _watch(self) -> None:
        while self._hold():
            outage = _Outage(time.monotonic())
            with self._changed:
                self._outages.append(outage)
                self._changed.notify_all()
            while not self._over.is_set():
                try:
                    self._connection = self._connect()
                except CannotStartError:
                    self._over.wait(_RETRY_S)
                else:
                    break
            with self._changed:
                outage.until = time.monotonic()
                self._changed.notify_all()

    def _hold(self) -> bool:
        """Wait for the end of the connection; False at the end of the watch."""
        import psycopg

        while not self._over.is_set():
            readable, _, _ = select.select([self._connection.pgconn.socket, self._wake], [], [])
            if self._wake in readable:
                break
            try:
                self._connection.pgconn.consume_input()  # it may be a notice, of a changed setting say
            except psycopg.Error:
                return True
        return False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        os.write(self._waker, b".")
        self._thread.join(_RETRY_S)  # it may be connecting; then it ends with the process
        if not self._thread.is_alive():
            self._connection.close()
            os.close(self._wake)
            os.close(self._waker)
