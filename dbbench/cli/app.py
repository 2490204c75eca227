"""The command line: parse, call, print. The only place that exits.

Everything heavy (SQLAlchemy, drivers, reports) is imported by the command that needs it, so that --help is quick.
"""

import contextlib
import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from enum import StrEnum
from functools import wraps
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Any, ParamSpec, get_args

import typer

from dbbench import __version__
from dbbench import options as common
from dbbench.errors import DbbenchError, ExitCode, Interrupted, UsageError

if TYPE_CHECKING:
    from dbbench.progress import Watcher
    from dbbench.stored.history import Entry

_P = ParamSpec("_P")

app = typer.Typer(
    name="dbbench",
    help="Which PostgreSQL driver is faster for your queries, by how much, and how sure that is.",
    epilog="Start with: dbbench run",
    no_args_is_help=True,
    pretty_exceptions_enable=False,  # a traceback's locals may hold a password
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)


class TableFormat(StrEnum):
    """What `run` and `show` print."""

    TABLE = "table"
    CSV = "csv"
    JSON = "json"
    MARKDOWN = "markdown"


class ExportFormat(StrEnum):
    """What `export` writes."""

    CSV = "csv"
    JSON = "json"
    MARKDOWN = "markdown"
    PYPERF = "pyperf"
    HGRM = "hgrm"
    JUNIT = "junit"
    BMF = "bmf"
    CUSTOM_SMALLER_IS_BETTER = "customSmallerIsBetter"


class CsvTable(StrEnum):
    """Which table `export --format csv` writes."""

    CELLS = "cells"
    BREAKDOWN = "breakdown"
    ERRORS = "errors"
    LAYERS = "layers"


class GateFormat(StrEnum):
    """What `gate` prints, and writes as a report."""

    TABLE = "table"
    CSV = "csv"
    JSON = "json"
    MARKDOWN = "markdown"
    JUNIT = "junit"
    ANNOTATIONS = "annotations"
    BMF = "bmf"
    CUSTOM_SMALLER_IS_BETTER = "customSmallerIsBetter"


class WireGateFormat(StrEnum):
    """What `gate --wire` prints, and writes as a report."""

    TABLE = "table"
    CSV = "csv"
    JSON = "json"
    MARKDOWN = "markdown"


class Inconclusive(StrEnum):
    """How an inconclusive gate ends."""

    PASS = "pass"  # noqa: S105 - no password
    FAIL = "fail"


class CapacityFormat(StrEnum):
    """What `capacity` prints."""

    TABLE = "table"
    CSV = "csv"
    JSON = "json"


class HistoryFormat(StrEnum):
    """What `history` prints."""

    TABLE = "table"
    CSV = "csv"
    JSON = "json"


class ListFormat(StrEnum):
    """What `list` and `doctor` print."""

    TABLE = "table"
    JSON = "json"


class Listed(StrEnum):
    """What `list` lists."""

    SCENARIOS = "scenarios"
    DRIVERS = "drivers"


def main() -> None:
    """Run the program."""
    app()


def _ends_well(command: Callable[_P, None]) -> Callable[_P, None]:
    """Let a command end as errors.py says, with one line on stderr instead of a traceback."""

    @wraps(command)
    def wrapped(*args: _P.args, **kwargs: _P.kwargs) -> None:
        try:
            command(*args, **kwargs)
            if sys.stdout is not None:  # it is when the shell closed it
                sys.stdout.flush()
        except DbbenchError as error:
            _complain(str(error))
            raise typer.Exit(error.exit_code) from None
        except Interrupted as interrupted:
            _complain(f"interrupted ({interrupted}) before anything was measured")
            raise typer.Exit(interrupted.exit_code) from None
        except KeyboardInterrupt:
            raise typer.Exit(128 + signal.SIGINT) from None
        except BrokenPipeError:
            # Whoever read our output has seen enough, like `head`. Python would complain again when it flushes.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise typer.Exit(ExitCode.OK) from None
        except (typer.Exit, typer.Abort, typer.TyperException):
            raise
        except OSError as error:
            _complain(f"{error.filename or 'the output'} cannot be read or written: {error.strerror or error}")
            raise typer.Exit(ExitCode.DEGRADED) from None
        except Exception as error:  # a bug must not look like a regression (exit 1)
            _complain(f"this is a bug in dbbench: {_where(error)}: {type(error).__name__}: {error}")
            raise typer.Exit(ExitCode.BUG) from None

    return wrapped


def _complain(message: str) -> None:
    print(f"dbbench: {' '.join(message.split())}", file=sys.stderr)


def _where(error: Exception) -> str:
    traceback = error.__traceback__
    while traceback is not None and traceback.tb_next is not None:
        traceback = traceback.tb_next
    if traceback is None:
        return "?"
    return f"{Path(traceback.tb_frame.f_code.co_filename).name}:{traceback.tb_lineno}"


@contextlib.contextmanager
def _measuring(*, quiet: bool) -> Iterator["Watcher"]:
    """What every command that measures works in: its own signals, nothing of libpq's environment, somebody to tell."""
    from dbbench.process import libpq_variables
    from dbbench.progress import watcher

    for name in libpq_variables():
        del os.environ[name]
    with _signals(), watcher(quiet=quiet) as watch:
        yield watch


