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
from typing import Annotated, Any, ParamSpec

import typer

from dbbench import __version__
from dbbench.errors import DbbenchError, ExitCode, Interrupted, UsageError

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


class ListFormat(StrEnum):
    """What `list` prints."""

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
    if context.invoked_subcommand != "run":
        return
    from dbbench import pyproject

    command: Any = typer.main.get_command(app)
    names = [name for parameter in command.commands["run"].params for name in parameter.opts]
    options = [name.removeprefix("--") for name in names if name.startswith("--")]
    context.default_map = {"run": pyproject.defaults(Path.cwd(), options, ("driver", "layer", "set"))}


_WHAT = "What is measured"
_SERVER = "Server"
_CONNECTIONS = "Connections and transactions, the same for all drivers"
_MEASURING = "How it is measured"
_OUTPUT = "Output"

# --- run -------------------------------------------------------------------------------------------------------------


@app.command(
    epilog="Examples:\n\n"
    "dbbench run\n\n"
    "dbbench run --driver asyncpg\n\n"
    "dbbench run point_reads --layer raw,core,orm\n\n"
    "dbbench run my_scenario.py --url postgresql://me@localhost/scratch\n\n"
    "dbbench run concurrent_sessions --sessions 1,50 --pool-size 15 --max-overflow 0"
)
@_ends_well
def run(
    scenarios: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="SCENARIO|FILE|DIR",
            help="Built-in scenarios or your own files. Default: point_reads bulk_inserts concurrent_sessions.",
            show_default=False,
        ),
    ] = None,
    driver: Annotated[
        list[str] | None,
        typer.Option(
            "--driver",
            "-d",
            rich_help_panel=_WHAT,
            metavar="D",
            help="Driver to measure, repeatable: psycopg, asyncpg, psycopg2, "
            "psycopg-sync. Default: the first three. The baseline is always measured too.",
            show_default=False,
        ),
    ] = None,
    baseline: Annotated[
        str, typer.Option(rich_help_panel=_WHAT, metavar="D", help="The driver that the others are compared with.")
    ] = "psycopg",
    layer: Annotated[
        list[str] | None,
        typer.Option(
            rich_help_panel=_WHAT,
            metavar="L",
            help="orm, core or raw; repeatable, or raw,core,orm. Default: orm.",
            show_default=False,
        ),
    ] = None,
    sessions: Annotated[
        str | None,
        typer.Option(
            rich_help_panel=_WHAT,
            metavar="N,...",
            help="Concurrent sessions, like 1,15,50. Default: the scenario's own.",
            show_default=False,
        ),
    ] = None,
    url: Annotated[
        str | None,
        typer.Option(
            rich_help_panel=_SERVER,
            metavar="URL",
            help="Your own server, instead of the embedded PostgreSQL.",
            show_default=False,
        ),
    ] = None,
    env_url: Annotated[
        bool, typer.Option("--env-url", rich_help_panel=_SERVER, help="Your own server, from DATABASE_URL.")
    ] = False,
    allow_production: Annotated[
        bool,
        typer.Option(
            "--allow-production",
            rich_help_panel=_SERVER,
            help="Measure even a server that looks like production or is in use.",
        ),
    ] = False,
    tx_end: Annotated[
        str,
        typer.Option(
            rich_help_panel=_CONNECTIONS,
            metavar="rollback|commit|autocommit",
            help="How a transaction ends that the operation left open.",
        ),
    ] = "rollback",
    checkout: Annotated[
        str,
        typer.Option(
            rich_help_panel=_CONNECTIONS,
            metavar="request|session",
            help="Check a connection out for every operation, or hold one per session.",
        ),
    ] = "request",
    pool_size: Annotated[
        int, typer.Option(rich_help_panel=_CONNECTIONS, min=1, help="Connections that the pool keeps.")
    ] = 5,
    max_overflow: Annotated[
        int, typer.Option(rich_help_panel=_CONNECTIONS, min=0, help="Connections that it opens beyond that.")
    ] = 10,
    pool_timeout: Annotated[
        float, typer.Option(rich_help_panel=_CONNECTIONS, min=0.001, help="Seconds to wait for a connection.")
    ] = 30.0,
    loop: Annotated[
        str,
        typer.Option(rich_help_panel=_CONNECTIONS, metavar="asyncio|uvloop", help="Event loop of the async drivers."),
    ] = "asyncio",
    placement: Annotated[
        str | None,
        typer.Option(
            rich_help_panel=_MEASURING,
            metavar="split|shared|free",
            help="CPUs: client and server apart, on one, or left to the scheduler. Default: split.",
            show_default=False,
        ),
    ] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            rich_help_panel=_WHAT,
            metavar="NAME=VALUE",
            help="A parameter of the scenarios (see: dbbench list scenarios).",
            show_default=False,
        ),
    ] = None,
    budget: Annotated[
        str,
        typer.Option(
            rich_help_panel=_MEASURING, metavar="SECONDS", help="Time to measure, set-up apart; 90, 90s or 2m."
        ),
    ] = "60",
    blocks: Annotated[
        int | None,
        typer.Option(
            rich_help_panel=_MEASURING,
            min=1,
            metavar="N",
            help="Blocks to measure, instead of a budget.",
            show_default=False,
        ),
    ] = None,
    seed: Annotated[
        int | None,
        typer.Option(
            rich_help_panel=_MEASURING,
            min=0,
            metavar="N",
            help="Seed of all random choices. Default: drawn.",
            show_default=False,
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            rich_help_panel=_OUTPUT,
            metavar="FILE",
            help="Result file. Default: results/<UTC time>-<id>.jsonl.",
            show_default=False,
        ),
    ] = None,
    format_: Annotated[
        TableFormat, typer.Option("--format", rich_help_panel=_OUTPUT, help="What to print on stdout.")
    ] = TableFormat.TABLE,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", rich_help_panel=_OUTPUT, help="No progress and no notes.")
    ] = False,
) -> None:
    """Measure drivers against each other and print how they compare.

    Without --url it starts a PostgreSQL of its own, which is gone afterwards.
    """
    from dbbench import arguments, catalog, plan
    from dbbench import run as running
    from dbbench.process import libpq_variables
    from dbbench.progress import watcher

    for name in libpq_variables():
        del os.environ[name]
    drivers, base = arguments.drivers(driver, baseline)
    options = running.Options(
        scenarios=catalog.find(scenarios or []),
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
        budget_s=None if blocks else arguments.seconds("--budget", budget),
        blocks=blocks,
        seed=seed,
        output=output,
    )
    if options.checkout == "session" and max(options.sessions or [1]) > options.pool.capacity:
        raise UsageError(
            f"--checkout session holds a connection per session: --sessions can be at most {options.pool.capacity} "
            "with this pool (--pool-size, --max-overflow)"
        )
    with _signals(), watcher(quiet=quiet) as watch:
        if driver and base not in ",".join(driver).split(","):
            watch.note(f"{base} is measured too, as the baseline (--baseline chooses another)")
        if "DATABASE_URL" in os.environ and options.address is None:
            watch.note("DATABASE_URL is set but not used; --env-url uses it")
        outcome = running.execute(options, watch)
    _show(outcome.path, format_)
    raise typer.Exit(outcome.exit_code)


