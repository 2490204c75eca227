"""The conditions under which the numbers hold, and what went wrong; the same in every report that people read."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Final

from dbbench.analysis.latency import US_PER_S
from dbbench.analysis.rows import CellRow
from dbbench.commands.identity import identity
from dbbench.plan import Arm, Connections, Plan
from dbbench.records import Problem, Run, clean
from dbbench.reports.columns import NOTHING, rate_text
from dbbench.reports.run.failures import message, untold
from dbbench.reports.run.rest import rest
from dbbench.reports.run.sends import sends
from dbbench.reports.text import when
from dbbench.stats.paired import Verdict
from dbbench.units import MILLISECOND, time_text
from dbbench.wording import are, count, listed

MAX_PROBLEMS: Final = 20  # lines; the rest is in the result file

CLOSED_LOOP: Final = "closed loop: sessions wait for answers, so p95 and p99 are optimistic"
AT_ONCE: Final = "intervals hold for the whole table at once (95%)"
NO_INTERVAL: Final = (
    "faster or slower without an interval: a sign-flip test of the whole table (95%) tells the direction, "
    "and the size is a guess from few blocks"
)
COMPARES: Final = '"time vs'  # begins the note on what is compared
TOO_FEW: Final = f"{NOTHING} too few operations for this percentile"


def footer(run: Run, rows: Sequence[CellRow], file: str = "", *, details: bool = False) -> list[tuple[str, str]]:
    """The conditions under which the numbers hold, as pairs of a word and a text.

    `file` names the result; `details`: also what dbbench adds to the drivers.
    """
    header = run.header
    plan = header.plan
    facts = [
        *conditions(run),
        ("file", file),
    ]
    if not rows or any(row.operations for row in rows):
        notes = [
            _loop(plan),
            _comparison(plan),
            *_intervals(rows),
            *rest(run, rows),
            *sends(run, details=details),
            *_percentiles(rows),
        ]
        facts += zip(("note", *[""] * len(notes)), filter(None, notes), strict=False)
    facts += [("warning", warning) for warning in (*_locked(run), *run.warnings)]
    if header.environment.get("other_runs"):
        facts.append(("warning", "another dbbench run was measuring on this machine"))
    if run.end and run.end.reason:
        facts.append((run.status, run.end.reason))
    problems = untold(run, rows)
    facts += [(_label(problem), _problem(run, problem)) for problem in problems[:MAX_PROBLEMS]]
    if (more := len(problems) - MAX_PROBLEMS) > 0:
        facts.append(("", f"{count(more, 'more problem')} {are(more)} in the result file"))
    return [(label, clean(text)) for label, text in facts if text]


def conditions(run: Run) -> list[tuple[str, str]]:
    """What the run was measured on, with which settings and when."""
    header = run.header
    facts = [
        ("server", _server(header.server)),
        ("drivers", "" if header.plan.gate else ", ".join([*_drivers(run), *_locks(run)])),
        ("", _settings_of_arms(header.plan)),
        ("placement", _placement(run)),
        ("settings", settings(header.plan)),
        ("run", _run(run)),
    ]
    return [(label, clean(text)) for label, text in facts if text]


def _loop(plan: Plan) -> str:
    """What decides when operations begin, and how that affects latencies."""
    if plan.load.rate is not None:
        due = f"{rate_text(plan.load.rate)} operations per second due ({plan.load.arrival})"
        return f"open loop: {due}, latency is response time, from when the operation was due"
    if plan.load.think_s:
        pause = time_text(plan.load.think_s * US_PER_S, digits=6, finest=MILLISECOND)
        return f"{CLOSED_LOOP}; a session pauses {pause} after each operation"
    return CLOSED_LOOP


def _comparison(plan: Plan) -> str:
    """What is compared, where that is not the throughput."""
    if not plan.paced:
        return ""
    if len(plan.groups) > 1 or "=" in plan.baseline:
        return f'{COMPARES} ..." compares mean latency, since the pace is set'
    baselines = dict.fromkeys([plan.baseline, *filter(None, (cell.baseline for cell in plan.cells))])
    named = listed([f'{COMPARES} {name}"' for name in baselines])
    verb = "compares" if len(baselines) == 1 else "compare"
    return f"{named} {verb} mean latency, since the pace is set"


def _intervals(rows: Sequence[CellRow]) -> list[str]:
    """For what intervals hold, and what a verdict means that has none."""
    different = (Verdict.FASTER, Verdict.SLOWER)
    return [
        *([AT_ONCE] if any(row.ratio_low is not None for row in rows) else []),
        *([NO_INTERVAL] if any(row.verdict in different and row.ratio_low is None for row in rows) else []),
    ]


def _percentiles(rows: Sequence[CellRow]) -> list[str]:
    unknown = any(row.operations and None in (row.p50_us, row.p95_us, row.p99_us) for row in rows)
    return [TOO_FEW] if unknown else []


def settings(plan: Plan, *, pool: bool = True) -> str:
    """The settings of connections that all arms have, with or without the pool; what varies is in their names."""
    of_arms = [_texts(arm.connections) for arm in plan.arms]
    pools = {_pool(arm.connections) for arm in plan.arms if not arm.connections.null_pool} or {"NullPool"}
    alike = [parts.pop() for texts in zip(*of_arms, strict=True) if len(parts := set(texts)) == 1]
    return ", ".join(filter(None, [*(pools if pool and len(pools) == 1 else ()), *alike]))


def _texts(connections: Connections) -> list[str]:
    """The settings of connections besides the pool, each as a text; empty where that need not be said."""
    return [
        "pre-ping" if connections.pre_ping else "",
        f"{connections.processes} processes" if connections.processes > 1 else "",
        f"checkout per {connections.checkout}",
        f"tx-end {connections.tx_end}",
        f"isolation {connections.isolation}" if connections.isolation else "",
        f"loop {connections.loop}",
        f"json {connections.json}" if connections.json != "stdlib" else "",
    ]


def _pool(connections: Connections) -> str:
    return "NullPool" if connections.null_pool else f"pool {connections.pool.size}+{connections.pool.max_overflow}"


def _locks(run: Run) -> list[str]:
    """Whether a free-threaded Python ran without its lock, where it is one."""
    states = dict.fromkeys(facts["GIL"] for facts in run.header.drivers.values() if "GIL" in facts)
    return [f"GIL {state}" for state in states]


def _locked(run: Run) -> list[str]:
    """A warning where a Python that can do without its lock ran with it: threads then take turns as ever."""
    locked = [arm for arm, facts in run.header.drivers.items() if "enabled" in facts.get("GIL", "")]
    if not locked:
        return []
    return [f"{listed(locked)}: a free-threaded Python ran with the GIL, which an extension module has switched on"]


def _server(facts: Mapping[str, Any]) -> str:
    """The server in short: PostgreSQL 18.4, embedded, unix socket."""
    version = str(facts.get("version", "")).partition(" on ")[0]  # the rest names the compiler
    whose = "embedded" if facts.get("embedded") else ""
    pooler = facts.get("pooler")
    parts = (
        version,
        whose,
        str(facts.get("transport", "")),
        "TLS" if facts.get("tls") else "",
        f"behind {pooler}" if pooler else "",
    )
    return ", ".join(part for part in parts if part)


def _drivers(run: Run) -> list[str]:
    """The drivers, each with the version of its package."""
    versions = identity(run.header).drivers
    return [f"{name} {versions.get(name, '')}".strip() for name in run.header.plan.drivers]


def _settings_of_arms(plan: Plan) -> str:
    """The drivers' settings that are not the defaults, and what the names of arms with settings stand for."""
    said = [f"{driver} {_pairs(settings)}" for driver, settings in plan.settings.items()]
    for arm in plan.arms:
        if "=" in arm.name or arm.name.endswith("+null"):
            continue  # the name says it
        own, told = plan.own_settings(arm), arm.name.partition("+")[0] == arm.driver or not arm.driver
        texts = [*([] if told else _named(plan, arm)), *([_pairs(own)] if own else [])]
        said += [f"{arm.name}: {' '.join(texts)}"] if texts else []
    if any(arm.name.endswith("+null") for arm in plan.arms):
        said.append("+null: SQLAlchemy's NullPool")
    return "; ".join(said)