@contextlib.contextmanager
def _signals() -> Iterator[None]:
    """Turn the first signal into Interrupted, which lets everything be put away; the second ends at once.

    Ending at once leaves nothing behind either: supervisor and workers end when their pipe from here does.
    """
    seen = False

    def handle(signum: int, _frame: FrameType | None) -> None:
        nonlocal seen
        if seen:
            os._exit(128 + signum)
        seen = True
        raise Interrupted(signum)

    handled = [signal.SIGINT, signal.SIGTERM]
    if hasattr(signal, "SIGHUP"):
        handled.append(signal.SIGHUP)
    before = {signum: signal.signal(signum, handle) for signum in handled}
    try:
        yield
    finally:
        for signum, handler in before.items():
            signal.signal(signum, handler)


def _print_version(value: bool) -> None:
    if value:
        print(f"dbbench {__version__}")
        raise typer.Exit


@app.callback()
@_ends_well
def _main(
    context: typer.Context,
    _version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    name = context.invoked_subcommand or ""
    table = {"run": "dbbench", "gate": "dbbench.gate"}.get(name)
    if table is None:
        return
    from dbbench import pyproject

    command: Any = typer.main.get_command(app)
    parameters = command.commands[name].params
    names = {name.removeprefix("--"): each for each in parameters for name in each.opts if name.startswith("--")}
    repeatable = [name for name, each in names.items() if each.multiple]
    found = pyproject.defaults(Path.cwd(), list(names), repeatable, table)
    context.default_map = {name: found}


# --- run -------------------------------------------------------------------------------------------------------------


@app.command(
    epilog="Examples:\n\n"
    "dbbench run\n\n"
    "dbbench run --driver asyncpg\n\n"
    "dbbench run point_reads --layer raw,core,orm\n\n"
    "dbbench run my_scenario.py --url postgresql://me@localhost/scratch\n\n"
    "dbbench run concurrent_sessions --sessions 1,50 --pool-size 15 --max-overflow 0\n\n"
    "dbbench run point_reads --precision 2%\n\n"
    "dbbench run point_reads --rate 200 --sessions 15   (open loop)\n\n"
    "dbbench run point_reads --layer core --rtt 0,1ms,5ms\n\n"
    "dbbench run point_reads --layer core --pooler transaction"
)
@_ends_well
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
            help="Driver to measure, repeatable: psycopg, asyncpg, psycopg2, "
            "psycopg-sync. Default: the first three. The baseline is always measured too.",
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
    from dbbench import arguments, catalog, gathering, plan
    from dbbench import run as running

    # Each of the three says when to stop: one that is written here goes before another in pyproject.toml.
    asked = {name for name in ("budget", "blocks", "precision") if _written(context, name)}
    if asked and not _written(context, "blocks"):
        blocks = None
    if asked and not _written(context, "precision"):
        precision = None
    drivers, base = arguments.drivers(driver, baseline)
    # Every cell is measured at each latency, or behind each pooler with each setting: one scenario is enough of that.
    scenarios = scenarios or (["point_reads"] if rtt or pooler else [])
    options = gathering.Options(
        scenarios=catalog.find(scenarios),
        drivers=drivers,
        baseline=base,
        layers=None if layer is None else arguments.choices("--layer", layer, plan.Layer),
        sessions=None if sessions is None else arguments.numbers("--sessions", sessions),
        address=arguments.address(url, env_url=env_url),
        allow_production=allow_production,
        tx_end=arguments.choice("--tx-end", tx_end, plan.TxEnd),
        checkout=arguments.choice("--checkout", checkout, plan.Checkout),
        pool=plan.Pool(pool_size, max_overflow, pool_timeout),
        loop=arguments.loop(loop),
        placement=None if placement is None else arguments.choice("--placement", placement, plan.PlacementMode),
        params=arguments.params(set_ or []),
        budget_s=None if budget is None else arguments.seconds("--budget", budget),
        blocks=blocks,
        precision=None if precision is None else arguments.share("--precision", precision),
        think_s=0.0 if think is None else arguments.duration("--think", think),
        rate=rate,
        arrival=arguments.choice("--arrival", arrival, plan.Arrival),
        seed=seed,
        output=output,
        rtts=[] if rtt is None else arguments.rtts(rtt),
        pooler=None if pooler is None else arguments.choice("--pooler", pooler, plan.PoolerMode),
        pre_ping=pool_pre_ping,
        settings=arguments.driver_settings(driver_set or [], drivers),
    )
    if pooler is not None and rtt is not None:
        raise UsageError("--pooler and --rtt exclude each other: nothing stands between the pooler and the server")
    if rate is not None and rtt is not None:
        raise UsageError("--rate and --rtt exclude each other: latency is worked out from a closed loop")
    if rate is not None and think is not None:
        raise UsageError("--rate and --think exclude each other: with a rate, arrivals decide when a session is busy")
    if blocks is not None and precision is not None:
        raise UsageError("--blocks and --precision exclude each other: a precision needs as many blocks as it takes")
    if options.checkout == "session" and max(options.sessions or [1]) > options.pool.capacity:
        raise UsageError(
            f"--checkout session holds a connection per session: --sessions can be at most {options.pool.capacity} "
            "with this pool (--pool-size, --max-overflow)"
        )
    with _measuring(quiet=quiet) as watch:
        if driver and base not in ",".join(driver).split(","):
            watch.note(f"{base} is measured too, as the baseline (--baseline chooses another)")
        if "DATABASE_URL" in os.environ and options.address is None:
            watch.note("DATABASE_URL is set but not used; --env-url uses it")
        outcome = running.execute(options, watch)
    _show(outcome.path, format_, details=details)
    raise typer.Exit(outcome.exit_code)


def _written(context: typer.Context, name: str) -> bool:
    """Whether the option was given on the command line itself."""
    source = context.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"


def _show(path: Path, format_: TableFormat, *, details: bool) -> None:
    from dbbench import records

    _print(records.read(path), format_, path, details=details)


def _print(run: Any, format_: TableFormat, path: Path, *, details: bool) -> None:
    """Print a run on stdout."""
    from dbbench.compare import rows

    found = rows(run)
    if format_ is TableFormat.TABLE:
        from dbbench.reports.table import render

        render(run, found, _console(), str(path), details=details)
    elif format_ is TableFormat.MARKDOWN:
        from dbbench.reports.markdown import report

        sys.stdout.write(report(run, found, details=details))
    else:
        from dbbench.reports import REPORTS

        sys.stdout.write(REPORTS[format_](run, found))


def _console() -> Any:
    """Stdout as Rich prints on it."""
    from rich.console import Console

    class Out(Console):
        def on_broken_pipe(self) -> None:
            raise BrokenPipeError  # Rich would end with 1, which means a regression

    return Out()


# --- capacity --------------------------------------------------------------------------------------------------------


@app.command(
    epilog="Examples:\n\n"
    'dbbench capacity --slo "p99<10ms"\n\n'
    'dbbench capacity concurrent_sessions --slo "p99<50ms" --driver psycopg,asyncpg --trial 10\n\n'
    'dbbench capacity point_reads --slo "p95<=2ms" --layer core --sessions 5 --precision 10%'
)
@_ends_well
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
    format_: Annotated[
        CapacityFormat, typer.Option("--format", rich_help_panel=common.OUTPUT, help="What to print on stdout.")
    ] = CapacityFormat.TABLE,
    quiet: common.Quiet = False,
) -> None:
    """Find the highest rate at which each driver still holds an objective.

    Operations are due at random, so many per second, whether a driver keeps up or not (open loop). The rates are
    doubled, halved and bisected; that takes a minute for each driver, or a few.
    """
    from dbbench import arguments, catalog, plan
    from dbbench import capacity as searching
    from dbbench import slo as objectives
    from dbbench.gathering import Options

    wanted = searching.wanted(
        objectives.parse(slo),
        min_rate,
        max_rate,
        arguments.share("--precision", precision),
        arguments.seconds("--trial", trial),
        arguments.choice("--arrival", arrival, plan.Arrival),
    )
    paths = catalog.find([scenario])
    if len(paths) > 1:
        raise UsageError(f"{scenario}: {len(paths)} scenarios; capacity takes one of them")
    drivers, first = arguments.drivers(driver, (driver or ["psycopg"])[0].partition(",")[0])
    pool = plan.Pool(pool_size, max_overflow, pool_timeout)
    options = Options(
        scenarios=paths,
        drivers=drivers,
        baseline=first,
        layers=None if layer is None else [arguments.choice("--layer", layer, plan.Layer)],
        sessions=[sessions or pool.capacity],
        address=arguments.address(url, env_url=env_url),
        allow_production=allow_production,
        tx_end=arguments.choice("--tx-end", tx_end, plan.TxEnd),
        pool=pool,
        loop=arguments.loop(loop),
        placement=None if placement is None else arguments.choice("--placement", placement, plan.PlacementMode),
        params=arguments.params(set_ or []),
        blocks=1,  # nothing of a run's budget applies
        seed=seed,
    )
    with _measuring(quiet=quiet) as watch:
        if "DATABASE_URL" in os.environ and options.address is None:
            watch.note("DATABASE_URL is set but not used; --env-url uses it")
        answer, exit_code = searching.execute(options, wanted, watch)
    from dbbench.reports import capacity as reports

    if format_ is CapacityFormat.TABLE:
        reports.render(answer, _console())
    else:
        report = reports.csv_report if format_ is CapacityFormat.CSV else reports.json_report
        sys.stdout.write(report(answer))
    raise typer.Exit(exit_code)


