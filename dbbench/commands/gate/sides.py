"""The two environments of a gate: each an interpreter, its packages and, for two revisions of a project, its files.

There are three kinds. Requirements: a virtual environment is made for each side. Interpreters: the user's own. Two
revisions of a project: its files are checked out twice, and the interpreters are the user's own as well.
"""

import contextlib
import os
import shlex
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from dbbench.commands.gate import revisions
from dbbench.commands.gate.interpreters import take
from dbbench.commands.gate.inventory import Inventory, own
from dbbench.commands.gate.requirements import (
    Name,
    Requirement,
    Say,
    bare,
    extras_of,
    is_version,
    merged,
    parse,
    with_extras,
)
from dbbench.commands.gate.virtualenvs import Recipe, make, temporary
from dbbench.drivers import DRIVERS
from dbbench.errors import CannotStartError, UsageError

WORKER_PACKAGES: Final = merged(
    ["msgspec", "sqlalchemy[asyncio]", *(driver.requirement for driver in DRIVERS.values() if not driver.extra)]
)
_NEEDED: Final = ("msgspec", "sqlalchemy", "psycopg")  # no worker runs without these
_INDEPENDENT: Final = ("psycopg-pool",)  # has releases of its own, unlike the rest of its driver


@dataclass(frozen=True)
class Wanted:
    """The environments that the user asked for."""

    base: Sequence[str]  # requirements; with a project: one git revision
    head: Sequence[str]
    base_python: Path | None  # None: requirements are installed, or, with a project, this interpreter
    head_python: Path | None
    project: Path | None
    from_source: bool = False  # build what the requirements name, instead of taking wheels
    extra: Sequence[str] = ()  # more packages that workers need: "uvloop", "pg8000"
    labels: Sequence[str] = ()  # of base and head, where they are one environment with two settings


@dataclass(frozen=True)
class Environment:
    """One side of a gate."""

    label: str  # its name in reports: "asyncpg==0.31.0", "main (3f9c2a1)", "Python 3.13.1 (new/bin/python)"
    python: Path  # absolute; a virtual environment's own link, not its target, which has other packages
    project: Path | None  # root of this side's copy of the project's files
    checkout: Path | None  # root of the user's own checkout, resolved: nothing may be imported from it
    inventory: Inventory


@contextlib.contextmanager
def environments(wanted: Wanted, say: Say, note: Say) -> Iterator[tuple[Environment, Environment]]:
    """Make the two environments, base and head, for the length of a `with` block.

    `say` is called with each step that takes time, `note` with what users should know about the result.
    Raises UsageError when `wanted` contradicts itself or names something that does not exist, CannotStartError when an
    environment cannot be made or a worker could not run in it.
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
            raise CannotStartError(unlike, "--from-source builds both sides alike")
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
            raise UsageError("requirements are needed on both sides", "give --base and --head")
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
    sides = (_given(wanted.base_python, wanted), _given(wanted.head_python, wanted))
    labels = wanted.labels or [f"Python {each.inventory.version} ({_short(each.python)})" for each in sides]
    base, head = (replace(each, label=label) for each, label in zip(sides, labels, strict=True))
    return base, head


def _given(python: Path | None, wanted: Wanted) -> Environment:
    """The environment of one of the user's interpreters, checked."""
    path = _absolute(python or Path(sys.executable))
    inventory = take(path)
    missing = _missing(inventory, wanted.extra)
    if missing:
        install = shlex.join([str(path), "-m", "pip", "install", *missing])
        names = ", ".join(map(bare, missing))
        raise CannotStartError(f"{path} lacks {names}, which dbbench's workers need", f"run {install}")
    return Environment("", path, None, None, inventory)


def _absolute(python: Path) -> Path:
    """The absolute path, without following links: a virtual environment's python is a link to one outside it."""
    on_path = None if len(python.parts) > 1 or python.exists() else shutil.which(python)
    return Path(os.path.abspath(on_path or python))  # noqa: PTH100 - Path.absolute() keeps "..", resolve() no link


def _short(path: Path) -> str:
    """The end of a path, enough to tell environments apart without showing the user's folders in every report."""
    return str(Path(*path.parts[-3:]))


# Revisions of a project


