"""What the first two characters of an SQLSTATE mean: the classes of PostgreSQL's appendix A, "Error Codes"."""

import re
from collections.abc import Mapping
from typing import Final

CLASSES: Final[Mapping[str, str]] = {
    "00": "successful completion",
    "01": "warning",
    "02": "no data",
    "03": "SQL statement not yet complete",
    "08": "connection exception",
    "09": "triggered action exception",
    "0A": "feature not supported",
    "0B": "invalid transaction initiation",
    "0F": "locator exception",
    "0L": "invalid grantor",
    "0P": "invalid role specification",
    "0Z": "diagnostics exception",
    "10": "XQuery error",
    "20": "case not found",
    "21": "cardinality violation",
    "22": "data exception",
    "23": "integrity constraint violation",
    "24": "invalid cursor state",
    "25": "invalid transaction state",
    "26": "invalid SQL statement name",
    "27": "triggered data change violation",
    "28": "invalid authorization specification",
    "2B": "dependent privilege descriptors still exist",
    "2D": "invalid transaction termination",
    "2F": "SQL routine exception",
    "34": "invalid cursor name",
    "38": "external routine exception",
    "39": "external routine invocation exception",
    "3B": "savepoint exception",
    "3D": "invalid catalog name",
    "3F": "invalid schema name",
    "40": "transaction rollback",
    "42": "syntax error or access rule violation",
    "44": "WITH CHECK OPTION violation",
    "53": "insufficient resources",
    "54": "program limit exceeded",
    "55": "object not in prerequisite state",
    "57": "operator intervention",
    "58": "system error",
    "72": "snapshot failure",  # up to PostgreSQL 16
    "F0": "configuration file error",
    "HV": "foreign data wrapper error",
    "P0": "PL/pgSQL error",
    "XX": "internal error",
}

CONDITIONS: Final[Mapping[str, str]] = {  # whose class would mislead
    "08P01": "protocol violation",
    "42P05": "duplicate prepared statement",
}

_SQLSTATE: Final = re.compile("[0-9A-Z]{5}")


def meaning(code: str) -> str:
    """The class of an SQLSTATE in words; empty for other text, such as an exception's name, and for unknown classes."""
    return CONDITIONS.get(code) or CLASSES.get(code[:2], "") if _SQLSTATE.fullmatch(code) else ""
