"""Options of the command line that several commands have, each written once: `Annotated` types for Typer."""

from pathlib import Path
from typing import Annotated, Final

import typer

from dbbench.drivers import DEFAULT, DRIVERS

SIDES: Final = "Base and head"
WHAT: Final = "What is measured"
VERDICT: Final = "Verdict"
SERVER: Final = "Server"
CONNECTIONS: Final = "Connections and transactions, the same for all drivers"
LOAD: Final = "Load"
MEASURING: Final = "How it is measured"
OUTPUT: Final = "Output"

Scenarios = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="SCENARIO|FILE|DIR",
        help="Built-in scenarios or your own files. Default: point_reads bulk_inserts concurrent_sessions.",
        show_default=False,
    ),
]
Drivers = Annotated[
    list[str] | None,
    typer.Option(
        "--driver",
        "-d",
        rich_help_panel=WHAT,
        metavar="D",
        help=f"Driver to measure, repeatable: {', '.join(DRIVERS)}. Default: {', '.join(DEFAULT)}.",
        show_default=False,
    ),
]
Layers = Annotated[
    list[str] | None,
    typer.Option(
        rich_help_panel=WHAT,
        metavar="L",
        help="orm, core or raw; repeatable, or raw,core,orm. Default: orm.",
        show_default=False,
    ),
]
Set = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        rich_help_panel=WHAT,
        metavar="NAME=VALUE",
        help="A parameter of the scenarios (see: dbbench list scenarios).",
        show_default=False,
    ),
]
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
AllowProduction = Annotated[
    bool,
    typer.Option(
        "--allow-production",
        rich_help_panel=SERVER,
        help="Measure even a server that looks like production or is in use.",
    ),
]
TxEnd = Annotated[
    str,
    typer.Option(
        rich_help_panel=CONNECTIONS,
        metavar="rollback|commit|autocommit",
        help="How a transaction ends that the operation left open.",
    ),
]
Checkout = Annotated[
    str,
    typer.Option(
        rich_help_panel=CONNECTIONS,
        metavar="request|session",
        help="Check a connection out for every operation, or hold one per session.",
    ),
]
PoolSize = Annotated[int, typer.Option(rich_help_panel=CONNECTIONS, min=1, help="Connections that the pool keeps.")]
MaxOverflow = Annotated[
    int, typer.Option(rich_help_panel=CONNECTIONS, min=0, help="Connections that it opens beyond that.")
]
PoolTimeout = Annotated[
    float, typer.Option(rich_help_panel=CONNECTIONS, min=0.001, help="Seconds to wait for a connection.")
]
Loop = Annotated[
    str, typer.Option(rich_help_panel=LOAD, metavar="asyncio|uvloop", help="Event loop of the async drivers.")
]
Arrival = Annotated[
    str,
    typer.Option(rich_help_panel=LOAD, metavar="poisson|constant", help="Open loop: when operations are due."),
]
Placement = Annotated[
    str | None,
    typer.Option(
        rich_help_panel=MEASURING,
        metavar="split|shared|free",
        help="CPUs: client and server apart, on one, or left to the scheduler. Default: split.",
        show_default=False,
    ),
]
Seed = Annotated[
    int | None,
    typer.Option(
        rich_help_panel=MEASURING,
        min=0,
        metavar="N",
        help="Seed of all random choices. Default: drawn.",
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
Quiet = Annotated[bool, typer.Option("--quiet", "-q", rich_help_panel=OUTPUT, help="No progress and no notes.")]
Rtt = Annotated[
    str | None,
    typer.Option(
        "--rtt",
        rich_help_panel=CONNECTIONS,
        metavar="TIME,...",
        help="Simulate network latency: round-trip times like 0,1ms,5ms,20ms. Each is measured, "
        "and the one from which on two drivers tie is worked out and checked. Default scenario: point_reads.",
        show_default=False,
    ),
]
Pooler = Annotated[
    str | None,
    typer.Option(
        "--pooler",
        rich_help_panel=CONNECTIONS,
        metavar="transaction|session",
        help="Put a PgBouncer of its own in front of the server: each driver with its defaults and with the "
        "settings that are documented for poolers, QueuePool and NullPool; errors are counted. "
        "Default: point_reads, as many sessions as the pool has connections.",
        show_default=False,
    ),
]
PoolPrePing = Annotated[
    bool,
    typer.Option(
        "--pool-pre-ping",
        rich_help_panel=CONNECTIONS,
        help="SQLAlchemy's pool asks before each checkout whether the connection lives (core and orm).",
    ),
]
DriverSet = Annotated[
    list[str] | None,
    typer.Option(
        "--driver-set",
        rich_help_panel=CONNECTIONS,
        metavar="DRIVER.NAME=VALUE",
        help="How a driver prepares statements, repeatable: asyncpg.statement_cache_size=0, "
        "asyncpg.prepared_statement_cache_size=0, psycopg.prepare_threshold=none.",
        show_default=False,
    ),
]
