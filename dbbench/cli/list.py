"""`dbbench list`."""

from dataclasses import dataclass
from typing import Annotated, Any, Literal

import typer

from dbbench.cli import options as common
from dbbench.cli.command import command
from dbbench.cli.groups import OneOf
from dbbench.cli.output import print_found
from dbbench.errors import ExitCode
from dbbench.reports import formats

Listed = Literal["scenarios", "drivers"]


@dataclass(frozen=True)
class Request:
    """What `dbbench list` was asked to do."""

    what: Listed
    format_: str

    def execute(self) -> int:
        """Print what there is."""
        print_found("list", self.format_, _scenario_rows() if self.what == "scenarios" else _driver_rows())
        return ExitCode.OK


@command("dbbench list scenarios", "dbbench list drivers --format json", name="list")
def list_(
    what: Annotated[Listed, typer.Argument(help="What to list.", show_default=False)],
    format_: Annotated[str, OneOf(formats("list")), common.FORMAT] = "table",
) -> Request:
    """List the scenarios or the drivers there are."""
    return Request(what, format_)


def _scenario_rows() -> list[dict[str, Any]]:
    from dbbench import catalog

    scenarios = [catalog.load(path, sync=False) for path in catalog.builtin().values()]
    return [
        {
            "scenario": scenario.name,
            "summary": scenario.summary,
            "layers": list(scenario.operations),
            "sessions": scenario.sessions,
            "params": scenario.defaults,
        }
        for scenario in scenarios
    ]


def _driver_rows() -> list[dict[str, Any]]:
    from dbbench.drivers import DRIVERS
    from dbbench.engine.machine import installed

    return [
        {
            "driver": driver.name,
            "summary": driver.summary,
            "version": installed(driver.distributions[0]) or "not installed",
            "dialect": driver.dialect or "none",
            "async": driver.is_async,
        }
        for driver in DRIVERS.values()
    ]
