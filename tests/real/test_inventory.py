"""What an interpreter has installed, asked of real interpreters and of things that are none."""

import importlib.metadata
import json
import platform
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Final

import pytest
from packaging.utils import canonicalize_name

from dbbench.commands.gate import interpreters, inventory
from dbbench.commands.gate.findings import differences
from dbbench.commands.gate.interpreters import take
from dbbench.commands.gate.inventory import Inventory, normalised, own
from dbbench.commands.gate.result import Difference
from dbbench.errors import CannotStartError

EMPTY: Final = Inventory("CPython", "3.11.7", {}, (), ())


def program(folder: Path, text: str) -> Path:
    path = folder / "not a pythön"
    path.write_text(f"#!/bin/sh\n{text}\n", encoding="utf-8")
    path.chmod(0o755)
    return path


def distribution(folder: Path, name: str, *, version: str = "1.0", **files: str) -> None:
    info = folder / f"{name}-{version}.dist-info"
    info.mkdir(parents=True)
    for file, text in {"METADATA": f"Name: {name}\nVersion: {version}\n", **files}.items():
        (info / file.replace("direct_url", "direct_url.json")).write_text(text, encoding="utf-8")


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that is searched for packages before all others."""
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.syspath_prepend(str(folder))
    return folder


def test_the_running_interpreter_is_what_it_says_it_is() -> None:
    found = take(Path(sys.executable))

    assert (found.implementation, found.version) == (platform.python_implementation(), platform.python_version())
    assert found.packages["psycopg"] == importlib.metadata.version("psycopg")
    assert found.packages["typing-extensions"] == importlib.metadata.version("typing_extensions")
    assert "psycopg" not in (*found.editable, *found.source_built)


def test_the_script_needs_nothing_but_the_standard_library(tmp_path: Path) -> None:
    answer = subprocess.run(
        [sys.executable, "-I", "-S", inventory.__file__], cwd=tmp_path, capture_output=True, text=True, check=True
    )

    assert Inventory(**json.loads(answer.stdout)).version == platform.python_version()


def test_packages_of_another_interpreter_are_not_lent_to_it(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    distribution(site, "lent")
    monkeypatch.setenv("PYTHONPATH", str(site))

    assert "lent" in own().packages
    assert "lent" not in take(Path(sys.executable)).packages


def test_the_first_on_the_path_is_the_one_that_is_imported(site: Path) -> None:
    distribution(site, "asyncpg", version="0.1.2")

    assert own().packages["asyncpg"] == "0.1.2"


def test_what_broken_installations_leave_behind_does_not_count(site: Path) -> None:
    distribution(site, "~left", METADATA="Name: left\nVersion: 1.0\n")
    distribution(site, "nameless", METADATA="")
    distribution(site, "versionless", METADATA="Name: versionless\n")

    assert not {"left", "nameless", "versionless"} & set(own().packages)


@pytest.mark.parametrize(
    ("url", "editable"),
    [
        ('{"url": "file:///x", "dir_info": {"editable": true}}', True),
        ('{"url": "file:///x", "dir_info": {}}', False),
        ('{"url": "https://x/y.whl", "archive_info": {}}', False),
        ("[]", False),
        ("no JSON", False),
    ],
)
def test_an_editable_installation_is_known_by_its_url(site: Path, url: str, editable: bool) -> None:
    distribution(site, "My.Driver", direct_url=url)

    assert ("my-driver" in own().editable) is editable


@pytest.mark.parametrize(
    ("pure", "tags", "built"),
    [
        ("false", ["cp311-cp311-linux_x86_64"], True),
        ("false", ["cp311-cp311-manylinux_2_17_x86_64", "cp311-cp311-manylinux2014_x86_64"], False),
        ("false", ["cp311-cp311-musllinux_1_2_aarch64"], False),
        ("false", ["cp311-cp311-macosx_11_0_arm64"], False),
        ("true", ["py3-none-any"], False),
    ],
)
def test_a_local_build_is_known_by_its_tag(site: Path, pure: str, tags: list[str], built: bool) -> None:
    distribution(site, "driver", WHEEL=f"Root-Is-Purelib: {pure}\n" + "".join(f"Tag: {tag}\n" for tag in tags))

    assert ("driver" in own().source_built) is built


def test_only_what_differs_is_listed_sorted_by_name() -> None:
    base = Inventory(**{**asdict(EMPTY), "packages": {"b": "1", "a": "1", "same": "2"}})
    head = Inventory(**{**asdict(EMPTY), "packages": {"same": "2", "b": "2", "c": "3"}})

    assert differences(base.packages, head.packages) == [
        Difference("a", "1", None),
        Difference("b", "1", "2"),
        Difference("c", None, "3"),
    ]
    assert differences(base.packages, base.packages) == []


def test_names_are_compared_as_indexes_do() -> None:
    for name in ("Typing_Extensions.-X", "PyYAML", "zope.interface", "a--b__c"):
        assert normalised(name) == canonicalize_name(name)


def test_nothing_at_the_path_is_no_interpreter(tmp_path: Path) -> None:
    with pytest.raises(CannotStartError, match=r"bin/python is no Python interpreter: No such file or directory"):
        take(tmp_path / "bin/python")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("exit 0", "is no Python interpreter$"),
        ("echo hello; echo what? >&2; exit 1", r"is no Python interpreter: what\?"),
        ("echo python 3.10", r"is Python 3\.10; dbbench's workers need 3\.11 or newer"),
        ("echo python 2.7", r"is Python 2\.7;"),
        ("echo python 3.11", "cannot list its packages: no answer"),
        ("echo python 3.12; echo broken >&2", "cannot list its packages: broken"),
    ],
)
def test_an_interpreter_that_cannot_be_used_is_named(tmp_path: Path, text: str, message: str) -> None:
    path = program(tmp_path, text)

    with pytest.raises(CannotStartError, match=f"^{path} {message}"):
        take(path)


def test_what_gives_no_answer_is_ended_with_all_that_it_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(interpreters, "_PATIENCE_S", 0.2)
    path = program(tmp_path, "sleep 100 & wait")

    with pytest.raises(CannotStartError, match=f"^{path} gave no answer within 0.2 s"):
        take(path)


def test_what_start_up_files_print_is_not_the_answer(tmp_path: Path) -> None:
    path = program(tmp_path, f'echo welcome; echo; exec "{sys.executable}" "$@"')

    assert take(path).version == platform.python_version()
