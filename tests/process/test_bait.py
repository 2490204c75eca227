"""A password is bait: no command shows it, stores it or hands it on where others see it, however the command ends."""

import os
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import quote

import pytest
from conftest import PASSWORD, url_of
from processes import command_line, descendants

from dbbench.address import Address

SAYS = """
import os
async def raw(db, params, rng):
    await db.fetch_one("SELECT 1")
    raise ValueError("{} " + repr(db.__dict__ if hasattr(db, "__dict__") else db))
"""
WARNING = "`ps` shows the password in a URL to every user of this machine; --env-url, PGPASSWORD or ~/.pgpass does not"
FORMS = (PASSWORD, quote(PASSWORD), quote(PASSWORD, safe=""), PASSWORD[:6], PASSWORD[-8:])


def without_password(address: Address) -> str:
    return f"postgresql://{address.user}@{address.host}:{address.port}/{address.database}"


def look(folder: Path, arguments: list[str], environment: Mapping[str, str]) -> tuple[int, str, set[str]]:
    """Run a command; its exit code, all that it has printed and stored, and the arguments of its processes."""
    seen: set[str] = set()
    with (folder / "said").open("w") as said:
        command = [sys.executable, "-P", "-m", "dbbench", *arguments]
        child = subprocess.Popen(command, cwd=folder, env={**os.environ, **environment}, stdout=said, stderr=said)
        while child.poll() is None:
            seen |= {command_line(pid) for pid in descendants(child.pid)}
            time.sleep(0.02)
    seen.discard("".join(f"{each} " for each in command))  # of one that was forked and had not begun its own program
    stored = "".join(
        path.read_text(errors="replace") for path in folder.rglob("*") if path.is_file() and path.suffix != ".py"
    )
    return child.returncode, stored, seen


RUN = ["--blocks", "1", "--rounds", "1", "--placement", "free", "--layer", "raw", "--allow-production"]
COMMANDS = {
    "run": (0, ["run", "point_reads", *RUN]),
    "run, in which everything fails": (3, ["run", "says.py", *RUN]),
    "wire": (0, ["wire", "point_reads", "--layer", "raw", "--allow-production"]),
    "doctor": (0, ["doctor"]),
    "clean": (0, ["clean"]),
}


@pytest.mark.parametrize(
    ("name", "how"),
    [
        *((name, how) for name in COMMANDS for how in ("file", "url")),
        ("wire", "variable"),
        ("wire", "url in a variable"),
    ],
)
def test_no_command_shows_the_password(name: str, how: str, foreign: Address, tmp_path: Path) -> None:
    code, arguments = COMMANDS[name]
    (tmp_path / "says.py").write_text(SAYS.format(PASSWORD.replace('"', "")))
    home = tmp_path.with_name(f"{tmp_path.name}-home")
    home.mkdir()
    secret = home / "secret"
    secret.write_text(f"{foreign.host}:{foreign.port}:*:{foreign.user}:{PASSWORD}\n")
    secret.chmod(0o600)
    url = without_password(foreign)
    environment, target = {
        "variable": ({"PGPASSWORD": PASSWORD}, ["--url", url]),
        "file": ({"PGPASSFILE": str(secret)}, ["--url", url]),
        "url in a variable": ({"DATABASE_URL": url_of(foreign)}, ["--env-url"]),
        "url": ({}, ["--url", url_of(foreign)]),
    }[how]

    ended, shown, processes = look(tmp_path, [*arguments, *target], {"HOME": str(home), **environment})

    assert ended == code, shown
    assert not [form for form in FORMS if form in shown], shown
    assert (WARNING in shown) == (how == "url")
    assert not [line for line in processes for form in FORMS if form in line]


@pytest.mark.parametrize("path", ["relay", "pooler"])
def test_a_password_of_a_file_reaches_every_way_to_the_server(path: str, foreign: Address, tmp_path: Path) -> None:
    """Behind a relay or a pooler drivers connect to another address than the one that stands in the file."""
    secret = tmp_path / "secret"
    secret.write_text(f"{foreign.host}:{foreign.port}:*:{foreign.user}:{PASSWORD}\n")
    secret.chmod(0o600)
    way = ["wire", "--layer", "raw"] if path == "relay" else ["run", *RUN[:6], "--layer", "core", "--pooler", "session"]
    way += ["--pool-size", "2", "--max-overflow", "0"]
    if path == "pooler" and not _has_pooler():
        pytest.skip("no PgBouncer is installed")
    command, *rest = way
    arguments = [command, "point_reads", *rest, "--allow-production", "--url", without_password(foreign)]

    ended, shown, _ = look(tmp_path, arguments, {"PGPASSFILE": str(secret)})

    assert ended == 0, shown


def _has_pooler() -> bool:
    from programs import skipped

    return not any("poolers" in each for each in skipped())
