"""What a row needs beside its numbers to be told from those of other runs, once files have been put together. Pure."""

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from dbbench.drivers import DRIVERS
from dbbench.records import Header

COLUMNS: Final = ("run", "started", "dbbench", "driver_version", "server_version")
"""Stand at the end of every row of a CSV, and of the cells of a JSON document."""


class Identity(msgspec.Struct, frozen=True):
    """Which run rows are of, and of which versions; a version is empty where the file does not have it."""

    run: str  # id
    started: str  # UTC, ISO 8601
    dbbench: str  # version
    drivers: dict[str, str]  # arm or driver -> version of its package
    server: str  # version

    def columns(self, driver: str) -> dict[str, str]:
        """The values of `COLUMNS` for a driver, or an arm."""
        return dict(
            zip(
                COLUMNS,
                (self.run, self.started, self.dbbench, self.drivers.get(driver, ""), self.server),
                strict=True,
            )
        )


def identity(header: Header) -> Identity:
    """The identity of the run that wrote the header; the file may say anything."""
    packages = _mapping(header.environment.get("packages"))
    arms = {arm.name: arm.driver for arm in header.plan.arms if arm.driver}
    drivers = {name: name for name in header.plan.drivers}
    return Identity(
        run=header.id,
        started=header.started,
        dbbench=header.dbbench,
        drivers={name: driver_version(driver, packages) for name, driver in {**drivers, **arms}.items()},
        server=server_version(header.server),
    )


def driver_version(driver: str, packages: Mapping[str, Any]) -> str:
    """The version of the driver's first package among those installed (package -> version); empty without one."""
    row = DRIVERS.get(driver)
    return next((str(packages[name]) for name in (row.distributions if row else ()) if name in packages), "")


def server_version(server: Mapping[str, Any]) -> str:
    """The server's version, without what its packager adds: 18.4; empty where it is not recorded."""
    return str(_mapping(server.get("settings")).get("server_version", "")).partition(" ")[0]


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
