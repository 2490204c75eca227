"""Git: the commit of a revision, and its files in a separate folder.

The user's repository is only read. A check-out uses an index of its own, in a temporary folder, so there is no entry in
.git/worktrees, and index, HEAD and files stay as they are. (`git worktree` writes into the repository; `git archive`
applies no smudge filters such as LFS and leaves out files marked export-ignore.)
"""

import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from dbbench import folders
from dbbench.commands.gate.programs import finish
from dbbench.errors import CannotStartError, UsageError

_SHORT_DIGITS: Final = 7  # of a commit, in labels
_NO_SIDE_EFFECTS: Final = (
    "--no-pager",
    "--no-optional-locks",  # `status` would write the index
    "-c", f"core.hooksPath={os.devnull}",
    "-c", "core.fsmonitor=false",  # it would run a hook, or start a daemon
    "-c", "core.splitIndex=false",  # a split index writes to .git
)  # fmt: skip
# A gate may run inside a git hook, where these may name a repository and an index other than the project's.
_OF_A_REPOSITORY: Final = (
    "GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_COMMON_DIR", "GIT_PREFIX", "GIT_NAMESPACE",
    "GIT_OBJECT_DIRECTORY", "GIT_ALTERNATE_OBJECT_DIRECTORIES", "GIT_SHALLOW_FILE",
)  # fmt: skip


@dataclass(frozen=True)
class Revision:
    """A commit of the repository that a project is in."""

    name: str  # as the user wrote it: "main"
    commit: str  # all digits
    repository: Path  # git's own folder
    checkout: Path  # root of the user's files, resolved; of a bare repository: git's own folder
    inside: str  # the project's folder, relative to the root; empty: the root itself

    @property
    def label(self) -> str:
        """Its name in reports: "main (3f9c2a1)"."""
        short = self.commit[:_SHORT_DIGITS]
        return (
            short
            if len(self.name) >= _SHORT_DIGITS and self.commit.startswith(self.name.lower())
            else f"{self.name} ({short})"
        )


@dataclass(frozen=True)
class Files:
    """The files of a commit."""

    root: Path  # of the project, not of the repository
    note: str  # tells the user what is missing; often empty


def resolve(project: Path, revision: str) -> Revision:
    """The commit of a revision, in the repository of the folder `project`.

    Raises UsageError, with git's own reason or the way out, when there is no repository or no such revision,
    CannotStartError when git is not installed.
    """
    if not revision or revision.startswith("-"):
        raise UsageError(f"{revision!r} is not a git revision", "give a branch, a tag or a commit")
    bare = _read(project, "--is-bare-repository") == "true"
    repository = Path(_read(project, "--absolute-git-dir"))
    commit = _commit(repository, revision)
    if commit is None:
        raise UsageError(f"{project} has no git revision {revision!r}", _way_out(repository, revision))
    return Revision(
        name=revision,
        commit=commit,
        repository=repository,
        checkout=repository.resolve() if bare else Path(_read(project, "--show-toplevel")).resolve(),
        inside="" if bare else _read(project, "--show-prefix").rstrip("/"),
    )


def check_out(revision: Revision, folder: Path) -> Files:
    """Write the files of a commit into a folder: those of the whole repository, since a project may need them.

    Raises UsageError when the project's folder does not exist in that commit, CannotStartError with git's own reason
    when the check-out fails.
    """
    folder.mkdir(parents=True, exist_ok=True)
    folder = folder.resolve()
    with folders.temporary("dbbench-gate-") as private:
        where = (f"--git-dir={revision.repository}", f"--work-tree={folder}", "-C", str(folder))
        index = {"GIT_INDEX_FILE": f"{private}/index"}
        _must(revision, _git(*where, "read-tree", "--no-sparse-checkout", revision.commit, more=index))
        _must(revision, _git(*where, "checkout-index", "--all", "--force", more=index))
        listing = _must(revision, _git(*where, "ls-files", "--stage", "-z", more=index))
    root = folder / revision.inside
    if not root.is_dir():
        raise UsageError(f"the project's folder {revision.inside} does not exist in {revision.label}")
    submodules = [entry.partition("\t")[2] for entry in listing.split("\0") if entry.startswith("160000 ")]
    note = f"submodules are not checked out, in {revision.label}: {', '.join(submodules)}" if submodules else ""
    return Files(root, note)


def dirty(project: Path) -> bool:
    """Whether tracked files have uncommitted changes, which a gate does not measure."""
    status = _git("-C", str(project), "status", "--porcelain", "--untracked-files=no", "--ignore-submodules=dirty")
    return status.returncode == 0 and bool(status.stdout)  # the status fails in a bare repository, which has no files


def _commit(repository: Path, revision: str) -> str | None:
    answer = _git(f"--git-dir={repository}", "rev-parse", "--verify", "--quiet", f"{revision}^{{commit}}")
    commit = answer.stdout.strip()
    return commit if answer.returncode == 0 and re.fullmatch(r"[0-9a-f]{40,64}", commit) else None


def _way_out(repository: Path, revision: str) -> str:
    """How to get a missing revision, as part of a message."""
    remote = f"origin/{revision}"
    if _commit(repository, remote) is not None:
        return f"there is {remote}: use that"
    shallow = _git(f"--git-dir={repository}", "rev-parse", "--is-shallow-repository").stdout.strip() == "true"
    if shallow:
        return (
            f"this is a shallow clone: `git fetch origin {revision}` brings a branch as {remote} (with "
            "actions/checkout: fetch-depth: 0)"
        )
    return f"if it is a branch elsewhere, `git fetch origin {revision}` brings it as {remote}"


def _read(project: Path, what: str) -> str:
    """One fact about the repository, as `git rev-parse` prints it; raises UsageError."""
    answer = _git("-C", str(project), "rev-parse", what)
    if answer.returncode:
        raise UsageError(f"{project} cannot be used as a project in a git repository: {_reason(answer)}")
    return answer.stdout.removesuffix("\n")


def _must(revision: Revision, answer: subprocess.CompletedProcess[str]) -> str:
    if answer.returncode:
        raise CannotStartError(f"{revision.label} cannot be checked out: {_reason(answer)}")
    return answer.stdout


def _reason(answer: subprocess.CompletedProcess[str]) -> str:
    """Git's whole error output, in one line: the way out is often in its last line."""
    return " ".join(answer.stderr.split()) or f"git ended with status {answer.returncode}"


def _git(*arguments: str, more: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """Run git so that it changes nothing, runs no hook and prompts for nothing."""
    program = shutil.which("git")
    if program is None:
        raise CannotStartError("git is not installed, and a gate of two revisions needs it")
    kept = {name: value for name, value in os.environ.items() if name not in _OF_A_REPOSITORY}
    # With an empty GIT_ASKPASS no window asks for a password.
    environment = {**kept, "GIT_TERMINAL_PROMPT": "0", "GIT_ASKPASS": "", **(more or {})}
    return finish([program, *_NO_SIDE_EFFECTS, *arguments], environment)
