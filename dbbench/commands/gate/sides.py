"""The two environments of a gate: each an interpreter, its packages and, for two revisions of a project, its files.

There are three kinds. Requirements: a virtual environment is made for each side. Interpreters: the user's own. Two
revisions of a project: its files are checked out twice, and the interpreters are the user's own, too.
"""

import contextlib
import hashlib
import json
import os
import re
import shlex
import shutil
import sys
import tempfile
import textwrap
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import astuple, dataclass, replace
from pathlib import Path
from typing import Final, Literal

from dbbench import trust
from dbbench.drivers import DRIVERS
from dbbench.errors import CannotStartError, UsageError
from dbbench.gate import revisions
from dbbench.gate.inventory import Inventory, clean_environment, finish, normalised, own, take

WORKER_PACKAGES: Final = ("msgspec", "sqlalchemy[asyncio]", "asyncpg", "psycopg[binary,pool]", "psycopg2-binary")
KEPT: Final = 8  # virtual environments in the cache
UNUSED_S: Final = 24 * 3600.0  # after this time without use one may be removed: no gate runs that long
_NEEDED: Final = ("msgspec", "sqlalchemy", "psycopg")  # without these no worker does anything
_INDEPENDENT: Final = ("psycopg-pool",)  # has releases of its own, unlike the rest of its driver
_USED: Final = "used"  # a file whose time says when an environment was last used
_MAKING: Final = ".making-"
_LONGEST: Final = 400  # characters of somebody else's message

Name = Literal["base", "head"]
Say = Callable[[str], None]


@dataclass(frozen=True)
class Wanted:
    """What the user asked for."""

    base: Sequence[str]  # requirements; with a project: one git revision
    head: Sequence[str]
    base_python: Path | None  # None: requirements are installed, or, with a project, this interpreter
    head_python: Path | None
    project: Path | None
    from_source: bool = False  # build what the requirements name, instead of taking wheels
    extra: Sequence[str] = ()  # more packages that workers need: "uvloop"


@dataclass(frozen=True)
class Environment:
    """One side of a gate."""

    label: str  # as people name it: "asyncpg==0.31.0", "main (3f9c2a1)", "Python 3.13.1 (new/bin/python)"
    python: Path  # absolute; a virtual environment's own link, not what it points to: that has other packages
    project: Path | None  # root of the project's files of this side
    checkout: Path | None  # root of the user's own checkout, resolved: nothing may be imported from it
    inventory: Inventory


@contextlib.contextmanager
def environments(wanted: Wanted, say: Say, note: Say) -> Iterator[tuple[Environment, Environment]]:
    """Make the two environments, base and head, for the length of a `with` block.

    `say` gets what takes time now, `note` what people should know about the result.
    Raises UsageError when what is wanted does not go together or does not exist, CannotStartError when an environment
    cannot be made or a worker could not run in it.
    """
    _check_wanted(wanted)
    with contextlib.ExitStack() as stack:
        if wanted.project is not None:
            base, head = _of_revisions(wanted, wanted.project, stack, note)
        elif wanted.base:
            base, head = _of_requirements(wanted, stack, say)
        else:
            base, head = _of_interpreters(wanted)
        unlike = _unlike(base.inventory, head.inventory)
        if unlike and wanted.base and wanted.project is None:
            raise CannotStartError(f"{unlike}; --from-source builds both sides alike")
        if unlike:
            note(unlike)
        yield base, head


def _check_wanted(wanted: Wanted) -> None:
    pythons = (wanted.base_python, wanted.head_python)
    if wanted.project is not None:
        if len(wanted.base) != 1 or len(wanted.head) != 1:
            raise UsageError("with --project, --base and --head are one git revision each")
        if wanted.from_source:
            raise UsageError("--from-source is for requirements; with --project nothing is installed")
    elif wanted.base or wanted.head:
        if not wanted.base or not wanted.head:
            raise UsageError("requirements are needed on both sides: give --base and --head")
        if pythons != (None, None):
            raise UsageError(
                "--base-python and --head-python go with --project or alone: requirements are installed into "
                "environments of their own"
            )
    elif None in pythons:
        raise UsageError(
            "two environments are needed: --base and --head (requirements), --base-python and --head-python "
            "(interpreters), or --project with --base and --head (git revisions)"
        )
    elif wanted.from_source:
        raise UsageError("--from-source is for requirements; into given interpreters nothing is installed")


# Interpreters


def _of_interpreters(wanted: Wanted) -> tuple[Environment, Environment]:
    base, head = (
        replace(each, label=f"Python {each.inventory.version} ({_short(each.python)})")
        for each in (_given(wanted.base_python, wanted), _given(wanted.head_python, wanted))
    )
    return base, head


