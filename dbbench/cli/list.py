"""`dbbench list`."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from dbbench.cli import options as common
from dbbench.cli import subject as subjects
from dbbench.cli.command import command
from dbbench.cli.groups import OneOf
from dbbench.cli.output import print_found
from dbbench.errors import UsageError
from dbbench.reports import formats

Listed = Literal["scenarios", "drivers"]


@dataclass(frozen=True)
class Request:
    """What `dbbench list` was asked to do."""

    what: Listed
    names: list[str]  # of scenarios; empty: all that are built in
    project: Path | None
    format_: str

    def execute(self) -> int:
        """Print what there is."""
        rows = _scenario_rows(self.names, self.project) if self.what == "scenarios" else _driver_rows()
        return print_found("list", self.format_, rows)


@command(
    "dbbench list scenarios", "dbbench list scenarios my_scenario.py", "dbbench list drivers --format json", name="list"
)
def list_(
    what: Annotated[Listed, typer.Argument(help="What to list.", show_default=False)],
    scenarios: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="SCENARIO|FILE|DIR",
            help="Built-in scenarios or your own files. Default: all that are built in.",
            show_default=False,
        ),
    ] = None,
    project: subjects.Project = None,
    format_: Annotated[str, OneOf(formats("list")), common.FORMAT] = "table",
) -> Request:
    """List the scenarios, with their parameters, or the drivers there are."""
    if what == "drivers" and (scenarios or project is not None):
        raise UsageError("dbbench list drivers takes no scenarios and no --project")
    return Request(what, scenarios or [], project, format_)


def _scenario_rows(names: list[str], project: Path | None) -> list[dict[str, Any]]:
    from dbbench import catalog
    from dbbench.project import search_path

    paths = catalog.find(names) if names else list(catalog.builtin().values())
    sys.path[:0] = search_path(project, paths)
    scenarios = [catalog.load(path, sync=False) for path in paths]
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
