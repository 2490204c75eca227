"""TLS: the certificates that a URL names, for every driver."""

import asyncio
import inspect
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

import asyncpg
import psycopg
import psycopg2
import pytest
from conftest import Cli, foreign_server, url_of

from dbbench.drivers import DRIVERS, PRESETS
from dbbench.server.target import parse_url

ALL = PRESETS["all"]

QUICK: Final = ("--blocks", "1", "--rounds", "1", "--set", "rows=20", "--placement", "free", "--quiet")
EVERY: Final = ("--driver", ",".join(ALL))
HBA: Final = b"""hostssl all all 127.0.0.1/32 scram-sha-256 clientcert=verify-ca
hostnossl all all 127.0.0.1/32 scram-sha-256
"""
CONNECT: Final[dict[str, Callable[..., Any]]] = {
    "psycopg": psycopg.AsyncConnection.connect,
    "asyncpg": asyncpg.connect,
    "psycopg2": psycopg2.connect,
    "psycopg-sync": psycopg.connect,
}
FAILURES: Final = (psycopg.Error, psycopg2.Error, OSError)


class Secured(NamedTuple):
    """A server that takes only clients with a certificate, and the files for them."""

    url: str
    files: Path

    def with_parameters(self, **parameters: str) -> str:
        """The URL with parameters; files are those of `files`."""
        pairs = (f"{name}={self.files / value if '.' in value else value}" for name, value in parameters.items())
        return f"{self.url}?{'&'.join(pairs)}"


def openssl(folder: Path, *arguments: str) -> None:
    subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)


def certified(folder: Path, name: str, subject: str) -> None:
    """Make NAME.key, and NAME.crt signed by ca.crt."""
    openssl(folder, "req", "-new", "-nodes", "-newkey", "rsa:2048", "-keyout", f"{name}.key", "-out", f"{name}.csr",
            "-subj", f"/CN={subject}", "-addext", "subjectAltName=IP:127.0.0.1")  # fmt: skip
    openssl(folder, "x509", "-req", "-in", f"{name}.csr", "-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial",
            "-days", "2", "-copy_extensions", "copy", "-out", f"{name}.crt")  # fmt: skip
    (folder / f"{name}.key").chmod(0o600)


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    if shutil.which("openssl") is None:
        if os.environ.get("DBBENCH_TEST_ALL"):
            pytest.fail("openssl is not installed, and DBBENCH_TEST_ALL is set")
        pytest.skip("openssl is not installed")
    folder = tmp_path_factory.mktemp("certificates")
    for name in ("ca", "other"):
        openssl(folder, "req", "-x509", "-nodes", "-newkey", "rsa:2048", "-keyout", f"{name}.key", "-out",
                f"{name}.crt", "-days", "2", "-subj", f"/CN={name}")  # fmt: skip
    certified(folder, "server", "127.0.0.1")
    certified(folder, "client", "owner")
    files = {name: (folder / name).read_bytes() for name in ("server.crt", "server.key", "ca.crt")}
    names = ("ssl=on", "ssl_cert_file=server.crt", "ssl_key_file=server.key", "ssl_ca_file=ca.crt")
    with foreign_server({**files, "pg_hba.conf": HBA}, *names) as address:
        yield Secured(url_of(address), folder)


def test_every_driver_uses_the_certificates_of_the_url(secured: Secured, dbbench: Cli) -> None:
    url = secured.with_parameters(
        sslmode="verify-full", sslrootcert="ca.crt", sslcert="client.crt", sslkey="client.key"
    )
    done = dbbench("run", "point_reads", "--layer", "raw,core", *EVERY, *QUICK, "--url", url)

    assert done.returncode == 0, done.stdout + done.stderr
    assert "TLS" in done.stdout
    assert all(f"\n  {name} " in done.stdout for name in ALL)


def test_a_wrong_certificate_is_noticed_before_anything_is_measured(secured: Secured, dbbench: Cli) -> None:
    url = secured.with_parameters(ssl="verify-full", sslrootcert="other.crt", sslcert="client.crt", sslkey="client.key")
    done = dbbench("run", "point_reads", *EVERY, *QUICK, "--url", url)

    assert done.returncode == 4, done.stdout
    assert "certificate verify failed" in done.stderr


async def connected(driver: str, arguments: dict[str, Any]) -> None:
    connection = CONNECT[driver](**arguments)
    if inspect.isawaitable(connection):
        await connection


@pytest.mark.parametrize("driver", ALL)
def test_no_driver_trusts_another_authority(secured: Secured, driver: str) -> None:
    url = secured.with_parameters(
        sslmode="verify-ca", sslrootcert="other.crt", sslcert="client.crt", sslkey="client.key"
    )
    settings = {"application_name": "dbbench_test"}
    arguments = DRIVERS[driver].adapter().connect_arguments(parse_url(url, "--url"), settings)
    with pytest.raises(FAILURES, match=r"(?i)certificate verify failed"):
        asyncio.run(connected(driver, arguments))