# --- gate ------------------------------------------------------------------------------------------------------------


@app.command(
    epilog="Examples:\n\n"
    'dbbench gate --base "asyncpg==0.30.0" --head "asyncpg==0.31.0"\n\n'
    "dbbench gate --base-python .venv-main/bin/python --head-python .venv/bin/python\n\n"
    "dbbench gate my_scenario.py --project . --base main --head HEAD\n\n"
    "dbbench gate my_scenario.py --project . --base origin/main --tolerance 3% --tolerance cpu=5% "
    "--report junit=gate.xml"
)
@_ends_well
def gate(
    scenarios: common.Scenarios = None,
    base: Annotated[
        list[str] | None,
        typer.Option(
            rich_help_panel=common.SIDES,
            metavar="REQUIREMENT|REVISION",
            help='What is compared with: a requirement, like "asyncpg==0.30.0" (repeatable), '
            "or with --project a git revision, like main.",
            show_default=False,
        ),
    ] = None,
    head: Annotated[
        list[str] | None,
        typer.Option(
            rich_help_panel=common.SIDES,
            metavar="REQUIREMENT|REVISION",
            help="What is judged, likewise. Default with --project: HEAD.",
            show_default=False,
        ),
    ] = None,
    base_python: Annotated[
        Path | None,
        typer.Option(
            rich_help_panel=common.SIDES,
            metavar="PYTHON",
            help="Interpreter of base, with its packages: .venv-main/bin/python.",
            show_default=False,
        ),
    ] = None,
    head_python: Annotated[
        Path | None,
        typer.Option(rich_help_panel=common.SIDES, metavar="PYTHON", help="Interpreter of head.", show_default=False),
    ] = None,
    project: Annotated[
        Path | None,
        typer.Option(
            rich_help_panel=common.SIDES,
            metavar="DIR",
            help="Your project: --base and --head are git revisions of it, checked out elsewhere, "
            "and scenarios in it are measured as each revision has them.",
            show_default=False,
        ),
    ] = None,
    from_source: Annotated[
        bool,
        typer.Option(
            "--from-source", rich_help_panel=common.SIDES, help="Build the required packages on both sides: no wheels."
        ),
    ] = False,
    driver: Annotated[
        list[str] | None,
        typer.Option(
            "--driver",
            "-d",
            rich_help_panel=common.WHAT,
            metavar="D",
            help="Driver to measure, repeatable. Default: those that are required by name, "
            "or else psycopg, asyncpg and psycopg2.",
            show_default=False,
        ),
    ] = None,
    layer: common.Layers = None,
    sessions: Annotated[
        str | None,
        typer.Option(
            rich_help_panel=common.WHAT,
            metavar="N,...",
            help="Concurrent sessions, like 1,15. Default: the fewest of the scenario's own, which repeat best.",
            show_default=False,
        ),
    ] = None,
    set_: common.Set = None,
    tolerance: Annotated[
        list[str] | None,
        typer.Option(
            rich_help_panel=common.VERDICT,
            metavar="[NAME=]SHARE",
            help="Loss that is still fine, repeatable: 5%, cpu=8%, p95=10%, bulk_inserts=10% or "
            "bulk_inserts.cpu=12%. Time per operation is always looked at; others are when they have a tolerance. "
            "Default: 5%.",
            show_default=False,
        ),
    ] = None,
    wire: Annotated[
        bool,
        typer.Option(
            "--wire",
            rich_help_panel=common.VERDICT,
            help="Measure no time: count round trips, messages and statements per operation, "
            "which have no noise, and fail when there are more of them. No budget and no tolerance has a part in it; "
            "formats and reports are table, csv, json and markdown.",
        ),
    ] = False,
    inconclusive: Annotated[
        Inconclusive | None,
        typer.Option(
            rich_help_panel=common.VERDICT,
            metavar="pass|fail",
            help="End with 0 or 1 when the noise allows no verdict. Default: end with 6.",
            show_default=False,
        ),
    ] = None,
    budget: Annotated[
        str,
        typer.Option(
            rich_help_panel=common.MEASURING,
            metavar="SECONDS",
            help="Time to measure at most, set-up apart: 180, 180s or 3m. It ends earlier when all is decided.",
        ),
    ] = "5m",
    placement: Annotated[
        str,
        typer.Option(
            rich_help_panel=common.MEASURING,
            metavar="split|shared|free",
            help="CPUs: client and server apart, on one (repeats best), or left to the scheduler.",
        ),
    ] = "shared",
    seed: common.Seed = None,
    url: common.Url = None,
    env_url: common.EnvUrl = False,
    allow_production: common.AllowProduction = False,
    tx_end: common.TxEnd = "rollback",
    pool_size: common.PoolSize = 5,
    max_overflow: common.MaxOverflow = 10,
    pool_timeout: common.PoolTimeout = 30.0,
    loop: common.Loop = "asyncio",
    output: common.ResultFile = None,
    format_: Annotated[
        GateFormat, typer.Option("--format", rich_help_panel=common.OUTPUT, help="What to print on stdout.")
    ] = GateFormat.TABLE,
    report: Annotated[
        list[str] | None,
        typer.Option(
            rich_help_panel=common.OUTPUT,
            metavar="FORMAT=FILE",
            help="Also write a report, repeatable: junit=gate.xml, json=, csv=, markdown=, bmf= (Bencher), "
            "customSmallerIsBetter= (github-action-benchmark), annotations=, table=.",
            show_default=False,
        ),
    ] = None,
    quiet: common.Quiet = False,
) -> None:
    """Fail when head is slower than base: both measured in one job, in turns, and judged as a whole.

    Ends with 0 (pass), 1 (something got slower) or 6 (inconclusive). In a GitHub workflow it also writes the job's
    summary and annotations.
    """
    from dbbench import arguments, catalog, gathering, plan
    from dbbench import run as running
    from dbbench.gate import run as gating
    from dbbench.gate.environments import Wanted

    paths = catalog.find(scenarios or [])
    formats = list(WireGateFormat) if wire else list(GateFormat)
    reports = arguments.reports(report or [], formats)
    if format_ not in formats:
        raise UsageError(f"--format {format_}: --wire has {', '.join(formats)}")
    request = gating.Request(
        wanted=Wanted(
            base=base or [],
            head=head or (["HEAD"] if project is not None else []),
            base_python=base_python,
            head_python=head_python,
            project=project,
            from_source=from_source,
            extra=["uvloop"] if loop == "uvloop" else [],
        ),
        options=gathering.Options(
            scenarios=paths,
            drivers=arguments.drivers(driver, driver[0].partition(",")[0])[0] if driver else [],
            layers=None if layer is None else arguments.choices("--layer", layer, plan.Layer),
            sessions=None if sessions is None else arguments.numbers("--sessions", sessions),
            address=arguments.address(url, env_url=env_url),
            allow_production=allow_production,
            tx_end=arguments.choice("--tx-end", tx_end, plan.TxEnd),
            pool=plan.Pool(pool_size, max_overflow, pool_timeout),
            loop=arguments.loop(loop),
            placement=arguments.choice("--placement", placement, plan.PlacementMode),
            params=arguments.params(set_ or []),
            budget_s=arguments.seconds("--budget", budget),
            seed=seed,
            output=output,
        ),
        tolerances=arguments.tolerances(tolerance or [], [path.stem for path in paths]),
    )
    with _measuring(quiet=quiet) as watch:
        if "DATABASE_URL" in os.environ and request.options.address is None:
            watch.note("DATABASE_URL is set but not used; --env-url uses it")
        if wire:
            _end_wire_gate(gating.count_gate(request, watch), format_, reports)
        outcome: running.Outcome = gating.execute_gate(request, watch)
    _end_gate(outcome, format_, reports, inconclusive)


