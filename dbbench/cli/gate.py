"""`dbbench gate`."""

import os
import sys
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from dbbench.cli import options as common
from dbbench.cli.command import command, measuring
from dbbench.cli.formats import GateFormat, WireGateFormat
from dbbench.cli.output import complain, print_found, write
from dbbench.drivers import DEFAULT
from dbbench.engine.options import Options
from dbbench.errors import ExitCode, UsageError


class Inconclusive(StrEnum):
    """How an inconclusive gate ends."""

    PASS = "pass"  # noqa: S105 - no password
    FAIL = "fail"


@command(
    'dbbench gate --base "asyncpg==0.30.0" --head "asyncpg==0.31.0"',
    "dbbench gate --base-python .venv-main/bin/python --head-python .venv/bin/python",
    "dbbench gate my_scenario.py --project . --base main --head HEAD",
    "dbbench gate my_scenario.py --project . --base origin/main --tolerance 3% --tolerance cpu=5% "
    "--report junit=gate.xml",
)
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
            f"or else {', '.join(DEFAULT)}.",
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
    from dbbench import catalog, plan
    from dbbench.cli import values
    from dbbench.commands.gate import steps as gating
    from dbbench.commands.gate.sides import Wanted

    paths = catalog.find(scenarios or [])
    formats = list(WireGateFormat) if wire else list(GateFormat)
    reports = values.reports(report or [], formats)
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
        options=Options(
            scenarios=paths,
            drivers=values.drivers(driver, driver[0].partition(",")[0])[0] if driver else [],
            layers=None if layer is None else values.choices("--layer", layer, plan.Layer),
            address=values.address(url, env_url=env_url),
            allow_production=allow_production,
            placement=values.choice("--placement", placement, plan.PlacementMode),
            params=values.params(set_ or []),
            output=output,
            connections=plan.Connections(
                pool=plan.Pool(pool_size, max_overflow, pool_timeout),
                tx_end=values.choice("--tx-end", tx_end, plan.TxEnd),
                loop=values.loop(loop),
            ),
            load=plan.Load(sessions=None if sessions is None else values.numbers("--sessions", sessions)),
            effort=plan.Effort(budget_s=values.seconds("--budget", budget), seed=seed),
        ),
        tolerances=values.tolerances(tolerance or [], [path.stem for path in paths]),
    )
    with measuring(quiet=quiet) as watch:
        if "DATABASE_URL" in os.environ and request.options.address is None:
            watch.note("DATABASE_URL is set but not used; --env-url uses it")
        if wire:
            _end_wire_gate(gating.count_gate(request, watch).path, format_, reports)
        outcome = gating.execute_gate(request, watch)
    _end_gate(outcome, format_, reports, inconclusive)


def _end_wire_gate(result: Path, format_: GateFormat, reports: Sequence[tuple[str, Path]]) -> None:
    """Print what changed on the wire, write what was asked for, and end with 1 where something grew."""
    from dbbench import result_file
    from dbbench.reports import report
    from dbbench.reports.stored import shown

    changes = shown(result_file.read_any(result)).found
    print_found("gate --wire", format_, changes)
    for name, path in reports:
        write(path, report("gate --wire", name)(changes))
    if summary := os.environ.get("GITHUB_STEP_SUMMARY"):
        with Path(summary).open("a", encoding="utf-8") as file:
            file.write(report("gate --wire", "markdown")(changes))
    raise typer.Exit(ExitCode.REGRESSION if any(change.grew for change in changes) else ExitCode.OK)


def _end_gate(
    outcome: Any, format_: GateFormat, reports: Sequence[tuple[str, Path]], inconclusive: Inconclusive | None
) -> None:
    """Print the verdict, write what was asked for, and end as the verdict says."""
    from dbbench import result_file
    from dbbench.commands.gate.findings import exit_code
    from dbbench.reports import report
    from dbbench.reports.stored import shown

    result = shown(result_file.read(outcome.path)).found
    print_found("gate", format_, result, on_console={"file": str(outcome.path)})
    code = exit_code(result, outcome.exit_code, inconclusive)
    if os.environ.get("GITHUB_ACTIONS") == "true":
        sys.stderr.write(report("gate", "annotations")(result))
    for name, path in reports:
        try:
            write(path, report("gate", name)(result))
        except UsageError as error:  # minutes were measured for the verdict: it stands
            complain(str(error))
            code = code or ExitCode.DEGRADED
    if summary := os.environ.get("GITHUB_STEP_SUMMARY"):
        from dbbench.reports.gate.markdown import SUMMARY_BYTES

        try:
            with Path(summary).open("a", encoding="utf-8") as file:
                file.write(report("gate", "markdown")(result, limit=SUMMARY_BYTES))
        except OSError as error:
            complain(f"GITHUB_STEP_SUMMARY: {summary} cannot be written: {error.strerror}")
    raise typer.Exit(code)
