"""What a search for the capacity has found: a table for people, CSV and JSON."""

from collections.abc import Iterator, Sequence
from typing import Any, Final

from rich.console import Console
from rich.padding import Padding

from dbbench.analysis.rows import params_text
from dbbench.choices import Decimal
from dbbench.commands import identity
from dbbench.commands.capacity.result import Answer, Capacity, Result, rate_text
from dbbench.commands.capacity.slo import MAX_ERRORS
from dbbench.records import Trial, clean
from dbbench.reports.columns import NOTHING, Column, times_in_one_unit
from dbbench.reports.console import INDENT, plain, print_footer, print_table, print_title, prose
from dbbench.reports.csv_text import table as csv_table
from dbbench.reports.exported import exported, identified
from dbbench.reports.json_text import SCHEMA, text
from dbbench.reports.run.footer import footer
from dbbench.reports.run.sentences import title
from dbbench.reports.text import share, when
from dbbench.wording import count

COLUMNS: Final = (
    "scenario", "layer", "sessions", "params", "objective", "placement", "driver",
    "outcome", "rate", "value_us", "failed_rate", "failed_value_us", "trials",
    *identity.COLUMNS,
)  # fmt: skip
_WORDS: Final[dict[Result, str]] = {
    "found": "found",
    "not saturated": "held to the end",
    "never met": "never held",
    "unfinished": "unfinished",
    "failed": "failed",
    "not comparable": "not comparable",
}
_STYLES: Final[dict[Result, str]] = {"failed": "red", "not comparable": "red", "never met": "red"}


def csv_report(answer: Answer, *, decimal: Decimal = "point") -> str:
    """Write one line per driver; `trials` is their number."""
    of_run = identity.identity(answer.run.header)
    shared = {**_where(answer), "objective": answer.objective.text, "placement": answer.run.header.plan.placement.mode}
    lines = [{**shared, **identified(driver, of_run), "trials": len(driver.trials)} for driver in answer.drivers]
    return csv_table(COLUMNS, [{name: line[name] for name in COLUMNS} for line in lines], decimal)


def json_report(answer: Answer) -> str:
    """Write one document with every trial."""
    run, header = answer.run, answer.run.header
    of_run = identity.identity(header)
    document = {
        "schema": SCHEMA,
        "run": header.id,
        "started": header.started,
        "dbbench": header.dbbench,
        "server_version": of_run.server,
        "objective": answer.objective.text,
        "precision": answer.precision,
        **_where(answer),
        "placement": header.plan.placement.mode,
        "seed": header.plan.seed,
        "status": run.status,
        "problems": [clean(problem.message) for problem in run.problems],
        "drivers": [
            {
                **exported(driver),
                "driver_version": of_run.drivers[driver.driver],
                "trials": [_trial(trial) for trial in driver.trials],
            }
            for driver in answer.drivers
        ],
    }
    return text(document)


def render(answer: Answer, console: Console, file: str = "") -> None:
    """Print on the console, which decides on colours; `file` names the result file."""
    name, rest = title(answer.cell, params_text(answer.cell))
    print_title(name, [*rest, answer.objective.text], console)
    if any(capacity.trials for capacity in answer.drivers):
        print_table(columns(answer), console, [_STYLES.get(capacity.outcome, "") for capacity in answer.drivers])
    for line in sentences(answer):
        console.print(Padding(plain(line, console), INDENT), width=prose(console))
    console.print()
    print_footer(conditions(answer, file), console)


def columns(answer: Answer) -> list[Column]:
    """Lay out the drivers: the rates that held and failed, and what was measured at them."""
    drivers, measure = answer.drivers, answer.objective.measure
    values = [value for capacity in drivers for value in (capacity.value_us, capacity.failed_value_us)]
    shown, unit = times_in_one_unit(values)
    return [
        Column("driver", "", [capacity.driver for capacity in drivers]),
        Column("holds", "ops/s", [_rate(capacity.rate) for capacity in drivers]),
        Column(f"{measure}", unit, shown[0::2]),
        Column("fails", "ops/s", [_rate(capacity.failed_rate) for capacity in drivers]),
        Column(f"its {measure}", unit, shown[1::2]),
        Column("trials", "", [f"{len(capacity.trials)}" for capacity in drivers]),
        Column("outcome", "", [_WORDS[capacity.outcome] for capacity in drivers]),
    ]


