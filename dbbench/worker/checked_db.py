"""The `db` of the check: it holds every statement to the rules, so that what is timed need not."""

import re
import traceback
from collections.abc import Iterable, Sequence
from typing import Any, Final

from dbbench.drivers.placeholders import StatementError, check
from dbbench.drivers.settings import PYTHON
from dbbench.errors import text_of
from dbbench.scenario import Operation, Params

_DECODED: Final = "the JSON object must be str, bytes or bytearray, not "  # what json.loads() says
_FOREIGN: Final = re.compile(  # what drivers say of placeholders that are another driver's
    r'syntax error at or near "%"|the query has 0 placeholders but|there is no parameter \$|not all arguments converted'
)


def checked(operation: Operation, json: str) -> Operation:
    """The operation with such a `db`; what it awaits, it awaits as before. `json`: the driver's setting."""

    def call(db: Any, params: Params, rng: Any) -> Any:
        return operation(CheckedDb(db, json), params, rng)

    return call


def way_out(error: Exception) -> str:
    """What mends an operation that all drivers would run but for their natures; empty where that is not known."""
    if isinstance(error, TypeError) and str(error).startswith(_DECODED):
        return "this driver has decoded it already: use json.loads() only where the value is a str"
    if "PyJSON must be" in text_of(error):
        return "psqlpy takes JSON as a dict or a list, which other drivers take with --driver-set DRIVER.json=python"
    called = any("exec_driver_sql" in (frame.line or "") for frame in traceback.extract_tb(error.__traceback__))
    if called and _FOREIGN.search(str(getattr(error, "orig", None) or error)):
        return "exec_driver_sql() takes each driver's own placeholders; text() with :name is the same for all of them"
    return ""


class CheckedDb:
    """Passes everything on to a driver's Db, after a look at it; raises StatementError."""

    def __init__(self, db: Any, json: str) -> None:
        self._db = db
        self._json = json

    def __getattr__(self, name: str) -> Any:
        return getattr(self._db, name)

    def _check_values(self, values: Iterable[object]) -> None:
        if self._json != PYTHON and any(isinstance(value, dict) for value in values):
            raise StatementError("a dict goes in as text, json.dumps(value), or with --driver-set DRIVER.json=python")

    def _check(self, sql: str, args: Sequence[object]) -> None:
        check(sql, args)
        self._check_values(args)

    def fetch_one(self, sql: str, *args: object) -> Any:
        """See scenario.Db."""
        self._check(sql, args)
        return self._db.fetch_one(sql, *args)

    def fetch_all(self, sql: str, *args: object) -> Any:
        """See scenario.Db."""
        self._check(sql, args)
        return self._db.fetch_all(sql, *args)

    def execute(self, sql: str, *args: object) -> Any:
        """See scenario.Db."""
        self._check(sql, args)
        return self._db.execute(sql, *args)

    def execute_many(self, sql: str, rows: Iterable[Sequence[object]]) -> Any:
        """See scenario.Db."""
        every = list(rows)  # an iterator is read only once
        for row in every[:1]:
            self._check(sql, row)
        return self._db.execute_many(sql, every)

    def copy_in(self, table: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> Any:
        """See scenario.Db."""
        if isinstance(columns, str):
            raise StatementError(f"columns are a list of names, not {columns!r}")
        for name in (table, *columns):
            if name.startswith('"') and name.endswith('"'):
                raise StatementError(f"{name} is given without quotes, as the catalog has it")
        every = list(rows)
        for row in every[:1]:
            self._check_values(row)
        return self._db.copy_in(table, columns, every)
