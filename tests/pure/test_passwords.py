"""Where a password may stand, and that no form of it is printed."""

import json
import os
import shlex
import urllib.parse
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dbbench.server.passwords import redacted, stands_in, stored_password
from dbbench.server.target import parse_url

ODD = "p'a \"$w\\rd%/@ü"


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home of its own, without a password."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("PGPASSWORD", raising=False)
    monkeypatch.delenv("PGPASSFILE", raising=False)
    return tmp_path


def file(path: Path, *lines: str, mode: int = 0o600) -> Path:
    path.write_text("\n".join(lines) + "\n")
    path.chmod(mode)
    return path


def test_a_password_comes_from_the_url_the_variable_or_the_file(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file(home / ".pgpass", "# mine", "other:*:*:*:no", "broken", r"h:5432:d:u:of\:file\\", "*:*:*:*:last")

    assert parse_url("postgresql://u@h/d", "--url").password == "of:file\\"
    assert parse_url("postgresql://u@h/e", "--url").password == "last"
    monkeypatch.setenv("PGPASSFILE", str(file(home / "another", "h:5432:d:u:another")))
    assert parse_url("postgresql://u@h/d", "--url").password == "another"
    monkeypatch.setenv("PGPASSWORD", "of the variable")
    assert parse_url("postgresql://u@h/d", "--url").password == "of the variable"
    assert parse_url("postgresql://u:own@h/d", "--url").password == "own"


def test_a_socket_is_localhost_in_a_password_file(home: Path) -> None:
    file(home / ".pgpass", "localhost:5432:d:u:mine")

    assert stored_password("/run/postgresql", 5432, "d", "u") == "mine"
    assert stored_password("localhost", 5433, "d", "u") == ""


@pytest.mark.parametrize("mode", [0o640, 0o604])
def test_a_file_that_others_may_read_does_not_count(home: Path, mode: int) -> None:
    file(home / ".pgpass", "*:*:*:*:mine", mode=mode)

    assert stored_password("h", 5432, "d", "u") == ""


def test_what_is_no_file_has_no_password(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    os.mkfifo(home / "pipe", 0o600)
    for name in ("nowhere", "pipe", "."):
        monkeypatch.setenv("PGPASSFILE", str(home / name))
        assert stored_password("h", 5432, "d", "u") == ""


@pytest.mark.parametrize(
    "written",
    [
        ODD,
        repr(ODD),
        ascii(ODD),
        repr(ODD.encode()),
        json.dumps(ODD),
        json.dumps(json.dumps(ODD)),
        urllib.parse.quote(ODD),
        urllib.parse.quote(ODD, safe=""),
        urllib.parse.quote(ODD, safe="").lower(),
        urllib.parse.quote(urllib.parse.quote(ODD, safe=""), safe=""),
        urllib.parse.quote_plus(ODD),
        shlex.quote(ODD),
        ODD.replace("\\", "\\\\").replace("'", "\\'"),
        ODD.replace("'", "''"),
        repr({"password": repr(ODD)}),
    ],
)
def test_a_password_is_redacted_however_it_is_written(written: str) -> None:
    shown = redacted(f"cannot connect with {written}; and so on", ODD)

    assert "***" in shown
    assert "rd" not in shown.replace("password", "")
    assert shown.startswith("cannot connect with ")
    assert shown.endswith("; and so on")


@given(st.text(min_size=4), st.text())
def test_redacting_anything_never_fails_and_leaves_no_secret(secret: str, text: str) -> None:
    shown = redacted(f"{text}{secret}{text}", secret)

    assert secret in "***" * 3 or secret not in shown.replace("***", "\0")


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("postgresql://u:secret@h/d", True),
        ("--url=postgresql+asyncpg://u:secret@h/d", True),
        ("postgresql:///d?user=u&password=secret", True),
        ("postgresql://u@h:5432/d", False),
        ("postgresql://h:5432/d", False),
        ("postgresql:///d?host=/run/x", False),
        ("my:own@file.py", False),
    ],
)
def test_a_password_in_a_url_is_seen(url: str, expected: bool) -> None:
    assert stands_in(url) is expected
