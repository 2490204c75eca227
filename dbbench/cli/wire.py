"""`dbbench wire`."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Final, get_args

import typer

from dbbench import choices
from dbbench.cli import options as common
from dbbench.cli import subject as subjects
from dbbench.cli.command import command, measuring
from dbbench.cli.comparing import Comparing, comparing
from dbbench.cli.groups import Group, OneOf
from dbbench.cli.output import show_file
from dbbench.drivers import DEFAULT
from dbbench.errors import UsageError
from dbbench.reports import formats

if TYPE_CHECKING:
    from dbbench.engine.options import Options
    from dbbench.plan import Connections

LAYERS: Final = "orm, core, raw or app; repeatable, or raw,core,orm. Default: all that the scenario has."


@dataclass(frozen=True)
class Request:
    """What `dbbench wire` was asked to do."""

    options: "Options"
    operations: int
    format_: str
    decimal: choices.Decimal
    trace: bool
    quiet: bool

    def execute(self) -> int:
        """Count, and print what was stored."""
        from dbbench.commands.wire.steps import execute_wire

        with measuring(self.options, quiet=self.quiet, timed=False) as watch:
            ended = execute_wire(self.options, self.operations, watch, trace=self.trace)
        shown = show_file(ended.path, self.format_, decimal=self.decimal)
        return ended.exit_code or shown


@command(
    "dbbench wire",
    "dbbench wire point_reads --layer core --tx-end autocommit",
    "dbbench wire point_reads --layer core --driver psycopg --driver-set psycopg.prepare_threshold=0 --trace",
    "dbbench wire point_reads --layer core --driver asyncpg --driver-set asyncpg.prepared_statement_cache_size=0",
    "dbbench wire my_scenario.py --format csv > wire.csv",
    configured=True,
)
def wire(
    subject: Annotated[subjects.Subject, Group(subjects.subject, without=("compare_anyway",), help={"layer": LAYERS})],
    server: Annotated[common.Server, Group(common.server, without=("on_disconnect",))],
    comparing: Annotated[Comparing, Group(comparing, without=("compare",))],
    connections: Annotated["Connections", Group(common.connections)],
    operations: Annotated[
        int,
        typer.Option(rich_help_panel=common.MEASURING, min=1, max=10_000, help="Operations to count, after a warm-up."),
    ] = 20,
    seed: common.Seed = 0,
    trace: Annotated[
        bool,
        typer.Option(
            "--trace", rich_help_panel=common.OUTPUT, help="Also print one operation of each, message by message."
        ),
    ] = False,
    output: common.ResultFile = None,
    format_: Annotated[str, OneOf(formats("wire")), common.FORMAT] = "table",
    decimal: common.Decimal = "point",
    quiet: common.Quiet = False,
) -> Request:
    """Count round trips, messages and bytes per operation, and say why there are so many.

    Counts have no noise: they explain a timing, and they say what a slow network will cost. Nothing is timed.
    """
    from dbbench import catalog
    from dbbench.cli import values
    from dbbench.engine.options import Options
    from dbbench.plan import Effort
    from dbbench.project import search_path

    if trace and format_ != "table":
        raise UsageError(f"--trace goes with --format table, not with {format_}")
    drivers = subject.drivers or list(DEFAULT)
    paths = catalog.find(subject.scenarios)
    options = Options(
        scenarios=paths,
        drivers=drivers,
        baseline=drivers[0],
        layers=subject.layers or list(get_args(choices.Layer)),
        params=subject.params,
        prepare_limit_s=subject.prepare_limit_s,
        address=server.address,
        allow_production=server.allow_production,
        allow_remote=server.allow_remote,
        connections=connections,
        effort=Effort(seed=seed),
        output=output,
        search_path=search_path(subject.project, paths),
    )
    return Request(values.checked(comparing.applied(options)), operations, format_, decimal, trace, quiet)
