"""What the shells are told when somebody presses the key, asked for as they do."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from builders import many_sided_run, store

NAMES = (
    "import sys\nsys.argv = ['dbbench']\nimport atexit\nfrom dbbench.__main__ import main\n"
    "heavy = {'sqlalchemy', 'asyncpg', 'psycopg', 'psycopg2', 'pyperf'}\n"
    "atexit.register(lambda: print(sorted(heavy & set(sys.modules)), file=sys.stderr))\nmain()\n"
)
ID = "3f9c2a"
OF_POINT_READS = [f"point_reads{metric}=" for metric in ("", ".time", ".cpu", ".p95", ".p99")]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a scenario and two results."""
    (tmp_path / "mine.py").write_text('"""Mine."""\n\nPARAMS = {"customers": 100}\n')
    (tmp_path / "typed.py").write_text('from typing import Any\n\nPARAMS: dict[str, Any] = {"colour": "red"}\n')
    for path in (f"results/20261123T031500Z-{ID}.jsonl", "results/20261124T031500Z-81d0b7.jsonl", "nightly/x.jsonl"):
        store(many_sided_run(), tmp_path / path)
    return tmp_path


def completed(folder: Path, line: str, shell: str = "bash") -> list[str]:
    """The words for the end of a command line; also sees that it took no heavy import to find them."""
    words = line.split(" ")
    asked = {
        "bash": {"COMP_WORDS": line, "COMP_CWORD": str(len(words) - 1)},
        "zsh": {"_TYPER_COMPLETE_ARGS": line},
        "fish": {"_TYPER_COMPLETE_ARGS": line, "_TYPER_COMPLETE_FISH_ACTION": "get-args"},
    }
    done = subprocess.run(
        [sys.executable, "-P", "-c", NAMES], cwd=folder, capture_output=True, text=True, check=True,
        env={**os.environ, **asked[shell], "_DBBENCH_COMPLETE": f"complete_{shell}"},
    )  # fmt: skip
    assert done.stderr == "[]\n"
    return done.stdout.split("\n")[:-1] if done.stdout.strip() else []


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("dbbench ca", ["capacity"]),
        ("dbbench run --driver psycopg,a", ["psycopg,asyncpg"]),
        ("dbbench run --driver psycopg,psyc", ["psycopg,psycopg2", "psycopg,psycopg-sync"]),
        ("dbbench run --baseline asy", ["asyncpg"]),
        ("dbbench compare --control asy", ["asyncpg"]),
        ("dbbench wire --layer raw,", ["raw,orm", "raw,core", "raw,app"]),
        ("dbbench run po", ["point_reads"]),
        ("dbbench run m", ["mine.py"]),
        ("dbbench capacity con", ["concurrent_sessions"]),
        ("dbbench run mine.py --set ", ["customers="]),
        ("dbbench run typed.py mine.py --set c", ["colour=", "customers="]),
        ("dbbench run bulk_inserts --set b", ["batch="]),
        ("dbbench run --driver-set psycopg.", ["psycopg.prepare_threshold=", "psycopg.binary=", "psycopg.json="]),
        ("dbbench run --vary pool", ["pool=", "pool-pre-ping="]),
        ("dbbench wire --vary psycopg2.", ["psycopg2.executemany_mode=", "psycopg2.json="]),
        ("dbbench gate --tolerance p", ["p95=", "p99=", *OF_POINT_READS]),
        ("dbbench gate --report j", ["json=", "junit="]),
        ("dbbench export --format j", ["json", "junit"]),
        ("dbbench run --placement s", ["split", "shared"]),
        ("dbbench show ", ["81d0b7", ID]),
        ("dbbench compare 81d0b7 3", [ID]),
        ("dbbench export nightly/", ["nightly/x.jsonl"]),
        ("dbbench show nothing", []),
    ],
)  # fmt: skip
def test_words_are_completed(folder: Path, line: str, words: list[str]) -> None:
    assert completed(folder, line) == words


def test_zsh_and_fish_get_a_word_about_each(folder: Path) -> None:
    assert completed(folder, "dbbench run --driver asy", "fish") == ["asyncpg\tasyncpg, async only"]
    assert completed(folder, "dbbench run --driver asy", "zsh") == [
        """_arguments '*: :(("asyncpg":"asyncpg, async only"))'"""
    ]
    assert completed(folder, "dbbench run con", "fish")[0].startswith("concurrent_sessions\tMany sessions with short")


def test_a_folder_that_cannot_be_read_or_a_file_that_is_none_completes_nothing(folder: Path) -> None:
    (folder / "broken.py").write_text("PARAMS = {")

    assert completed(folder, "dbbench run broken.py --set ") == []
    assert completed(folder, "dbbench show nowhere/") == []


def test_bash_itself_completes(folder: Path) -> None:
    """The script that --install-completion writes, in the shell that reads it."""
    program = folder / "dbbench"
    program.write_text(f"#!{sys.executable} -P\nfrom dbbench.__main__ import main\nmain()\n")
    program.chmod(0o755)
    script = subprocess.run(
        [program], capture_output=True, text=True, check=True, env={**os.environ, "_DBBENCH_COMPLETE": "source_bash"}
    ).stdout
    asked = "COMP_WORDS=(dbbench run --driver asy); COMP_CWORD=3; _dbbench_completion ./dbbench; echo ${COMPREPLY[@]}"
    done = subprocess.run(["bash", "-c", f"{script}\n{asked}"], cwd=folder, capture_output=True, text=True, check=True)

    assert done.stdout == "asyncpg\n"
