"""Other Python interpreters: whether workers can run in one, and what it has installed."""

import json
import re
import subprocess
from pathlib import Path
from typing import Final

from dbbench.commands.gate import inventory
from dbbench.commands.gate.inventory import Inventory
from dbbench.commands.gate.programs import clean_environment, finish
from dbbench.errors import CannotStartError

OLDEST: Final = (3, 11)
_PATIENCE_S: Final = 60.0  # for one answer; site-packages on a network drive are slow
# An old Python, even Python 2, must understand the question.
_VERSION_PROGRAM: Final = "import sys; print('python %d.%d' % sys.version_info[:2])"


def take(python: Path) -> Inventory:
    """The inventory of an interpreter; it has the packages that a worker sees, so without the user's PYTHONPATH.

    Raises CannotStartError, naming the interpreter, when it is not Python, is too old, or does not answer.
    """
    # -P, so that this folder's modules do not shadow the standard library. Older Pythons do not support it.
    _check_version(python)
    answer = _ask(python, "-P", str(Path(inventory.__file__).resolve()))
    try:
        return Inventory(**json.loads(_last_line(answer.stdout)))
    except (ValueError, TypeError):
        raise CannotStartError(
            f"{python} cannot list its packages: {_last_line(answer.stderr) or 'no answer'}"
        ) from None


def _check_version(python: Path) -> None:
    answer = _ask(python, "-c", _VERSION_PROGRAM)
    found = re.fullmatch(r"python (\d+)\.(\d+)", _last_line(answer.stdout))
    if found is None:
        reason = _last_line(answer.stderr)
        raise CannotStartError(f"{python} is no Python interpreter{': ' + reason if reason else ''}")
    if (int(found[1]), int(found[2])) < OLDEST:
        wanted = ".".join(map(str, OLDEST))
        raise CannotStartError(f"{python} is Python {found[1]}.{found[2]}", f"dbbench's workers need {wanted} or newer")


def _ask(python: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    try:
        return finish([str(python), *arguments], clean_environment(), _PATIENCE_S)
    except OSError as error:
        raise CannotStartError(f"{python} is no Python interpreter: {error.strerror or error}") from None
    except subprocess.TimeoutExpired:
        raise CannotStartError(f"{python} gave no answer within {_PATIENCE_S:g} s") from None


def _last_line(text: str) -> str:
    """The relevant part of an answer: a user's start-up files may print something before it."""
    return text.strip().rpartition("\n")[2].strip()
