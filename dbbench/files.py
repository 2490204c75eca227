"""Writing files so that a full disk, a kill or a power failure leaves the old file or the new one, never a part."""

import contextlib
import os
import re
import secrets
from io import FileIO
from pathlib import Path
from typing import Final

_STREAM: Final = re.compile(r"/dev/(?:std(?P<name>in|out|err)|fd/(?P<number>\d+))|/proc/self/fd/(?P<linux>\d+)")
_STANDARD: Final = {"in": 0, "out": 1, "err": 2}
_MOST_LINKS: Final = 40  # as the kernel follows them


def replace_file(path: Path, content: bytes) -> None:
    """Have the file contain this, and make its folder; OSError where that fails, and then the old file is as it was.

    A link stays one. A device, a named pipe or a stream of this process, like /dev/stdout, is written to as it is, and
    so is a file in a folder that takes no new ones.
    """
    target = _end_of_links(path)
    if (stream := _stream(target)) is not None:
        with FileIO(os.dup(stream), "wb") as file:  # which goes on where the stream is
            write_all(file, content)
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    if target.exists() and not target.is_file():
        target.write_bytes(content)
        return
    part = target.with_name(f".dbbench-{secrets.token_hex(8)}")
    try:
        made = FileIO(part, "xb")
    except PermissionError:
        if not target.exists():
            raise
        target.write_bytes(content)
        return
    try:
        with made:
            write_all(made, content)
            with contextlib.suppress(FileNotFoundError):
                os.fchmod(made.fileno(), target.stat().st_mode & 0o7777)
            os.fsync(made.fileno())
        part.replace(target)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    sync_folder(target.parent)


def append(path: Path, content: bytes) -> None:
    """Add this to a file at once; OSError where that fails, and then it has what it had."""
    with FileIO(path, "ab") as file:
        before = os.fstat(file.fileno()).st_size
        try:
            write_all(file, content)
        except BaseException:
            with contextlib.suppress(OSError):
                file.truncate(before)
            raise


def write_all(file: FileIO, content: bytes) -> None:
    """Write everything: a disk that is nearly full may take only a part at a time."""
    rest = memoryview(content)
    while rest:
        rest = rest[file.write(rest) :]


def sync_folder(folder: Path) -> None:
    """See that the names in the folder are on the disk, where the file system can."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _stream(path: Path) -> int | None:
    """The descriptor of this process that the path stands for."""
    found = _STREAM.fullmatch(str(path))
    if found is None:
        return None
    return _STANDARD[found["name"]] if found["name"] else int(found["number"] or found["linux"])


def _end_of_links(path: Path) -> Path:
    """Where the links of a path end, or at a stream of this process, which is one itself."""
    for _ in range(_MOST_LINKS):
        if _stream(path) is not None or not path.is_symlink():
            break
        path = path.parent / path.readlink()
    return path