def sentences(answer: Answer) -> list[str]:
    """What was found, in plain words."""
    limited = [driver for driver in answer.drivers if driver.outcome == "found"]
    comparison = [f"{'; '.join(_compared(answer, limited))}."] if len(limited) > 1 else []
    return comparison + [line for driver in answer.drivers if (line := _alone(answer, driver))]


def conditions(answer: Answer, file: str = "") -> list[tuple[str, str]]:
    """The conditions under which this holds: the footer of a run, with what is different here."""
    different = {
        "run": _run(answer),
        "note": (
            "open loop: latency is response time, from when the operation was due. A rate holds when "
            f"{answer.objective.text}, every operation that was due was begun, and at most {MAX_ERRORS:.1%} failed; "
            f"brackets are {share(answer.precision)} wide where one was found, with two trials at each end, "
            "but what else the machine does can move them by more"
        ),
    }
    return [(label, different.get(label, text)) for label, text in footer(answer.run, [], file)]


def _compared(answer: Answer, limited: Sequence[Capacity]) -> Iterator[str]:
    """Compare the drivers that have a rate with the first of them."""
    base, *others = limited
    assert base.rate is not None
    assert base.failed_rate is not None
    within = f" within {answer.objective.text}"
    for capacity in others:
        assert capacity.rate is not None
        assert capacity.failed_rate is not None
        if capacity.rate < base.failed_rate and base.rate < capacity.failed_rate:  # the brackets overlap
            yield f"{capacity.driver} sustains about the same rate as {base.driver}{within}"
        else:
            ratio = capacity.rate / base.rate
            yield f"{capacity.driver} sustains {ratio:.{1 if ratio > 1 else 2}f} times {base.driver}'s rate{within}"
        within = ""


def _alone(answer: Answer, capacity: Capacity) -> str:
    """What the numbers of one driver do not say; empty where they say all."""
    objective = answer.objective.text
    match capacity.outcome:
        case "not saturated":
            return f"{capacity.driver} held {objective} even at {_rate(capacity.rate)}/s: --max-rate allows more."
        case "never met":
            lowest = _rate(capacity.failed_rate)
            return f"{capacity.driver} did not hold {objective} even at {lowest}/s, the lowest rate tried."
        case "unfinished" if capacity.trials:
            held = f"held at {_rate(capacity.rate)}/s" if capacity.rate else ""
            failed = f"failed at {_rate(capacity.failed_rate)}/s" if capacity.failed_rate else ""
            ends = " and ".join(filter(None, (held, failed)))
            return f"{capacity.driver} had {ends} when the search ended: there is more to find."
        case "unfinished":
            return f"{capacity.driver} was not tried before the search ended."
        case "failed" | "not comparable":
            return f"{capacity.driver} was left out (see below)."
    return ""


def _run(answer: Answer) -> str:
    header, end = answer.run.header, answer.run.end
    trials = sum(len(capacity.trials) for capacity in answer.drivers)
    parts = [header.id, when(header.started), count(trials, "trial")]
    if end:
        parts.append(f"{end.measured_s:,.0f} s")
    return ", ".join([*parts, f"seed {header.plan.seed}", answer.run.status])


def _where(answer: Answer) -> dict[str, Any]:
    cell = answer.cell
    return {
        "scenario": cell.scenario,
        "layer": cell.layer,
        "sessions": cell.sessions,
        "params": params_text(cell),
    }


def _trial(trial: Trial) -> dict[str, Any]:
    fields = exported(trial)
    del fields["arm"]  # stands above them
    return fields


def _rate(rate: float | None) -> str:
    return NOTHING if rate is None else rate_text(rate)
