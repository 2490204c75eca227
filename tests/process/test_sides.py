"""The environments of a gate: real virtual environments, real pip, real git. Making one takes ten seconds: few are."""

import contextlib
import functools
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

import pytest
from repositories import git

from dbbench.commands.gate import requirements, virtualenvs
from dbbench.commands.gate import sides as module
from dbbench.commands.gate.findings import differences
from dbbench.commands.gate.inventory import Inventory, own
from dbbench.commands.gate.sides import Environment, Wanted, environments
from dbbench.errors import CannotStartError, DbbenchError, UsageError

REPOSITORY: Final = Path(__file__).parents[2]
PYTHON: Final = Path(sys.executable)
NOTHING: Final = Wanted(base=(), head=(), base_python=None, head_python=None, project=None)
RELEASES: Final = replace(NOTHING, base=("asyncpg==0.30.0",), head=("asyncpg==0.31.0",))
needs_git = pytest.mark.skipif(shutil.which("git") is None, reason="needs git")


@dataclass
class Made:
    """What came of an attempt to make a pair."""

    pair: tuple[Environment, Environment] | None = None
    error: DbbenchError | None = None
    said: list[str] = field(default_factory=list)
    noted: list[str] = field(default_factory=list)


def attempt(wanted: Wanted) -> Made:
    made = Made()
    try:
        with environments(wanted, made.said.append, made.noted.append) as pair:
            made.pair = pair
    except DbbenchError as error:
        made.error = error
    return made


@pytest.fixture(scope="module")
def cache() -> Path:
    """Where the environments of all tests are kept: what is made once is there for the next."""
    return Path(os.environ["XDG_CACHE_HOME"]) / "dbbench" / "environments"


@pytest.fixture(scope="module")
def attempts(cache: Path) -> dict[str, Made]:
    """All that needs pip, at once."""
    del cache  # wanted for its group of tests
    wanted = {
        "releases": RELEASES,
        "no such release": replace(RELEASES, base=("asyncpg==0.0.1",)),
        "no wheel": replace(RELEASES, base=("docopt==0.6.2",)),  # has never had one
    }
    with ThreadPoolExecutor() as pool:
        return dict(zip(wanted, pool.map(attempt, wanted.values()), strict=True))


@pytest.fixture
def pair(attempts: dict[str, Made]) -> tuple[Environment, Environment]:
    """Two releases of asyncpg."""
    made = attempts["releases"]
    assert made.pair is not None, made.error
    return made.pair


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where temporary folders are made."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


