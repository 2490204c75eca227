"""What drivers share whose connections follow Python's DB-API: they begin a transaction by themselves."""

from types import TracebackType
from typing import Any, Self

from dbbench.plan import TxEnd


def end(connection: Any, tx_end: TxEnd) -> None:
    """End the transaction, if there is one; in autocommit mode there is none."""
    if tx_end == "commit":
        connection.commit()
    elif tx_end == "rollback":
        connection.rollback()


class Transaction:
    """COMMIT at the end of the block, ROLLBACK when it raises; the driver sends BEGIN with the first statement.

    In autocommit mode it sends none, so autocommit is off during the block.
    """

    __slots__ = ("_autocommit", "_connection")

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self._autocommit = connection.autocommit

    def __enter__(self) -> Self:
        if self._autocommit:
            self._connection.autocommit = False
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self._connection.commit()
            else:
                self._connection.rollback()
        finally:
            if self._autocommit:
                self._connection.autocommit = True
