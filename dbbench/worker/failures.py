"""The kind of failure behind an exception, whatever the driver."""

import re
from collections.abc import Mapping
from typing import Final

from dbbench.errors import cause_of, fields_of, text_of
from dbbench.wording import storable

_CODES: Final[Mapping[str, re.Pattern[str]]] = {
    # libpq and psqlpy give no SQLSTATE where they cannot connect, only what the server says: in English, unless it is
    # set up otherwise.
    "53300": re.compile(
        r"too many clients already|remaining connection slots are reserved|too many connections for (role|database)"
    ),
    "57P03": re.compile("the database system is (starting up|shutting down|in recovery mode|not (yet )?accepting)"),
}
_OF_CONNECTING: Final = (
    "OperationalError",
    "BaseConnectionPoolError",
)  # the latter is psqlpy's, which has no SQLSTATEs
_BROKEN: Final = ("08", "57P", "25P03", "25P04")  # of SQLSTATEs: the server has ended the session, or will
_REFUSED: Final = ("53300", "57P03", "08001", "08004", "08006")


def code_of(error: BaseException, attribute: str) -> str:
    """The SQLSTATE of the server's error, five characters; without one, the name of the exception's class.

    SQLAlchemy wraps the driver's exception; `attribute` is that exception's attribute with the code
    (drivers.Driver.sqlstate).
    """
    cause = _cause(error)
    return storable(_attribute(cause, attribute) or _from_fields(cause) or _from_message(cause) or type(cause).__name__)


def breaks(error: BaseException) -> bool:
    """Whether the connection may be in any state: after all but what the server says of a session that goes on.

    A cancelled operation, or an error of the driver's own, may leave an answer unread.
    """
    code = _sqlstate(error)
    return not code or code.startswith(_BROKEN)


def refuses(error: BaseException) -> bool:
    """Whether the server could not be connected to: whoever tries again at once makes it worse."""
    cause = _cause(error)
    code = _sqlstate(error) or _from_message(cause)
    return code in _REFUSED or isinstance(cause, ConnectionError)


def _cause(error: BaseException) -> BaseException:
    cause = cause_of(error)
    # SQLAlchemy's asyncpg dialect has an exception of its own in between.
    return cause.__cause__ if isinstance(cause.__cause__, ConnectionError) else cause


def _sqlstate(error: BaseException) -> str:
    cause = cause_of(error)
    return _attribute(cause, "sqlstate") or _attribute(cause, "pgcode") or _from_fields(cause)


def _attribute(cause: BaseException, name: str) -> str:
    try:
        code = getattr(cause, name, None)
    except Exception:  # an exception of a scenario's own may be anything
        return ""
    return code if isinstance(code, str) else ""


def _from_fields(cause: BaseException) -> str:
    code = fields_of(cause).get("C")
    return code if isinstance(code, str) else ""


def _from_message(cause: BaseException) -> str:
    if type(cause).__name__ not in _OF_CONNECTING:
        return ""
    return next((code for code, pattern in _CODES.items() if pattern.search(text_of(cause))), "")
