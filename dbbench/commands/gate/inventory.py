"""What an interpreter is, and what it has installed.

Run as a script, by any Python >= 3.11, this file prints the inventory of the interpreter that runs it, as one line of
JSON. So it imports nothing but the standard library at its top: dbbench need not be installed there.
"""

import contextlib
import importlib.metadata
import json
import os
import platform
import re
import signal
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from dbbench.commands.gate.result import Difference
    from dbbench.errors import CannotStartError

OLDEST: Final = (3, 11)
_PATIENCE_S: Final = 60.0  # for one answer; site-packages on a network drive are slow
_END_LIMIT_S: Final = 5.0  # for a killed process group to be gone
# An old Python, even Python 2, must understand the question.
_VERSION_PROGRAM: Final = "import sys; print('python %d.%d' % sys.version_info[:2])"
# They speak of the interpreter that runs dbbench, and would put its packages into another one.
_LEFT_OUT: Final = ("PYTHONPATH", "PYTHONHOME")


@dataclass(frozen=True)
class Inventory:
    """An interpreter and its packages, by their normalised names."""

    implementation: str  # "CPython"
    version: str  # "3.11.7"
    packages: Mapping[str, str]  # name -> version
    editable: Sequence[str]  # installed as a link to a folder
    source_built: Sequence[str]  # compiled by whoever installed it; never known on macOS


def take(python: Path) -> Inventory:
    """The inventory of an interpreter; packages as a worker sees them, whose PYTHONPATH is not the user's either.

    Raises CannotStartError, naming the interpreter, when it is no Python, too old or gives no answer.
    """
    # -P: this folder's modules do not hide those of the standard library. Older Pythons do not know it.
    _check_version(python)
    answer = _ask(python, "-P", str(Path(__file__).resolve()))
    try:
        return Inventory(**json.loads(_last_line(answer.stdout)))
    except (ValueError, TypeError):
        raise _no_use(f"{python} cannot list its packages: {_last_line(answer.stderr) or 'no answer'}") from None


def own() -> Inventory:
    """The inventory of the running interpreter."""
    names = {name for each in importlib.metadata.distributions() if (name := _field(each, "Name"))}
    # Looked up by name, as an import would: the first on the path counts. What a broken installation left behind
    # (pip's "~name" folders) is found by no name.
    found: dict[str, importlib.metadata.Distribution] = {}
    for name in sorted(names):
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[normalised(name)] = importlib.metadata.distribution(name)
    return Inventory(
        implementation=platform.python_implementation(),
        version=platform.python_version(),
        packages={name: version for name, each in found.items() if (version := _field(each, "Version"))},
        editable=[name for name, each in found.items() if _is_editable(each)],
        source_built=[name for name, each in found.items() if _is_source_built(each)],
    )


def differences(base: Mapping[str, str], head: Mapping[str, str]) -> "list[Difference]":
    """The packages that are not the same on both sides, sorted by name."""
    from dbbench.commands.gate.result import Difference

    both = [Difference(name, base.get(name), head.get(name)) for name in sorted({*base, *head})]
    return [each for each in both if each.base != each.head]


def normalised(name: str) -> str:
    """A distribution's name as package indexes compare it: PyYAML -> pyyaml, typing_extensions -> typing-extensions."""
    return re.sub(r"[-_.]+", "-", name).lower()


def clean_environment() -> dict[str, str]:
    """This process's environment for another interpreter: without what speaks of this one."""
    return {name: value for name, value in os.environ.items() if name not in _LEFT_OUT}


def finish(
    arguments: Sequence[str], environment: Mapping[str, str], patience: float | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a program to its end and return what it says.

    It has no terminal, so it can ask nobody. Neither it nor what it started outlives an exception, such as a Ctrl-C.
    Raises OSError when it cannot be started, TimeoutExpired after `patience` seconds.
    """
    with subprocess.Popen(
        arguments,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment,
        encoding="utf-8",
        errors="replace",
        start_new_session=True,
    ) as process:
        try:
            said, complained = process.communicate(timeout=patience)
        except BaseException:
            with contextlib.suppress(ProcessLookupError, PermissionError):  # macOS forbids it when all have ended
                os.killpg(process.pid, signal.SIGKILL)
            # Until all that it started has closed its end: only then is nobody writing to its files.
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.communicate(timeout=_END_LIMIT_S)
            raise
    return subprocess.CompletedProcess(arguments, process.returncode, said, complained)


def _check_version(python: Path) -> None:
    answer = _ask(python, "-c", _VERSION_PROGRAM)
    found = re.fullmatch(r"python (\d+)\.(\d+)", _last_line(answer.stdout))
    if found is None:
        reason = _last_line(answer.stderr)
        raise _no_use(f"{python} is no Python interpreter{': ' + reason if reason else ''}")
    if (int(found[1]), int(found[2])) < OLDEST:
        wanted = ".".join(map(str, OLDEST))
        raise _no_use(f"{python} is Python {found[1]}.{found[2]}; dbbench's workers need {wanted} or newer")


def _ask(python: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    try:
        return finish([str(python), *arguments], clean_environment(), _PATIENCE_S)
    except OSError as error:
        raise _no_use(f"{python} is no Python interpreter: {error.strerror or error}") from None
    except subprocess.TimeoutExpired:
        raise _no_use(f"{python} gave no answer within {_PATIENCE_S:g} s") from None


def _no_use(message: str) -> "CannotStartError":
    from dbbench.errors import CannotStartError

    return CannotStartError(message)


def _last_line(text: str) -> str:
    """What counts of an answer: a user's start-up files may print something before it."""
    return text.strip().rpartition("\n")[2].strip()


def _field(distribution: importlib.metadata.Distribution, name: str) -> str:
    """A field of its metadata; empty where an installation was broken off."""
    metadata = distribution.metadata
    return str(metadata[name]) if metadata and name in metadata else ""


def _is_editable(distribution: importlib.metadata.Distribution) -> bool:
    try:
        where = json.loads(distribution.read_text("direct_url.json") or "{}")
        return where.get("dir_info", {}).get("editable") is True
    except (ValueError, AttributeError):
        return False


def _is_source_built(distribution: importlib.metadata.Distribution) -> bool:
    """Whether it was compiled where it was installed: published wheels are for manylinux_* or musllinux_*.

    macOS has no such mark: there a published wheel and one's own are both for macosx_*.
    """
    wheel = (distribution.read_text("WHEEL") or "").lower()
    tags = re.findall(r"^tag:\s*\S+-(\S+)\s*$", wheel, re.MULTILINE)
    pure = re.search(r"^root-is-purelib:\s*false\s*$", wheel, re.MULTILINE) is None
    return not pure and any(tag.startswith("linux_") for tag in tags)


if __name__ == "__main__":
    print(json.dumps(asdict(own())))
