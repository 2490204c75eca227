"""`dbbench capacity`."""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Final

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
from dbbench.units import MOST_RATE

if TYPE_CHECKING:
    from dbbench.commands.capacity.steps import Wanted
    from dbbench.engine.options import Options
    from dbbench.plan import Connections, Load

LAYER: Final = "orm, core, raw or app: one of them. Default: orm."
SESSIONS: Final = (
    "Concurrent sessions, one number: so many operations run or wait for a connection at once. "
    "Default: as many as the pool has connections."
)
PACED: Final = ("rate", "think")  # of a load: the rates are what is searched


@dataclass(frozen=True)
class Request:
    """What `dbbench capacity` was asked to do."""

    options: "Options"
    wanted: "Wanted"
    format_: str
    decimal: choices.Decimal
    quiet: bool

    def execute(self) -> int:
        """Search, and print what was stored."""
        from dbbench.commands.capacity.steps import execute

        with measuring(self.options, quiet=self.quiet) as watch:
            ended = execute(self.options, self.wanted, watch)
        shown = show_file(ended.path, self.format_, decimal=self.decimal)
        return ended.exit_code or shown


def search(
    slo: Annotated[
        str,
        typer.Option(
            rich_help_panel=common.WHAT,
            metavar="OBJECTIVE",
            help="How late responses may be, like p99<10ms: p50, p90, p95, p99, p99.9, max or mean; us, ms or s.",
            show_default=False,
        ),
    ],
    min_rate: Annotated[
        float,
        typer.Option(
            rich_help_panel=common.LOAD,
            min=0.1,
            max=MOST_RATE,
            metavar="R",
            help="Lowest rate to try, in operations per second. "
            "Rates too low for the percentile to be known within a minute are skipped.",
        ),
    ] = 1.0,
    max_rate: Annotated[
        float,
        typer.Option(rich_help_panel=common.LOAD, min=0.1, max=MOST_RATE, metavar="R", help="Highest rate to try."),
    ] = 100_000.0,
    trial: Annotated[
        str,
        typer.Option(
            rich_help_panel=common.MEASURING,
            metavar="SECONDS",
            help="Time for each rate, longer where it takes longer to tell: 5, 5s or 2m.",
        ),
    ] = "5s",
    precision: Annotated[
        str,
        typer.Option(
            rich_help_panel=common.MEASURING,
            metavar="SHARE",
            help="Search until a rate failed that is within this share of one that held (5%, say).",
        ),
    ] = "5%",
) -> "Wanted":
    """Make the options of the search."""
    from dbbench import units
    from dbbench.cli import values
    from dbbench.commands.capacity import slo as objectives
    from dbbench.commands.capacity.steps import wanted

    return wanted(
        objectives.parse(slo),
        min_rate,
        max_rate,
        values.read("--precision", precision, units.share),
        values.read("--trial", trial, units.seconds),
    )


@command(
    'dbbench capacity --slo "p99<10ms"',
    'dbbench capacity concurrent_sessions --slo "p99<50ms" --driver psycopg,asyncpg --trial 10',
    'dbbench capacity point_reads --slo "p95<=2ms" --layer core --sessions 5 --precision 10%',
    configured=True,
)
def capacity(
    search: Annotated["Wanted", Group(search)],
    subject: Annotated[subjects.Subject, Group(subjects.subject, without=("scenarios",), help={"layer": LAYER})],
    server: Annotated[common.Server, Group(common.server, without=("on_disconnect",))],
    comparing: Annotated[Comparing, Group(comparing, without=("compare", "between"))],
    connections: Annotated["Connections", Group(common.connections)],
    load: Annotated["Load", Group(common.load, without=PACED, help={"sessions": SESSIONS})],
    scenario: subjects.OneScenario = "point_reads",
    placement: common.Placement = None,
    seed: common.Seed = None,
    output: common.ResultFile = None,
    format_: Annotated[str, OneOf(formats("capacity")), common.FORMAT] = "table",
    decimal: common.Decimal = "point",
    quiet: common.Quiet = False,
) -> Request:
    """Find the highest rate at which each driver still holds an objective.

    Operations are due at random, so many per second, whether a driver keeps up or not (open loop). The rates are
    doubled, halved and bisected; that takes a minute for each driver, or a few.
    """
    from dbbench import catalog, plan
    from dbbench.cli import values
    from dbbench.engine.options import Options
    from dbbench.engine.planning import arms_of
    from dbbench.project import search_path

    paths = catalog.find([scenario])
    if len(paths) > 1:
        raise UsageError(f"{scenario}: {len(paths)} scenarios; capacity takes one of them")
    for option, several in (("--layer", subject.layers), ("--sessions", load.sessions)):
        if several is not None and len(several) > 1:
            raise UsageError(f"{option} {','.join(map(str, several))}: capacity takes one of them")
    drivers = subject.drivers or list(DEFAULT)
    options = Options(
        scenarios=paths,
        drivers=drivers,
        baseline=drivers[0],
        layers=subject.layers,
        params=subject.params,
        compare_anyway=subject.compare_anyway,
        prepare_limit_s=subject.prepare_limit_s,
        address=server.address,
        allow_production=server.allow_production,
        allow_remote=server.allow_remote,
        connections=connections,
        effort=plan.Effort(blocks=1, seed=seed),  # nothing of a run's budget applies
        placement=placement,
        idle="sleep",  # clients of an open loop wait for the next operation to be due
        output=output,
        search_path=search_path(subject.project, paths),
    )
    options = comparing.applied(options)
    sessions = load.sessions or [max(arm.connections.capacity for arm in arms_of(options))]
    options = replace(options, load=plan.Load(sessions, arrival=load.arrival))
    return Request(values.checked(options), search, format_, decimal, quiet)
