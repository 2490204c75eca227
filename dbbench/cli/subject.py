"""What is measured: options of the commands that measure, see options.py for the others."""

from pathlib import Path
from typing import Annotated, Final, NamedTuple

import typer

from dbbench import choices
from dbbench.cli import completion
from dbbench.cli.options import WHAT
from dbbench.drivers import DEFAULT, DRIVERS, PRESETS
from dbbench.errors import UsageError

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


_PRESETS: Final = "; ".join(f"{name}: {', '.join(drivers)}" for name, drivers in PRESETS.items())

OneScenario = Annotated[
    str,
    typer.Argument(
        metavar="SCENARIO|FILE", autocompletion=completion.scenarios, help="A built-in scenario or your own file."
    ),
]
Driver = Annotated[
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
]
Preset = Annotated[
    choices.Preset | None,
    typer.Option(
        rich_help_panel=WHAT,
        help=f"Several drivers by one name: {_PRESETS}.",
        show_default=False,
    ),
]
Layer = Annotated[
    list[str] | None,
    typer.Option(
        rich_help_panel=WHAT,
        metavar="L",
        autocompletion=completion.layers,
        help="orm, core, raw or app; repeatable, or raw,core,orm. Default: orm.",
        show_default=False,
    ),
]


class Subject(NamedTuple):
    """What is measured."""

    scenarios: list[str]  # as they were named; empty: the usual ones
    drivers: list[str]  # those that were named; empty: the usual ones
    preset: choices.Preset | None
    layers: "list[choices.Layer] | None"
    params: dict[str, str]
    project: Path | None  # named by the user
    compare_anyway: bool
    prepare_limit_s: float


def subject(
    context: typer.Context,
    scenarios: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="SCENARIO|FILE|DIR",
            autocompletion=completion.scenarios,
            help="Built-in scenarios or your own files. Default: point_reads bulk_inserts concurrent_sessions.",
            show_default=False,
        ),
    ] = None,
    driver: Driver = None,
    preset: Preset = None,
    layer: Layer = None,
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
    from dbbench.cli.command import given

    written = given(context, "driver", "preset")
    if driver and preset and len(written) == 1:  # one that is written here goes before another in pyproject.toml
        driver, preset = (None, preset) if "preset" in written else (driver, None)
    if driver and preset:
        raise UsageError("--driver and --preset exclude each other: a preset is several drivers", "leave one out")
    return Subject(
        scenarios=scenarios or [],
        drivers=list(PRESETS[preset]) if preset else values.drivers(driver),
        preset=preset,
        layers=values.layers(layer),
        params=values.params(set_ or []),
        project=project,
        compare_anyway=compare_anyway,
        prepare_limit_s=values.read("--prepare-timeout", prepare_timeout, units.seconds),
    )