def _of_revisions(
    wanted: Wanted, project: Path, stack: contextlib.ExitStack, note: Say
) -> tuple[Environment, Environment]:
    found = [revisions.resolve(project, name) for name in (wanted.base[0], wanted.head[0])]
    sides = [_given(python, wanted) for python in (wanted.base_python, wanted.head_python)]
    if revisions.dirty(project):
        note(f"uncommitted changes in {found[0].checkout} are not measured: a gate compares commits")
    folder = temporary(stack)
    differ = sides[0].python != sides[1].python
    made = []
    for name, revision, side in zip(("base", "head"), found, sides, strict=True):
        files = revisions.check_out(revision, folder / name)
        if files.note:
            note(files.note)
        label = f"{revision.label}, Python {side.inventory.version}" if differ else revision.label
        made.append(replace(side, label=label, project=files.root, checkout=revision.checkout))
    return made[0], made[1]


# Requirements


def _of_requirements(wanted: Wanted, stack: contextlib.ExitStack, say: Say) -> tuple[Environment, Environment]:
    asked: dict[Name, list[Requirement]] = {
        "base": [parse(text) for text in wanted.base],
        "head": [parse(text) for text in wanted.head],
    }
    both = [*asked["base"], *asked["head"]]
    for each in both:
        if each.is_source and not wanted.from_source:
            raise UsageError(
                f"{each.text} is source code", f"give --from-source, which builds {each.name} on both sides"
            )
    names = ",".join(sorted({each.name for each in both}))
    mode = ("--no-binary", names) if wanted.from_source else ("--only-binary", ":all:")
    base, head = (_installed(side, asked[side], wanted.extra, mode, stack, say) for side in asked)
    return base, head


def _installed(
    side: Name,
    asked: Sequence[Requirement],
    extra: Sequence[str],
    mode: tuple[str, ...],
    stack: contextlib.ExitStack,
    say: Say,
) -> Environment:
    label = ", ".join(each.text.strip() for each in asked)
    recipe = _recipe(side, asked, extra, mode)
    try:
        folder = make(recipe, label, stack, say, cached=all(each.is_lasting for each in asked))
    except OSError as error:
        raise CannotStartError(f"the {side} environment ({label}) cannot be made: {error}") from None
    python = folder / "bin" / "python"
    inventory = take(python)
    missing = _missing(inventory, extra)
    if missing:
        raise CannotStartError(
            f"the {side} environment ({label}) lacks {', '.join(missing)}",
            f"remove {folder} to have it made anew, and see whether pip's configuration installs to somewhere else",
        )
    return Environment(label, python, None, None, inventory)


def _recipe(side: Name, asked: Sequence[Requirement], extra: Sequence[str], mode: tuple[str, ...]) -> Recipe:
    running = own()
    beside = {**_beside(asked), **{bare(each): each for each in extra}}
    ours = [beside.pop(each.name, each.name) for each in asked]
    named = sorted(each.argument(extras_of(our)) for each, our in zip(asked, ours, strict=True))
    return Recipe(
        side=side,
        python=f"{running.implementation} {running.version} {Path(sys.executable).resolve()}",
        requirements=(*named, *sorted(beside.values())),  # the user's own first, as they are the most likely to fail
        constraints=tuple(_constraints(asked, running.packages)),
        mode=mode,
    )


def _beside(asked: Sequence[Requirement]) -> dict[str, str]:
    """The requirements of a worker, by name, in forms compatible with what the user asked for."""
    names = {each.name for each in asked}
    packages = {bare(each): each for each in WORKER_PACKAGES}
    if "psycopg2" in names:  # both contain the module psycopg2, and the last one installed would win
        del packages["psycopg2-binary"]
    by_user = "psycopg-c" in names or any(
        each.name == "psycopg" and (each.is_source or "c" in each.extras) for each in asked
    )
    if by_user:  # psycopg-binary exists for releases only, and psycopg prefers its own C part
        packages["psycopg"] = with_extras("psycopg", extras_of(packages["psycopg"]) - {"binary"})
    return packages


def _constraints(asked: Sequence[Requirement], installed: Mapping[str, str]) -> list[str]:
    """Version constraints for everything else: the versions that dbbench itself runs with, the same on both sides."""
    free = {each.name for each in asked}
    for driver in DRIVERS.values():
        if free.intersection(driver.distributions):
            free.update(set(driver.distributions).difference(_INDEPENDENT))
    return [
        f"{name}=={version}"
        for name, version in sorted(installed.items())
        if name not in free and name != "dbbench" and is_version(version)
    ]


# What both sides must have


def _missing(inventory: Inventory, extra: Sequence[str]) -> list[str]:
    """The missing packages that no worker can run without, as requirements for pip."""
    by_name = {bare(each): each for each in (*WORKER_PACKAGES, *extra)}
    return [by_name[name] for name in (*_NEEDED, *map(bare, extra)) if name not in inventory.packages]


def _unlike(base: Inventory, head: Inventory) -> str:
    """A sentence about the measured packages that were built differently on the two sides; empty: none were."""
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
