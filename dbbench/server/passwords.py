"""The password of a server: where it may stand besides the URL, and how it is kept out of what is printed.

libpq and asyncpg each look for it in PGPASSWORD and in a password file. They look with the address that they connect
to, which behind a relay or a pooler is not the server's, and dbbench would not know what to keep out of its messages.
So it is looked up once, with the address of the URL, and given to every driver alike.
"""

import json
import os
import re
import shlex
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Final
from urllib.parse import quote, quote_plus, unquote

_SHORTEST: Final = 4  # characters of a password that is looked for
_IN_A_URL: Final = re.compile(r"^[^/?#]*//[^/@]*:[^@]+@|[?&]password=[^&]")
_FIELD: Final = re.compile(r"((?:\\.|[^:\\])*)(?::|$)")
_FIELDS: Final = 5  # host, port, database, user, password


def stored_password(host: str, port: int, database: str, user: str) -> str:
    """The password that libpq would use for the server where the URL has none; empty: it has none either.

    First PGPASSWORD counts, then the password file, ~/.pgpass or that of PGPASSFILE.
    """
    if found := os.environ.get("PGPASSWORD"):
        return found
    file = Path(os.environ.get("PGPASSFILE") or "~/.pgpass").expanduser()
    wanted = ("localhost" if host.startswith("/") else host, f"{port}", database, user)
    return next((password for *where, password in _entries(file) if _matches(where, wanted)), "")


def _entries(file: Path) -> Iterator[list[str]]:
    """The lines of a password file that are whole; of none that others may read, which libpq ignores, too."""
    try:
        status = file.stat()
        if not stat.S_ISREG(status.st_mode) or status.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
            return
        text = file.read_text(errors="replace")
    except (OSError, ValueError):
        return
    for line in text.splitlines():
        if not line.startswith("#"):
            fields = [re.sub(r"\\(.)", r"\1", one) for one in _FIELD.findall(line)[:_FIELDS]]
            if len(fields) == _FIELDS:
                yield fields


def _matches(where: list[str], wanted: tuple[str, ...]) -> bool:
    return all(one in ("*", other) for one, other in zip(where, wanted, strict=True))


def stands_in(url: str) -> bool:
    """Whether a URL has a password in it."""
    return bool(_IN_A_URL.search(url))


def redacted(text: str, secret: str) -> str:
    """`text` with every occurrence of the secret replaced by ***, as it is or as it may have been written down.

    That is: quoted for a URL, a shell, a connection string, SQL, JSON or Python, once or twice.
    """
    if len(secret) < _SHORTEST:  # redacting every occurrence would show which letters it has
        return text
    once = _forms(secret)
    for form in sorted(once.union(*map(_forms, once)), key=len, reverse=True):
        text = text.replace(form, "***")
    return text


def _forms(secret: str) -> set[str]:
    percent = {
        quote(secret, errors="replace"),
        quote(secret, safe="", errors="replace"),
        quote_plus(secret, errors="replace"),
    }
    return {
        secret,
        *percent,
        *(re.sub(r"%..", lambda match: match[0].lower(), one) for one in percent),
        unquote(secret),
        json.dumps(secret)[1:-1],
        json.dumps(secret, ensure_ascii=False)[1:-1],
        repr(secret)[1:-1],
        ascii(secret)[1:-1],
        repr(secret.encode(errors="replace"))[2:-1],
        shlex.quote(secret).strip("'"),
        secret.replace("\\", "\\\\").replace("'", "\\'"),
        secret.replace("'", "''"),
        " ".join(secret.split()),  # messages are one line
    } - {""}
