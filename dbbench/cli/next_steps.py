"""What to type after the first run: three commands, in the words with which this program can be called."""

import os
import shlex
import shutil
import sys
from pathlib import Path
from typing import Final

_STEPS: Final = (
    ("show --details", "where the time goes: pool, CPU, event loop"),
    ("wire", "round trips per operation, and why"),
    ("selfcheck", "how far to trust this machine (4 minutes)"),
)


def steps() -> str:
    """The commands with what each tells, a line for each."""
    name = program()
    width = max(len(f"{name} {words}") for words, _ in _STEPS)
    return "\n".join(["Next:", *(f"  {f'{name} {words}':<{width}}   {tells}" for words, tells in _STEPS)])


def wanted(result: Path) -> bool:
    """Whether somebody sees this result who has no other: on a terminal, the only one in its folder."""
    on_terminal = all(stream is not None and stream.isatty() for stream in (sys.stdout, sys.stderr))
    return on_terminal and len(list(result.parent.glob("*.jsonl"))) == 1


def program() -> str:
    """How this program is called from here: dbbench where the shell finds it, or else its path, .venv/bin/dbbench."""
    called = Path(sys.argv[0])
    if called.name == "__main__.py":  # python -m dbbench
        return f"{_shown(Path(sys.executable))} -m dbbench"
    found = shutil.which(called.name)
    if found is not None and called.exists() and called.samefile(found):
        return called.name
    return _shown(called)


def _shown(path: Path) -> str:
    """The path from the working directory where it is below, for a shell."""
    there, here = Path(os.path.abspath(path)), Path.cwd()  # noqa: PTH100 - links as they are: a venv's python is one
    return shlex.quote(str(there.relative_to(here) if there.is_relative_to(here) else there))
