"""`dbbench list`."""

from enum import StrEnum
from typing import Annotated, Any

import typer

from dbbench.cli.command import command
from dbbench.cli.formats import ListFormat
from dbbench.cli.output import print_found


class Listed(StrEnum):
    """What `list` lists."""

    SCENARIOS = "scenarios"
    DRIVERS = "drivers"


@command("dbbench list scenarios", "dbbench list drivers --format json", name="list")
def list_(
    what: Annotated[Listed, typer.Argument(help="What to list.", show_default=False)],
    format_: Annotated[ListFormat, typer.Option("--format", help="What to print on stdout.")] = ListFormat.TABLE,
) -> None:
    """List the scenarios or the drivers there are."""
    rows = _scenario_rows() if what is Listed.SCENARIOS else _driver_rows()
    print_found("list", format_, rows)


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
