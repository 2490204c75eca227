"""`dbbench pool`."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Final

import typer

from dbbench import choices
from dbbench.cli import options as common
from dbbench.cli import subject as subjects
from dbbench.cli.command import command, measuring
from dbbench.cli.groups import Group, OneOf
from dbbench.cli.output import show_file
from dbbench.drivers import DEFAULT
from dbbench.errors import UsageError
from dbbench.reports import formats
from dbbench.units import MOST_PROCESSES, MOST_SESSIONS

if TYPE_CHECKING:
    from dbbench.commands.pool.steps import Wanted
    from dbbench.engine.options import Options
    from dbbench.plan import Connections, Load

LAYER: Final = "orm, core, raw or app: one of them. Default: orm."
SESSIONS: Final = (
    "Concurrent sessions of all processes together. With --rate: twice as many as the largest pools have connections."
)
SIZES: Final = ("pool_size", "max_overflow", "null_pool", "checkout")  # of connections: sizes are what is searched


@dataclass(frozen=True)
class Request:
    """What `dbbench pool` was asked to do."""

    options: "Options"
    wanted: "Wanted"
    format_: str
    decimal: choices.Decimal
    quiet: bool

    def execute(self) -> int:
        """Search, and print what was stored."""
        from dbbench.commands.pool.steps import execute

        with measuring(self.options, quiet=self.quiet) as watch:
            ended = execute(self.options, self.wanted, watch)
        shown = show_file(ended.path, self.format_, decimal=self.decimal)
        return ended.exit_code or shown


Processes = Annotated[
    int,
    typer.Option(
        rich_help_panel=common.LOAD,
        min=1,
        max=MOST_PROCESSES,
        help="Client processes, each with a pool of its own: your workers.",
    ),
]
Most = Annotated[
    int,
    typer.Option(
        rich_help_panel=common.WHAT, min=1, max=MOST_SESSIONS, help="The largest pool to try, connections per process."
    ),
]


def search(
    wait: Annotated[
        str,
        typer.Option(
            rich_help_panel=common.WHAT,
            metavar="TIME",
            help="Of the waits for a connection, 99 in 100 must be shorter: 5ms, 500us.",
        ),
    ] = "5ms",
    most: Most = 40,
    trial: Annotated[
        str, typer.Option(rich_help_panel=common.MEASURING, metavar="TIME", help="How long a trial lasts, at least.")
    ] = "5s",
) -> "Wanted":
    """Make the options of the search."""
    from dbbench import units
    from dbbench.cli import values
    from dbbench.commands.pool.steps import Wanted

    return Wanted(values.read("--wait", wait, units.duration) * 1e6, most, values.read("--trial", trial, units.seconds))


@command(
    "dbbench pool --rate 400 --processes 4",
    "dbbench pool concurrent_sessions --sessions 60 --think 20ms --processes 4 --wait 2ms",
    "dbbench pool my_scenario.py --rate 50 --driver asyncpg --format json",
    configured=True,
)
def pool(
    search: Annotated["Wanted", Group(search)],
    subject: Annotated[subjects.Subject, Group(subjects.subject, without=("scenarios",), help={"layer": LAYER})],
    server: Annotated[common.Server, Group(common.server, without=("on_disconnect",))],
    connections: Annotated["Connections", Group(common.connections, without=SIZES)],
    load: Annotated["Load", Group(common.load, help={"sessions": SESSIONS})],
    scenario: subjects.OneScenario = "point_reads",
    processes: Processes = 1,
    placement: common.Placement = None,
    seed: common.Seed = None,
    output: common.ResultFile = None,
    format_: Annotated[str, OneOf(formats("pool")), common.FORMAT] = "table",
    decimal: common.Decimal = "point",
    quiet: common.Quiet = False,
) -> Request:
    """Find the smallest connection pool with which nobody waits long for a connection.

    For a rate, or a number of sessions that pause, and your number of workers: measured with pools of several sizes,
    beside what Little's law says, and with the backends that the server must have for it.
    """
    from dbbench import catalog, plan
    from dbbench.cli import values
    from dbbench.engine.options import Options
    from dbbench.project import search_path

    paths = catalog.find([scenario])
    if len(paths) > 1:
        raise UsageError(f"{scenario}: {len(paths)} scenarios; pool takes one of them")
    for option, several in (("--layer", subject.layers), ("--sessions", load.sessions)):
        if several is not None and len(several) > 1:
            raise UsageError(f"{option} {','.join(map(str, several))}: pool takes one of them")
    if load.rate is None and load.sessions is None:
        raise UsageError("a load is needed", "--rate 400, or --sessions 60 --think 20ms")
    # More than the largest pools have connections, or nobody would ever wait for one.
    sessions = load.sessions or [min(MOST_SESSIONS, 2 * search.most * processes)]
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
        connections=values.largest(connections, search.most, processes),
        load=plan.Load(sessions, load.rate, load.arrival, load.think_s),
        effort=plan.Effort(blocks=1, seed=seed),  # nothing of a run's budget applies
        placement=placement,
        idle="sleep",
        output=output,
        search_path=search_path(subject.project, paths),
    )
    return Request(values.checked(options), search, format_, decimal, quiet)