@functools.cache
def lacking(folder: Path) -> Path:
    """A Python with no packages."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    return folder / "bin/python"


def recipe(*texts: str, side: requirements.Name = "base", extra: tuple[str, ...] = ()) -> virtualenvs.Recipe:
    return module._recipe(side, [requirements.parse(text) for text in texts], extra, ())


# Requirements


def test_two_releases_differ_in_what_was_asked_for_and_in_nothing_else(pair: tuple[Environment, Environment]) -> None:
    base, head = pair

    found = differences(base.inventory.packages, head.inventory.packages)
    assert [(each.package, each.base, each.head) for each in found] == [("asyncpg", "0.30.0", "0.31.0")]
    installed = own().packages
    assert all(base.inventory.packages[name] == installed[name] for name in ("msgspec", "sqlalchemy", "psycopg-binary"))
    assert "dbbench" not in base.inventory.packages
    assert (base.label, head.label) == ("asyncpg==0.30.0", "asyncpg==0.31.0")
    assert (base.project, base.checkout) == (None, None)


def test_a_worker_can_run_in_what_was_made(pair: tuple[Environment, Environment]) -> None:
    program = "import dbbench.worker, dbbench.drivers.asyncpg, dbbench.drivers.psycopg, dbbench.drivers.psycopg2, sys"
    for side in pair:
        answer = subprocess.run(
            [side.python, "-P", "-c", f"{program}; print(sys.prefix)"],
            env={"PYTHONPATH": str(REPOSITORY)}, capture_output=True, text=True, check=True,
        )  # fmt: skip
        assert Path(answer.stdout.strip()) == side.python.parents[1]


def test_an_environment_works_where_it_was_moved_to(pair: tuple[Environment, Environment]) -> None:
    answer = subprocess.run([pair[0].python, "-m", "pip", "check"], capture_output=True, text=True, check=True)

    assert "No broken requirements" in answer.stdout


def test_while_an_environment_is_made_the_user_is_told(attempts: dict[str, Made]) -> None:
    # The releases may lie in the cache already, from other tests of this process; this one cannot.
    assert attempts["no such release"].said == ["making the base environment: asyncpg==0.0.1"]
    assert attempts["releases"].noted == []


def test_the_second_time_both_come_from_the_cache(pair: tuple[Environment, Environment]) -> None:
    again = attempt(RELEASES)

    assert again.pair == pair
    assert again.said == []


def test_one_that_is_used_counts_as_new(pair: tuple[Environment, Environment]) -> None:
    used = pair[0].python.parents[1] / "used"
    os.utime(used, (0, 0))

    attempt(RELEASES)

    assert time.time() - used.stat().st_mtime < 60


def test_pip_failing_is_told_with_side_requirement_and_way_out(attempts: dict[str, Made]) -> None:
    for name, requirement in (("no such release", "asyncpg==0.0.1"), ("no wheel", "docopt==0.6.2")):
        made = attempts[name]
        assert isinstance(made.error, CannotStartError)
        assert str(made.error) == (
            f"the base environment ({requirement}) cannot be made: No matching distribution found for {requirement}; "
            "check the version, or build it with --from-source if it has no wheel for this Python"
        )


def test_only_what_is_complete_is_left_in_the_cache(pair: tuple[Environment, Environment], cache: Path) -> None:
    kept = set(cache.iterdir())

    assert {each.python.parents[1] for each in pair} <= kept
    assert all((folder / "used").is_file() and (folder / "bin" / "python").exists() for folder in kept)


@pytest.mark.parametrize(
    ("complaint", "reason", "remedy"),
    [
        (
            ["ERROR: Cannot install a and b.", "ERROR: ResolutionImpossible: for help visit a page"],
            "Cannot install a and b",
            f"what is not named is kept at the version that is installed in {sys.prefix}",
        ),
        (
            [
                "WARNING: Retrying (Retry(total=0))",
                "ERROR: Could not find a version",
                "ERROR: No matching distribution",
            ],
            "No matching distribution",
            "pip could not reach its package index",
        ),
        (["ERROR: No matching distribution found for a"], "No matching distribution found for a", "check the version"),
        (["Traceback", "  File x", "OSError: disk   full"], "File x OSError: disk full", ""),
        ([], "no reason given", ""),
    ],
)
def test_of_pips_words_the_telling_ones_are_taken(complaint: list[str], reason: str, remedy: str) -> None:
    assert virtualenvs._pip_reason("\n".join(complaint), recipe("asyncpg==1")) == (reason, remedy)


def test_base_and_head_are_two_installations_even_if_they_are_equal() -> None:
    assert recipe("asyncpg==1").digest == recipe("asyncpg==1").digest
    assert recipe("asyncpg==1").digest != recipe("asyncpg==1", side="head").digest
    assert recipe("asyncpg==1").digest != recipe("asyncpg==2").digest


@pytest.mark.parametrize(
    ("asked", "there", "not_there"),
    [
        ("asyncpg==0.31.0", {"asyncpg==0.31.0", "psycopg[binary,pool]", "psycopg2-binary"}, {"asyncpg"}),
        ("psycopg == 3.2.3", {"psycopg[binary,pool]==3.2.3"}, {"psycopg[binary,pool]"}),
        ("SQLAlchemy>=2.0,<2.1", {"SQLAlchemy[asyncio]<2.1,>=2.0"}, {"sqlalchemy[asyncio]"}),
        ("psycopg2==2.9.10", {"psycopg2==2.9.10"}, {"psycopg2-binary"}),
        ("psycopg[c]==3.2.3", {"psycopg[c,pool]==3.2.3"}, {"psycopg[binary,pool]"}),
        ("psycopg-c==3.2.3", {"psycopg-c==3.2.3", "psycopg[pool]"}, {"psycopg[binary,pool]"}),
        ("asyncpg@https://x/a.whl", {"asyncpg @ https://x/a.whl"}, {"asyncpg"}),
        ("uvloop==0.1", {"uvloop==0.1"}, {"uvloop"}),
    ],
)
def test_the_users_requirement_replaces_ours(asked: str, there: set[str], not_there: set[str]) -> None:
    requirements = set(recipe(asked, extra=("uvloop",)).requirements)

    assert there <= requirements
    assert not not_there & requirements


def test_what_was_not_asked_for_is_kept_at_the_running_version() -> None:
    installed = {"asyncpg": "1", "psycopg": "3.2", "psycopg-binary": "3.2", "psycopg-pool": "3.3", "dbbench": "1",
                 "odd": "1.0-unknown", "uvloop": "0.2.post1"}  # fmt: skip

    assert module._constraints([requirements.parse("psycopg==3.1")], installed) == [
        "asyncpg==1", "psycopg-pool==3.3", "uvloop==0.2.post1",
    ]  # fmt: skip
    assert module._constraints([requirements.parse("psycopg-pool==3.1")], installed) == [
        "asyncpg==1",
        "uvloop==0.2.post1",
    ]


@pytest.mark.parametrize(
    ("files", "text", "name"),
    [
        ({"driver/pyproject.toml": '[project]\nversion = "1"\nname = "My.Driver"\n'}, "./driver", "my-driver"),
        ({"driver/pyproject.toml": "[build-system]\n", "driver/setup.cfg": "[metadata]\nname = a\n"}, "driver/", "a"),
        ({"driver/setup.py": "setup(\n    name='psycopg2',\n)"}, "./driver", "psycopg2"),
        ({"driver/pyproject.toml": '[project]\nname = "psycopg"\n'}, "./driver[pool]", "psycopg"),
        ({"dist/asyncpg-0.31.0.tar.gz": ""}, "dist/asyncpg-0.31.0.tar.gz", "asyncpg"),
        ({"asyncpg-0.31.0.tar.gz": ""}, "asyncpg-0.31.0.tar.gz", "asyncpg"),
    ],
)
def test_source_code_needs_from_source(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, files: dict[str, str], text: str, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    for file, content in files.items():
        Path(file).parent.mkdir(exist_ok=True)
        Path(file).write_text(content)

    made = attempt(replace(RELEASES, head=(text,)))

    assert isinstance(made.error, UsageError)
    assert str(made.error) == f"{text} is source code; give --from-source, which builds {name} on both sides"
    assert not requirements.parse(text).is_lasting
    assert str(tmp_path.resolve()) in recipe(text).requirements[0]


def test_a_folder_of_unknown_name_is_refused_with_the_way_out(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=rf"which package that is cannot be told; write 'NAME @ file://{tmp_path}'"):
        requirements.parse(str(tmp_path))


@pytest.mark.parametrize("text", ["-r other.txt", "--pre", "./nope", "asyncpg==", "asyncpg=1", "git+https://x/y", ""])
def test_what_is_no_requirement_is_named(text: str) -> None:
    made = attempt(replace(RELEASES, head=(text,)))

    assert isinstance(made.error, UsageError)
    assert str(made.error).startswith(f"{text!r} is neither a requirement")


@pytest.mark.parametrize(
    ("text", "lasting"),
    [
        ("asyncpg==0.31.0", True),
        ("asyncpg == 0.31.0 ; python_version > '3'", True),
        ("asyncpg===0.31.0", True),
        ("asyncpg", False),
        ("asyncpg==0.31.*", False),
        ("asyncpg>=0.31", False),
        ("asyncpg==0.31.0,!=0.30", False),
        ("asyncpg @ https://x/asyncpg-0.31.0.whl", False),
    ],
)
def test_only_what_means_the_same_tomorrow_is_kept(text: str, lasting: bool) -> None:
    assert requirements.parse(text).is_lasting is lasting
    assert not requirements.parse(text).is_source


def test_a_url_of_source_code_is_source_code() -> None:
    assert requirements.parse("asyncpg @ git+https://x/asyncpg@main#egg=a.whl").is_source


# The cache


def stocked(shelf: Path, ages_s: dict[str, float]) -> Callable[[], set[str]]:
    for name, age in ages_s.items():
        (shelf / name).mkdir(parents=True)
        (shelf / name / "used").touch()
        for path in (shelf / name / "used", shelf / name):
            os.utime(path, (time.time() - age,) * 2)
    return lambda: {each.name for each in shelf.iterdir()}


def test_old_environments_go_and_those_in_use_stay(tmp_path: Path) -> None:
    day = virtualenvs.UNUSED_S
    left = stocked(
        tmp_path,
        {**{f"new{i}": 10.0 for i in range(7)}, "old1": 2 * day, "old2": 3 * day, ".making-x": 2 * day, ".making-y": 9},
    )

    virtualenvs._tidy(tmp_path)

    assert left() == {*(f"new{i}" for i in range(7)), "old1", ".making-y"}


def test_more_than_that_stay_while_they_may_be_in_use(tmp_path: Path) -> None:
    left = stocked(tmp_path, {f"new{i}": i * 60.0 for i in range(12)})

    virtualenvs._tidy(tmp_path)

    assert len(left()) == 12


def test_of_two_gates_at_once_the_first_wins(tmp_path: Path) -> None:
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "used").write_text(name)

    virtualenvs._publish(tmp_path / "first", tmp_path / "kept")
    virtualenvs._publish(tmp_path / "second", tmp_path / "kept")

    assert (tmp_path / "kept/used").read_text() == "first"


def test_without_a_cache_a_temporary_folder_will_do(temporary: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "/dev/null/x")
    monkeypatch.setattr(virtualenvs, "_install", lambda _recipe, _label, folder: folder / "environment")
    with contextlib.ExitStack() as stack:
        folder = virtualenvs.make(recipe("asyncpg==1"), "x", stack, lambda _: None, cached=True)
        assert folder.parent.parent == temporary.resolve()
        assert folder.parent.is_dir()

    assert list(temporary.iterdir()) == []


def test_a_signal_in_the_middle_ends_pip_and_leaves_nothing(
    tmp_path: Path, temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    shelf = tmp_path / "dbbench/environments"

    def interrupt() -> None:
        deadline = time.monotonic() + 120
        while not list(shelf.glob(".making-*/environment/bin/python")):
            if time.monotonic() > deadline:
                return
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGINT)

    watcher = threading.Thread(target=interrupt, daemon=True)
    watcher.start()
    with pytest.raises(KeyboardInterrupt):
        attempt(RELEASES)
    watcher.join()

    running = [content(path) for path in Path("/proc").glob("[0-9]*/cmdline")]
    assert not [each for each in running if os.fsencode(shelf) in each]
    assert list(shelf.iterdir()) == []
    assert list(temporary.iterdir()) == []


def content(path: Path) -> bytes:
    """What is in a file of /proc; nothing once its process has ended."""
    with contextlib.suppress(OSError):
        return path.read_bytes()
    return b""


# What goes together


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        (NOTHING, "two environments are needed"),
        (replace(RELEASES, head=()), "requirements are needed on both sides"),
        (replace(RELEASES, base=()), "requirements are needed on both sides"),
        (replace(RELEASES, head_python=PYTHON), "--base-python and --head-python go with --project or alone"),
        (replace(NOTHING, base_python=PYTHON), "two environments are needed"),
        (replace(NOTHING, base_python=PYTHON, head_python=PYTHON, from_source=True), "--from-source is for requi"),
        (replace(NOTHING, project=Path()), "with --project, --base and --head are one git revision each"),
        (replace(RELEASES, project=Path(), head=("a", "b")), "with --project, --base and --head are one git"),
        (replace(RELEASES, project=Path(), from_source=True), "--from-source is for requirements"),
    ],
)
def test_what_does_not_go_together_is_refused(wanted: Wanted, message: str) -> None:
    made = attempt(wanted)

    assert isinstance(made.error, UsageError)
    assert str(made.error).startswith(message)


# Interpreters


def test_two_interpreters_are_taken_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(PYTHON.parent)

    made = attempt(replace(NOTHING, base_python=PYTHON, head_python=Path(PYTHON.name), extra=("uvloop",)))

    assert made.pair is not None
    assert {each.python for each in made.pair} == {PYTHON}  # the link of the virtual environment, not resolved
    assert made.pair[0].label == f"Python {made.pair[0].inventory.version} ({'/'.join(PYTHON.parts[-3:])})"
    assert (made.said, made.noted) == ([], [])


def test_an_interpreter_without_what_workers_need_is_named_with_the_way_out(tmp_path: Path) -> None:
    python = lacking(tmp_path / "la cking")

    made = attempt(replace(NOTHING, base_python=PYTHON, head_python=python, extra=("uvloop",)))

    assert isinstance(made.error, CannotStartError)
    assert str(made.error) == (
        f"{python} lacks msgspec, sqlalchemy, psycopg, uvloop, which dbbench's workers need; run '{python}' -m pip "
        "install msgspec 'sqlalchemy[asyncio]' 'psycopg[binary,pool]' uvloop"
    )


def test_an_interpreter_that_is_not_there_is_named() -> None:
    made = attempt(replace(NOTHING, base_python=Path("/nope/python"), head_python=PYTHON))

    assert isinstance(made.error, CannotStartError)
    assert str(made.error).startswith("/nope/python is no Python interpreter")


def test_sides_that_are_not_built_alike_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = Inventory("CPython", "3.11.7", dict.fromkeys(("msgspec", "sqlalchemy", "psycopg", "asyncpg"), "1"), (), ())
    built = replace(plain, source_built=("asyncpg", "msgspec"), editable=("sqlalchemy",))
    answers = iter([plain, built, built, built])
    monkeypatch.setattr(module, "take", lambda _: next(answers))

    unlike = attempt(replace(NOTHING, base_python=PYTHON, head_python=PYTHON))
    alike = attempt(replace(NOTHING, base_python=PYTHON, head_python=PYTHON))

    what = "sqlalchemy is an editable installation in head only, asyncpg is compiled from source in head only"
    assert unlike.noted == [f"the two sides are not built alike: {what}"]
    assert alike.noted == []


def test_with_requirements_that_ends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = Inventory("CPython", "3.11.7", dict.fromkeys(("msgspec", "sqlalchemy", "psycopg", "asyncpg"), "1"), (), ())
    answers = iter([replace(plain, source_built=("asyncpg",)), plain])
    monkeypatch.setattr(module, "take", lambda _: next(answers))
    monkeypatch.setattr(module, "make", lambda *_, **__: Path("/made"))

    made = attempt(RELEASES)

    assert isinstance(made.error, CannotStartError)
    assert re.search(r"asyncpg is compiled from source in base only; --from-source builds both", str(made.error))


# Revisions


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The project in a folder of a repository, with two commits and a change that is in none."""
    for name in [name for name in os.environ if name.startswith("GIT_")]:
        monkeypatch.delenv(name)
    folder = tmp_path / "mono repo" / "api"
    folder.mkdir(parents=True)

    git(folder, "init", "--initial-branch=main", "..")
    for text in ("one", "two"):
        (folder / "app.py").write_text(text)
        git(folder, "add", "app.py")
        git(folder, "commit", "-m", text)
        git(folder, "tag", text)
    (folder / "app.py").write_text("three")
    return folder


