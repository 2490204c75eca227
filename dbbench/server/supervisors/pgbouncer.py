"""The small process that owns a PgBouncer and ends it, whichever way dbbench ends; it works as postgres.py does.

server/pgbouncer.py starts it by path with `python -I -S`. Its order, one line of JSON, comes through standard input,
because it contains passwords; after that line the process runs until the input ends. `ready` carries the port.
"""

import contextlib
import json
import os
import shutil
import signal
import socket
import sys
import time
from pathlib import Path
from typing import Any, Final, NamedTuple

if __name__ == "__main__":
    sys.path.append(str(Path(__file__).resolve().parents[3]))  # isolated: without this only the standard library

from dbbench.server.supervisors.service import READY_CHECK_S, START_LIMIT_S, Service, Stop, Watch, supervise
from dbbench.server.supervisors.system import StartError, account_for_root, own_account, owner_of, pin, tried_as

SOCKET_PORT: Final = 6432
"""Only part of the name of the socket in the private directory."""
PORT_ATTEMPTS: Final = 5
UP: Final = b"process up: PgBouncer"
"""What PgBouncer logs once it listens."""
PORT_TAKEN: Final = b"Address already in use"


class Order(NamedTuple):
    """The parent's order."""

    program: str
    bases: list[str]
    """Where the private directory may be made, best first."""
    cpus: list[int] | None
    """The CPUs that PgBouncer may use; None leaves it where the parent runs."""
    databases: list[str]
    """Lines of the section [databases]."""
    settings: dict[str, str]
    """Settings of the section [pgbouncer], besides where it listens."""
    socket: str
    """The directory of the server's socket; empty where it has none."""
    users: str
    """The file of users and passwords. Empty: PgBouncer listens on a socket in the private directory, and everyone who
    can reach that may log in. Otherwise it listens on a loopback port."""


class Pooler(Service):
    """PgBouncer and its private directory."""

    name = "PgBouncer"

    def start(self, order: dict[str, Any]) -> dict[str, Any]:
        """Start PgBouncer and wait until it listens."""
        return {"port": self._start(Order(**order))}

    def _start(self, order: Order) -> int:
        deadline = time.monotonic() + START_LIMIT_S
        pin(order.cpus)
        if os.geteuid() == 0:
            # It reads passwords from a file; and the socket of the embedded server is for one account alone.
            self._account = owner_of(order.socket) or own_account() or account_for_root("PgBouncer")
        program = order.program
        copying = not tried_as(self._account, lambda: os.access(program, os.R_OK | os.X_OK))
        directory = self._make_directory(order.bases, programs=copying)
        if copying:
            program = shutil.copyfile(order.program, directory / "pgbouncer").as_posix()
            Path(program).chmod(0o755)
        users = directory / "users"
        self._write(users, order.users)
        ports = [free_port() for _ in range(PORT_ATTEMPTS)] if order.users else [SOCKET_PORT]
        for port in ports:
            # Before the account gets the directory, so that no other process can put a link in the way.
            self._write(directory / f"{port}.ini", _configuration(order, directory, port))
        self._hand_over(directory)
        for port in ports:
            if self._listens(program, directory / f"{port}.ini", deadline):
                return port
        raise StartError(f"PgBouncer found none of {len(ports)} ports free: {self._last_words()}")

    def _write(self, path: Path, text: str) -> None:
        path.touch(0o600)
        path.write_text(text, encoding="utf-8")
        self._hand_over(path)

    def _listens(self, program: str, configuration: Path, deadline: float) -> bool:
        """Start the program; whether it listens: not when another process has taken its port meanwhile."""
        # SIGKILL: there is nothing to save, and the meaning of gentler signals has changed between versions.
        child = self._spawn(signal.SIGKILL, (program, str(configuration)))
        assert self._directory is not None
        log = self._directory / "log"
        while UP not in log.read_bytes():
            if child.poll() is not None:
                if PORT_TAKEN in log.read_bytes():
                    return False
                raise StartError(f"PgBouncer did not start: {self._last_words()}")
            if time.monotonic() >= deadline:
                limit = f"{START_LIMIT_S:.0f} s"
                raise StartError(f"PgBouncer was not ready within {limit}: {self._last_words()}")
            self._watch.wait(READY_CHECK_S)
        return True


def free_port() -> int:
    """A loopback port that is free now; it may be taken before it is used."""
    with contextlib.closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _configuration(order: Order, directory: Path, port: int) -> str:
    if order.users:
        where = {"listen_addr": "127.0.0.1", "unix_socket_dir": "", "auth_type": "plain"}
    else:
        where = {"unix_socket_dir": str(directory), "unix_socket_mode": "0700", "auth_type": "any"}
    settings = {**order.settings, **where, "listen_port": str(port), "auth_file": str(directory / "users")}
    return "\n".join(
        ["[databases]", *order.databases, "[pgbouncer]", *(f"{name} = {value}" for name, value in settings.items()), ""]
    )


def order_of_parent(_watch: Watch) -> dict[str, Any]:
    """Read the order; nothing follows it but the end of the input."""
    line = sys.stdin.buffer.readline()
    if not line.endswith(b"\n"):
        raise Stop
    order: dict[str, Any] = json.loads(line)
    return order


if __name__ == "__main__":
    supervise(Pooler, order_of_parent)
