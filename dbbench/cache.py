"""The folder that outlives a run."""

import os
from pathlib import Path


def folder() -> Path:
    """Where dbbench keeps what later runs use: in the user's cache folder (XDG Base Directory Specification).

    Raises RuntimeError when there is no home.
    """
    cache = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(cache) if Path(cache).is_absolute() else Path.home() / ".cache") / "dbbench"