@needs_git
def test_two_revisions_are_checked_out_and_removed_afterwards(project: Path, temporary: Path) -> None:
    notes: list[str] = []
    wanted = replace(NOTHING, project=project, base=("one",), head=("main",))
    with environments(wanted, notes.append, notes.append) as (base, head):
        assert base.project is not None
        assert head.project is not None
        assert [(each / "app.py").read_text() for each in (base.project, head.project)] == ["one", "two"]
        assert base.project.is_relative_to(temporary.resolve())
        assert base.project.name == "api"
        assert base.checkout == head.checkout == project.parent.resolve()
        assert base.python == PYTHON
        assert re.fullmatch(r"one \(\w{7}\) main \(\w{7}\)", f"{base.label} {head.label}")
        (head.project / "__pycache__").mkdir()

    assert notes == [f"uncommitted changes in {project.parent.resolve()} are not measured: a gate compares commits"]
    assert list(temporary.iterdir()) == []


@needs_git
def test_check_outs_go_whatever_happens(project: Path, temporary: Path) -> None:
    wanted = replace(NOTHING, project=project, base=("one",), head=("two",))
    with pytest.raises(KeyboardInterrupt), environments(wanted, lambda _: None, lambda _: None):
        raise KeyboardInterrupt

    assert list(temporary.iterdir()) == []


@needs_git
def test_interpreters_of_revisions_may_differ(project: Path, tmp_path: Path) -> None:
    other = tmp_path / "other python"
    other.write_text(f'#!/bin/sh\nexec "{PYTHON}" "$@"\n')
    other.chmod(0o755)

    made = attempt(replace(NOTHING, project=project, base=("one",), head=("one",), head_python=other))

    assert made.pair is not None
    assert [each.python for each in made.pair] == [PYTHON, other]
    assert re.fullmatch(r"one \(\w{7}\), Python 3\.\S+", made.pair[1].label)


@needs_git
def test_a_revision_that_there_is_not_is_told_before_anything_is_made(project: Path, temporary: Path) -> None:
    made = attempt(replace(NOTHING, project=project, base=("one",), head=("nope",)))

    assert isinstance(made.error, UsageError)
    assert "has no git revision 'nope'" in str(made.error)
    assert list(temporary.iterdir()) == []
