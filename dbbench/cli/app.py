"""The program: its subcommands, and the defaults that pyproject.toml has for them."""

from collections.abc import Callable, Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from dbbench import __version__
from dbbench.cli.capacity import capacity
from dbbench.cli.clean import clean
from dbbench.cli.command import Command, Request, ends_well
from dbbench.cli.doctor import doctor
from dbbench.cli.gate import gate
from dbbench.cli.groups import words
from dbbench.cli.list import list_
from dbbench.cli.new import new
from dbbench.cli.output import print_text
from dbbench.cli.pool import pool
from dbbench.cli.run import run
from dbbench.cli.selfcheck import selfcheck
from dbbench.cli.stored import compare, export, history, show
from dbbench.cli.wire import wire

if TYPE_CHECKING:
    from dbbench.cli.pyproject import Option

COMMANDS: Final[tuple[Command, ...]] = (
    run, capacity, pool, gate, wire, show, compare, history, export, list_, new, doctor, selfcheck, clean,
)  # fmt: skip


def parsed(words: Sequence[str]) -> Request:
    """What a command line asks for; runs nothing and asks no server.

    Raises UsageError, and the exceptions of Typer for what it refuses itself.
    """
    request: Request = _requests()(words, standalone_mode=False)
    return request


@cache
def _requests() -> Any:
    return typer.main.get_command(_program((each.request for each in COMMANDS), _main))


def _print_version(value: bool) -> None:
    if value:
        raise typer.Exit(print_text(f"dbbench {__version__}\n"))


def _main(
    context: typer.Context,
    _version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    name = context.invoked_subcommand or ""
    if name not in {each.name for each in COMMANDS if each.configured}:
        return
    from dbbench.cli import pyproject

    program: Any = context.command
    options = {each.name: _options(each, program.commands[each.name]) for each in COMMANDS if each.configured}
    context.default_map = {name: pyproject.defaults(Path.cwd(), name, options)}


def _options(command: Command, of_typer: Any) -> "dict[str, Option]":
    from dbbench.cli.pyproject import Option

    return {
        name.removeprefix("--"): Option(each.name, each.multiple, each.is_flag, words(command.request, each.name))
        for each in of_typer.params
        for name in each.opts
        if name.startswith("--") and name != "--help"
    }


def _program(functions: Iterable[Callable[..., object]], callback: Callable[..., None]) -> typer.Typer:
    """Make the program of the commands' functions."""
    program = typer.Typer(
        name="dbbench",
        help="Which PostgreSQL driver is faster for your queries, by how much, and how sure that is.",
        epilog="Start with: dbbench run",
        no_args_is_help=True,
        pretty_exceptions_enable=False,  # a traceback's locals may hold a password
        rich_markup_mode="rich",
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    program.callback()(callback)
    for each, function in zip(COMMANDS, functions, strict=True):
        program.command(each.name, help=each.help, epilog=each.epilog)(function)
    return program


app = _program((each.function for each in COMMANDS), ends_well()(_main))
