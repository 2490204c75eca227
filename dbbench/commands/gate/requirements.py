"""The gate's requirements (PEP 508, or a file or folder), and what they determine."""

import ast
import configparser
import contextlib
import re
import tomllib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from packaging.requirements import InvalidRequirement
from packaging.requirements import Requirement as Parsed
from packaging.utils import (
    InvalidName,
    InvalidSdistFilename,
    InvalidWheelFilename,
    canonicalize_name,
    parse_sdist_filename,
    parse_wheel_filename,
)
from packaging.version import InvalidVersion, Version

from dbbench.errors import UsageError

Name = Literal["base", "head"]
Say = Callable[[str], None]

_ARCHIVES: Final = (".whl", ".gz", ".zip")
_LOCAL: Final = re.compile(r"(?P<path>.+?)(?:\[(?P<extras>[^\]]*)\])?", re.DOTALL)


@dataclass(frozen=True)
class Requirement:
    """One requirement of a side."""

    text: str  # as the user wrote it
    what: str  # a name, or the path of a file or folder
    name: str  # of the distribution, normalised
    extras: frozenset[str]
    rest: str  # version, marker or URL; often empty
    is_source: bool  # whether it has to be built
    is_lasting: bool  # whether it will mean the same tomorrow

    def argument(self, more: frozenset[str]) -> str:
        """The requirement for pip, with the extras that workers need."""
        return with_extras(self.what, self.extras | more) + self.rest


def parse(text: str) -> Requirement:
    """The requirement in a text of the user's, or the file or folder.

    Raises UsageError, with the way out, when it is neither, or a folder whose distribution cannot be found out.
    """
    path = Path(text)
    if path.suffix.lower() in _ARCHIVES and path.is_file():  # a file's name may also be a valid package name
        return _local(text, "")
    try:
        parsed = Parsed(text)
    except InvalidRequirement as error:
        return _local(text, str(error).partition("\n")[0])
    return Requirement(
        text=text,
        what=parsed.name,
        name=canonicalize_name(parsed.name),
        extras=_extras(parsed),
        rest=_rest(parsed),
        is_source=parsed.url is not None and not parsed.url.partition("#")[0].lower().endswith(".whl"),
        is_lasting=_is_exact(parsed),
    )


def _rest(parsed: Parsed) -> str:
    where = f" @ {parsed.url}" if parsed.url else str(parsed.specifier)
    return f"{where} ; {parsed.marker}" if parsed.marker else where


def _is_exact(parsed: Parsed) -> bool:
    """Whether it names one version."""
    specifiers = list(parsed.specifier)
    return len(specifiers) == 1 and specifiers[0].operator in ("==", "===") and not specifiers[0].version.endswith("*")


def _local(text: str, reason: str) -> Requirement:
    """A file or a folder: "./asyncpg", "../psycopg/psycopg[pool]", "dist/asyncpg-0.31.0.tar.gz".

    `reason` is why it is not a requirement.
    """
    match = _LOCAL.fullmatch(text)
    path = None if match is None else Path(match["path"])
    if match is None or path is None or text.startswith("-") or not path.exists():
        raise UsageError(
            f"{text!r} is neither a requirement ({reason}) nor a file or folder",
            "requirements are written like asyncpg==0.31.0 or 'asyncpg @ URL'",
        )
    path = path.resolve()
    name = _archive_name(path) if path.is_file() else _folder_name(path)
    if name is None:
        raise UsageError(f"{text}: which package that is cannot be told", f"write 'NAME @ {path.as_uri()}'")
    return Requirement(
        text=text,
        what=str(path),
        name=name,
        extras=frozenset(
            canonicalize_name(each.strip()) for each in (match["extras"] or "").split(",") if each.strip()
        ),
        rest="",
        is_source=path.suffix.lower() != ".whl",
        is_lasting=False,
    )


def _archive_name(path: Path) -> str | None:
    with contextlib.suppress(InvalidWheelFilename):
        return parse_wheel_filename(path.name)[0]
    with contextlib.suppress(InvalidSdistFilename):
        return parse_sdist_filename(path.name)[0]
    return None


def _folder_name(folder: Path) -> str | None:
    """The name of a folder's distribution; read without building, so a setup.py must state it literally."""
    for file, names in (("pyproject.toml", _in_pyproject), ("setup.cfg", _in_setup_cfg), ("setup.py", _in_setup_py)):
        with contextlib.suppress(OSError, ValueError, SyntaxError, configparser.Error):
            for name in names((folder / file).read_text(encoding="utf-8")):
                with contextlib.suppress(InvalidName, TypeError):
                    return canonicalize_name(name, validate=True)
    return None


def _in_pyproject(text: str) -> Iterator[Any]:
    match tomllib.loads(text):
        case {"project": {"name": name}}:
            yield name


def _in_setup_cfg(text: str) -> Iterator[Any]:
    parser = configparser.ConfigParser(interpolation=None, strict=False)
    parser.read_string(text)
    yield parser.get("metadata", "name", fallback=None)


def _in_setup_py(text: str) -> Iterator[Any]:
    """The `name` of a call of setup(): text, or a variable that is text."""
    nodes = list(ast.walk(ast.parse(text)))
    variables = {
        ast.unparse(target): node.value for node in nodes if isinstance(node, ast.Assign) for target in node.targets
    }
    for node in nodes:
        if isinstance(node, ast.Call) and ast.unparse(node.func).rpartition(".")[2] == "setup":
            for keyword in node.keywords:
                value = variables.get(ast.unparse(keyword.value), keyword.value)
                if keyword.arg == "name" and isinstance(value, ast.Constant):
                    yield value.value


def _extras(parsed: Parsed) -> frozenset[str]:
    return frozenset(map(canonicalize_name, parsed.extras))


def bare(requirement: str) -> str:
    """Its name alone: psycopg[binary,pool] -> psycopg."""
    return canonicalize_name(Parsed(requirement).name)


def extras_of(requirement: str) -> frozenset[str]:
    """Its extras alone: psycopg[binary,pool] -> binary, pool."""
    return _extras(Parsed(requirement))


def merged(requirements: Iterable[str]) -> tuple[str, ...]:
    """Each distribution once, with all extras asked for: a[x], b, a[y] -> a[x,y], b."""
    found: dict[str, frozenset[str]] = {}
    for each in requirements:
        found[bare(each)] = found.get(bare(each), frozenset()) | extras_of(each)
    return tuple(with_extras(name, extras) for name, extras in found.items())


def with_extras(name: str, extras: frozenset[str]) -> str:
    """The name with its extras, as pip accepts it: psycopg[binary,pool]."""
    return f"{name}[{','.join(sorted(extras))}]" if extras else name


def is_version(text: str) -> bool:
    """Whether it is a valid version (PEP 440); some systems' packages have others, which pip refuses as constraints."""
    try:
        Version(text)
    except InvalidVersion:
        return False
    return True
