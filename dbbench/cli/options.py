"""Options that several commands have, each declared once: types for Typer, and groups (see groups.py)."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, NamedTuple

import typer

from dbbench import choices
from dbbench.cli import completion
from dbbench.errors import UsageError
from dbbench.units import INT64, LEAST_S, MOST_BLOCKS, MOST_RATE, MOST_S, MOST_SESSIONS

if TYPE_CHECKING:
    from dbbench.address import Address
    from dbbench.plan import Connections, Effort, Load

SIDES: Final = "Base and head"
WHAT: Final = "What is measured"
VERDICT: Final = "Verdict"
SETTINGS: Final = "Settings that are compared"
SERVER: Final = "Server"
CONNECTIONS: Final = "Connections and transactions, the same for all drivers"
LOAD: Final = "Load"
MEASURING: Final = "How it is measured"
OUTPUT: Final = "Output"

# --- server ----------------------------------------------------------------------------------------------------------

Url = Annotated[
    str | None,
    typer.Option(
        rich_help_panel=SERVER,
        metavar="URL",
        help="Your own server, instead of the embedded PostgreSQL.",
        show_default=False,
    ),
]
EnvUrl = Annotated[bool, typer.Option("--env-url", rich_help_panel=SERVER, help="Your own server, from DATABASE_URL.")]


OnDisconnect = Annotated[
    choices.OnDisconnect,
    typer.Option(
        rich_help_panel=SERVER,
        help="When your server goes away while it is measured: end with what there is, or wait up to 5 minutes until "
        "it is back, store how long it was away, and go on with a new block.",
    ),
]


class Server(NamedTuple):
    """Which server is measured."""

    address: "Address | None"  # None: the embedded one
    allow_production: bool
    allow_remote: bool
    on_disconnect: choices.OnDisconnect


def server(
    url: Url = None,
    env_url: EnvUrl = False,
    allow_production: Annotated[
        bool,
        typer.Option(
            "--allow-production",
            rich_help_panel=SERVER,
            help="Measure even a server that looks like production or is in use.",
        ),
    ] = False,
    allow_remote: Annotated[
        bool,
        typer.Option("--allow-remote", rich_help_panel=SERVER, help="Measure even a server on another machine."),
    ] = False,
    on_disconnect: OnDisconnect = "abort",
) -> Server:
    """Make the options of the server."""
    from dbbench.server.target import chosen_address

    return Server(chosen_address(url, env_url=env_url), allow_production, allow_remote, on_disconnect)


# --- connections -----------------------------------------------------------------------------------------------------


NullPool = Annotated[
    bool,
    typer.Option(
        "--null-pool",
        rich_help_panel=CONNECTIONS,
        help="Use SQLAlchemy's NullPool: a new connection for every checkout (core and orm).",
    ),
]
DriverSet = Annotated[
    list[str] | None,
    typer.Option(
        rich_help_panel=CONNECTIONS,
        metavar="DRIVER.NAME=VALUE",
        autocompletion=completion.driver_settings,
        help="How a driver prepares statements, repeatable: asyncpg.statement_cache_size=0, "
        "asyncpg.prepared_statement_cache_size=0, psycopg.prepare_threshold=none; "
        "binary results: psycopg.binary=on; psycopg2.executemany_mode=values_plus_batch; "
        "and in the raw layer how it gives JSON, asyncpg.json=python, psycopg.json=text, "
        "and whether its pool resets: asyncpg.reset=off.",
        show_default=False,
    ),
]
OF_POOLS: Final = ("pool_size", "max_overflow", "pool_timeout", "pool_pre_ping")
StatementTimeout = Annotated[
    str,
    typer.Option(
        rich_help_panel=CONNECTIONS,
        metavar="TIME",
        help="The server ends a statement that takes longer, locks included: 30s, 2m.",
    ),
]


def _of_pool(text: str, least: float, most: float) -> Any:
    return typer.Option(rich_help_panel=CONNECTIONS, min=least, max=most, help=text)


def connections(
    context: typer.Context,
    tx_end: Annotated[
        choices.TxEnd,
        typer.Option(rich_help_panel=CONNECTIONS, help="What to do with a transaction that an operation leaves open."),
    ] = "rollback",
    checkout: Annotated[
        choices.Checkout,
        typer.Option(
            rich_help_panel=CONNECTIONS,
            help="Check out a connection for every operation, or hold one per session.",
        ),
    ] = "request",
    pool_size: Annotated[int, _of_pool("Connections that the pool keeps open.", 1, MOST_SESSIONS)] = 5,
    max_overflow: Annotated[int, _of_pool("Connections that it opens beyond those.", 0, MOST_SESSIONS)] = 10,
    pool_timeout: Annotated[float, _of_pool("Seconds to wait for a connection.", LEAST_S, MOST_S)] = 30.0,
    pool_pre_ping: Annotated[
        bool,
        typer.Option(
            "--pool-pre-ping",
            rich_help_panel=CONNECTIONS,
            help="Let SQLAlchemy's pool test each connection at checkout (core and orm).",
        ),
    ] = False,
    statement_timeout: StatementTimeout = "30s",
    null_pool: NullPool = False,
    driver_set: DriverSet = None,
    loop: Annotated[
        choices.Loop, typer.Option(rich_help_panel=CONNECTIONS, help="Event loop of the async drivers.")
    ] = "asyncio",
) -> "Connections":
    """Make the options of connections."""
    from dbbench import plan, units
    from dbbench.cli import values
    from dbbench.cli.command import given

    if null_pool and (useless := given(context, *OF_POOLS)):
        option = min(useless).replace("_", "-")
        raise UsageError(f"--null-pool and --{option} exclude each other: there is no pool then")
    return plan.Connections(
        pool=plan.Pool(pool_size, max_overflow, pool_timeout),
        checkout=checkout,
        tx_end=tx_end,
        loop=values.loop(loop),
        pre_ping=pool_pre_ping and not null_pool,
        null_pool=null_pool,
        statement_limit_s=values.read("--statement-timeout", statement_timeout, units.seconds),
        settings=values.driver_settings(driver_set or []),
    )


# --- load ------------------------------------------------------------------------------------------------------------


def load(
    sessions: Annotated[
        str | None,
        typer.Option(
            rich_help_panel=LOAD,
            metavar="N,...",
            help="Concurrent sessions, like 1,15,50. Default: the scenario's own.",
            show_default=False,
        ),
    ] = None,
    rate: Annotated[
        float | None,
        typer.Option(
            rich_help_panel=LOAD,
            min=0.1,
            max=MOST_RATE,
            metavar="R",
            help="Open loop: start R operations per second per driver, whether or not it keeps up.",
            show_default=False,
        ),
    ] = None,
    arrival: Annotated[
        choices.Arrival,
        typer.Option(rich_help_panel=LOAD, help="Open loop: start operations at random, or evenly spaced."),
    ] = "poisson",
    think: Annotated[
        str | None,
        typer.Option(
            rich_help_panel=LOAD,
            metavar="TIME",
            help="Pause of a session after each operation: 20ms, 500us, 1.5s.",
            show_default=False,
        ),
    ] = None,
) -> "Load":
    """Make the options of the load."""
    from dbbench import units
    from dbbench.cli import values
    from dbbench.plan import Load

    return Load(
        sessions=None if sessions is None else values.numbers("--sessions", sessions),
        rate=rate,
        arrival=arrival,
        think_s=0.0 if think is None else values.read("--think", think, units.duration),
    )


# --- effort ----------------------------------------------------------------------------------------------------------

Seed = Annotated[
    int | None,
    typer.Option(
        rich_help_panel=MEASURING,
        min=0,
        max=INT64[1],
        metavar="N",
        help="Seed of all random choices. Default: drawn.",
        show_default=False,
    ),
]
Budget = Annotated[
    str | None,
    typer.Option(
        rich_help_panel=MEASURING,
        metavar="SECONDS",
        help="Time to measure, from the first block on: 90, 90s or 2m; a block may take a tenth more to end. "
        "The run ends earlier when every cell is decided. Default: 60.",
        show_default=False,
    ),
]


def effort(
    context: typer.Context,
    budget: Budget = None,
    precision: Annotated[
        str | None,
        typer.Option(
            rich_help_panel=MEASURING,
            metavar="SHARE",
            help="Measure until every ratio is known to within this share (2%, say), "
            "for at most 15 minutes or --budget.",
            show_default=False,
        ),
    ] = None,
    blocks: Annotated[
        int | None,
        typer.Option(
            rich_help_panel=MEASURING,
            min=1,
            max=MOST_BLOCKS,
            metavar="N",
            help="Measure exactly N blocks instead of using a time budget.",
            show_default=False,
        ),
    ] = None,
    rounds: Annotated[
        int | None,
        typer.Option(
            rich_help_panel=MEASURING,
            min=1,
            max=MOST_BLOCKS,
            metavar="N",
            help="Slices of every driver in a cell and block. Default: as many as the budget has time for.",
            show_default=False,
            hidden=True,  # for tests and very short runs: fewer slices are noisier blocks
        ),
    ] = None,
    seed: Seed = None,
) -> "Effort":
    """Make the options of the effort."""
    from dbbench import units
    from dbbench.cli import values
    from dbbench.cli.command import given
    from dbbench.plan import Effort

    # Each of the three says when to stop: one that is written here goes before another in pyproject.toml.
    written = given(context, "budget", "blocks", "precision")
    if written and "blocks" not in written:
        blocks = None
    if written and "precision" not in written:
        precision = None
    return Effort(
        budget_s=None if budget is None else values.read("--budget", budget, units.seconds),
        blocks=blocks,
        precision=None if precision is None else values.read("--precision", precision, units.share),
        rounds=rounds,
        seed=seed,
    )


# --- how it is measured, output --------------------------------------------------------------------------------------


def placement(default: str) -> Any:
    """The option that says where client and server run."""
    return typer.Option(
        rich_help_panel=MEASURING,
        help=f"CPUs: client and server apart, on one, or left to the scheduler. Default: {default}.",
        show_default=False,
    )


Placement = Annotated[choices.PlacementMode | None, placement("split")]
Idle = Annotated[
    choices.IdleMode | None,
    typer.Option(
        rich_help_panel=MEASURING,
        help="Keep CPUs awake that have nothing to do, or let them sleep, which makes answers slower and less even. "
        "Default: awake where the server is on this machine.",
        show_default=False,
    ),
]
ResultFile = Annotated[
    Path | None,
    typer.Option(
        "--output",
        "-o",
        rich_help_panel=OUTPUT,
        metavar="FILE",
        help="Result file. Default: results/<UTC time>-<id>.jsonl.",
        show_default=False,
    ),
]
FORMAT: Final = typer.Option("--format", rich_help_panel=OUTPUT, help="What to print on stdout.")
DECIMAL: Final = "csv: with comma, 0,52 instead of 0.52, and semicolons between fields, as many spreadsheets want."
Decimal = Annotated[choices.Decimal, typer.Option("--decimal", rich_help_panel=OUTPUT, help=DECIMAL)]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", rich_help_panel=OUTPUT, help="Print no progress and no notes.")]
