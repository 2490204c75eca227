"""Temporary folders of ours: claimed by the process that works in them, so that what a killed one left can be found.

Imports the standard library alone: supervisors use it.
"""

import contextlib
import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

PREFIX: Final = "dbbench-"
CLAIM: Final = ".claim"  # a file that is locked while the folder is in use
_NEW_S: Final = 600.0  # time in which a folder may still get its claim; it takes microseconds

_claims: Final[list[int]] = []  # descriptors, which hold their locks until this process ends, however that happens


def claim(folder: Path) -> None:
    """Keep the folder for this process: as long as it lives, the folder is not abandoned."""
    descriptor = os.open(folder / CLAIM, os.O_CREAT | os.O_RDWR, 0o600)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    _claims.append(descriptor)


def make(prefix: str, base: Path | str | None = None) -> Path:
    """Make a folder in `base`, by default the system's folder for temporary ones, and claim it; raises OSError."""
    folder = Path(tempfile.mkdtemp(prefix=prefix, dir=base))
    claim(folder)
    return folder


@contextlib.contextmanager
def temporary(prefix: str = PREFIX, base: Path | None = None) -> Iterator[Path]:
    """A new folder of this process's own, by default in the system's folder for that, for the length of a block."""
    folder = make(prefix, base).resolve()  # macOS: behind a link
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def abandoned(bases: Iterable[Path], prefix: str = PREFIX) -> list[Path]:
    """The folders that processes of this account made and nobody works in any more."""
    found = []
    for base in dict.fromkeys(path.resolve() for path in bases):
        with contextlib.suppress(OSError):
            found += [each for each in sorted(base.glob(f"{prefix}*")) if _is_abandoned(each)]
    return found


def _is_abandoned(folder: Path) -> bool:
    """Whether the folder is ours and nobody's; as root, its owner may be the account that its service ran under."""
    try:
        if folder.is_symlink() or not folder.is_dir():
            return False
        try:
            descriptor = os.open(folder / CLAIM, os.O_RDWR | os.O_NOFOLLOW)
        except FileNotFoundError:  # its maker was killed at once
            status = folder.stat()
            return (
                status.st_uid == os.geteuid() and status.st_mtime < time.time() - _NEW_S and not any(folder.iterdir())
            )
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return os.fstat(descriptor).st_uid == os.geteuid()
        finally:
            os.close(descriptor)
    except OSError:  # locked, or not to be read by us
        return False
