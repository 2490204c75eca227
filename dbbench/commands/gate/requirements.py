"""Requirements as the gate reads them (PEP 508), and what they decide."""

import contextlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from dbbench.commands.gate.inventory import normalised
from dbbench.errors import UsageError

Name = Literal["base", "head"]
Say = Callable[[str], None]


@dataclass(frozen=True)
class Requirement:
    """One requirement of a side."""

    text: str  # as the user wrote it
    what: str  # a name, or the path of a file or folder
    name: str  # of the distribution, normalised
    extras: frozenset[str]
    rest: str  # version, marker or URL; often empty
    is_source: bool  # it can only be built
    is_lasting: bool  # it means the same tomorrow

    def argument(self, more: frozenset[str]) -> str:
        """What pip gets: with the extras that workers need, too."""
        extras = ",".join(sorted(self.extras | more))
        return f"{self.what}{f'[{extras}]' if extras else ''}{' ' if self.rest.startswith('@') else ''}{self.rest}"


# PEP 508, as far as it matters here: name, [extras], and versions, a marker or a URL that may follow.
_ONE_VERSION: Final = r"(?:===?|[<>!~]=|[<>])\s*[\w.*+!-]+"
_PEP_508: Final = re.compile(
    r"\s*(?P<name>[a-z0-9](?:[a-z0-9._-]*[a-z0-9])?)\s*(?:\[(?P<extras>[^\]]*)\])?\s*"
    rf"(?P<rest>(?:{_ONE_VERSION}(?:\s*,\s*{_ONE_VERSION})*)?\s*(?:;.*)?|@.*)",
    re.IGNORECASE | re.DOTALL,
)
_LOCAL: Final = re.compile(r"(?P<path>.+?)(?:\[(?P<extras>[^\]]*)\])?", re.DOTALL)
_EXACT: Final = re.compile(r"={2,3}\s*[^\s*,;]+\s*(;.*)?", re.DOTALL)
_ARCHIVE: Final = re.compile(r"(?P<name>.+?)-\d.*\.(?:whl|tar\.gz|zip)", re.IGNORECASE)


# Versions as PEP 440 writes them; some systems' packages have others, which pip refuses in a list of constraints.
VERSION: Final = re.compile(r"(\d+!)?\d+(\.\d+)*((a|b|rc)\d+)?(\.post\d+)?(\.dev\d+)?(\+[a-z0-9]+(\.[a-z0-9]+)*)?")


def parse(text: str) -> Requirement:
    """Understand a requirement as far as its name goes; whether its version makes sense is for pip to say."""
    match = _PEP_508.fullmatch(text)
    archive = _ARCHIVE.fullmatch(text) is not None and Path(text).exists()
    if match is None or archive:
        return _local(text)
    rest = match["rest"].strip()
    url = rest.removeprefix("@").partition(";")[0].partition("#")[0].strip() if rest.startswith("@") else ""
    return Requirement(
        text=text,
        what=match["name"],
        name=normalised(match["name"]),
        extras=_extras(match["extras"]),
        rest=rest,
        is_source=bool(url) and not url.lower().endswith(".whl"),
        is_lasting=_EXACT.fullmatch(rest) is not None,
    )


def _local(text: str) -> Requirement:
    """A file or a folder: "./asyncpg", "../psycopg/psycopg[pool]", "dist/asyncpg-0.31.0.tar.gz"."""
    match = _LOCAL.fullmatch(text)
    path = None if match is None else Path(match["path"])
    if match is None or path is None or text.startswith("-") or not path.exists():
        raise UsageError(
            f"{text!r} is neither a requirement, such as asyncpg==0.31.0 or 'asyncpg @ URL', nor a file or folder"
        )
    return Requirement(
        text=text,
        what=str(path.resolve()),
        name=_name_of(path.resolve(), text),
        extras=_extras(match["extras"]),
        rest="",
        is_source=path.suffix.lower() != ".whl",
        is_lasting=False,
    )


def _name_of(path: Path, text: str) -> str:
    """The distribution that a file or a folder makes; read, not built, so a setup.py must say it plainly."""
    if path.is_file() and (match := _ARCHIVE.fullmatch(path.name)):
        return normalised(match["name"])
    for file, pattern in (
        ("pyproject.toml", r"^\[project\][^\[]*?^name\s*=\s*[\"']([\w.-]+)[\"']"),
        ("setup.cfg", r"^\[metadata\][^\[]*?^name\s*=\s*([\w.-]+)\s*$"),
        ("setup.py", r"\bname\s*=\s*[\"']([\w.-]+)[\"']"),
    ):
        with contextlib.suppress(OSError):
            content = (path / file).read_text(encoding="utf-8", errors="replace")
            if match := re.search(pattern, content, re.MULTILINE):
                return normalised(match[1])
    raise UsageError(f"{text}: which package that is cannot be told; write 'NAME @ {path.as_uri()}'")


def _extras(text: str | None) -> frozenset[str]:
    return frozenset(normalised(each.strip()) for each in (text or "").split(",") if each.strip())


def bare(requirement: str) -> str:
    """Its name alone: psycopg[binary,pool] -> psycopg."""
    match = _PEP_508.fullmatch(requirement)
    return normalised(requirement if match is None else match["name"])


def extras_of(requirement: str) -> frozenset[str]:
    """Its extras alone: psycopg[binary,pool] -> binary, pool."""
    match = _PEP_508.fullmatch(requirement)
    return _extras(None if match is None else match["extras"])
