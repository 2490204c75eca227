"""What a search for the smallest pool has found: a table for people, CSV and JSON."""

from typing import Any, Final

from rich.console import Console
from rich.padding import Padding

from dbbench.analysis.latency import US_PER_S
from dbbench.analysis.rows import params_text
from dbbench.choices import Decimal
from dbbench.commands import identity
from dbbench.commands.pool.result import Pools, Result, Smallest
from dbbench.plan import Load
from dbbench.records import clean
from dbbench.reports.columns import NOTHING, Column, rate_text, times_in_one_unit
from dbbench.reports.console import INDENT, plain, print_footer, print_table, print_title, prose
from dbbench.reports.csv_text import table as csv_table
from dbbench.reports.exported import exported, identified
from dbbench.reports.json_text import SCHEMA, text
from dbbench.reports.run.footer import COMPARES, footer, settings
from dbbench.reports.run.sentences import title
from dbbench.reports.text import when
from dbbench.units import time_text
from dbbench.wording import count

COLUMNS: Final = (
    "scenario", "layer", "sessions", "params", "limit_us", "placement", "driver", "outcome", "size", "wait_p99_us",
    "failed_size", "failed_wait_p99_us", "busy", "processes", "backends", "pool_size", "max_overflow", "overflow_held",
    "trials", *identity.COLUMNS,
)  # fmt: skip
_HOLDS: Final = (
    "a pool holds when surely (95%) fewer than 1 in 100 wait for a connection as long as the limit, nothing failed; "
    "sizes are connections of each process, all kept (max_overflow 0), with two trials at each end"
)
_STYLES: Final[dict[Result, str]] = {"failed": "red", "not comparable": "red", "never held": "red"}


def csv_report(pools: Pools, *, decimal: Decimal = "point") -> str:
    """Write one line per driver; `trials` is their number."""
    of_run = identity.identity(pools.run.header)
    lines = [{**_where(pools), **identified(driver, of_run), "trials": len(driver.trials)} for driver in pools.drivers]
    return csv_table(COLUMNS, [{name: line[name] for name in COLUMNS} for line in lines], decimal)


def json_report(pools: Pools) -> str:
    """Write one document with every trial."""
    run, header = pools.run, pools.run.header
    of_run = identity.identity(header)
    document = {
        "schema": SCHEMA,
        "run": header.id,
        "started": header.started,
        "dbbench": header.dbbench,
        "server_version": of_run.server,
        **_where(pools),
        "largest_size": pools.most,
        "rate": header.plan.load.rate,
        "think_s": header.plan.load.think_s,
        "seed": header.plan.seed,
        "status": run.status,
        "problems": [clean(problem.message) for problem in run.problems],
        "drivers": [
            {
                **exported(driver),
                "driver_version": of_run.drivers[driver.driver],
                "trials": [
                    {name: value for name, value in exported(one).items() if name != "arm"} for one in driver.trials
                ],
            }
            for driver in pools.drivers
        ],
    }
    return text(document)


def render(pools: Pools, console: Console, file: str = "") -> None:
    """Print on the console, which decides on colours; `file` names the result file."""
    name, rest = title(pools.cell, params_text(pools.cell))
    print_title(name, [*rest, f"wait p99 < {time_text(pools.limit_us)}"], console)
    if any(driver.trials for driver in pools.drivers):
        print_table(columns(pools), console, [_STYLES.get(driver.outcome, "") for driver in pools.drivers])
    for line in filter(None, (sentence(pools, driver) for driver in pools.drivers)):
        console.print(Padding(plain(line, console), INDENT), width=prose(console))
    console.print()
    print_footer(conditions(pools, file), console)


def columns(pools: Pools) -> list[Column]:
    """Lay out the drivers: the smallest pool that held and the next smaller one, and what was measured with them."""
    drivers = pools.drivers
    shown, unit = times_in_one_unit([wait for one in drivers for wait in (one.wait_p99_us, one.failed_wait_p99_us)])
    return [
        Column("driver", "", [driver.driver for driver in drivers]),
        Column("holds", "pool", [_whole(driver.size) for driver in drivers]),
        Column("wait p99", unit, shown[0::2]),
        Column("fails", "pool", [_whole(driver.failed_size) for driver in drivers]),
        Column("its wait", unit, shown[1::2]),
        Column("busy", "on average", [NOTHING if driver.busy is None else f"{driver.busy:.1f}" for driver in drivers]),
        Column("backends", "in all", [_whole(driver.backends) for driver in drivers]),
        Column("trials", "", [f"{len(driver.trials)}" for driver in drivers]),
        Column("outcome", "", [driver.outcome for driver in drivers]),
    ]


def sentence(pools: Pools, driver: Smallest) -> str:
    """What was found for one driver, in plain words."""
    limit = time_text(pools.limit_us)
    match driver.outcome:
        case "found":
            each = f" in each of {driver.processes} processes" if driver.processes > 1 else ""
            said = f"{driver.driver} needs {count(driver.size or 0, 'connection')}{each}"
            if driver.failed_size is not None:
                said += f": with {driver.failed_size} somebody waits too long, or gets none in time"
            said += f". By Little's law {driver.busy:.1f} are busy on average"
            return f"{said}{_overflow(driver)}."
        case "never held":
            last = driver.trials[-1]
            if last.not_started > last.late:  # nobody waits for a connection who never begins
                never = f"{last.not_started:,} operations never began"
                return f"{driver.driver} cannot keep up with this load, whatever the pool: {never}."
            return f"{driver.driver} did not hold {limit} even with {_whole(driver.failed_size)}: --most allows more."
        case "unfinished" if driver.trials:
            return f"{driver.driver}: the search ended before it was over."
        case "failed" | "not comparable":
            return f"{driver.driver} was left out (see below)."
    return ""


def conditions(pools: Pools, file: str = "") -> list[tuple[str, str]]:
    """The conditions under which this holds: the footer of a run, with what is different here."""
    header, end = pools.run.header, pools.run.end
    parts = [header.id, when(header.started), count(sum(len(driver.trials) for driver in pools.drivers), "trial")]
    parts += [f"{end.measured_s:,.0f} s"] if end else []
    different = {
        "settings": settings(header.plan, pool=False),
        "run": ", ".join([*parts, f"seed {header.plan.seed}", pools.run.status]),
        "note": _load(header.plan.load),
    }
    facts = []
    for label, said in footer(pools.run, [], file):
        if not said.startswith(COMPARES):
            facts.append((label, different.get(label, said)))
        if label == "note":
            facts.append(("", _HOLDS))
    return facts


def _load(load: Load) -> str:
    if load.rate is not None:
        return f"open loop: {rate_text(load.rate)} operations per second due ({load.arrival})"
    pause = f"; a session pauses {time_text(load.think_s * US_PER_S)} after each operation" if load.think_s else ""
    return f"closed loop: sessions wait for answers{pause}"


def _overflow(driver: Smallest) -> str:
    if driver.pool_size is None:
        return ""
    held = "holds it, too" if driver.overflow_held else "does not hold it: opening the rest takes too long"
    return f"; pool_size={driver.pool_size}, max_overflow={driver.max_overflow} {held}"


def _where(pools: Pools) -> dict[str, Any]:
    cell = pools.cell
    return {
        "scenario": cell.scenario,
        "layer": cell.layer,
        "sessions": cell.sessions,
        "params": params_text(cell),
        "limit_us": pools.limit_us,
        "placement": pools.run.header.plan.placement.mode,
    }


def _whole(number: int | None) -> str:
    return NOTHING if number is None else f"{number:,}"
