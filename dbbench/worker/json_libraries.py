"""The library with which SQLAlchemy reads and writes JSON, as arguments of create_engine()."""

from collections.abc import Callable
from typing import Any, Final

import msgspec

from dbbench.choices import JsonLibrary


def arguments(library: JsonLibrary) -> dict[str, Any]:
    """Arguments of create_engine(); none for the standard library's `json`, which it takes by itself."""
    return _ARGUMENTS[library]()


def _of_orjson() -> dict[str, Any]:
    import orjson

    return {"json_serializer": lambda value: orjson.dumps(value).decode(), "json_deserializer": orjson.loads}


def _of_msgspec() -> dict[str, Any]:
    return {
        "json_serializer": lambda value: msgspec.json.encode(value).decode(),
        "json_deserializer": msgspec.json.decode,
    }


_ARGUMENTS: Final[dict[JsonLibrary, Callable[[], dict[str, Any]]]] = {
    "stdlib": dict,
    "orjson": _of_orjson,
    "msgspec": _of_msgspec,
}
