"""`dbbench doctor`."""

from dataclasses import dataclass
from typing import Annotated

from dbbench.cli import options as common
from dbbench.cli.command import command, signals
from dbbench.cli.groups import OneOf
from dbbench.cli.output import print_found
from dbbench.errors import ExitCode
from dbbench.reports import formats


@dataclass(frozen=True)
class Request:
    """What `dbbench doctor` was asked to do."""

    url: str | None  # as it was written: one that cannot be read is a finding
    env_url: bool
    format_: str

    def execute(self) -> int:
        """Look at everything, and print what was found."""
        from dbbench.commands.doctor import examine, ready

        with signals():
            checks = examine(self.url, env_url=self.env_url)
        printed = print_found("doctor", self.format_, checks)
        return printed if ready(checks) else ExitCode.CANNOT_START


@command(
    "dbbench doctor",
    "dbbench doctor --format json",
    "dbbench doctor --url postgresql://me@localhost/scratch",
    configured=True,
)
def doctor(
    url: common.Url = None,
    env_url: common.EnvUrl = False,
    format_: Annotated[str, OneOf(formats("doctor")), common.FORMAT] = "table",
) -> Request:
    """Say what is installed, which server there is, and what is missing.

    Without --url it starts the embedded PostgreSQL for a moment. It ends with 4 when `dbbench run` could not start.
    """
    return Request(url, env_url, format_)
