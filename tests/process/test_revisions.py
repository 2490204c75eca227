"""Git revisions: real repositories, from which nothing may be taken but their files."""

import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from repositories import git

from dbbench.commands.gate.revisions import check_out, dirty, resolve
from dbbench.errors import CannotStartError, UsageError

pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="needs git")


def commit(folder: Path, files: Mapping[str, str]) -> str:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--allow-empty", "--message", "x")
    return git(folder, "rev-parse", "HEAD")


def contents(folder: Path) -> dict[str, tuple[int, bytes]]:
    """Everything in a folder, with the time of its last change."""
    return {
        str(path.relative_to(folder)): (path.stat().st_mtime_ns, path.read_bytes() if path.is_file() else b"")
        for path in folder.rglob("*")
    }


@pytest.fixture(autouse=True)
def _nobodys_git(monkeypatch: pytest.MonkeyPatch) -> None:
    """The tests may be run inside a git hook, by somebody with settings."""
    for name in [name for name in os.environ if name.startswith("GIT_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A repository with two commits; the first is tagged v1."""
    folder = tmp_path / "mein Projekt ü"
    folder.mkdir()
    git(folder, "init", "--quiet", "--initial-branch=main")
    commit(folder, {"app.py": "one", "lib/größe nr. 1.py": "x"})
    git(folder, "tag", "v1")
    commit(folder, {"app.py": "two"})
    return folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where a check-out goes."""
    return tmp_path / "new folder" / "ö"


@pytest.fixture
def read_only(project: Path) -> Iterator[Path]:
    """The repository, with nothing in it that can be written (root still could)."""
    modes = {path: path.stat().st_mode for path in (project, *project.rglob("*"))}
    for path, mode in modes.items():
        path.chmod(mode & 0o555)
    yield project
    for path, mode in modes.items():
        path.chmod(mode)


@pytest.mark.parametrize("name", ["main", "HEAD", "v1", "HEAD~1"])
def test_a_revision_is_the_commit_that_git_says(project: Path, name: str) -> None:
    found = resolve(project, name)

    assert found.commit == git(project, "rev-parse", name)
    assert found.label == f"{name} ({found.commit[:7]})"
    assert found.checkout == project.resolve()


def test_a_commit_is_not_named_twice(project: Path) -> None:
    commit_id = git(project, "rev-parse", "HEAD")

    assert resolve(project, commit_id).label == resolve(project, commit_id[:9]).label == commit_id[:7]


def test_the_files_of_a_commit_are_written_and_nothing_else_changes(project: Path, folder: Path) -> None:
    (project / "app.py").write_text("uncommitted")
    before = contents(project)

    files = check_out(resolve(project, "v1"), folder)
    is_dirty = dirty(project)

    assert files.root == folder.resolve()
    assert {name: text for name, (_, text) in contents(folder).items() if text} == {
        "app.py": b"one",
        "lib/größe nr. 1.py": b"x",
    }
    assert is_dirty
    assert contents(project) == before
    assert files.note == ""


def test_a_repository_that_cannot_be_written_will_do(read_only: Path, folder: Path) -> None:
    before = contents(read_only)

    check_out(resolve(read_only, "v1"), folder)

    assert (folder / "app.py").read_text() == "one"
    assert contents(read_only) == before


def test_a_bare_repository_will_do(project: Path, folder: Path, tmp_path: Path) -> None:
    bare = tmp_path / "bare.git"
    git(project, "clone", "--quiet", "--bare", str(project), str(bare))

    found = resolve(bare, "main")
    check_out(found, folder)

    assert (folder / "app.py").read_text() == "two"
    assert found.checkout == bare.resolve()
    assert not dirty(bare)


def test_a_linked_work_tree_will_do(project: Path, folder: Path, tmp_path: Path) -> None:
    git(project, "worktree", "add", "--quiet", str(tmp_path / "linked"), "v1")

    found = resolve(tmp_path / "linked", "HEAD")
    check_out(found, folder)

    assert (folder / "app.py").read_text() == "one"
    assert found.checkout == (tmp_path / "linked").resolve()


def test_variables_of_a_git_hook_are_not_followed(
    project: Path, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    index = tmp_path / "index of a hook"
    monkeypatch.setenv("GIT_INDEX_FILE", str(index))
    monkeypatch.setenv("GIT_DIR", "/nowhere")
    monkeypatch.setenv("GIT_WORK_TREE", "/nowhere")
    monkeypatch.setenv("GIT_PREFIX", "sub/")

    check_out(resolve(project, "v1"), folder)

    assert (folder / "app.py").read_text() == "one"
    assert not index.exists()
    assert not dirty(project)


def test_of_a_monorepo_everything_is_written_and_the_root_is_the_projects(project: Path, folder: Path) -> None:
    commit(project, {"services/my api/app.py": "three", "shared/lib.py": "y"})

    found = resolve(project / "services/my api", "HEAD")
    files = check_out(found, folder)

    assert files.root == folder.resolve() / "services/my api"
    assert (files.root / "app.py").read_text() == "three"
    assert (folder / "shared/lib.py").exists()
    assert found.checkout == project.resolve()


def test_a_project_that_is_not_in_a_commit_is_named(project: Path, folder: Path) -> None:
    commit(project, {"services/app.py": "three"})

    with pytest.raises(UsageError, match=r"the project's folder services does not exist in v1 \("):
        check_out(resolve(project / "services", "v1"), folder)


def test_filters_apply_and_export_ignore_does_not(project: Path, folder: Path) -> None:
    commit(project, {".gitattributes": "*.big filter=loud\nlib export-ignore\n", "a.big": "quiet"})
    git(project, "config", "filter.loud.smudge", "tr a-z A-Z")

    check_out(resolve(project, "HEAD"), folder)

    assert (folder / "a.big").read_text() == "QUIET"
    assert (folder / "lib").is_dir()


def test_a_filter_that_fails_is_reported(project: Path, folder: Path) -> None:
    commit(project, {".gitattributes": "*.big filter=broken\n", "a.big": "x"})
    git(project, "config", "filter.broken.smudge", "false")
    git(project, "config", "filter.broken.required", "true")

    with pytest.raises(CannotStartError, match=r"^HEAD \(\w{7}\) cannot be checked out: .*smudge filter broken failed"):
        check_out(resolve(project, "HEAD"), folder)


def test_no_hook_runs_and_settings_of_the_index_leave_no_trace(project: Path, folder: Path, tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    for name in ("post-checkout", "post-index-change", "fsmonitor"):
        hook = project / ".git/hooks" / name
        hook.parent.mkdir(exist_ok=True)
        hook.write_text(f"#!/bin/sh\ntouch '{trace}'\n")
        hook.chmod(0o755)
    git(project, "config", "core.fsmonitor", ".git/hooks/fsmonitor")
    git(project, "config", "core.splitIndex", "true")
    git(project, "config", "core.sparseCheckout", "true")
    (project / ".git/info").mkdir(exist_ok=True)
    (project / ".git/info/sparse-checkout").write_text("/app.py\n")
    before = contents(project)

    check_out(resolve(project, "v1"), folder)
    dirty(project)

    assert not trace.exists()
    assert contents(project) == before
    assert (folder / "lib").is_dir()


def test_submodules_are_named_and_not_checked_out(project: Path, folder: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    git(other, "init", "--quiet")
    commit(other, {"x": "x"})
    git(project, "-c", "protocol.file.allow=always", "submodule", "--quiet", "add", str(other), "vendor/other")
    commit(project, {})

    files = check_out(resolve(project, "main"), folder)

    assert files.note == f"submodules are not checked out, in {resolve(project, 'main').label}: vendor/other"
    assert not list((folder / "vendor").rglob("x"))


def test_only_changes_of_known_files_make_it_dirty(project: Path) -> None:
    (project / "notes").write_text("untracked")
    clean = dirty(project)
    (project / "app.py").write_text("changed")

    assert (clean, dirty(project)) == (False, True)


@pytest.mark.parametrize("name", ["", "-v1", "--all"])
def test_an_option_is_no_revision(project: Path, name: str) -> None:
    with pytest.raises(UsageError, match=f"^'{name}' is not a git revision; give a branch, a tag or a commit"):
        resolve(project, name)


@pytest.mark.parametrize("name", ["nope", "v1..main", "^main", "HEAD:app.py", "v1\nmain", "a b"])
def test_what_is_no_commit_is_refused_with_a_way_out(project: Path, name: str) -> None:
    with pytest.raises(UsageError, match=r"has no git revision .*; if it is a branch elsewhere, `git fetch origin "):
        resolve(project, name)


def test_a_branch_that_is_only_at_the_remote_is_suggested(project: Path, tmp_path: Path) -> None:
    git(project, "branch", "feature")
    clone = tmp_path / "clone"
    git(project, "clone", "--quiet", str(project), str(clone))

    with pytest.raises(UsageError, match="has no git revision 'feature'; there is origin/feature: use that"):
        resolve(clone, "feature")
    assert resolve(clone, "origin/feature").commit == resolve(project, "feature").commit


def test_in_a_shallow_clone_the_way_out_works(project: Path, folder: Path, tmp_path: Path) -> None:
    git(project, "branch", "old", "v1")
    clone = tmp_path / "clone"
    git(project, "clone", "--quiet", "--depth=1", "--no-single-branch", "--branch=main", project.as_uri(), str(clone))
    git(clone, "update-ref", "-d", "refs/remotes/origin/old")

    with pytest.raises(
        UsageError, match=r"shallow clone: `git fetch origin old` brings .* origin/old .*fetch-depth: 0"
    ):
        resolve(clone, "old")
    git(clone, "fetch", "--quiet", "origin", "old")
    check_out(resolve(clone, "origin/old"), folder)
    assert (folder / "app.py").read_text() == "one"


def test_a_folder_outside_any_repository_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))

    with pytest.raises(UsageError, match="cannot be used as a project in a git repository: fatal: not a git repo"):
        resolve(tmp_path, "main")
    with pytest.raises(UsageError, match=r"nope cannot be used .*: fatal: cannot change to .*nope"):
        resolve(tmp_path / "nope", "main")
    assert not dirty(tmp_path)


def test_a_repository_of_somebody_else_is_refused_in_gits_words(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")

    with pytest.raises(UsageError, match=r"dubious ownership .*git config --global --add safe\.directory"):
        resolve(project, "main")


def test_git_must_be_installed(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(project))

    with pytest.raises(CannotStartError, match="git is not installed"):
        resolve(project, "main")
