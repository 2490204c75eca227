"""Defaults of `dbbench run` from [tool.dbbench] in pyproject.toml, by the names of the options."""

import tomllib
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from dbbench.errors import UsageError
from dbbench.naming import nearest

_RENAMED = {"set": "set_", "format": "format_"}  # options whose parameter has another name


def defaults(folder: Path, options: Collection[str], repeatable: Collection[str]) -> dict[str, Any]:
    """The defaults from the nearest pyproject.toml at or above `folder`, by parameter.

    `options` are those there are, `repeatable` those that may be given several times.

    Raises UsageError, naming the file, for one that cannot be read and for an option that there is not.
    """
    for each in (folder, *folder.parents):
        path = each / "pyproject.toml"
        if path.is_file():
            return _read(path, options, repeatable)
    return {}


def _read(path: Path, options: Collection[str], repeatable: Collection[str]) -> dict[str, Any]:
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8")).get("tool", {}).get("dbbench", {})
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        raise UsageError(f"{path} cannot be read: {error}") from None
    found = {}
    for key, value in table.items():
        if key not in options:
            raise UsageError(f"{path}: [tool.dbbench] has no option {key!r}; {nearest(key, options)}")
        written = _as_written(value)
        listed = key in repeatable and isinstance(written, str)
        found[_RENAMED.get(key, key.replace("-", "_"))] = [written] if listed else written
    return found


def _as_written(value: Any) -> Any:
    """A TOML value as the command line would give it: numbers as text, a table as NAME=VALUE."""
    match value:
        case bool():
            return value
        case Mapping():
            return [f"{name}={each}" for name, each in value.items()]
        case list():
            return [str(each) for each in value]
    return str(value)