def _given(python: Path | None, wanted: Wanted) -> Environment:
    """An interpreter of the user's, checked."""
    path = _absolute(python or Path(sys.executable))
    inventory = take(path)
    missing = _missing(inventory, wanted.extra)
    if missing:
        install = shlex.join([str(path), "-m", "pip", "install", *missing])
        names = ", ".join(map(_bare, missing))
        raise CannotStartError(f"{path} lacks {names}, which dbbench's workers need: run {install}")
    return Environment("", path, None, None, inventory)


def _absolute(python: Path) -> Path:
    """Links stay: a virtual environment's python is a link, and what it points to does not know the environment."""
    on_path = None if len(python.parts) > 1 or python.exists() else shutil.which(python)
    return Path(os.path.abspath(on_path or python))  # noqa: PTH100 - Path.absolute() keeps "..", resolve() no link


def _short(path: Path) -> str:
    """The end of a path, which tells environments apart; the rest names folders of the user's in every report."""
    return str(Path(*path.parts[-3:]))


# Revisions of a project


def _of_revisions(
    wanted: Wanted, project: Path, stack: contextlib.ExitStack, note: Say
) -> tuple[Environment, Environment]:
    found = [revisions.resolve(project, name) for name in (wanted.base[0], wanted.head[0])]
    sides = [_given(python, wanted) for python in (wanted.base_python, wanted.head_python)]
    if revisions.dirty(project):
        note(f"uncommitted changes in {found[0].checkout} are not measured: a gate compares commits")
    folder = _temporary(stack)
    differ = sides[0].python != sides[1].python
    made = []
    for name, revision, side in zip(("base", "head"), found, sides, strict=True):
        files = revisions.check_out(revision, folder / name)
        if files.note:
            note(files.note)
        label = f"{revision.label}, Python {side.inventory.version}" if differ else revision.label
        made.append(replace(side, label=label, project=files.root, checkout=revision.checkout))
    return made[0], made[1]


def _temporary(stack: contextlib.ExitStack) -> Path:
    folder = tempfile.TemporaryDirectory(prefix="dbbench-gate-", ignore_cleanup_errors=True)
    return Path(stack.enter_context(folder)).resolve()  # macOS: the temporary folder is behind a link


# Requirements


@dataclass(frozen=True)
class _Requirement:
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


@dataclass(frozen=True)
class _Recipe:
    """All that decides what a virtual environment will be."""

    side: Name  # a part of it: base and head are two installations even if they are equal
    python: str  # version and path of the interpreter that it is made of
    requirements: tuple[str, ...]
    constraints: tuple[str, ...]
    mode: tuple[str, ...]  # pip's options

    @property
    def digest(self) -> str:
        """Its name in the cache."""
        return hashlib.sha256(json.dumps(astuple(self)).encode()).hexdigest()[:24]


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
_VERSION: Final = re.compile(r"(\d+!)?\d+(\.\d+)*((a|b|rc)\d+)?(\.post\d+)?(\.dev\d+)?(\+[a-z0-9]+(\.[a-z0-9]+)*)?")


def _of_requirements(wanted: Wanted, stack: contextlib.ExitStack, say: Say) -> tuple[Environment, Environment]:
    asked: dict[Name, list[_Requirement]] = {
        "base": [_parse(text) for text in wanted.base],
        "head": [_parse(text) for text in wanted.head],
    }
    both = [*asked["base"], *asked["head"]]
    for each in both:
        if each.is_source and not wanted.from_source:
            raise UsageError(f"{each.text} is source code: give --from-source, which builds {each.name} on both sides")
    names = ",".join(sorted({each.name for each in both}))
    mode = ("--no-binary", names) if wanted.from_source else ("--only-binary", ":all:")
    base, head = (_installed(side, asked[side], wanted.extra, mode, stack, say) for side in asked)
    return base, head


def _parse(text: str) -> _Requirement:
    """Understand a requirement as far as its name goes; whether its version makes sense is for pip to say."""
    match = _PEP_508.fullmatch(text)
    archive = _ARCHIVE.fullmatch(text) is not None and Path(text).exists()
    if match is None or archive:
        return _local(text)
    rest = match["rest"].strip()
    url = rest.removeprefix("@").partition(";")[0].partition("#")[0].strip() if rest.startswith("@") else ""
    return _Requirement(
        text=text,
        what=match["name"],
        name=normalised(match["name"]),
        extras=_extras(match["extras"]),
        rest=rest,
        is_source=bool(url) and not url.lower().endswith(".whl"),
        is_lasting=_EXACT.fullmatch(rest) is not None,
    )