def _show(path: Path, format_: TableFormat) -> None:
    from dbbench import records

    _print(records.read(path), format_, path)


def _print(run: Any, format_: TableFormat, path: Path) -> None:
    """Print a run on stdout."""
    from dbbench.compare import rows

    found = rows(run)
    if format_ is TableFormat.TABLE:
        from rich.console import Console

        from dbbench.reports.table import render

        class Out(Console):
            def on_broken_pipe(self) -> None:
                raise BrokenPipeError  # Rich would end with 1, which means a regression

        render(run, found, Out(), str(path))
    else:
        from dbbench.reports import REPORTS

        sys.stdout.write(REPORTS[format_](run, found))


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
) -> None:
    """Print the table of a stored run."""
    from dbbench import records

    path = _newest() if result is None else _stored(result)
    run = records.read(path)
    if format_ is not TableFormat.TABLE:  # the table says them itself
        _warn(run.warnings)
    _print(run, format_, path)


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
    "dbbench export results/RUN.jsonl --format csv -o run.csv\n\n"
    "dbbench export results/RUN.jsonl --format pyperf -o suites/   (one suite per driver, for pyperf compare_to)"
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
            help="File to write, default stdout; for pyperf also a folder, which gets a suite per driver.",
            show_default=False,
        ),
    ] = None,
    driver: Annotated[
        str | None, typer.Option(metavar="D", help="pyperf: the suite of this driver alone.", show_default=False)
    ] = None,
) -> None:
    """Write a stored run in another format."""
    from dbbench import records

    run = records.read(_stored(result))
    _warn(run.warnings)
    if driver is not None and format_ is not ExportFormat.PYPERF:
        raise UsageError("--driver goes with --format pyperf")
    for path, text in _exports(run, format_, output, driver):
        if path is None:
            sys.stdout.write(text)
        else:
            _write(path, text)


def _exports(
    run: Any, format_: ExportFormat, output: Path | None, driver: str | None
) -> Iterator[tuple[Path | None, str]]:
    """What goes where; None: stdout."""
    from dbbench.compare import rows
    from dbbench.reports import REPORTS

    if format_ is not ExportFormat.PYPERF:
        yield output, REPORTS[format_](run, rows(run))
        return
    from dbbench.naming import nearest
    from dbbench.reports.pyperf import suite, text

    arms = [arm.name for arm in run.header.plan.arms]
    if driver is not None:
        if driver not in arms:
            raise UsageError(f"no driver {driver!r} in this run; {nearest(driver, arms)}")
        yield output, text(suite(run, driver))
    elif output is not None and (output.is_dir() or not output.suffix):
        for arm in arms:
            yield output / f"{arm}.json", text(suite(run, arm))
    else:
        yield output, text(suite(run, None))


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


if __name__ == "__main__":
    main()
