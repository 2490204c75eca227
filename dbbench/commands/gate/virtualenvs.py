"""Virtual environments for requirements: made, kept in the cache, and reused."""

import contextlib
import hashlib
import json
import os
import re
import shutil
import sys
import tempfile
import textwrap
import time
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Final

from dbbench import cache, folders
from dbbench.commands.gate.programs import clean_environment, finish
from dbbench.commands.gate.requirements import Name, Say
from dbbench.errors import CannotStartError

KEPT: Final = 8  # number of virtual environments that always stay in the cache
UNUSED_S: Final = 24 * 3600.0  # time without use after which others may be removed: no gate runs that long
_USED: Final = "used"  # a file whose modification time is the environment's last use
_LONGEST: Final = 400  # characters of another program's message


def temporary(stack: contextlib.ExitStack) -> Path:
    """A temporary folder that is removed with `stack`."""
    return stack.enter_context(folders.temporary("dbbench-gate-"))


@dataclass(frozen=True)
class Recipe:
    """Everything that determines a virtual environment."""

    side: Name  # included since base and head are separate installations even if they are equal
    python: str  # version and path of the interpreter that it is made from
    requirements: tuple[str, ...]
    constraints: tuple[str, ...]
    mode: tuple[str, ...]  # pip's options

    @property
    def digest(self) -> str:
        """Its name in the cache."""
        return hashlib.sha256(json.dumps(astuple(self)).encode()).hexdigest()[:24]


def make(recipe: Recipe, label: str, stack: contextlib.ExitStack, say: Say, *, cached: bool) -> Path:
    """The folder of a virtual environment, from the cache or made now."""
    shelf = _shelf() if cached else None
    if shelf is None:
        say(f"making the {recipe.side} environment: {label}")
        folder = temporary(stack)
        return _install(recipe, label, folder)
    kept = shelf / recipe.digest
    if not _use(kept):
        say(f"making the {recipe.side} environment: {label}")
        with folders.temporary(cache.MAKING, shelf) as folder:
            _publish(_install(recipe, label, folder), kept)
        _tidy(shelf)
    return kept


def _shelf() -> Path | None:
    """The cache's folder for environments; None when it cannot be written."""
    try:
        folder = cache.folder().resolve() / "environments"
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except (OSError, RuntimeError):  # RuntimeError: no home directory
        return None
    return folder


def _use(environment: Path) -> bool:
    """Whether the environment exists; if so, mark it as used now."""
    try:
        os.utime(environment / _USED)
    except OSError:
        return False
    return True


def _publish(made: Path, kept: Path) -> None:
    """Move a new environment to its place in the cache. Only its scripts contain its path, and they are not run."""
    try:
        made.rename(kept)
    except OSError:
        if not _use(kept):  # else another gate was faster and made the same one
            raise


def _tidy(shelf: Path) -> None:
    """Remove unused environments, except for the newest, and what killed gates have left behind."""
    times = {each: _last_used(each) for each in shelf.iterdir()}
    newest_first = sorted(times, key=lambda each: times[each], reverse=True)
    whole = [each for each in newest_first if not each.name.startswith(cache.MAKING)]
    for each in newest_first:
        if each not in whole[:KEPT] and times[each] < time.time() - UNUSED_S:
            shutil.rmtree(each, ignore_errors=True)


def _last_used(folder: Path) -> float:
    """The time when it was last used, or made; seconds since 1970."""
    for each in (folder / _USED, folder):
        with contextlib.suppress(OSError):
            return each.stat().st_mtime
    return time.time()  # it has just been removed


def _install(recipe: Recipe, label: str, folder: Path) -> Path:
    """Make a virtual environment in `folder` and return its own folder.

    Everything that venv and pip write is in `folder`, so that nothing else is left behind if they are interrupted.
    """
    made, scratch, constraints = folder / "environment", folder / "scratch", folder / "constraints.txt"
    scratch.mkdir()
    constraints.write_text("".join(f"{each}\n" for each in recipe.constraints), encoding="utf-8")
    environment = {**clean_environment(), "TMPDIR": str(scratch)}
    who = f"the {recipe.side} environment ({label}) cannot be made"
    # -I instead of another working directory, to which relative paths in the user's configuration would not apply.
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
        reason, remedy = _pip_reason(answer.stderr, recipe)
        raise CannotStartError(f"{who}: {reason}", remedy)
    (made / _USED).touch()
    return made


def _pip_reason(complaint: str, recipe: Recipe) -> tuple[str, str]:
    """Why pip failed, and the way out, or an empty text."""
    errors = re.findall(r"^ERROR: (.*)$", complaint, re.MULTILINE)
    # The first lists all versions there are, the second says what the line before it has said.
    telling = [each for each in errors if not each.startswith(("Could not find a version", "ResolutionImpossible"))]
    reason = _in_a_line(" ".join((telling or errors or complaint.strip().splitlines())[-2:])).removesuffix(".")
    if re.search(r"^WARNING: Retrying", complaint, re.MULTILINE):
        return reason, "pip could not reach its package index"
    if reason.startswith("No matching distribution"):
        wheels = "check the version, or build it with --from-source if it has no wheel for this Python"
        return reason, wheels if "--only-binary" in recipe.mode else "check the version"
    if any(each.startswith("ResolutionImpossible") for each in errors):
        return reason, f"what is not named is kept at the version that is installed in {sys.prefix}"
    return reason, ""


def _in_a_line(text: str) -> str:
    return textwrap.shorten(text, _LONGEST, placeholder=" ...") or "no reason given"