def _local(text: str) -> _Requirement:
    """A file or a folder: "./asyncpg", "../psycopg/psycopg[pool]", "dist/asyncpg-0.31.0.tar.gz"."""
    match = _LOCAL.fullmatch(text)
    path = None if match is None else Path(match["path"])
    if match is None or path is None or text.startswith("-") or not path.exists():
        raise UsageError(
            f"{text!r} is neither a requirement, such as asyncpg==0.31.0 or 'asyncpg @ URL', nor a file or folder"
        )
    return _Requirement(
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


def _installed(
    side: Name,
    asked: Sequence[_Requirement],
    extra: Sequence[str],
    mode: tuple[str, ...],
    stack: contextlib.ExitStack,
    say: Say,
) -> Environment:
    label = ", ".join(each.text.strip() for each in asked)
    recipe = _recipe(side, asked, extra, mode)
    try:
        folder = _make(recipe, label, stack, say, cached=all(each.is_lasting for each in asked))
    except OSError as error:
        raise CannotStartError(f"the {side} environment ({label}) cannot be made: {error}") from None
    python = folder / "bin" / "python"
    inventory = take(python)
    missing = _missing(inventory, extra)
    if missing:
        raise CannotStartError(
            f"the {side} environment ({label}) lacks {', '.join(missing)}; remove {folder} to have it made anew, and "
            "see whether pip's configuration installs to somewhere else"
        )
    return Environment(label, python, None, None, inventory)


def _recipe(side: Name, asked: Sequence[_Requirement], extra: Sequence[str], mode: tuple[str, ...]) -> _Recipe:
    running = own()
    beside = {_bare(each): each for each in (*_beside(asked), *extra)}
    named = sorted(each.argument(_extras_of(beside.pop(each.name, ""))) for each in asked)
    return _Recipe(
        side=side,
        python=f"{running.implementation} {running.version} {Path(sys.executable).resolve()}",
        requirements=(*named, *sorted(beside.values())),  # what the user named first: it is the most likely to fail
        constraints=tuple(_constraints(asked, running.packages)),
        mode=mode,
    )


def _beside(asked: Sequence[_Requirement]) -> list[str]:
    """What a worker needs, in forms that get on with what the user asked for."""
    names = {each.name for each in asked}
    packages = list(WORKER_PACKAGES)
    if "psycopg2" in names:  # both are the module psycopg2: whichever comes last would win
        packages.remove("psycopg2-binary")
    by_user = "psycopg-c" in names or any(
        each.name == "psycopg" and (each.is_source or "c" in each.extras) for each in asked
    )
    if by_user:  # psycopg-binary exists for releases only, and psycopg prefers its own C part
        packages[packages.index("psycopg[binary,pool]")] = "psycopg[pool]"
    return packages


def _constraints(asked: Sequence[_Requirement], installed: Mapping[str, str]) -> list[str]:
    """Versions of everything that was not asked for: those that dbbench itself runs with, the same on both sides."""
    free = {each.name for each in asked}
    for driver in DRIVERS.values():
        if free.intersection(driver.distributions):
            free.update(set(driver.distributions).difference(_INDEPENDENT))
    return [
        f"{name}=={version}"
        for name, version in sorted(installed.items())
        if name not in free and name != "dbbench" and _VERSION.fullmatch(version)
    ]


# Virtual environments


def _make(recipe: _Recipe, label: str, stack: contextlib.ExitStack, say: Say, *, cached: bool) -> Path:
    """The folder of a virtual environment: from the cache, or made now."""
    shelf = _shelf() if cached else None
    if shelf is None:
        say(f"making the {recipe.side} environment: {label}")
        folder = _temporary(stack)
        return _install(recipe, label, folder)
    kept = shelf / recipe.digest
    if not _use(kept):
        say(f"making the {recipe.side} environment: {label}")
        with tempfile.TemporaryDirectory(prefix=_MAKING, dir=shelf, ignore_cleanup_errors=True) as folder_name:
            _publish(_install(recipe, label, Path(folder_name)), kept)
        _tidy(shelf)
    return kept


def _shelf() -> Path | None:
    """The cache's folder for environments; None when it cannot be written."""
    try:
        folder = trust.path().parent.resolve() / "environments"
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except (OSError, RuntimeError):  # RuntimeError: there is no home
        return None
    return folder


def _use(environment: Path) -> bool:
    """Whether it is there; if so, it counts as used now."""
    try:
        os.utime(environment / _USED)
    except OSError:
        return False
    return True


def _publish(made: Path, kept: Path) -> None:
    """Move it to where it is found. It knows its own path in its scripts only, and nobody runs those."""
    try:
        made.rename(kept)
    except OSError:
        if not _use(kept):  # else another gate was first, with one that is as good
            raise


def _tidy(shelf: Path) -> None:
    """Remove what nobody uses: all but the newest environments, and what gates that were killed have left."""
    times = {each: _last_used(each) for each in shelf.iterdir()}
    newest_first = sorted(times, key=lambda each: times[each], reverse=True)
    whole = [each for each in newest_first if not each.name.startswith(_MAKING)]
    for each in newest_first:
        if each not in whole[:KEPT] and times[each] < time.time() - UNUSED_S:
            shutil.rmtree(each, ignore_errors=True)


def _last_used(folder: Path) -> float:
    """When it was last used, or made; seconds since 1970."""
    for each in (folder / _USED, folder):
        with contextlib.suppress(OSError):
            return each.stat().st_mtime
    return time.time()  # just gone


def _install(recipe: _Recipe, label: str, folder: Path) -> Path:
    """Make a virtual environment in `folder` and return its own folder.

    Everything that venv and pip write is in there, and goes with it should they be interrupted.
    """
    made, scratch, constraints = folder / "environment", folder / "scratch", folder / "constraints.txt"
    scratch.mkdir()
    constraints.write_text("".join(f"{each}\n" for each in recipe.constraints), encoding="utf-8")
    environment = {**clean_environment(), "TMPDIR": str(scratch)}
    who = f"the {recipe.side} environment ({label}) cannot be made"
    # -I: modules in the working directory are not Python's; but paths in the user's configuration are relative to it.
    answer = finish([sys.executable, "-I", "-m", "venv", str(made)], environment)
    if answer.returncode:
        raise CannotStartError(f"{who}: {_in_a_line(answer.stdout + answer.stderr)}")
    answer = finish(
        [
            *(str(made / "bin" / "python"), "-I", "-m", "pip", "install"),
            *("--disable-pip-version-check", "--no-input", "--no-user", "--progress-bar", "off"),
            *("--constraint", str(constraints)),
            *recipe.mode,
            *recipe.requirements,
        ],
        environment,
    )
    if answer.returncode:
        reason = _pip_reason(answer.stderr, recipe)
        kind = UsageError if reason.startswith("Invalid requirement") else CannotStartError
        raise kind(f"{who}: {reason}")
    (made / _USED).touch()
    return made


def _pip_reason(complaint: str, recipe: _Recipe) -> str:
    """Why pip failed, and the way out."""
    errors = re.findall(r"^ERROR: (.*)$", complaint, re.MULTILINE)
    # The first lists all versions there are, the second says what the line before it has said.
    telling = [each for each in errors if not each.startswith(("Could not find a version", "ResolutionImpossible"))]
    reason = _in_a_line(" ".join((telling or errors or complaint.strip().splitlines())[-2:])).removesuffix(".")
    if re.search(r"^WARNING: Retrying", complaint, re.MULTILINE):
        return f"{reason}; pip could not reach its package index"
    if reason.startswith("No matching distribution"):
        wheels = "check the version, or build it with --from-source if it has no wheel for this Python"
        return f"{reason}; {wheels if '--only-binary' in recipe.mode else 'check the version'}"
    if any(each.startswith("ResolutionImpossible") for each in errors):
        return f"{reason}; what is not named is kept at the version that is installed in {sys.prefix}"
    return reason


def _in_a_line(text: str) -> str:
    return textwrap.shorten(text, _LONGEST, placeholder=" ...") or "no reason given"


# What both sides must have


def _missing(inventory: Inventory, extra: Sequence[str]) -> list[str]:
    """Packages that no worker can do without and that are not there, as pip would be asked for them."""
    by_name = {_bare(each): each for each in (*WORKER_PACKAGES, *extra)}
    return [by_name[name] for name in (*_NEEDED, *map(_bare, extra)) if name not in inventory.packages]


def _bare(requirement: str) -> str:
    """Its name alone: psycopg[binary,pool] -> psycopg."""
    match = _PEP_508.fullmatch(requirement)
    return normalised(requirement if match is None else match["name"])


def _extras_of(requirement: str) -> frozenset[str]:
    match = _PEP_508.fullmatch(requirement)
    return _extras(None if match is None else match["extras"])


def _unlike(base: Inventory, head: Inventory) -> str:
    """Say which packages that are measured were not built alike on the two sides; empty: none."""
    names = sorted({"sqlalchemy", *(name for driver in DRIVERS.values() for name in driver.distributions)})
    found = [
        f"{name} is {what} in {'base' if name in of_base else 'head'} only"
        for of_base, of_head, what in (
            (base.editable, head.editable, "an editable installation"),
            (base.source_built, head.source_built, "compiled from source"),
        )
        for name in names
        if name in base.packages and name in head.packages and (name in of_base) != (name in of_head)
    ]
    return f"the two sides are not built alike: {', '.join(found)}" if found else ""