def _end_wire_gate(changes: Any, format_: GateFormat, reports: Sequence[tuple[str, Path]]) -> None:
    """Print what changed on the wire, write what was asked for, and end with 1 where something grew."""
    from dbbench.reports.wire.changes import REPORTS

    sys.stdout.write(REPORTS[format_.value](changes))
    for name, path in reports:
        _write(path, REPORTS[name](changes))
    if summary := os.environ.get("GITHUB_STEP_SUMMARY"):
        with Path(summary).open("a", encoding="utf-8") as file:
            file.write(REPORTS["markdown"](changes))
    raise typer.Exit(ExitCode.REGRESSION if any(change.grew for change in changes) else ExitCode.OK)


def _end_gate(
    outcome: Any, format_: GateFormat, reports: Sequence[tuple[str, Path]], inconclusive: Inconclusive | None
) -> None:
    """Print the verdict, write what was asked for, and end as the verdict says."""
    from dbbench import records
    from dbbench.gate.findings import exit_code
    from dbbench.reports.gate import REPORTS

    result = _gate_result(records.read(outcome.path))
    _print_gate(result, format_, outcome.path)
    code = exit_code(result, outcome.exit_code, inconclusive)
    if os.environ.get("GITHUB_ACTIONS") == "true":
        sys.stderr.write(REPORTS["annotations"](result))
    for name, path in reports:
        try:
            _write(path, REPORTS[name](result))
        except UsageError as error:  # minutes were measured for the verdict: it stands
            _complain(str(error))
            code = code or ExitCode.DEGRADED
    if summary := os.environ.get("GITHUB_STEP_SUMMARY"):
        from dbbench.reports.gate.markdown import SUMMARY_BYTES
        from dbbench.reports.gate.markdown import report as markdown

        try:
            with Path(summary).open("a", encoding="utf-8") as file:
                file.write(markdown(result, SUMMARY_BYTES))
        except OSError as error:
            _complain(f"GITHUB_STEP_SUMMARY: {summary} cannot be written: {error.strerror}")
    raise typer.Exit(code)


