"""`dbbench capacity`: options to search, and its answer printed."""

import os
from typing import Annotated

import typer

from dbbench.cli import options as common
from dbbench.cli.command import command, measuring
from dbbench.cli.formats import CapacityFormat
from dbbench.cli.output import show_file
from dbbench.errors import UsageError


@command(
    'dbbench capacity --slo "p99<10ms"',
    'dbbench capacity concurrent_sessions --slo "p99<50ms" --driver psycopg,asyncpg --trial 10',
    'dbbench capacity point_reads --slo "p95<=2ms" --layer core --sessions 5 --precision 10%',
)
def capacity(
    slo: Annotated[
        str,
        typer.Option(
            rich_help_panel=common.WHAT,
            metavar="OBJECTIVE",
            help="How late responses may be, like p99<10ms: p50, p90, p95, p99, p99.9, max or mean; us, ms or s.",
            show_default=False,
        ),
    ],
    scenario: Annotated[
        str,
        typer.Argument(metavar="SCENARIO|FILE", help="A built-in scenario or your own file."),
    ] = "point_reads",
    driver: common.Drivers = None,
    layer: Annotated[
        str | None,
        typer.Option(
            rich_help_panel=common.WHAT, metavar="L", help="orm, core or raw. Default: orm.", show_default=False
        ),
    ] = None,
    sessions: Annotated[
        int | None,
        typer.Option(
            rich_help_panel=common.WHAT,
            min=1,
            metavar="N",
            help="Concurrent sessions: so many operations run or wait for a connection at once. "
            "Default: as many as the pool has connections.",
            show_default=False,
        ),
    ] = None,
    set_: common.Set = None,
    url: common.Url = None,
    env_url: common.EnvUrl = False,
    allow_production: common.AllowProduction = False,
    tx_end: common.TxEnd = "rollback",
    pool_size: common.PoolSize = 5,
    max_overflow: common.MaxOverflow = 10,
    pool_timeout: common.PoolTimeout = 30.0,
    loop: common.Loop = "asyncio",
    arrival: common.Arrival = "poisson",
    min_rate: Annotated[
        float,
        typer.Option(
            rich_help_panel=common.LOAD,
            min=0.1,
            metavar="R",
            help="Lowest rate to try, operations per second; "
            "none is so low that a minute has too few of them for the percentile.",
        ),
    ] = 1.0,
    max_rate: Annotated[
        float, typer.Option(rich_help_panel=common.LOAD, min=0.1, metavar="R", help="Highest rate to try.")
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
            help="Search until a rate failed that is within so much of one that held, like 5%.",
        ),
    ] = "5%",
    placement: common.Placement = None,
    seed: common.Seed = None,
    output: common.ResultFile = None,
    format_: Annotated[
        CapacityFormat, typer.Option("--format", rich_help_panel=common.OUTPUT, help="What to print on stdout.")
    ] = CapacityFormat.TABLE,
    quiet: common.Quiet = False,
) -> None:
    """Find the highest rate at which each driver still holds an objective.

    Operations are due at random, so many per second, whether a driver keeps up or not (open loop). The rates are
    doubled, halved and bisected; that takes a minute for each driver, or a few.
    """
    from dbbench import catalog, plan
    from dbbench.cli import values
    from dbbench.commands.capacity import slo as objectives
    from dbbench.commands.capacity import steps as searching
    from dbbench.engine.options import Options

    wanted = searching.wanted(
        objectives.parse(slo),
        min_rate,
        max_rate,
        values.share("--precision", precision),
        values.seconds("--trial", trial),
        values.choice("--arrival", arrival, plan.Arrival),
    )
    paths = catalog.find([scenario])
    if len(paths) > 1:
        raise UsageError(f"{scenario}: {len(paths)} scenarios; capacity takes one of them")
    drivers, first = values.drivers(driver, (driver or ["psycopg"])[0].partition(",")[0])
    pool = plan.Pool(pool_size, max_overflow, pool_timeout)
    options = Options(
        scenarios=paths,
        drivers=drivers,
        baseline=first,
        layers=None if layer is None else [values.choice("--layer", layer, plan.Layer)],
        address=values.address(url, env_url=env_url),
        allow_production=allow_production,
        placement=None if placement is None else values.choice("--placement", placement, plan.PlacementMode),
        params=values.params(set_ or []),
        connections=plan.Connections(
            pool=pool, tx_end=values.choice("--tx-end", tx_end, plan.TxEnd), loop=values.loop(loop)
        ),
        load=plan.Load(sessions=[sessions or pool.capacity]),
        effort=plan.Effort(blocks=1, seed=seed),
        output=output,
    )
    with measuring(quiet=quiet) as watch:
        if "DATABASE_URL" in os.environ and options.address is None:
            watch.note("DATABASE_URL is set but not used; --env-url uses it")
        ended = searching.execute(options, wanted, watch)
    show_file(ended.path, format_)
    raise typer.Exit(ended.exit_code)
