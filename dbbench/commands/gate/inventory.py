"""The running interpreter and the packages installed in it.

Run as a script, by any Python >= 3.11, this file prints the inventory as one line of JSON. It imports only the standard
library, so neither dbbench nor its dependencies need to be installed there.
"""

import contextlib
import importlib.metadata
import json
import platform
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass


@dataclass(frozen=True)
class Inventory:
    """An interpreter and its packages, by their normalised names."""

    implementation: str  # "CPython"
    version: str  # "3.11.7"
    packages: Mapping[str, str]  # name -> version
    editable: Sequence[str]  # installed as a link to a folder
    source_built: Sequence[str]  # compiled when they were installed; never known on macOS


def own() -> Inventory:
    """The inventory of the running interpreter."""
    names = {name for each in importlib.metadata.distributions() if (name := _field(each, "Name"))}
    # Looked up by name, as an import would: the first on the path counts. What a broken installation left behind
    # (pip's "~name" folders) is found by no name.
    found: dict[str, importlib.metadata.Distribution] = {}
    for name in sorted(names):
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[normalised(name)] = importlib.metadata.distribution(name)
    return Inventory(
        implementation=platform.python_implementation(),
        version=platform.python_version(),
        packages={name: version for name, each in found.items() if (version := _field(each, "Version"))},
        editable=[name for name, each in found.items() if _is_editable(each)],
        source_built=[name for name, each in found.items() if _is_source_built(each)],
    )


def normalised(name: str) -> str:
    """The same as packaging.utils.canonicalize_name(): PyYAML -> pyyaml, typing_extensions -> typing-extensions."""
    return re.sub(r"[-_.]+", "-", name).lower()


def _field(distribution: importlib.metadata.Distribution, name: str) -> str:
    """A field of its metadata; empty after an interrupted installation."""
    metadata = distribution.metadata
    return str(metadata[name]) if metadata and name in metadata else ""


def _is_editable(distribution: importlib.metadata.Distribution) -> bool:
    try:
        where = json.loads(distribution.read_text("direct_url.json") or "{}")
        return where.get("dir_info", {}).get("editable") is True
    except (ValueError, AttributeError):
        return False


def _is_source_built(distribution: importlib.metadata.Distribution) -> bool:
    """Whether it was compiled on this machine: published wheels have a tag for manylinux_* or musllinux_*.

    macOS makes no such difference: published and local wheels both have a tag for macosx_*.
    """
    wheel = (distribution.read_text("WHEEL") or "").lower()
    tags = re.findall(r"^tag:\s*\S+-(\S+)\s*$", wheel, re.MULTILINE)
    pure = re.search(r"^root-is-purelib:\s*false\s*$", wheel, re.MULTILINE) is None
    return not pure and any(tag.startswith("linux_") for tag in tags)


if __name__ == "__main__":
    print(json.dumps(asdict(own())))