def _gate_result(run: Any) -> Any:
    from dbbench.gate.findings import result
    from dbbench.reports.footer import conditions

    return result(run, conditions(run))


def _print_gate(result: Any, format_: GateFormat, path: Path) -> None:
    if format_ is GateFormat.TABLE:
        from dbbench.reports.gate.table import render

        render(result, _console(), str(path))
    else:
        from dbbench.reports.gate import REPORTS

        sys.stdout.write(REPORTS[format_](result))


# --- wire ------------------------------------------------------------------------------------------------------------


@app.command(
    epilog="Examples:\n\n"
    "dbbench wire\n\n"
    "dbbench wire point_reads --layer core --tx-end autocommit\n\n"
    "dbbench wire point_reads --layer core --driver psycopg --driver-set psycopg.prepare_threshold=0 --trace\n\n"
    "dbbench wire point_reads --layer core --driver asyncpg --driver-set asyncpg.prepared_statement_cache_size=0\n\n"
    "dbbench wire my_scenario.py --format csv > wire.csv"
)
@_ends_well
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
    from dbbench import arguments, catalog, gathering, plan
    from dbbench.drivers import DEFAULT
    from dbbench.wire.run import execute_wire

    if trace and format_ is not TableFormat.TABLE:
        raise UsageError(f"--trace goes with --format table, not with {format_}")
    drivers = arguments.drivers(driver, driver[0].partition(",")[0])[0] if driver else list(DEFAULT)
    options = gathering.Options(
        scenarios=catalog.find(scenarios or []),
        drivers=drivers,
        layers=list(get_args(plan.Layer)) if layer is None else arguments.choices("--layer", layer, plan.Layer),
        address=arguments.address(url, env_url=env_url),
        allow_production=allow_production,
        tx_end=arguments.choice("--tx-end", tx_end, plan.TxEnd),
        checkout=arguments.choice("--checkout", checkout, plan.Checkout),
        pool=plan.Pool(pool_size, max_overflow, pool_timeout),
        loop=arguments.loop(loop),
        params=arguments.params(set_ or []),
        seed=seed,
        pre_ping=pool_pre_ping,
        settings=arguments.driver_settings(driver_set or [], drivers),
    )
    with _measuring(quiet=quiet) as watch:
        result = execute_wire(options, operations, watch)
    _print_wire(result, format_, trace=trace)
    raise typer.Exit(ExitCode.DEGRADED if result.problems else ExitCode.OK)


