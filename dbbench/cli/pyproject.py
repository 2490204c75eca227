"""Defaults from pyproject.toml, by the names of the options: [tool.dbbench] of `run`, [tool.dbbench.gate] of `gate`."""

import tomllib
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from dbbench.errors import UsageError, nearest

_TABLES = ("dbbench.gate",)  # of another command, within a table of options
_RENAMED = {"set": "set_", "format": "format_"}  # options whose parameter has another name


def defaults(
    folder: Path, options: Collection[str], repeatable: Collection[str], table: str = "dbbench"
) -> dict[str, Any]:
    """The defaults from the nearest pyproject.toml at or above `folder`, by parameter; of [tool.TABLE].

    `options` are those there are, `repeatable` those that may be given several times.

    Raises UsageError, naming the file, for one that cannot be read and for an option that there is not.
    """
    for each in (folder, *folder.parents):
        path = each / "pyproject.toml"
        if path.is_file():
            return _read(path, options, repeatable, table)
    return {}


def _read(path: Path, options: Collection[str], repeatable: Collection[str], table: str) -> dict[str, Any]:
    try:
        found: Any = tomllib.loads(path.read_text(encoding="utf-8")).get("tool", {})
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        raise UsageError(f"{path} cannot be read: {error}") from None
    for part in table.split("."):
        found = found.get(part, {})
        if not isinstance(found, dict):
            raise UsageError(f"{path}: [tool.{table}] must be a table")
    made = {}
    for key, value in found.items():
        if f"{table}.{key}" in _TABLES:
            continue
        if key not in options:
            raise UsageError(f"{path}: [tool.{table}] has no option {key!r}; {nearest(key, options)}")
        written = _as_written(value)
        listed = key in repeatable and isinstance(written, str)
        made[_RENAMED.get(key, key.replace("-", "_"))] = [written] if listed else written
    return made


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
