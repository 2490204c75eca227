"""What drivers share that begin no transaction by themselves: the first statement begins one, as DB-API drivers do."""

from typing import Any

from dbbench.plan import TxEnd


class Explicit:
    """One connection, and its transaction, which a subclass begins."""

    __slots__ = ("_begins", "_transaction", "_tx_end", "connection")

    def __init__(self, connection: Any, tx_end: TxEnd) -> None:
        self.connection = connection
        self._tx_end = tx_end
        self._begins = tx_end != "autocommit"
        self._transaction: Any = None

    async def end(self) -> None:
        """End the transaction, if there is one."""
        transaction, self._transaction = self._transaction, None
        if transaction is None:
            return
        if self._tx_end == "commit":
            await transaction.commit()
        else:
            await transaction.rollback()

    async def rollback(self) -> None:
        """End the transaction after an error."""
        transaction, self._transaction = self._transaction, None
        if transaction is not None:
            await transaction.rollback()
