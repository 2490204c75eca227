"""`dbbench clean`."""

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from dbbench.cli import options as common
from dbbench.cli.command import command, signals
from dbbench.cli.output import complain, print_text
from dbbench.errors import ExitCode, UsageError

if TYPE_CHECKING:
    from dbbench.address import Address


@dataclass(frozen=True)
class Request:
    """What `dbbench clean` was asked to do."""

    address: "Address | None"
    yes: bool

    def execute(self) -> int:
        """Say what there is, ask, and remove it."""
        from dbbench.reports.clean import lines
        from dbbench.server.leftovers import find, remove

        with signals():
            found = find(self.address)
            print_text("".join(f"{line}\n" for line in lines(found)))
            if not found:
                return print_text("nothing to remove: no killed run has left anything behind\n")
            if not self.yes and not _agreed():
                return print_text("nothing was removed\n")
            stayed = remove(found, self.address)
        for one in stayed:
            complain(f"not removed: {one}")
        printed = print_text("removed\n" if not stayed else "the rest was removed\n")
        return ExitCode.DEGRADED if stayed else printed


def _agreed() -> bool:
    if not (sys.stdin and sys.stdin.isatty()):
        raise UsageError("nobody can be asked here, so nothing was removed", "--yes removes it")
    return typer.confirm("Remove all of this?")


@command("dbbench clean", "dbbench clean --url postgresql://me@localhost/scratch --yes", configured=True)
def clean(
    url: common.Url = None,
    env_url: common.EnvUrl = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> Request:
    """Remove what killed runs have left behind: folders on this machine and, with --url, schemas in that database.

    Only what bears dbbench's tag and belongs to no run that is going on is listed and, when you agree, removed. A
    schema that something of yours depends on stays.
    """
    from dbbench.server.target import chosen_address

    return Request(chosen_address(url, env_url=env_url), yes)