def _print_wire(result: Any, format_: TableFormat, *, trace: bool) -> None:
    if format_ is TableFormat.TABLE:
        from dbbench.reports.wire.table import render

        render(result, _console(), trace=trace)
    else:
        from dbbench.reports.wire import REPORTS

        sys.stdout.write(REPORTS[format_](result))


# --- stored runs -----------------------------------------------------------------------------------------------------


@app.command(epilog="Examples:\n\ndbbench show\n\ndbbench show results/20261123T031500Z-3f9c2a.jsonl --format markdown")
@_ends_well
def show(
    result: Annotated[
        Path | None,
        typer.Argument(
            metavar="[RESULT]",
            help="Result file, or the id of a run in results/. Default: the newest there.",
            show_default=False,
        ),
    ] = None,
    format_: Annotated[TableFormat, typer.Option("--format", help="What to print on stdout.")] = TableFormat.TABLE,
    details: Annotated[bool, typer.Option("--details", help="Also where the time goes, for every cell.")] = False,
) -> None:
    """Print the table of a stored run."""
    from dbbench import records

    path = _newest() if result is None else _stored(result)
    run = records.read(path)
    if format_ is not TableFormat.TABLE:  # the table says them itself
        _warn(run.warnings)
    if run.header.plan.gate is not None:
        _print_gate(_gate_result(run), GateFormat(format_), path)
    else:
        _print(run, format_, path, details=details)


def _warn(warnings: Sequence[str]) -> None:
    for warning in warnings:
        _complain(warning)


def _stored(result: Path) -> Path:
    """The file that is meant: itself, or the one in results/ with that id."""
    matching = [] if result.exists() else list(Path("results").glob(f"*-{result.name}*.jsonl"))
    return matching[0] if len(matching) == 1 else result


def _newest() -> Path:
    files = sorted(Path("results").glob("*.jsonl"))
    if not files:
        raise UsageError("no result in results/; make one with: dbbench run")
    return files[-1]


@app.command(
    epilog="Examples:\n\n"
    "dbbench compare 3f9c2a 81d0b7\n\n"
    "dbbench compare base.jsonl head.jsonl --format markdown\n\n"
    "dbbench compare base.jsonl head.jsonl --control psycopg2 --fail-over 10%"
)
@_ends_well
def compare(
    base: Annotated[
        Path, typer.Argument(metavar="BASE", help="Result file, or the id of a run in results/.", show_default=False)
    ],
    head: Annotated[Path, typer.Argument(metavar="HEAD", help="The one that is compared with it.", show_default=False)],
    control: Annotated[
        str | None,
        typer.Option(
            metavar="D", help="The driver that ratios are to. Default: the baseline of BASE.", show_default=False
        ),
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Compare runs of different machines, servers, Pythons or settings, too.")
    ] = False,
    fail_over: Annotated[
        str | None,
        typer.Option(
            "--fail-over",
            metavar="SHARE",
            help="End with 1 when the interval of a change lies above this, like 10%.",
            show_default=False,
        ),
    ] = None,
    format_: Annotated[TableFormat, typer.Option("--format", help="What to print on stdout.")] = TableFormat.TABLE,
) -> None:
    """Compare two stored runs: how each driver's time relative to a control driver has changed.

    Advisory: it ends with 0 whatever the numbers say, and with 6 when the runs are not alike or have nothing in common.
    Runs in different jobs cannot tell small changes, and those of different machines none below 10 to 20%.
    What can: dbbench gate, which measures both sides in one job.
    """
    from dbbench import arguments, records
    from dbbench.reports import changes as reports
    from dbbench.stored import changes

    limit = None if fail_over is None else arguments.share("--fail-over", fail_over)
    before, after = (records.read(_stored(path)) for path in (base, head))
    _warn([f"{name}: {warning}" for name, run in (("BASE", before), ("HEAD", after)) for warning in run.warnings])
    found = changes.compare(before, after, control, force=force)
    if format_ is TableFormat.TABLE:
        reports.render(found, _console())
    else:
        _warn([f"{one.key} is {one.base} in BASE and {one.head} in HEAD" for one in found.mismatches])
        sys.stdout.write(reports.REPORTS[format_](found))
    sys.stdout.flush()
    if limit is not None and (slower := changes.over(found.changes, limit)):
        _warn([reports.over_text(one, limit) for one in slower])
        raise typer.Exit(ExitCode.REGRESSION)
    if not found.changes or (limit is not None and all(one.change_low is None for one in found.changes)):
        raise typer.Exit(ExitCode.INCONCLUSIVE)


