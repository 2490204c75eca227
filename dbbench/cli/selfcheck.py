"""`dbbench selfcheck`."""

from typing import Annotated

import typer

from dbbench.cli import options as common
from dbbench.cli.command import command, measuring
from dbbench.cli.formats import ListFormat
from dbbench.cli.output import show_file


@command("dbbench selfcheck", "dbbench selfcheck --seconds 60 --format json")
def selfcheck(
    seconds: Annotated[
        str,
        typer.Option(
            rich_help_panel=common.MEASURING,
            metavar="SECONDS",
            help="Time for each of the two noise floors, and in proportion for the rest; 60, 60s or 2m.",
        ),
    ] = "30",
    seed: common.Seed = None,
    output: common.ResultFile = None,
    format_: Annotated[
        ListFormat, typer.Option("--format", rich_help_panel=common.OUTPUT, help="What to print on stdout.")
    ] = ListFormat.TABLE,
    quiet: common.Quiet = False,
) -> None:
    """Measure how far this machine can be trusted: harness overhead, noise floor, sensitivity. Takes four minutes.

    Later runs warn when they are much noisier than this.
    """
    from dbbench.cli import values
    from dbbench.commands.selfcheck import steps as checking

    with measuring(quiet=quiet) as watch:
        ended = checking.run(watch, values.seconds("--seconds", seconds), seed=seed, output=output)
    show_file(ended.path, format_)
    raise typer.Exit(ended.exit_code)
