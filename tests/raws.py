"""A driver's raw adapter for tests that are written once, for tasks and threads."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

from dbbench.address import Address
from dbbench.drivers import Driver
from dbbench.plan import Pool, TxEnd
from dbbench.worker.client import server_settings


class Raw:
    """A driver's pool for tests that are written once: `do` waits where waiting is needed."""

    def __init__(
        self,
        driver: Driver,
        address: Address,
        schema: str,
        tx_end: TxEnd,
        pool: Pool = Pool(),  # noqa: B008 - frozen
        json: str = "",
    ) -> None:
        self.driver = driver
        self._runner = asyncio.Runner()
        arguments = driver.adapter().connect_arguments(address, server_settings("dbbench_test", schema))
        settings = {"json": json} if json else {}
        self.pool = self.do(lambda: driver.adapter().open_pool(arguments, pool, 1, tx_end, settings, lambda: None))

    def do(self, call: Callable[[], Any]) -> Any:
        """Call, and wait for what it gives."""
        if not self.driver.is_async:
            return call()

        async def awaited() -> Any:
            result = call()
            return await result if isinstance(result, Awaitable) else result

        return self._runner.run(awaited())

    @contextlib.contextmanager
    def db(self) -> Iterator[Any]:
        """A connection, as a request gets it."""
        db = self.do(self.pool.acquire)
        try:
            yield db
            self.do(db.end)
        finally:
            self.do(lambda: self.pool.release(db))

    def close(self) -> None:
        """Close everything."""
        self.do(self.pool.close)
        self._runner.close()
