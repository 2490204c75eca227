"""What killed runs have left behind, on this machine and on a server: found, and removed."""

import contextlib
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from dbbench import cache, folders
from dbbench.address import Address
from dbbench.server import schemas
from dbbench.server.schemas import Schema
from dbbench.server.supervised import candidate_bases

_APPLICATION: Final = "dbbench_clean"


@dataclass(frozen=True)
class Leftovers:
    """What is there and nobody uses any more."""

    folders: Sequence[Path]  # of servers, poolers, relays and gates, and half-made environments in the cache
    schemas: Sequence[Schema]  # with our tag, on the server that was named
    in_use: Sequence[Schema]  # of runs that are going on

    def __bool__(self) -> bool:
        """Whether there is anything to remove."""
        return bool(self.folders or self.schemas)


def find(address: Address | None) -> Leftovers:
    """Look on this machine and, where there is an address, in that database.

    Raises CannotStartError when the server cannot be reached.
    """
    if address is None:
        return Leftovers(find_folders(), [], [])
    with schemas.connected(address, _APPLICATION) as connection:
        ours = schemas.find(connection)
    gone = [one for one in ours if not one.in_use]
    return Leftovers(find_folders(), gone, [one for one in ours if one.in_use])


def find_folders() -> list[Path]:
    """The folders on this machine that killed runs have left behind."""
    found = folders.abandoned(map(Path, candidate_bases()))
    with contextlib.suppress(RuntimeError):  # no home directory, so no cache
        found += folders.abandoned([cache.folder() / "environments"], cache.MAKING)
    return found


def remove(found: Leftovers, address: Address | None) -> list[str]:
    """Remove it all; gives a sentence for each thing that had to stay, and why."""
    stayed = []
    for folder in found.folders:
        try:
            shutil.rmtree(folder)
        except OSError as error:
            stayed.append(f"{folder}: {error.strerror or error}")
    if address is not None and found.schemas:
        with schemas.connected(address, _APPLICATION) as connection:
            kept = (schemas.drop(connection, schema.name) for schema in found.schemas)
            stayed += [f"schema {one.schema}: {one.reason}" for one in kept if one is not None]
    return stayed
