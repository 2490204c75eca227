"""`dbbench new`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from dbbench.cli import next_steps
from dbbench.cli.command import command
from dbbench.cli.output import print_text
from dbbench.errors import UsageError, reason


@dataclass(frozen=True)
class Request:
    """What `dbbench new` was asked to do."""

    path: Path
    sql: Path | None
    force: bool

    def execute(self) -> int:
        """Write the file, and say how it is run."""
        from dbbench.commands.new.source import COMMENTED, from_sql
        from dbbench.commands.new.sql import parsed
        from dbbench.files import replace_file

        source = COMMENTED
        if self.sql is not None:
            source = from_sql(parsed(_text(self.sql), self.sql.name), self.sql.name)
        if self.path.exists() and not self.force:
            raise UsageError(f"{self.path} is there already", "--force writes over it, or choose another name")
        try:
            replace_file(self.path, source.encode())
        except OSError as error:
            raise UsageError(f"cannot write {self.path}: {reason(error)}") from None
        return print_text(f"wrote {self.path}\nNext: {next_steps.program()} run {self.path}\n")


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"cannot read {path}: {reason(error)}") from None


@command("dbbench new my_query", "dbbench new orders_of_customer --from-sql orders.sql")
def new(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The file to write; .py is added.", show_default=False)],
    from_sql: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.sql",
            help="Measure the last statement of this file; those before it make and fill tables. Placeholders are "
            ":name, $1 or %s, and a line like '-- :name: 1..1000' (or 2026-01-01..2026-12-31, or open, closed) says "
            "what values they take.",
            show_default=False,
        ),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Write over a file that is there.")] = False,
) -> Request:
    """Write a scenario file that runs: a commented one to change, or one made of a query.

    With --from-sql a slow query is a benchmark in ten seconds: as it is where its tables are in your database (name
    them with their schema and give --url), or with the statements that make and fill them before it.
    """
    path = Path(name)
    if not path.stem.isidentifier():
        raise UsageError(f"{name} cannot be imported", "name it like a module: letters, digits and underscores")
    if path.suffix != ".py":
        path = path.with_name(f"{path.name}.py")
    return Request(path, from_sql, force)
