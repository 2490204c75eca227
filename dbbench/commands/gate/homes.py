"""The homes of base and head (see workers.Homes): two Python environments."""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from typing import Final

import dbbench
from dbbench import folders
from dbbench.child import Home
from dbbench.commands.gate.result import ARMS, BASE, HEAD
from dbbench.commands.gate.sides import Environment
from dbbench.project import module_folders

_MAX_PADDING: Final = 4096  # bytes: a page, over which the stack's start is shifted


@dataclass(frozen=True)
class GateHomes:
    """Both environments, and the parent's own dbbench for both.

    The length of a process's environment variables and paths shifts its stack, which can change its speed by a per cent
    (Mytkowicz et al., ASPLOS 2009). The two sides' paths differ for the whole run, so in every block each side's
    variables are padded by a random length.
    """

    environments: Mapping[str, Environment]
    library: Path  # a folder that contains dbbench
    checkout: Path | None = None  # the user's; scenarios inside it are taken from each side's own files
    depth: int = 0  # of the project's folder below the checkout
    tables_for: Sequence[str] = ARMS

    @property
    def same_tables(self) -> bool:
        """Whether both sides prepare the same tables: unless their scenarios are two revisions of a project's."""
        return all(environment.project is None for environment in self.environments.values())

    def home(self, arm: str) -> Home:
        """See workers.Homes."""
        environment = self.environments[arm]
        paths = [str(self.library)]
        if environment.project is not None:
            paths += map(str, module_folders(environment.project))
        off_limits = "" if environment.checkout is None else str(environment.checkout)
        return Home(str(environment.python), paths, off_limits)

    def for_block(self, rng: Random) -> Mapping[str, Home]:
        """See workers.Homes."""
        return {arm: replace(self.home(arm), padding=rng.randrange(_MAX_PADDING)) for arm in ARMS}

    def path(self, arm: str, path: str) -> str:
        """See workers.Homes."""
        environment = self.environments[arm]
        if environment.project is None or self.checkout is None or not Path(path).is_relative_to(self.checkout):
            return path
        files = environment.project.parents[self.depth - 1] if self.depth else environment.project
        return str(files / Path(path).relative_to(self.checkout))


@contextlib.contextmanager
def homes(base: Environment, head: Environment, project: Path | None) -> Iterator[GateHomes]:
    """The homes of both sides, for the length of a `with` block; `project` is the user's folder."""
    depth = 0
    if project is not None and head.checkout is not None:
        depth = len(project.resolve().relative_to(head.checkout).parts)
    with folders.temporary("dbbench-gate-") as library:
        # A folder that contains only dbbench, so that neither side can import what is installed beside it here.
        (library / "dbbench").symlink_to(Path(dbbench.__file__).resolve().parent, target_is_directory=True)
        yield GateHomes({BASE: base, HEAD: head}, library, head.checkout, depth)
