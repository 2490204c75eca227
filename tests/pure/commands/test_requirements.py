"""Requirements as a gate reads them: what they name, and what a folder or an archive makes."""

from pathlib import Path

import pytest

from dbbench.commands.gate.requirements import bare, extras_of, is_version, merged, parse
from dbbench.commands.gate.sides import Wanted
from dbbench.commands.gate.steps import Request, _concerned
from dbbench.engine.options import Options
from dbbench.errors import UsageError

INSTALLED = ["psycopg", "asyncpg", "psycopg2"]


@pytest.mark.parametrize("text", ["asyncpg=1", "asyncpg==", "asyncpg==not a version", "asyncpg[", "asyncpg @"])
def test_what_is_wrong_with_a_requirement_is_said_with_the_way_out(text: str) -> None:
    with pytest.raises(UsageError) as raised:
        parse(text)

    assert raised.value.message.startswith(f"{text!r} is neither a requirement (")
    assert raised.value.remedy == "requirements are written like asyncpg==0.31.0 or 'asyncpg @ URL'"
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("files", "name"),
    [
        (
            {"pyproject.toml": "[tool.x]\n[[tool.y]]\n[project]\nx = '''\nname = 'no''''\nname = 'Driver_A'\n"},
            "driver-a",
        ),
        ({"pyproject.toml": "project.name = 'driver'"}, "driver"),
        ({"pyproject.toml": "project = 3", "setup.cfg": "[metadata]\nname: driver\n"}, "driver"),
        ({"pyproject.toml": "no TOML", "setup.cfg": "[metadata]\nversion = %(x)s\nname = driver ; a comment\n"}, None),
        ({"setup.cfg": "[metadata]\nname = driver\nversion = attr: x%y\n"}, "driver"),
        ({"setup.cfg": "no section", "setup.py": "from setuptools import setup\nsetup(name='driver')"}, "driver"),
        ({"setup.py": "import setuptools\nNAME = 'driver'\nsetuptools.setup(version='1', name=NAME)"}, "driver"),
        ({"setup.py": "setup(ext_modules=[Extension(name='driver._c')], name='driver')"}, "driver"),
        ({"setup.py": "setup(ext_modules=[Extension(name='driver._c')], name=read('NAME'))"}, None),
        ({"setup.py": "print 'Python 2'"}, None),
        ({"setup.py": b"name = '\xff'"}, None),
        ({}, None),
    ],
)
def test_the_name_of_a_folders_distribution_is_read_by_parsers(
    tmp_path: Path, files: dict[str, str | bytes], name: str | None
) -> None:
    for file, content in files.items():
        (tmp_path / file).write_bytes(content if isinstance(content, bytes) else content.encode())

    if name is None:
        with pytest.raises(UsageError, match="which package that is cannot be told; write 'NAME @ file://"):
            parse(str(tmp_path))
    else:
        assert parse(str(tmp_path)).name == name


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("My.Driver-1.0-cp311-cp311-linux_x86_64.whl", "my-driver"),
        ("psycopg2_binary-2.9.10.tar.gz", "psycopg2-binary"),
        ("driver-1.0.zip", "driver"),
        ("driver.zip", None),
        ("driver-main.tar.gz", None),
    ],
)
def test_the_name_of_an_archives_distribution_is_in_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, file: str, name: str | None
) -> None:
    """It is a file even where its name could be one of a package."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / file).touch()

    if name is None:
        with pytest.raises(UsageError, match="which package that is cannot be told; write 'NAME @ file://"):
            parse(file)
    else:
        found = parse(file)
        assert (found.name, found.what) == (name, str((tmp_path / file).resolve()))
        assert found.is_source is not file.endswith(".whl")


@pytest.mark.parametrize(
    ("text", "argument"),
    [
        ("asyncpg", "asyncpg[x]"),
        ("asyncpg[Gss_Auth]==1", "asyncpg[gss-auth,x]==1"),
        ("asyncpg ; python_version>'3'", 'asyncpg[x] ; python_version > "3"'),
        ("asyncpg@https://x/a.whl ; python_version>'3'", 'asyncpg[x] @ https://x/a.whl ; python_version > "3"'),
    ],
)
def test_pip_gets_what_was_asked_for_with_more_extras(text: str, argument: str) -> None:
    assert parse(text).argument(frozenset({"x"})) == argument


def test_names_and_extras_of_a_requirement() -> None:
    assert bare("Psycopg_X[Binary,pool]>=3 ; python_version > '3'") == "psycopg-x"
    assert extras_of("psycopg[Binary_X,pool]>=3") == {"binary-x", "pool"}


def test_two_drivers_may_need_one_package_with_different_extras() -> None:
    assert merged(["psycopg[pool]", "asyncpg", "Psycopg[binary]", "asyncpg"]) == ("psycopg[binary,pool]", "asyncpg")


@pytest.mark.parametrize(("text", "is_one"), [("1.0.post1", True), ("1!2.0rc1+local.1", True), ("1.0-unknown", False)])
def test_a_version_is_what_pip_takes_for_one(text: str, is_one: bool) -> None:
    assert is_version(text) is is_one


@pytest.mark.parametrize(
    ("texts", "drivers"),
    [
        (("asyncpg==0.30.0",), ["asyncpg"]),
        (("PsycoPG2_binary==2.9.9", "asyncpg"), ["asyncpg", "psycopg2"]),
        (("psycopg[pool] >= 3",), ["psycopg"]),
        (("asyncpg-extras",), INSTALLED),
        (("asyncpg", "sqlalchemy==2.0"), INSTALLED),
        ((), INSTALLED),
    ],
)
def test_requirements_that_name_drivers_alone_have_those_measured(texts: tuple[str, ...], drivers: list[str]) -> None:
    wanted = Wanted(base=texts, head=texts, base_python=None, head_python=None, project=None)

    assert _concerned(Request(wanted, Options(scenarios=[]), {}), INSTALLED) == drivers


def test_a_folder_counts_as_the_driver_that_it_makes(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text("[project]\nname = 'asyncpg'\n")
    wanted = Wanted(("asyncpg",), (str(tmp_path),), None, None, None, from_source=True)

    assert _concerned(Request(wanted, Options(scenarios=[]), {}), INSTALLED) == ["asyncpg"]
