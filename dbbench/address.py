"""The address of a PostgreSQL server, with user and database: plain data that is sent to workers through a pipe."""

import ipaddress

import msgspec


class Address(msgspec.Struct, frozen=True):
    """One server and database.

    `host` is a name, an IP address or the directory of a unix socket. `tls` has libpq's parameters of TLS besides
    sslmode, such as sslrootcert. `password` must never get into a result file, an argument list or a message: str() and
    repr() leave it out.
    """

    host: str
    port: int
    database: str
    user: str
    password: str = ""
    sslmode: str = ""
    tls: dict[str, str] = {}

    @property
    def is_socket(self) -> bool:
        """Whether `host` is the directory of a unix socket."""
        return self.host.startswith("/")

    @property
    def is_local(self) -> bool:
        """Whether the server shares this machine's CPUs, as far as the address tells."""
        if self.is_socket or self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False

    def __str__(self) -> str:
        where = "unix socket" if self.is_socket else f"{self.host}:{self.port}"
        return f"{self.user}@{where}/{self.database}"

    def __repr__(self) -> str:
        return f"Address({self})"
