"""The program: its subcommands, and the defaults that pyproject.toml has for them."""

from pathlib import Path
from typing import Annotated, Any, Final

import typer

from dbbench import __version__
from dbbench.cli.capacity import capacity
from dbbench.cli.command import Command, ends_well
from dbbench.cli.doctor import doctor
from dbbench.cli.gate import gate
from dbbench.cli.list import list_
from dbbench.cli.run import run
from dbbench.cli.selfcheck import selfcheck
from dbbench.cli.stored import compare, export, history, show
from dbbench.cli.wire import wire

COMMANDS: Final[tuple[Command, ...]] = (
    run, capacity, gate, wire, show, compare, history, export, list_, doctor, selfcheck,
)  # fmt: skip

app = typer.Typer(
    name="dbbench",
    help="Which PostgreSQL driver is faster for your queries, by how much, and how sure that is.",
    epilog="Start with: dbbench run",
    no_args_is_help=True,
    pretty_exceptions_enable=False,  # a traceback's locals may hold a password
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)
for each in COMMANDS:
    app.command(each.name, help=each.help, epilog=each.epilog)(each.function)


def main() -> None:
    """Run the program."""
    app()


def _print_version(value: bool) -> None:
    if value:
        print(f"dbbench {__version__}")
        raise typer.Exit


@app.callback()
@ends_well
def _main(
    context: typer.Context,
    _version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    name = context.invoked_subcommand or ""
    table = {"run": "dbbench", "gate": "dbbench.gate"}.get(name)
    if table is None:
        return
    from dbbench.cli import pyproject

    command: Any = typer.main.get_command(app)
    parameters = command.commands[name].params
    names = {name.removeprefix("--"): each for each in parameters for name in each.opts if name.startswith("--")}
    repeatable = [name for name, each in names.items() if each.multiple]
    found = pyproject.defaults(Path.cwd(), list(names), repeatable, table)
    context.default_map = {name: found}