@app.command(
    epilog="Examples:\n\ndbbench history\n\ndbbench history nightly/ --control psycopg2 --format csv > trends.csv"
)
@_ends_well
def history(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Folder of result files.")] = Path("results"),
    control: Annotated[
        str | None,
        typer.Option(
            metavar="D", help="The driver that ratios are to. Default: the baseline of each run.", show_default=False
        ),
    ] = None,
    format_: Annotated[HistoryFormat, typer.Option("--format", help="What to print on stdout.")] = HistoryFormat.TABLE,
) -> None:
    """List the stored runs of a folder, and how each driver's time relative to a control driver went over them.

    Runs of different machines, servers, Pythons or settings are kept apart, as groups a, b, c.
    """
    from dbbench.reports import history as reports

    entries = list(_entries(folder, control))
    if not entries:
        raise UsageError(f"no result in {folder}; make one with: dbbench run")
    if control is not None and not any(one.values for one in entries):
        raise UsageError(f"--control {control}: no run in {folder} has another driver measured beside it")
    if format_ is HistoryFormat.TABLE:
        reports.render(entries, _console())
    else:
        sys.stdout.write(reports.REPORTS[format_](entries))


def _entries(folder: Path, control: str | None) -> Iterator["Entry"]:
    """Read the result files of a folder one at a time; those that cannot be read say why."""
    from dbbench import records
    from dbbench.stored import history as entries

    for path in sorted(folder.glob("*.jsonl")):
        try:
            yield entries.entry(path.name, records.read(path), control)
        except UsageError as error:
            yield entries.unreadable(path.name, str(error).removeprefix(f"{records.clean(str(path))}: "))


@app.command(
    epilog="Examples:\n\n"
    "dbbench export results/RUN.jsonl --format csv -o run.csv\n\n"
    "dbbench export results/RUN.jsonl --format pyperf -o suites/   (one suite per driver, for pyperf compare_to)\n\n"
    "dbbench export results/RUN.jsonl --format hgrm -o latencies/   (one file per cell and driver, for HdrHistogram)"
)
@_ends_well
def export(
    result: Annotated[
        Path, typer.Argument(metavar="RESULT", help="Result file, or the id of a run.", show_default=False)
    ],
    format_: Annotated[ExportFormat, typer.Option("--format", help="What to write.")] = ExportFormat.CSV,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            help="File to write, default stdout; for pyperf also a folder, which gets a suite per driver; "
            "for hgrm a folder, which gets a file per cell and driver.",
            show_default=False,
        ),
    ] = None,
    driver: Annotated[
        str | None, typer.Option(metavar="D", help="pyperf, hgrm: this driver alone.", show_default=False)
    ] = None,
    table: Annotated[
        CsvTable, typer.Option(help="csv: the comparison, where the time goes, failed operations, or what layers add.")
    ] = CsvTable.CELLS,
) -> None:
    """Write a stored run in another format."""
    from dbbench import records
    from dbbench.reports.files import files

    run = records.read(_stored(result))
    _warn(run.warnings)
    if driver is not None and format_ not in (ExportFormat.PYPERF, ExportFormat.HGRM):
        raise UsageError("--driver goes with --format pyperf or hgrm")
    if table is not CsvTable.CELLS and format_ is not ExportFormat.CSV:
        raise UsageError("--table goes with --format csv")
    is_gate = run.header.plan.gate is not None
    if is_gate and (format_ in (ExportFormat.PYPERF, ExportFormat.HGRM) or table is not CsvTable.CELLS):
        raise UsageError(
            f"{result} is the result of a gate: it has verdicts to export, as csv, json, markdown or junit"
        )
    if not is_gate and format_ in (ExportFormat.JUNIT, ExportFormat.BMF, ExportFormat.CUSTOM_SMALLER_IS_BETTER):
        raise UsageError(f"--format {format_} is for the results of dbbench gate")
    if is_gate:
        from dbbench.reports.gate import REPORTS

        written = REPORTS[format_](_gate_result(run))
        found = [(output, written)]
    else:
        found = list(files(run, format_, output, driver, table))
    for path, text in found:
        if path is None:
            sys.stdout.write(text)
        else:
            _write(path, text)


