"""`dbbench list`."""

from enum import StrEnum
from typing import Annotated, Any

import typer

from dbbench.cli.command import command
from dbbench.cli.formats import ListFormat


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
    if format_ is ListFormat.JSON:
        import json

        print(json.dumps(rows, indent=2))
        return
    from rich.console import Console
    from rich.padding import Padding

    console = Console(highlight=False)
    for name, summary, *facts in (row.items() for row in rows):
        console.print(name[1], style="bold")
        text = "; ".join(f"{label} {_shown(value)}" for label, value in facts)
        for line in (str(summary[1]), text):
            console.print(Padding(line, (0, 0, 0, 2)), markup=False)


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


def _shown(value: object) -> str:
    match value:
        case bool():
            return "yes" if value else "no"
        case list():
            return ", ".join(map(str, value))
        case dict():
            return " ".join(f"{name}={default}" for name, default in value.items())
    return str(value)
