"""`dbbench wire`."""

from typing import Annotated, get_args

import typer

from dbbench.cli import options as common
from dbbench.cli.command import command, measuring
from dbbench.cli.formats import TableFormat
from dbbench.cli.output import show_file
from dbbench.engine.options import Options
from dbbench.errors import UsageError


@command(
    "dbbench wire",
    "dbbench wire point_reads --layer core --tx-end autocommit",
    "dbbench wire point_reads --layer core --driver psycopg --driver-set psycopg.prepare_threshold=0 --trace",
    "dbbench wire point_reads --layer core --driver asyncpg --driver-set asyncpg.prepared_statement_cache_size=0",
    "dbbench wire my_scenario.py --format csv > wire.csv",
)
def wire(
    scenarios: common.Scenarios = None,
    driver: common.Drivers = None,
    layer: Annotated[
        list[str] | None,
        typer.Option(
            rich_help_panel=common.WHAT,
            metavar="L",
            help="orm, core or raw; repeatable, or raw,core,orm. Default: all that the scenario has.",
            show_default=False,
        ),
    ] = None,
    set_: common.Set = None,
    operations: Annotated[
        int,
        typer.Option(rich_help_panel=common.MEASURING, min=1, max=10_000, help="Operations to count, after a warm-up."),
    ] = 20,
    seed: Annotated[
        int,
        typer.Option(rich_help_panel=common.MEASURING, min=0, metavar="N", help="Seed of what the operations ask for."),
    ] = 0,
    url: common.Url = None,
    env_url: common.EnvUrl = False,
    allow_production: common.AllowProduction = False,
    tx_end: common.TxEnd = "rollback",
    checkout: common.Checkout = "request",
    pool_size: common.PoolSize = 5,
    max_overflow: common.MaxOverflow = 10,
    pool_timeout: common.PoolTimeout = 30.0,
    pool_pre_ping: common.PoolPrePing = False,
    driver_set: common.DriverSet = None,
    loop: common.Loop = "asyncio",
    output: common.ResultFile = None,
    trace: Annotated[
        bool,
        typer.Option("--trace", rich_help_panel=common.OUTPUT, help="Also one operation of each, message by message."),
    ] = False,
    format_: Annotated[
        TableFormat, typer.Option("--format", rich_help_panel=common.OUTPUT, help="What to print on stdout.")
    ] = TableFormat.TABLE,
    quiet: common.Quiet = False,
) -> None:
    """Count round trips, messages and bytes per operation, and say why there are so many.

    Counts have no noise: they explain a timing, and they say what a slow network will cost. Nothing is timed.
    """
    from dbbench import catalog, plan
    from dbbench.cli import values
    from dbbench.commands.wire.steps import execute_wire
    from dbbench.drivers import DEFAULT

    if trace and format_ is not TableFormat.TABLE:
        raise UsageError(f"--trace goes with --format table, not with {format_}")
    drivers = values.drivers(driver, driver[0].partition(",")[0])[0] if driver else list(DEFAULT)
    options = Options(
        scenarios=catalog.find(scenarios or []),
        drivers=drivers,
        layers=list(get_args(plan.Layer)) if layer is None else values.choices("--layer", layer, plan.Layer),
        address=values.address(url, env_url=env_url),
        allow_production=allow_production,
        params=values.params(set_ or []),
        connections=plan.Connections(
            pool=plan.Pool(pool_size, max_overflow, pool_timeout),
            checkout=values.choice("--checkout", checkout, plan.Checkout),
            tx_end=values.choice("--tx-end", tx_end, plan.TxEnd),
            loop=values.loop(loop),
            pre_ping=pool_pre_ping,
            settings=values.driver_settings(driver_set or [], drivers),
        ),
        effort=plan.Effort(seed=seed),
        output=output,
    )
    with measuring(quiet=quiet) as watch:
        ended = execute_wire(options, operations, watch, trace=trace)
    show_file(ended.path, format_)
    raise typer.Exit(ended.exit_code)
