"""`dbbench run`."""

import os
from typing import Annotated

import typer

from dbbench.cli import options as common
from dbbench.cli.command import command, measuring
from dbbench.cli.formats import TableFormat
from dbbench.cli.output import show_file
from dbbench.drivers import DEFAULT, DRIVERS
from dbbench.engine.options import Options
from dbbench.errors import UsageError


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
)
def run(
    context: typer.Context,
    scenarios: common.Scenarios = None,
    driver: Annotated[
        list[str] | None,
        typer.Option(
            "--driver",
            "-d",
            rich_help_panel=common.WHAT,
            metavar="D",
            help=f"Driver to measure, repeatable: {', '.join(DRIVERS)}. Default: {', '.join(DEFAULT)}. "
            "The baseline is always measured too.",
            show_default=False,
        ),
    ] = None,
    baseline: Annotated[
        str,
        typer.Option(rich_help_panel=common.WHAT, metavar="D", help="The driver that the others are compared with."),
    ] = "psycopg",
    layer: common.Layers = None,
    sessions: Annotated[
        str | None,
        typer.Option(
            rich_help_panel=common.WHAT,
            metavar="N,...",
            help="Concurrent sessions, like 1,15,50. Default: the scenario's own.",
            show_default=False,
        ),
    ] = None,
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
    rtt: common.Rtt = None,
    pooler: common.Pooler = None,
    loop: common.Loop = "asyncio",
    placement: common.Placement = None,
    set_: common.Set = None,
    rate: Annotated[
        float | None,
        typer.Option(
            rich_help_panel=common.LOAD,
            min=0.1,
            metavar="R",
            help="Open loop: so many operations per second are due, for each driver, whether it keeps up or not.",
            show_default=False,
        ),
    ] = None,
    arrival: common.Arrival = "poisson",
    think: Annotated[
        str | None,
        typer.Option(
            rich_help_panel=common.LOAD,
            metavar="TIME",
            help="Pause of a session after each operation: 20ms, 500us, 1.5s.",
            show_default=False,
        ),
    ] = None,
    budget: Annotated[
        str | None,
        typer.Option(
            rich_help_panel=common.MEASURING,
            metavar="SECONDS",
            help="Time to measure at most, set-up apart: 90, 90s or 2m. "
            "It ends earlier when every cell is decided. Default: 60.",
            show_default=False,
        ),
    ] = None,
    precision: Annotated[
        str | None,
        typer.Option(
            rich_help_panel=common.MEASURING,
            metavar="SHARE",
            help="Measure until every ratio is known so well, like 2%: for 15 minutes at most, or --budget.",
            show_default=False,
        ),
    ] = None,
    blocks: Annotated[
        int | None,
        typer.Option(
            rich_help_panel=common.MEASURING,
            min=1,
            metavar="N",
            help="Exactly so many blocks, instead of a budget.",
            show_default=False,
        ),
    ] = None,
    seed: common.Seed = None,
    output: common.ResultFile = None,
    format_: Annotated[
        TableFormat, typer.Option("--format", rich_help_panel=common.OUTPUT, help="What to print on stdout.")
    ] = TableFormat.TABLE,
    details: Annotated[
        bool,
        typer.Option(
            "--details",
            rich_help_panel=common.OUTPUT,
            help="Also where the time goes: waiting for a connection, CPU, event loop, new connections, memory.",
        ),
    ] = False,
    quiet: common.Quiet = False,
) -> None:
    """Measure drivers against each other and print how they compare.

    Without --url it starts a PostgreSQL of its own, which is gone afterwards.
    """
    from dbbench import catalog, plan
    from dbbench.cli import values
    from dbbench.commands import run as running

    # Each of the three says when to stop: one that is written here goes before another in pyproject.toml.
    asked = {name for name in ("budget", "blocks", "precision") if _written(context, name)}
    if asked and not _written(context, "blocks"):
        blocks = None
    if asked and not _written(context, "precision"):
        precision = None
    drivers, base = values.drivers(driver, baseline)
    # Every cell is measured at each latency, or behind each pooler with each setting: one scenario is enough of that.
    scenarios = scenarios or (["point_reads"] if rtt or pooler else [])
    options = Options(
        scenarios=catalog.find(scenarios),
        drivers=drivers,
        baseline=base,
        layers=None if layer is None else values.choices("--layer", layer, plan.Layer),
        address=values.address(url, env_url=env_url),
        allow_production=allow_production,
        placement=None if placement is None else values.choice("--placement", placement, plan.PlacementMode),
        params=values.params(set_ or []),
        output=output,
        rtts=[] if rtt is None else values.rtts(rtt),
        pooler=None if pooler is None else values.choice("--pooler", pooler, plan.PoolerMode),
        connections=plan.Connections(
            pool=plan.Pool(pool_size, max_overflow, pool_timeout),
            checkout=values.choice("--checkout", checkout, plan.Checkout),
            tx_end=values.choice("--tx-end", tx_end, plan.TxEnd),
            loop=values.loop(loop),
            pre_ping=pool_pre_ping,
            settings=values.driver_settings(driver_set or [], drivers),
        ),
        load=plan.Load(
            sessions=None if sessions is None else values.numbers("--sessions", sessions),
            rate=rate,
            arrival=values.choice("--arrival", arrival, plan.Arrival),
            think_s=0.0 if think is None else values.duration("--think", think),
        ),
        effort=plan.Effort(
            budget_s=None if budget is None else values.seconds("--budget", budget),
            blocks=blocks,
            precision=None if precision is None else values.share("--precision", precision),
            seed=seed,
        ),
    )
    if pooler is not None and rtt is not None:
        raise UsageError("--pooler and --rtt exclude each other: nothing stands between the pooler and the server")
    if rate is not None and rtt is not None:
        raise UsageError("--rate and --rtt exclude each other: latency is worked out from a closed loop")
    if rate is not None and think is not None:
        raise UsageError("--rate and --think exclude each other: with a rate, arrivals decide when a session is busy")
    if blocks is not None and precision is not None:
        raise UsageError("--blocks and --precision exclude each other: a precision needs as many blocks as it takes")
    if (
        options.connections.checkout == "session"
        and max(options.load.sessions or [1]) > options.connections.pool.capacity
    ):
        raise UsageError(
            "--checkout session holds a connection per session: --sessions can be at most "
            f"{options.connections.pool.capacity} with this pool (--pool-size, --max-overflow)"
        )
    with measuring(quiet=quiet) as watch:
        if driver and base not in ",".join(driver).split(","):
            watch.note(f"{base} is measured too, as the baseline (--baseline chooses another)")
        if "DATABASE_URL" in os.environ and options.address is None:
            watch.note("DATABASE_URL is set but not used; --env-url uses it")
        outcome = running.execute(options, watch)
    show_file(outcome.path, format_, details=details)
    raise typer.Exit(outcome.exit_code)


def _written(context: typer.Context, name: str) -> bool:
    """Whether the option was given on the command line itself."""
    source = context.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"
