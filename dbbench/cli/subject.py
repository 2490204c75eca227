"""What is measured: options of the commands that measure, see options.py for the others."""

from pathlib import Path
from typing import Annotated, NamedTuple

import typer

from dbbench import choices
from dbbench.cli import completion
from dbbench.cli.options import WHAT
from dbbench.drivers import DEFAULT, DRIVERS

Project = Annotated[
    Path | None,
    typer.Option(
        rich_help_panel=WHAT,
        metavar="DIR",
        help="Your project: scenarios can import the modules in DIR and DIR/src. "
        "Default: the folder of the nearest pyproject.toml above a scenario.",
        show_default=False,
    ),
]


CompareAnyway = Annotated[
    bool,
    typer.Option(
        "--compare-anyway",
        rich_help_panel=WHAT,
        help="Compare also what does not return the same; the difference is shown all the same.",
    ),
]


PrepareTimeout = Annotated[
    str,
    typer.Option(
        rich_help_panel=WHAT,
        metavar="TIME",
        help="Give up when a scenario's prepare() or reset(), or a vacuum of its tables, takes longer: 90s, 30m.",
    ),
]


class Subject(NamedTuple):
    """What is measured."""

    scenarios: list[str]  # as they were named; empty: the usual ones
    drivers: list[str]  # those that were named; empty: the usual ones
    layers: "list[choices.Layer] | None"
    params: dict[str, str]
    project: Path | None  # named by the user
    compare_anyway: bool
    prepare_limit_s: float


def subject(
    scenarios: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="SCENARIO|FILE|DIR",
            autocompletion=completion.scenarios,
            help="Built-in scenarios or your own files. Default: point_reads bulk_inserts concurrent_sessions.",
            show_default=False,
        ),
    ] = None,
    driver: Annotated[
        list[str] | None,
        typer.Option(
            "--driver",
            "-d",
            rich_help_panel=WHAT,
            metavar="D",
            autocompletion=completion.drivers,
            help=f"Driver to measure, repeatable: {', '.join(DRIVERS)}. Default: {', '.join(DEFAULT)}.",
            show_default=False,
        ),
    ] = None,
    layer: Annotated[
        list[str] | None,
        typer.Option(
            rich_help_panel=WHAT,
            metavar="L",
            autocompletion=completion.layers,
            help="orm, core or raw; repeatable, or raw,core,orm. Default: orm.",
            show_default=False,
        ),
    ] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            rich_help_panel=WHAT,
            metavar="NAME=VALUE",
            autocompletion=completion.parameters,
            help="Set a parameter of the scenarios, repeatable (see: dbbench list scenarios).",
            show_default=False,
        ),
    ] = None,
    project: Project = None,
    compare_anyway: CompareAnyway = False,
    prepare_timeout: PrepareTimeout = "10m",
) -> Subject:
    """Make the options of what is measured."""
    from dbbench import units
    from dbbench.cli import values

    return Subject(
        scenarios=scenarios or [],
        drivers=values.drivers(driver),
        layers=values.layers(layer),
        params=values.params(set_ or []),
        project=project,
        compare_anyway=compare_anyway,
        prepare_limit_s=values.read("--prepare-timeout", prepare_timeout, units.seconds),
    )
