"""`dbbench selfcheck`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from dbbench.cli import options as common
from dbbench.cli.command import command, measuring
from dbbench.cli.groups import OneOf
from dbbench.cli.output import show_file
from dbbench.reports import formats


@dataclass(frozen=True)
class Request:
    """What `dbbench selfcheck` was asked to do."""

    stage_s: float
    seed: int | None
    output: Path | None
    format_: str
    quiet: bool

    def execute(self) -> int:
        """Measure, and print what was stored."""
        from dbbench.commands.selfcheck import steps

        with measuring(quiet=self.quiet) as watch:
            ended = steps.run(watch, self.stage_s, seed=self.seed, output=self.output)
        shown = show_file(ended.path, self.format_)
        return ended.exit_code or shown


@command("dbbench selfcheck", "dbbench selfcheck --seconds 60 --format json", configured=True)
def selfcheck(
    seconds: Annotated[
        str,
        typer.Option(
            rich_help_panel=common.MEASURING,
            metavar="SECONDS",
            help="Time for each of the two noise floors, and in proportion for the rest: 60, 60s or 2m.",
        ),
    ] = "30",
    seed: common.Seed = None,
    output: common.ResultFile = None,
    format_: Annotated[str, OneOf(formats("selfcheck")), common.FORMAT] = "table",
    quiet: common.Quiet = False,
) -> Request:
    """Measure how far this machine can be trusted: harness overhead, noise floor, sensitivity. Takes five minutes.

    Later runs warn when they are much noisier than this.
    """
    from dbbench import units
    from dbbench.cli import values

    return Request(values.read("--seconds", seconds, units.seconds), seed, output, format_, quiet)
