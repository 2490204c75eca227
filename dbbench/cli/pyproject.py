"""Defaults from pyproject.toml, by the names of the options: [tool.dbbench], and [tool.dbbench.COMMAND] of one command.

Every command takes from [tool.dbbench] what it has: an option, or a word that an option may be, is ignored where
another command has it, and refused where none has. [tool.dbbench.arms.NAME] has the driver and the settings of an arm
(see engine/arms.py).
"""

import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from dbbench.drivers.settings import OFF, ON
from dbbench.errors import UsageError, nearest
from dbbench.project import pyproject_of

ARMS: Final = "arms"  # a table of tables, and no option
_MOST_BYTES: Final = 16 << 20
_SHOWN: Final = 40  # characters of a wrong value


@dataclass(frozen=True)
class Option:
    """An option of a command."""

    parameter: str
    repeatable: bool
    flag: bool = False
    words: tuple[str, ...] = ()  # that it may be; empty: anything


Options = Mapping[str, Option]


def defaults(folder: Path, command: str, commands: Mapping[str, Options]) -> dict[str, Any]:
    """A command's defaults from the nearest pyproject.toml at or above `folder`, by parameter.

    `commands` are all whose options may stand there. Raises UsageError, naming the file, for one that cannot be read
    and for an option that there is not.
    """
    path = pyproject_of(folder)
    return {} if path is None else _read(path, command, commands)


def arms(folder: Path) -> dict[str, dict[str, str]]:
    """The arms that the nearest pyproject.toml at or above `folder` names: name -> its driver and settings, as written.

    A setting of a driver may stand in a table of its own. Raises UsageError, naming the file, for what is no table.
    """
    path = pyproject_of(folder)
    if path is None:
        return {}
    tool = _table(path, "tool", _loaded(path).get("tool", {}))
    tables = _table(path, f"tool.dbbench.{ARMS}", _table(path, "tool.dbbench", tool.get("dbbench", {})).get(ARMS, {}))
    return {name: dict(_flat(_table(path, f"tool.dbbench.{ARMS}.{name}", table))) for name, table in tables.items()}


def _flat(table: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """The table as pairs of a name and a text: psycopg = {binary = true} is psycopg.binary, on."""
    for name, value in table.items():
        match value:
            case Mapping():
                yield from _flat(value, f"{prefix}{name}.")
            case bool():
                yield f"{prefix}{name}", ON if value else OFF
            case _:
                yield f"{prefix}{name}", str(value)


def _read(path: Path, command: str, commands: Mapping[str, Options]) -> dict[str, Any]:
    found = _table(path, "tool", _loaded(path).get("tool", {}))
    shared = dict(_table(path, "tool.dbbench", found.get("dbbench", {})))
    shared.pop(ARMS, None)
    own = shared[command] if isinstance(shared.get(command), dict) else {}
    shared = {name: value for name, value in shared.items() if not (name in commands and isinstance(value, dict))}
    known = commands[command]
    for name in shared:
        if not any(name in options for options in commands.values()):
            names = sorted({each for options in commands.values() for each in options})
            raise UsageError(f"{path}: [tool.dbbench] has no option {name!r}; {nearest(name, names)}")
    for name in own:
        if name not in known:
            raise UsageError(f"{path}: [tool.dbbench.{command}] has no option {name!r}; {nearest(name, known)}")
    usable = {name: value for name, value in shared.items() if name in known and _fits(name, value, known, commands)}
    given = {**usable, **own}
    for name, value in given.items():
        if isinstance(value, bool) != known[name].flag:
            wanted = "true or false" if known[name].flag else "a value"
            raise UsageError(f"{path}: {name} = {str(value).lower()[:_SHOWN]}: {name} takes {wanted}")
    written = {name: _as_written(value, known[name]) for name, value in given.items()}
    for name, value in written.items():
        if "\0" in "".join(value if isinstance(value, list) else str(value)):
            raise UsageError(f"{path}: {name} has a null byte, which no command line could hold")
    return {known[name].parameter: value for name, value in written.items()}


def _loaded(path: Path) -> dict[str, Any]:
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise UsageError(f"{path} is too large to be read: more than {_MOST_BYTES >> 20} MB")
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (ValueError, OSError) as error:  # ValueError: no TOML, no UTF-8, or a number of thousands of digits
        raise UsageError(f"{path} cannot be read: {error}") from None
    except RecursionError:
        raise UsageError(f"{path} cannot be read: it is nested too deeply") from None


def _table(path: Path, name: str, value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise UsageError(f"{path}: [{name}] must be a table")
    return value


def _fits(name: str, value: Any, known: Options, commands: Mapping[str, Options]) -> bool:
    """Whether the command's option may be this: no, where it is one of other words and another command has this one."""
    words = known[name].words
    others = {word for options in commands.values() if name in options for word in options[name].words}
    return not words or value in words or value not in others


def _as_written(value: Any, option: Option) -> Any:
    """A TOML value as the command line would give it: numbers as text, a table as NAME=VALUE."""
    match value:
        case bool():
            return value
        case Mapping():
            return [f"{name}={each}" for name, each in value.items()]
        case list():
            return [str(each) for each in value]
    return [str(value)] if option.repeatable else str(value)
