"""A psycopg connection that does not wait for ever.

PostgreSQL's own time-outs need a server that runs. psycopg waits for one that is stopped, or behind a dead network, as
long as it takes; and after Ctrl-C it waits for the answer to its request to cancel.
"""

import select
import time
from collections.abc import Generator
from typing import Any, Final

import psycopg
from psycopg.waiting import Ready, Wait

ANSWER_LIMIT_S: Final = 75.0  # for a statement, unless another limit is set: more than schemas.SETTINGS allow one


class Connection(psycopg.Connection[Any]):
    """Closes itself and raises psycopg.OperationalError where an answer takes longer than `answer_limit_s`."""

    answer_limit_s = ANSWER_LIMIT_S

    def wait(self, gen: Generator[Any, Any, Any], *_: Any, **__: Any) -> Any:
        """Run one of psycopg's generators to its end, instead of its own method."""
        try:
            return _run(gen, self.pgconn.socket, self.answer_limit_s)
        except TimeoutError:
            self.pgconn.finish()
            raise psycopg.OperationalError(f"the server gave no answer within {self.answer_limit_s:g} s") from None
        except KeyboardInterrupt:  # what the server does now is of no interest
            self.pgconn.finish()
            raise


def _run(generator: Generator[Any, Any, Any], descriptor: int, limit_s: float) -> Any:
    deadline = time.monotonic() + limit_s
    try:
        wanted = next(generator)
        while True:
            reads = [descriptor] if wanted & Wait.R else []
            writes = [descriptor] if wanted & Wait.W else []
            left_s = deadline - time.monotonic()
            readable, writable, _ = select.select(reads, writes, [], max(0.0, left_s))
            if not readable and not writable:
                raise TimeoutError
            wanted = generator.send((Ready.R if readable else 0) | (Ready.W if writable else 0))
    except StopIteration as stop:
        return stop.value