def _named(plan: Plan, arm: Arm) -> list[str]:
    """What the name of an arm from pyproject.toml stands for: its driver, and what it does not share with others."""
    texts = zip(*([_pool(each.connections), *_texts(each.connections)] for each in plan.arms), strict=True)
    own = [_pool(arm.connections), *_texts(arm.connections)]
    return [arm.driver, *(text for text, others in zip(own, texts, strict=True) if text and len(set(others)) > 1)]


def _pairs(settings: Mapping[str, object]) -> str:
    return " ".join(f"{name}={'none' if value is None else value}" for name, value in settings.items())


def _placement(run: Run) -> str:
    placement = run.header.plan.placement
    client, server = placement.client_cpus, placement.server_cpus
    where = []
    if client:
        where.append(f"client on {_cpus(client)}")
    if server:
        where.append(f"server on {_cpus(server)}")
    if placement.awake_cpus:
        where.append(f"{_cpus(placement.awake_cpus)} kept awake")
    text = f"{placement.mode}: {', '.join(where)}" if where else placement.mode
    note = "; ".join(filter(None, (placement.note, placement.idle_note and f"CPUs may sleep: {placement.idle_note}")))
    return f"{text} ({note})" if note else text


def _cpus(cpus: Sequence[int]) -> str:
    """CPUs with neighbours joined: CPU 0, CPUs 1-7,9."""
    ranges: list[list[int]] = []
    for cpu in sorted(set(cpus)):
        if ranges and cpu == ranges[-1][1] + 1:
            ranges[-1][1] = cpu
        else:
            ranges.append([cpu, cpu])
    text = ",".join(f"{first}" if first == last else f"{first}-{last}" for first, last in ranges)
    return f"CPU{'' if len(cpus) == 1 else 's'} {text}"


def _run(run: Run) -> str:
    header, end = run.header, run.end
    parts = [header.id, when(header.started), _blocks(run)]
    if end:
        parts.append(f"{end.measured_s:,.0f} s")
    return ", ".join([*parts, f"seed {header.plan.seed}", run.status])


def _blocks(run: Run) -> str:
    """The number of blocks, and how many of them each cell had, where that is not all."""
    blocks = len({measurement.block for measurement in run.measurements})
    of_cells = Counter(cell for _, cell in {(one.block, one.cell) for one in run.measurements}).values()
    least, most = min(of_cells, default=0), max(of_cells, default=0)
    if least == blocks:
        return count(blocks, "block")
    return f"{count(blocks, 'block')} ({least if least == most else f'{least} to {most}'} of each cell)"


def _label(problem: Problem) -> str:
    return "different" if problem.kind in ("not comparable", "different") else "problem"


def _problem(run: Run, problem: Problem) -> str:
    cell = run.header.plan.cells[problem.cell].label if problem.cell is not None else problem.scenario
    where = ", ".join(part for part in (cell, problem.arm) if part)
    return f"{where}: {message(problem)}" if where else message(problem)
