"""The cache folder: what dbbench keeps from one run to the next."""

from pathlib import Path
from typing import Final

import platformdirs

MAKING: Final = ".making-"  # how the names of folders begin that are not finished


def folder() -> Path:
    """The folder for what later runs use, in the platform's cache folder for the user.

    Raises RuntimeError when the user has no home directory.
    """
    found = platformdirs.user_cache_path("dbbench", appauthor=False)
    if found.is_absolute():
        return found
    # Older versions of platformdirs accept a relative XDG_CACHE_HOME, which its specification says to ignore.
    return Path.home() / ".cache" / "dbbench"
