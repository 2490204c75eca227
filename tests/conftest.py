"""Fixtures that many tests share: real servers, and the program itself."""

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import hypothesis
import psycopg
import pytest
from programs import debian_postgres

from dbbench.address import Address
from dbbench.messages import Start
from dbbench.plan import Connections
from dbbench.server.embedded import embedded_server

hypothesis.settings.register_profile("dbbench", deadline=None)  # no test asserts a time
hypothesis.settings.load_profile("dbbench")

REPOSITORY = Path(__file__).resolve().parent.parent
PASSWORD = "s3cr3t c@nary/%?"
_TARGET = ("--url", "{url}", "--allow-production")
_UNPINNED = ("--placement", "free")  # else all that run side by side share a CPU
MEASURING = {"run": (*_TARGET, *_UNPINNED), "capacity": (*_TARGET, *_UNPINNED), "gate": _TARGET, "wire": _TARGET}
# Fixtures of a module that take long to make: with pytest-xdist, all their tests run in one process.
GROUPS = {"stored": "stored", "pythons": "pythons", "hidden_site": "hidden_site", "patients": "patients"}
GROUPS |= dict.fromkeys(("attempts", "cache", "workplace"), "pip")
Cli = Callable[..., subprocess.CompletedProcess[str]]


def pytest_configure(config: pytest.Config) -> None:
    """Give each process of pytest its own temporary folder, cache and mark: those side by side do not meet."""
    os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", tempfile.gettempdir())  # where pytest keeps what failed
    folder = Path(tempfile.mkdtemp(prefix="dbt-", dir="/tmp"))  # short: it holds unix sockets
    folder.chmod(0o1777)  # as /tmp: servers run as somebody else
    config.add_cleanup(lambda: shutil.rmtree(folder, ignore_errors=True))
    tempfile.tempdir = str(folder)
    os.environ["TMPDIR"] = str(folder)
    os.environ["XDG_CACHE_HOME"] = str(folder / "cache")
    os.environ["DBBENCH_MARK"] = f"dbbench.run.{os.getpid()}"


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep the tests together that share an expensive fixture."""
    for item in items:
        for name in getattr(item, "fixturenames", ()):
            if name in GROUPS:
                item.add_marker(pytest.mark.xdist_group(GROUPS[name]))


@pytest.fixture(scope="session")
def server() -> Iterator[Address]:
    """One embedded server for all tests that do not care which it is."""
    with embedded_server(cpus=None, max_connections=300) as embedded:  # runs behind a pooler need over 200
        yield embedded.address


@pytest.fixture
def start(server: Address) -> Start:
    """What a worker is told first."""
    return Start("psycopg", server, "dbbench_test", Connections(), None)


@pytest.fixture
def schema(server: Address, request: pytest.FixtureRequest) -> Iterator[str]:
    """An empty schema."""
    name = f"test_{abs(hash(request.node.nodeid))}"
    arguments = {"host": server.host, "port": server.port, "dbname": server.database, "user": server.user}
    with psycopg.connect(**arguments, autocommit=True) as connection:  # type: ignore[arg-type]
        connection.execute(f"CREATE SCHEMA {name}")
        yield name
        connection.execute(f"DROP SCHEMA {name} CASCADE")


@pytest.fixture
def dbbench(tmp_path: Path) -> Cli:
    """Run the program in this process, in an empty directory."""

    def run(*arguments: str, cwd: Path = tmp_path, **environment: str) -> subprocess.CompletedProcess[str]:
        return in_process(arguments, cwd, environment)

    return run


@pytest.fixture
def measure(tmp_path: Path, server: Address) -> Cli:
    """Run the program in this process, in an empty directory; what measures does so on the server of all tests."""

    def run(*arguments: str, cwd: Path = tmp_path, **environment: str) -> subprocess.CompletedProcess[str]:
        command, *rest = arguments
        target = [each.format(url=url_of(server)) for each in MEASURING.get(command, ())]
        return in_process((command, *target, *rest), cwd, environment)

    return run


def in_process(arguments: Sequence[str], cwd: Path, environment: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    """Run the program in this process; its folder, variables and signal handlers are afterwards what they were."""
    from typer.testing import CliRunner

    from dbbench.cli.app import app

    before = dict(os.environ)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(cwd)
        patch.setattr(tempfile, "tempdir", None)  # TMPDIR may be among the variables
        os.environ.update({"COLUMNS": "80", **environment})
        try:
            done = CliRunner().invoke(app, list(arguments), prog_name="dbbench", catch_exceptions=False)
        finally:
            os.environ.clear()
            os.environ.update(before)
    return subprocess.CompletedProcess(arguments, done.exit_code, done.stdout, done.stderr)


@pytest.fixture
def program(tmp_path: Path) -> Cli:
    """Run the program in a process of its own, in an empty directory, and wait for it."""

    def run(*arguments: str, cwd: Path = tmp_path, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-P", "-m", "dbbench", *arguments],
            cwd=cwd,
            env={**os.environ, "COLUMNS": "80", **environment},
            capture_output=True,
            text=True,
            timeout=400,
            check=False,
        )

    return run


@pytest.fixture(scope="session")
def pythons(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Two environments with the packages of this one; a module in the second one tells them apart."""
    folder = tmp_path_factory.mktemp("environments")
    found = []
    for name in ("base", "head"):
        made = folder / name
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", made], check=True)
        (packages,) = made.glob("lib/python*/site-packages")
        (own,) = Path(sys.prefix).glob("lib/python*/site-packages")
        (packages / "all.pth").write_text(f"{own}\n")
        if name == "head":
            (packages / "only_in_head.py").touch()
        found.append(made / "bin" / "python")
    return found[0], found[1]