def _write(path: Path, text: str) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8", newline="")
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror}") from None


# --- list ------------------------------------------------------------------------------------------------------------


@app.command("list", epilog="Examples:\n\ndbbench list scenarios\n\ndbbench list drivers --format json")
@_ends_well
def list_(
    what: Annotated[Listed, typer.Argument(help="What to list.", show_default=False)],
    format_: Annotated[ListFormat, typer.Option("--format", help="What to print on stdout.")] = ListFormat.TABLE,
) -> None:
    """List the scenarios or the drivers there are."""
    rows = _scenario_rows() if what is Listed.SCENARIOS else _driver_rows()
    if format_ is ListFormat.JSON:
        import json

        print(json.dumps(rows, indent=2))
        return
    from rich.console import Console
    from rich.padding import Padding

    console = Console(highlight=False)
    for name, summary, *facts in (row.items() for row in rows):
        console.print(name[1], style="bold")
        text = "; ".join(f"{label} {_shown(value)}" for label, value in facts)
        for line in (str(summary[1]), text):
            console.print(Padding(line, (0, 0, 0, 2)), markup=False)


def _scenario_rows() -> list[dict[str, Any]]:
    from dbbench import catalog

    scenarios = [catalog.load(path, sync=False) for path in catalog.builtin().values()]
    return [
        {
            "scenario": scenario.name,
            "summary": scenario.summary,
            "layers": list(scenario.operations),
            "sessions": scenario.sessions,
            "params": scenario.defaults,
        }
        for scenario in scenarios
    ]


def _driver_rows() -> list[dict[str, Any]]:
    from dbbench.drivers import DRIVERS
    from dbbench.environment import installed

    return [
        {
            "driver": driver.name,
            "summary": driver.summary,
            "version": installed(driver.distributions[0]) or "not installed",
            "dialect": driver.dialect,
            "async": driver.is_async,
        }
        for driver in DRIVERS.values()
    ]


def _shown(value: object) -> str:
    match value:
        case bool():
            return "yes" if value else "no"
        case list():
            return ", ".join(map(str, value))
        case dict():
            return " ".join(f"{name}={default}" for name, default in value.items())
    return str(value)


# --- doctor ----------------------------------------------------------------------------------------------------------


@app.command(
    epilog="Examples:\n\n"
    "dbbench doctor\n\n"
    "dbbench doctor --format json\n\n"
    "dbbench doctor --url postgresql://me@localhost/scratch"
)
@_ends_well
def doctor(
    url: common.Url = None,
    env_url: common.EnvUrl = False,
    format_: Annotated[ListFormat, typer.Option("--format", help="What to print on stdout.")] = ListFormat.TABLE,
) -> None:
    """Say what is installed, which server there is, and what is missing.

    Without --url it starts the embedded PostgreSQL for a moment. It ends with 4 when `dbbench run` could not start.
    """
    from dbbench import doctor as examining

    with _signals():
        checks = examining.examine(url, env_url=env_url)
    if format_ is ListFormat.JSON:
        from dbbench.reports.checks import report

        sys.stdout.write(report(checks))
    else:
        from dbbench.reports.checks import render

        render(checks, _console())
    sys.stdout.flush()
    if not examining.ready(checks):
        raise typer.Exit(ExitCode.CANNOT_START)


# --- selfcheck -------------------------------------------------------------------------------------------------------


@app.command(epilog="Examples:\n\ndbbench selfcheck\n\ndbbench selfcheck --seconds 60 --format json")
@_ends_well
def selfcheck(
    seconds: Annotated[
        str,
        typer.Option(
            rich_help_panel=common.MEASURING,
            metavar="SECONDS",
            help="Time for each of the two noise floors, and in proportion for the rest; 60, 60s or 2m.",
        ),
    ] = "30",
    seed: common.Seed = None,
    format_: Annotated[
        ListFormat, typer.Option("--format", rich_help_panel=common.OUTPUT, help="What to print on stdout.")
    ] = ListFormat.TABLE,
    quiet: common.Quiet = False,
) -> None:
    """Measure how far this machine can be trusted: harness overhead, noise floor, sensitivity. Takes four minutes.

    Later runs warn when they are much noisier than this.
    """
    from dbbench import arguments, trust
    from dbbench import selfcheck as checking

    with _measuring(quiet=quiet) as watch:
        found = checking.run(watch, arguments.seconds("--seconds", seconds), seed=seed)
        if not trust.keep(found):
            watch.note(f"the result could not be kept in {trust.path()}: later runs cannot be compared with it")
    if format_ is ListFormat.JSON:
        import msgspec

        print(msgspec.json.format(msgspec.json.encode(found), indent=2).decode())
    else:
        from dbbench.reports.selfcheck import render

        render(found, _console())
    raise typer.Exit(ExitCode.DEGRADED if found.problems else ExitCode.OK)


if __name__ == "__main__":
    main()
