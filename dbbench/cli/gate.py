"""`dbbench gate`."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, NamedTuple

import typer

from dbbench import choices
from dbbench.cli import completion
from dbbench.cli import options as common
from dbbench.cli import subject as subjects
from dbbench.cli.command import command, given, measuring
from dbbench.cli.gated_settings import ArmsOfSides, arms_of_sides
from dbbench.cli.groups import Group, OneOf
from dbbench.cli.output import add, complain, decimals, print_found, write
from dbbench.cli.streams import STDERR
from dbbench.drivers import DEFAULT, of_extras
from dbbench.errors import DbbenchError, ExitCode, UsageError
from dbbench.reports import formats

if TYPE_CHECKING:
    from dbbench.commands.gate import steps
    from dbbench.commands.gate.sides import Wanted
    from dbbench.commands.recording import Ended
    from dbbench.commands.wire.changes import Change
    from dbbench.plan import Connections, Effort, Load

Inconclusive = Literal["pass", "fail"]
DRIVERS: Final = (
    f"Driver to measure, repeatable. Default: those that are required by name, or else {', '.join(DEFAULT)}."
)
SESSIONS: Final = "Concurrent sessions, like 1,15. Default: the fewest of the scenario's own, which repeat best."
PACED: Final = ("rate", "arrival", "think")  # of a load: what is judged is the time that an operation takes
ENDLESS: Final = ("blocks", "precision")  # of an effort: the verdict has looks of its own
BUDGET: Final = (
    "Time to measure at most, without set-up: 180, 180s or 3m. The gate ends earlier when everything is decided. "
    "Default: 5m."
)
REPORT: Final = typer.Option(
    rich_help_panel=common.OUTPUT,
    metavar="FORMAT=FILE",
    autocompletion=completion.gate_reports,
    help="Also write a report, repeatable: junit=gate.xml, json=, csv=, markdown=, bmf= (Bencher), "
    "customSmallerIsBetter= (github-action-benchmark), annotations=, table=.",
    show_default=False,
)
NOT_OF_WIRE: Final = {  # parameters, by the option that one is told of
    "tolerance": "--tolerance",
    "inconclusive": "--inconclusive",
    "sessions": "--sessions",
    "budget": "--budget",
    "rounds": "--rounds",
    "placement": "--placement",
    "idle": "--idle",
}


@dataclass(frozen=True)
class Request:
    """What `dbbench gate` was asked to do."""

    gate: "steps.Request"
    wire: bool
    inconclusive: Inconclusive | None
    format_: str
    decimal: choices.Decimal
    reports: list[tuple[str, Path]]  # format, file
    quiet: bool

    def execute(self) -> int:
        """Measure or count, print the verdict, write what was asked for, and end as the verdict says."""
        from dbbench import result_file
        from dbbench.commands.gate.steps import count_gate, execute_gate
        from dbbench.reports.stored import shown

        with measuring(self.gate.options, quiet=self.quiet, timed=not self.wire) as watch:
            if self.wire:
                verdict = counted_verdict(shown(result_file.read_any(count_gate(self.gate, watch).path)).found)
            else:
                verdict = measured_verdict(execute_gate(self.gate, watch), self.inconclusive)
        return verdict.end(self.format_, self.reports, self.decimal)


@dataclass(frozen=True)
class Verdict:
    """What came of a gate. Minutes were measured for it: it stands whatever cannot be written."""

    command: str  # as the table of reports has it
    found: Any
    exit_code: int
    on_console: Mapping[str, str] = field(default_factory=dict)  # options of the table
    summary: Mapping[str, int] = field(default_factory=dict)  # options of the job's summary

    def end(self, format_: str, reports: Sequence[tuple[str, Path]], decimal: choices.Decimal = "point") -> int:
        """Print it and write it, also for GitHub; gives the exit code.

        What cannot be written makes it DEGRADED where it would be OK.
        """
        from dbbench.reports import report

        printed = print_found(self.command, format_, self.found, decimal=decimal, on_console=self.on_console)
        code = self.exit_code or printed
        if os.environ.get("GITHUB_ACTIONS") == "true":
            STDERR.write_as_it_is(report(self.command, "annotations")(self.found))
        for name, path in reports:
            try:
                write(path, report(self.command, name)(self.found, **decimals(name, decimal)))
            except DbbenchError as error:
                complain(str(error))
                code = code or ExitCode.DEGRADED
        if summary := os.environ.get("GITHUB_STEP_SUMMARY"):
            try:
                add(Path(summary), report(self.command, "markdown")(self.found, **self.summary))
            except DbbenchError as error:
                complain(f"GITHUB_STEP_SUMMARY: {error}")
        return code


def measured_verdict(ended: "Ended", inconclusive: Inconclusive | None) -> Verdict:
    """The verdict of a gate that was measured."""
    from dbbench import result_file
    from dbbench.commands.gate.findings import exit_code
    from dbbench.reports.gate.markdown import SUMMARY_BYTES
    from dbbench.reports.stored import shown

    result = shown(result_file.read(ended.path)).found
    code = exit_code(result, ended.exit_code, inconclusive)
    return Verdict("gate", result, code, {"file": str(ended.path)}, {"limit": SUMMARY_BYTES})


def counted_verdict(changes: "Sequence[Change]") -> Verdict:
    """The verdict of a gate that counted."""
    code = ExitCode.REGRESSION if any(change.grew for change in changes) else ExitCode.OK
    return Verdict("gate --wire", changes, code)


def sides(
    base: Annotated[
        list[str] | None,
        typer.Option(
            rich_help_panel=common.SIDES,
            metavar="REQUIREMENT|SETTING|REVISION",
            help='What is compared with: a requirement, like "asyncpg==0.30.0" (repeatable), '
            "a setting, like pool-pre-ping=off (repeatable), or with --project a git revision, like main.",
            show_default=False,
        ),
    ] = None,
    head: Annotated[
        list[str] | None,
        typer.Option(
            rich_help_panel=common.SIDES,
            metavar="REQUIREMENT|SETTING|REVISION",
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
        typer.Option("--from-source", rich_help_panel=common.SIDES, help="Build required packages: no wheels."),
    ] = False,
) -> "Wanted":
    """Make the options of base and head."""
    from dbbench.commands.gate.sides import Wanted

    return Wanted(
        base=base or [],
        head=head or (["HEAD"] if project is not None else []),
        base_python=base_python,
        head_python=head_python,
        project=project,
        from_source=from_source,
    )


class Judging(NamedTuple):
    """What makes the verdict."""

    tolerances: list[str]
    wire: bool
    inconclusive: Inconclusive | None


def judging(
    tolerance: Annotated[
        list[str] | None,
        typer.Option(
            rich_help_panel=common.VERDICT,
            metavar="[NAME=]SHARE",
            autocompletion=completion.tolerances,
            help="Loss that is still fine, repeatable: 5%, cpu=8%, p95=10%, bulk_inserts=10% or "
            "bulk_inserts.cpu=12%. Time per operation is always judged; other metrics are if they have a tolerance. "
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
            "which have no noise, and fail when there are more of them. Takes no budget and no tolerance; "
            "formats and reports are table, csv, json, markdown and annotations.",
        ),
    ] = False,
    inconclusive: Annotated[
        Inconclusive | None,
        typer.Option(
            rich_help_panel=common.VERDICT,
            help="End with 0 or 1 when the noise allows no verdict. Default: end with 6.",
            show_default=False,
        ),
    ] = None,
) -> Judging:
    """Make the options of the verdict."""
    return Judging(tolerance or [], wire, inconclusive)


def _formats_of(context: typer.Context, format_: str, *, wire: bool) -> Sequence[str]:
    """The formats of what the gate does; UsageError for this one and for options that mean nothing then."""
    if wire and (useless := given(context, *NOT_OF_WIRE)):
        raise UsageError(f"{NOT_OF_WIRE[min(useless)]} means nothing with --wire, which counts and measures no time")
    known = formats("gate --wire" if wire else "gate")
    if format_ not in known:
        raise UsageError(f"--format {format_}: --wire has {', '.join(known)}")
    return known


@command(
    'dbbench gate --base "asyncpg==0.30.0" --head "asyncpg==0.31.0"',
    "dbbench gate --base-python .venv-main/bin/python --head-python .venv/bin/python",
    "dbbench gate my_scenario.py --project . --base main --head HEAD",
    "dbbench gate point_reads --base pool-pre-ping=off --head pool-pre-ping=on --tolerance 30%",
    "dbbench gate my_scenario.py --project . --base origin/main --tolerance 3% --tolerance cpu=5% "
    "--report junit=gate.xml",
    configured=True,
)
def gate(
    context: typer.Context,
    sides: Annotated["Wanted", Group(sides)],
    arms: Annotated[ArmsOfSides, Group(arms_of_sides)],
    subject: Annotated[subjects.Subject, Group(subjects.subject, without=("project",), help={"driver": DRIVERS})],
    server: Annotated[common.Server, Group(common.server)],
    connections: Annotated["Connections", Group(common.connections)],
    load: Annotated["Load", Group(common.load, without=PACED, help={"sessions": SESSIONS})],
    effort: Annotated[
        "Effort", Group(common.effort, without=ENDLESS, defaults={"budget": "5m"}, help={"budget": BUDGET})
    ],
    judging: Annotated[Judging, Group(judging)],
    placement: Annotated[choices.PlacementMode, common.placement("shared, which repeats best")] = "shared",
    idle: common.Idle = None,
    output: common.ResultFile = None,
    format_: Annotated[str, OneOf(formats("gate")), common.FORMAT] = "table",
    decimal: common.Decimal = "point",
    report: Annotated[list[str] | None, REPORT] = None,
    quiet: common.Quiet = False,
) -> Request:
    """Fail when head is slower than base: both measured in one job, in turns, and judged as a whole.

    Ends with 0 (pass), 1 (something got slower) or 6 (inconclusive). In a GitHub workflow it also writes the job's
    summary and annotations.
    """
    from dbbench import catalog
    from dbbench.cli import values
    from dbbench.commands.gate import steps
    from dbbench.engine.options import Options
    from dbbench.project import search_path

    known = _formats_of(context, format_, wire=judging.wire)
    reports = values.reports(report or [], known)
    paths = catalog.find(subject.scenarios)
    options = Options(
        scenarios=paths,
        drivers=subject.drivers,
        layers=subject.layers,
        params=subject.params,
        compare_anyway=subject.compare_anyway,
        on_disconnect=server.on_disconnect,
        prepare_limit_s=subject.prepare_limit_s,
        address=server.address,
        allow_production=server.allow_production,
        allow_remote=server.allow_remote,
        connections=connections,
        load=load,
        effort=effort,
        placement=placement,
        idle=idle,
        output=output,
        search_path=[] if sides.project is not None else search_path(None, paths),  # a revision has its own files
    )
    loop = ["uvloop"] if connections.loop == "uvloop" else []
    request = steps.Request(
        wanted=replace(sides, extra=[*loop, *of_extras(subject.drivers)]),
        options=values.checked(options),
        tolerances=values.tolerances(judging.tolerances, [path.stem for path in paths]),
    )
    return Request(arms.applied(request), judging.wire, judging.inconclusive, format_, decimal, reports, quiet)
