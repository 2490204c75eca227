"""`dbbench doctor`."""

import sys
from typing import Annotated

import typer

from dbbench.cli import options as common
from dbbench.cli.command import command, signals
from dbbench.cli.formats import ListFormat
from dbbench.cli.output import print_found
from dbbench.errors import ExitCode


@command("dbbench doctor", "dbbench doctor --format json", "dbbench doctor --url postgresql://me@localhost/scratch")
def doctor(
    url: common.Url = None,
    env_url: common.EnvUrl = False,
    format_: Annotated[ListFormat, typer.Option("--format", help="What to print on stdout.")] = ListFormat.TABLE,
) -> None:
    """Say what is installed, which server there is, and what is missing.

    Without --url it starts the embedded PostgreSQL for a moment. It ends with 4 when `dbbench run` could not start.
    """
    from dbbench.commands import doctor as examining

    with signals():
        checks = examining.examine(url, env_url=env_url)
    print_found("doctor", format_, checks)
    sys.stdout.flush()
    if not examining.ready(checks):
        raise typer.Exit(ExitCode.CANNOT_START)
