"""Programs that some tests need, and what `make test` says before it begins: how long it takes, and what it skips."""

import os
import shutil
from pathlib import Path

from dbbench.errors import CannotStartError
from dbbench.server.pgbouncer import FOLLOWERS, find, supports_prepared_statements, version


def debian_postgres() -> Path | None:
    """Where a PostgreSQL that is not ours has its programs."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[4]))
    if found:
        return found[-1].parent
    on_path = shutil.which("initdb")
    return Path(on_path).resolve().parent if on_path else None


def skipped() -> list[str]:
    """The tests that are skipped for want of a program, each with the way out."""
    postgres, captures = debian_postgres(), shutil.which("tshark")
    wanted = [
        ("a server of the user's own", "apt-get install postgresql", postgres is not None),
        ("poolers", f"{FOLLOWERS}: .ci/pgbouncer builds one", _pooler()),
        ("captures of the network", "apt-get install tshark postgresql", None not in (postgres, captures)),
        ("revisions", "apt-get install git", shutil.which("git") is not None),
        ("servers that run as somebody else", "root runs them", os.geteuid() == 0),
    ]
    return [f"{what} ({way_out})" for what, way_out, there in wanted if not there]


def _pooler() -> bool:
    """Whether there is one that follows prepared statements; with an older one, a part is skipped."""
    try:
        return supports_prepared_statements(version(find()))
    except CannotStartError:
        return False


if __name__ == "__main__":
    print("All tests but the slow ones: about twenty minutes on two CPUs that have nothing else to do.")
    if missing := skipped():
        print(f"Skipped here, all or in part: {'; '.join(missing)}.")
