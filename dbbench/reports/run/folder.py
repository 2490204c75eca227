"""What an export of several files takes for a folder, and what it may call its files there."""

import re
from pathlib import Path
from typing import Final

MAX_PART: Final = 60  # characters of a part of a name: file systems take 255 bytes for the whole
_UNSAFE: Final = re.compile(r"[^A-Za-z0-9_.=+-]+")


def is_folder(output: Path) -> bool:
    """Whether the output is a folder, or would be made one: a name without a suffix."""
    return output.is_dir() or not output.suffix


def safe(part: str) -> str:
    """Make any text part of a file name: a result file may come from anywhere."""
    return _UNSAFE.sub("_", part)[:MAX_PART].lstrip(".-") or "_"
