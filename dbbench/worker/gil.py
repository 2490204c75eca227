"""Whether Python's global interpreter lock is there, where it need not be: an extension module may switch it on."""

import sys
import sysconfig
from typing import Final

FACT: Final = "GIL"  # its name among the facts about an arm


def state() -> str:
    """Whether it is "enabled" or "disabled" now; empty for a build of Python that always has it."""
    if not sysconfig.get_config_var("Py_GIL_DISABLED"):
        return ""
    return "enabled" if sys._is_gil_enabled() else "disabled"  # type: ignore[attr-defined]  # noqa: SLF001 - no other way
