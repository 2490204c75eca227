"""What an export of several files takes for a folder."""

from pathlib import Path


def is_folder(output: Path) -> bool:
    """Whether the output is a folder, or would be made one: a name without a suffix."""
    return output.is_dir() or not output.suffix
