"""What comes from elsewhere is pinned: actions to a commit, packages to a version and the hashes of its files."""

import os
import re
import subprocess
import tomllib
from pathlib import Path
from typing import Final

import pytest
from conftest import REPOSITORY
from documents import DOCUMENTS
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

TEXTS: Final = [*DOCUMENTS, REPOSITORY / "CONTRIBUTING.md"]
WORKFLOWS: Final = sorted((REPOSITORY / ".github" / "workflows").glob("*.yml"))
LOCKS: Final = ("requirements.txt", "requirements-dev.txt", ".ci/requirements-uv.txt", ".ci/requirements-audit.txt")
HASH: Final = re.compile(r"    --hash=sha256:[0-9a-f]{64}")
PROJECT: Final = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))


def uses(path: Path) -> list[str]:
    """What steps of workflows use from other repositories, with the comment behind it."""
    found = re.findall(r"^[ -]*uses: *(.*)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    return [each for each in found if not each.startswith("./")]


def packages(lock: str) -> dict[str, tuple[str, list[str]]]:
    """Each package of a lock: its version, and the lines below it."""
    _, *stanzas = re.split(r"^(?=[A-Za-z0-9])", (REPOSITORY / lock).read_text(encoding="utf-8"), flags=re.MULTILINE)
    found = {}
    for stanza in stanzas:
        pin, *below = stanza.replace(" \\\n", "\n").splitlines()
        name, _, version = pin.partition(" ;")[0].partition("==")
        assert name not in found, name
        found[name] = version, below
    return found


@pytest.mark.parametrize("path", [REPOSITORY / "action.yml", *WORKFLOWS, *TEXTS], ids=lambda path: path.name)
def test_actions_are_pinned_to_a_commit_and_say_its_version(path: Path) -> None:
    for each in uses(path):
        assert re.fullmatch(r"[\w-]+/[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", each), each


def test_an_action_is_everywhere_at_one_commit() -> None:
    everywhere = {each for path in (*WORKFLOWS, *TEXTS) for each in uses(path)}
    names = [each.partition("@")[0] for each in everywhere]

    assert sorted(names) == sorted(set(names))
    assert {"actions/checkout", "actions/setup-python", "actions/upload-artifact"} <= set(names)


@pytest.mark.parametrize("lock", LOCKS)
def test_every_locked_package_has_hashes_and_nothing_else(lock: str) -> None:
    found = packages(lock)

    assert found
    for name, (version, below) in found.items():
        assert re.fullmatch(r"[\w.+]+", version), name
        assert below, name
        assert [line for line in below if not HASH.fullmatch(line)] == [], name
    assert "://" not in (REPOSITORY / lock).read_text(encoding="utf-8")


def test_the_locks_are_of_this_pyproject() -> None:
    extras = PROJECT["project"]["optional-dependencies"]
    running, besides = packages("requirements.txt"), packages("requirements-dev.txt")
    needed = [
        *PROJECT["project"]["dependencies"],
        *extras["orjson"],
        *extras["uvloop"],
        *PROJECT["build-system"]["requires"],
    ]

    assert set(running).isdisjoint(besides)
    for text, locked in [*((text, running) for text in needed), *((text, running | besides) for text in extras["dev"])]:
        requirement = Requirement(text)
        version, _ = locked[canonicalize_name(requirement.name)]
        assert requirement.specifier.contains(version), (text, version)


def test_make_installs_nothing_without_its_hashes() -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
    done = subprocess.run(
        ["make", "--dry-run", "--always-make", ".venv/installed-dev", "build/audit/installed", "wheel"],
        cwd=REPOSITORY, env=environment, stdout=subprocess.PIPE, text=True, check=True,
    )  # fmt: skip

    assert len(installing(done.stdout)) == 5
    assert [command for command in installing(done.stdout) if not checked(command)] == []


def test_neither_do_workflows_and_scripts_but_for_what_tests_the_ranges() -> None:
    scripts = [path for path in (REPOSITORY / ".ci").iterdir() if path.is_file() and path.suffix != ".txt"]
    texts = [path.read_text(encoding="utf-8") for path in (*WORKFLOWS, *scripts)]
    commands = [command for text in texts for command in installing(text)]
    open_ended = [command for command in commands if not checked(command)]

    assert len(commands) == 6
    assert len(open_ended) == 2
    assert any("dist/dbbench-*.whl" in command for command in open_ended)
    assert any("--resolution lowest-direct" in command for command in open_ended)


def installing(script: str) -> list[str]:
    """The commands of a script that install packages, or build with them."""
    return re.findall(r"^.*\bpip\b.* (?:install|wheel) .*$", script.replace("\\\n", ""), re.MULTILINE)


def checked(command: str) -> bool:
    """Whether pip checks the hash of every file, or takes none from elsewhere."""
    locked = "--require-hashes --only-binary :all:" in command
    return locked or ("--no-deps --no-build-isolation" in command and command.endswith(" ."))
