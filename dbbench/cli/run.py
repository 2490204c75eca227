"""`dbbench run`."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Final, NamedTuple

import typer

from dbbench import choices
from dbbench.cli import completion, next_steps
from dbbench.cli import options as common
from dbbench.cli import subject as subjects
from dbbench.cli.command import command, measuring
from dbbench.cli.comparing import Comparing, comparing
from dbbench.cli.groups import Group, OneOf
from dbbench.cli.output import show_file
from dbbench.cli.streams import STDERR
from dbbench.drivers import DEFAULT
from dbbench.errors import UsageError
from dbbench.reports import formats

if TYPE_CHECKING:
    from dbbench.address import Address
    from dbbench.engine.options import Options
    from dbbench.plan import Connections, Effort, Load


ALL: Final = typer.Option("--all", rich_help_panel=common.WHAT, help="All built-in scenarios (dbbench list scenarios).")
BASELINE: Final = typer.Option(
    rich_help_panel=common.WHAT,
    metavar="D",
    autocompletion=completion.drivers,
    help="Driver to compare the others with, measured in any case; where it cannot be, the next one is compared with. "
    "With --vary, a driver's arm, like asyncpg+pool=15+0. Default: psycopg; the first of --preset or --vary.",
    show_default=False,
)
NEXT: Final = typer.Option("--next", hidden=True, help="Print what to type next.")  # make bench
DETAILS: Final = typer.Option(
    "--details",
    rich_help_panel=common.OUTPUT,
    help="Also where the time goes: waiting for a connection, CPU, event loop, new connections, memory.",
)


@dataclass(frozen=True)
class Request:
    """What `dbbench run` was asked to do."""

    options: "Options"
    format_: str
    decimal: choices.Decimal
    details: bool
    quiet: bool
    unnamed_baseline: bool = False  # measured although drivers were named, and it is none of them
    next: bool = False  # what to type next is always printed

    def execute(self) -> int:
        """Measure, and print what was stored."""
        from dbbench.commands.run import execute

        with measuring(self.options, quiet=self.quiet) as watch:
            if self.unnamed_baseline:
                name = self.options.baseline
                watch.note(f"{name} is measured too, as the baseline (--baseline chooses another)")
            ended = execute(self.options, watch)
        shown = show_file(ended.path, self.format_, details=self.details, decimal=self.decimal)
        if self.next or (self.format_ == "table" and not self.quiet and next_steps.wanted(ended.path)):
            STDERR.write(f"\n{next_steps.steps()}\n")
        return ended.exit_code or shown


class Route(NamedTuple):
    """What stands between drivers and server."""

    rtts: list[float]  # seconds of simulated latency
    pooler: choices.PoolerMode | None
    via: "Address | None"  # of the user's own pooler


def route(
    rtt: Annotated[
        str | None,
        typer.Option(
            rich_help_panel=common.CONNECTIONS,
            metavar="TIME,...",
            help="Simulate network latency: round-trip times like 0,1ms,5ms,20ms. Each is measured; "
            "the latency above which two drivers tie is estimated and then verified. Default scenario: point_reads.",
            show_default=False,
        ),
    ] = None,
    pooler: Annotated[
        choices.PoolerMode | None,
        typer.Option(
            rich_help_panel=common.CONNECTIONS,
            help="Put a PgBouncer in front of the server, and measure each driver with its defaults, with the settings "
            "that its documentation gives for poolers, with QueuePool and with NullPool; errors are counted. "
            "Default scenario: point_reads, with a session for each connection of the pool.",
            show_default=False,
        ),
    ] = None,
    via: Annotated[
        str | None,
        typer.Option(
            rich_help_panel=common.CONNECTIONS,
            metavar="POOLER_URL",
            help="Measure through a pooler of your own as well (PgBouncer, Supavisor, PgDog, Odyssey): it must lead to "
            "the server of --url, where the tables are made directly. What is measured is that of --pooler.",
            show_default=False,
        ),
    ] = None,
) -> Route:
    """Make the options of the route."""
    from dbbench.cli import values
    from dbbench.server.target import parse_url

    return Route([] if rtt is None else values.rtts(rtt), pooler, None if via is None else parse_url(via, "--via"))


@command(
    "dbbench run",
    "dbbench run --driver asyncpg",
    "dbbench run point_reads --layer raw,core,orm",
    "dbbench run my_scenario.py --url postgresql://me@localhost/scratch",
    "dbbench run concurrent_sessions --sessions 1,50 --pool-size 15 --max-overflow 0",
    "dbbench run point_reads --precision 2%",
    "dbbench run point_reads --rate 200 --sessions 15   (open loop)",
    "dbbench run point_reads --layer core --rtt 0,1ms,5ms",
    "dbbench run point_reads --layer core --pooler transaction",
    "dbbench run --sessions 5 --url postgresql://me@localhost/scratch --via postgresql://me@localhost:6432/scratch",
    "dbbench run point_reads --driver asyncpg --vary pool-pre-ping=off,on",
    "dbbench run point_reads --driver psycopg --layer core --vary tx-end=rollback,commit,autocommit",
    configured=True,
)
def run(
    subject: Annotated[subjects.Subject, Group(subjects.subject)],
    server: Annotated[common.Server, Group(common.server)],
    comparing: Annotated[Comparing, Group(comparing)],
    connections: Annotated["Connections", Group(common.connections)],
    route: Annotated[Route, Group(route)],
    load: Annotated["Load", Group(common.load)],
    effort: Annotated["Effort", Group(common.effort)],
    all_: Annotated[bool, ALL] = False,
    baseline: Annotated[str | None, BASELINE] = None,
    placement: common.Placement = None,
    idle: common.Idle = None,
    output: common.ResultFile = None,
    format_: Annotated[str, OneOf(formats("run")), common.FORMAT] = "table",
    decimal: common.Decimal = "point",
    details: Annotated[bool, DETAILS] = False,
    quiet: common.Quiet = False,
    next_: Annotated[bool, NEXT] = False,
) -> Request:
    """Measure drivers against each other and print how they compare.

    Without --url it starts a PostgreSQL of its own, which is gone afterwards.
    """
    from dbbench import catalog
    from dbbench.cli import values
    from dbbench.engine.options import Options
    from dbbench.project import search_path

    paths = catalog.find(_scenarios(subject, all_=all_, one=any(route) or comparing.asked))
    drivers = subject.drivers or list(DEFAULT)
    against = baseline or (drivers[0] if subject.preset else DEFAULT[0])
    if not comparing.asked:
        drivers = list(dict.fromkeys([values.known_driver(against), *drivers]))
    options = Options(
        scenarios=paths,
        drivers=drivers,
        baseline=against,
        layers=subject.layers,
        params=subject.params,
        compare_anyway=subject.compare_anyway,
        on_disconnect=server.on_disconnect,
        prepare_limit_s=subject.prepare_limit_s,
        address=server.address,
        allow_production=server.allow_production,
        allow_remote=server.allow_remote,
        connections=connections,
        load=load,
        effort=effort,
        placement=placement,
        idle=idle,
        rtts=route.rtts,
        pooler=route.pooler,
        via=route.via,
        output=output,
        search_path=search_path(subject.project, paths),
    )
    options = comparing.applied(options, baseline or "")
    unnamed = not comparing.asked and bool(subject.drivers) and against not in subject.drivers
    return Request(values.checked(options), format_, decimal, details, quiet, unnamed, next_)


def _scenarios(subject: subjects.Subject, *, all_: bool, one: bool) -> list[str]:
    """The names of the scenarios; empty: those of a default run."""
    from dbbench import catalog

    if all_ and subject.scenarios:
        raise UsageError("--all and names of scenarios exclude each other", "leave one out")
    if all_:
        return list(catalog.builtin())
    # Every cell is measured at each latency, or behind each pooler with each setting: one scenario is enough of that.
    return subject.scenarios or (["point_reads"] if one else [])
