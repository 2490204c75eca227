"""JSON documents as text."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

SCHEMA: Final = 1
"""Version of the documents that say which they have; not that of result files."""


def text(document: Any) -> str:
    """Write a document of plain data and structs; NaN is null."""
    import msgspec

    return msgspec.json.format(msgspec.json.encode(document), indent=2).decode() + "\n"


def ascii_text(document: Mapping[str, Any] | Sequence[Any]) -> str:
    """Write a document of plain data in ASCII: whatever a name contains, any terminal or log can show it.

    Raises ValueError for NaN and infinity.
    """
    return json.dumps(document, indent=2, allow_nan=False) + "\n"
