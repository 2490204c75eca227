"""The folder that outlives a run."""

from pathlib import Path

import platformdirs


def folder() -> Path:
    """Where dbbench keeps what later runs use: in the user's cache folder, as the platform has it.

    Raises RuntimeError when there is no home.
    """
    found = platformdirs.user_cache_path("dbbench", appauthor=False)
    if found.is_absolute():
        return found
    # Older versions of platformdirs take a relative XDG_CACHE_HOME, which its specification says to ignore.
    return Path.home() / ".cache" / "dbbench"
