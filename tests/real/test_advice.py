"""Advice that was tried: what an error tells people to do is done, in its own words, and works."""

import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Final, NamedTuple

import pytest
from conftest import in_process, url_of

from dbbench.address import Address

QUICK: Final = ("--blocks", "1", "--rounds", "1", "--quiet", "--placement", "free")
READS: Final = ("point_reads", "--set", "rows=20", "--driver", "asyncpg")
FORMS: Final = (
    "PARAMS = {'form': 'many'}\n\nasync def raw(db, params, rng):\n    return await db.fetch_one('SELECT 1')\n"
)
GATHERS: Final = """
import asyncio

async def raw(db, params, rng):
    return await asyncio.gather(db.fetch_one("SELECT 1"))
"""
YIELDS: Final = """
from sqlalchemy import text

async def core(connection, params, rng):
    result = await connection.execute(text("SELECT 1"), execution_options={"yield_per": 5})
    return [row[0] for row in result]
"""
STREAMS: Final = YIELDS.replace("connection.execute", "connection.stream").replace("[row[0] for", "[row[0] async for")
SHOP: Final = "import shop\n\nasync def raw(db, params, rng):\n    return await db.fetch_one(shop.QUERY)\n"


class Advice(NamedTuple):
    """A command that fails, what of the error is advice, and the command that follows it."""

    words: tuple[str, ...]
    advice: str  # a pattern; its groups are what people are told to write
    then: Callable[..., tuple[str, ...]]  # the words of the better command, of those groups
    code: int = 2
    parameters: str = ""  # of the URL, in the first command; in the second if it starts with the advice
    kept: str = ""  # those of the second command


def words(text: str) -> tuple[str, ...]:
    return tuple(shlex.split(text))


ADVICE: Final = {
    "a setting in the URL": Advice(
        READS,
        r"give (--driver-set asyncpg\.prepared_statement_cache_size=0) instead",
        lambda option: (*READS, *words(option)),
        parameters="prepared_statement_cache_size=0",
    ),
    "several things in the URL": Advice(
        READS,
        r"give (--driver-set psycopg\.prepare_threshold=3) instead; pool_size: give (--pool-size 2) instead; "
        r"max_overflow: give (--max-overflow 1) instead; pool_pre_ping: give (--pool-pre-ping) instead",
        lambda *options: (*READS, "--layer", "core", *(word for option in options for word in words(option))),
        parameters="prepare_threshold=3&pool_size=2&max_overflow=1&pool_pre_ping=true&application_name=me",
    ),
    "what SQLAlchemy's engine takes, in the URL": Advice(
        READS,
        r"poolclass: give (--null-pool) instead; isolation_level: give (--tx-end autocommit) instead",
        lambda *options: (*READS, *(word for option in options for word in words(option))),
        parameters="poolclass=NullPool&isolation_level=AUTOCOMMIT",
    ),
    "ssl=false in the URL": Advice(
        READS, r"ssl: give (sslmode=disable), allow,", lambda _: READS, parameters="ssl=false", kept="sslmode=disable"
    ),
    "two values of a parameter": Advice(
        ("forms.py", "--set", "form=values,many"),
        r"(--vary set\.form=values,many) compares several",
        lambda option: ("forms.py", "--driver", "psycopg", *words(option)),
    ),
    "a comma that is meant": Advice(
        ("forms.py", "--set", "form=values,many"),
        r"a comma that belongs to it goes in quotes: (--set '.*')",
        lambda option: ("forms.py", "--driver", "psycopg", *words(option)),
    ),
    "a project of one's own": Advice(
        ("far/shop_reads.py",),
        r"No module named 'shop'; install it, or name the folder that has it with (--project) DIR",
        lambda option: ("far/shop_reads.py", option, "near"),
        code=3,
    ),
    "no pool at the raw layer": Advice(
        (*READS, "--layer", "raw", "--null-pool"),
        r"(--layer core,orm) measures those",
        lambda option: (*READS, *words(option), "--null-pool"),
    ),
    "what threads cannot do": Advice(
        ("gathers.py",),
        r"measure async drivers only: (--driver psycopg,asyncpg)",
        lambda option: ("gathers.py", *words(option)),
        code=3,
    ),
    "a server-side cursor": Advice(
        ("yields.py",), r"Use the AsyncConnection\.(stream\(\)) method", lambda _: ("streams.py",), code=3
    ),
    "a setting of a driver that is not measured": Advice(
        (*READS, "--driver-set", "psycopg-sync.prepare_threshold=0"),
        r"psycopg-sync is not measured; (--driver psycopg-sync) adds it",
        lambda option: (*READS, *words(option), "--driver-set", "psycopg-sync.prepare_threshold=0"),
    ),
    "a scenario with a slip": Advice(
        ("point_read",), r"did you mean (point_reads)\?", lambda name: (name, "--set", "rows=20")
    ),
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The files that the commands name."""
    for name, source in {
        "forms.py": FORMS,
        "gathers.py": GATHERS,
        "yields.py": YIELDS,
        "streams.py": STREAMS,
        "far/shop_reads.py": SHOP,
        "near/shop/__init__.py": "QUERY = 'SELECT 1'\n",
    }.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(source)
    return tmp_path


@pytest.mark.parametrize("name", ADVICE)
def test_advice_works(name: str, folder: Path, server: Address) -> None:
    advice, url = ADVICE[name], f"{url_of(server)}&"

    def run(words: tuple[str, ...], parameters: str) -> tuple[int, str]:
        target = ("--url", f"{url}{parameters}".rstrip("&"), "--allow-production")
        done = in_process(("run", *words, *target, *QUICK), folder, {})
        return done.returncode, done.stderr

    code, stderr = run(advice.words, advice.parameters)
    found = re.search(advice.advice, stderr)

    assert (code, bool(found)) == (advice.code, True), stderr
    assert found is not None
    code, stderr = run(advice.then(*found.groups()), advice.kept)
    assert (code, stderr) == (0, "")