@pytest.fixture(scope="session")
def foreign() -> Iterator[Address]:
    """A server that dbbench did not start: Debian's PostgreSQL on a loopback port, with a password."""
    with foreign_server() as address:
        yield address


@contextlib.contextmanager
def foreign_server(files: Mapping[str, bytes] | None = None, *more: str) -> Iterator[Address]:
    """Run Debian's PostgreSQL with more settings; `files` are put beside its data, readable for it alone."""
    programs = debian_postgres()
    if programs is None:
        if os.environ.get("DBBENCH_TEST_ALL"):
            pytest.fail("no PostgreSQL besides the embedded one is installed, and DBBENCH_TEST_ALL is set")
        pytest.skip("no PostgreSQL besides the embedded one is installed")
    account: dict[str, object] = {"user": 65534, "group": 65534, "extra_groups": []} if os.getuid() == 0 else {}
    with tempfile.TemporaryDirectory(prefix="dbbench-foreign-", dir="/tmp") as folder:
        if account:
            os.chown(folder, 65534, 65534)
        data = f"{folder}/data"
        secret = Path(folder, "password")
        secret.write_text(PASSWORD)
        secret.chmod(0o644)
        environment = {"PATH": "/usr/bin:/bin", "LC_ALL": "C"}
        subprocess.run(  # with LC_ALL=C its encoding is SQL_ASCII, the hardest case there is
            [programs / "initdb", "-D", data, "-U", "owner", "-A", "scram-sha-256", f"--pwfile={secret}", "-N"],
            check=True, stdout=subprocess.DEVNULL, env=environment, cwd="/", **account,  # type: ignore[call-overload]
        )  # fmt: skip
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        # Few locks, so that a thousand tables are more than one transaction can drop.
        settings = [
            "max_locks_per_transaction=10",
            "fsync=off",
            "listen_addresses=127.0.0.1",
            f"port={port}",
            f"unix_socket_directories={folder}",
        ]
        settings += more
        for name, content in (files or {}).items():
            file = Path(data, name)
            file.write_bytes(content)
            file.chmod(0o600)
            if account:
                os.chown(file, 65534, 65534)
        process = subprocess.Popen(
            [programs / "postgres", "-D", data, *(f"--{setting}" for setting in settings)],
            stderr=subprocess.DEVNULL, env=environment, cwd="/", **account,  # type: ignore[call-overload]
        )  # fmt: skip
        address = Address("127.0.0.1", port, "postgres", "owner", PASSWORD)
        try:
            _wait_for(address)
            yield address
        finally:
            process.terminate()
            process.wait()


@pytest.fixture(params=["server", "foreign"], ids=["unix socket", "tcp"])
def upstream(request: pytest.FixtureRequest) -> Address:
    """A server behind each kind of address; the second has a password full of odd characters."""
    address: Address = request.getfixturevalue(request.param)
    return address


def _wait_for(address: Address) -> None:
    deadline = time.monotonic() + 120
    while True:
        try:
            connect(address).close()
        except psycopg.OperationalError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)
        else:
            return


def connect(address: Address) -> psycopg.Connection:
    """A connection of the test's own."""
    return psycopg.connect(
        host=address.host, port=address.port, dbname=address.database, user=address.user,
        password=address.password, autocommit=True, client_encoding="UTF8",
    )  # fmt: skip


def url_of(address: Address, prefix: str = "postgresql") -> str:
    """The address as a user writes it."""
    from urllib.parse import quote

    if address.is_socket:
        return f"{prefix}://{address.user}@/{address.database}?host={address.host}&port={address.port}"
    password = quote(address.password, safe="")
    return f"{prefix}://{address.user}:{password}@{address.host}:{address.port}/{address.database}"
