"""JSON: the whole run in one document, with the rows of the CSVs as its cells, breakdown, errors and layer_tax."""

from pathlib import Path
from typing import Any

from dbbench.analysis.analysis import Analysis
from dbbench.analysis.latency import Effect
from dbbench.commands.identity import identity
from dbbench.plan import Plan
from dbbench.records import Problem, Run
from dbbench.reports.exported import exported, identified
from dbbench.reports.json_text import SCHEMA, text


def report(analysis: Analysis, **_: bool) -> str:
    """Write one document; an unknown number is null, never NaN."""
    of_run = identity(analysis.run.header)
    document = {
        "schema": SCHEMA,
        "run": _run(analysis.run),
        "cells": [identified(row, of_run) for row in analysis.rows],
        "breakdown": [exported(breakdown) for breakdown in analysis.breakdowns],
        "errors": [exported(failure) for failure in analysis.failures],
        "layer_tax": [exported(tax) for tax in analysis.layer_tax],
        "latency": [_latency(effect) for group in analysis.effects for effect in group],
    }
    return text(document)


def files(analysis: Analysis, output: Path | None, table: str = "cells") -> list[tuple[Path | None, str]]:
    """Write the document of `report`, or with the table `series` one with the run as it went."""
    if table == "cells":
        return [(output, report(analysis))]
    of_run = identity(analysis.run.header)
    points = [identified(point, of_run) for point in analysis.series]
    return [(output, text({"schema": SCHEMA, "run": _run(analysis.run), "series": points}))]


def _latency(effect: Effect) -> dict[str, Any]:
    cell, tie = effect.cell, effect.tie
    checked = tie.checked if tie else None
    return {
        "scenario": cell.scenario,
        "layer": cell.layer,
        "sessions": cell.sessions,
        "driver": effect.driver,
        "round_trips": effect.round_trips,
        "lines": [
            {"rtt_ms": line.rtt_s * 1e3, "measured_us": line.measured_us, "predicted_us": line.predicted_us}
            for line in effect.lines
        ],
        "break_even_rtt_ms": None if tie is None or tie.rtt_s is None else tie.rtt_s * 1e3,
        "checked_rtt_ms": checked and checked.rtt_s * 1e3,
        "ratio": checked and checked.ratio,
        "ratio_low": checked and checked.ratio_low,
        "ratio_high": checked and checked.ratio_high,
    }


def _run(run: Run) -> dict[str, Any]:
    header, end = run.header, run.end
    return {
        "id": header.id,
        "dbbench": header.dbbench,
        "status": run.status,
        "reason": end.reason if end else "",
        "started": header.started,
        "finished": end.finished if end else None,
        "measured_s": end.measured_s if end else None,
        "warnings": run.warnings,
        "problems": [_problem(problem) for problem in run.problems],
        "plan": _plan(header.plan),
        "server": header.server,
        "drivers": header.drivers,
        "environment": header.environment,
    }


def _plan(plan: Plan) -> dict[str, Any]:
    """The plan as this document has it: what arms share once, without the cells, which the document has itself."""
    shared = plan.shared
    return {
        "arms": [
            {
                "name": arm.name,
                "driver": arm.driver,
                "bare": arm.bare,
                "busy_ns": arm.busy_ns,
                "settings": plan.own_settings(arm),
                "null_pool": arm.connections.null_pool,
                "pool": arm.connections.pool,
                "pre_ping": arm.connections.pre_ping,
                "checkout": arm.connections.checkout,
                "tx_end": arm.connections.tx_end,
                "isolation": arm.connections.isolation,
                "loop": arm.connections.loop,
                "json": arm.connections.json,
                "processes": arm.connections.processes,
                "params": arm.params,
                "baseline": arm.baseline or plan.baseline,
            }
            for arm in plan.arms
        ],
        "baseline": plan.baseline,
        "seed": plan.seed,
        "rounds": plan.rounds,
        "budget_s": plan.effort.budget_s,
        "blocks": plan.effort.blocks,
        "pool": shared.pool,
        "placement": plan.placement,
        "checkout": shared.checkout,
        "tx_end": shared.tx_end,
        "loop": shared.loop,
        "precision": plan.effort.precision,
        "think_s": plan.load.think_s,
        "rate": plan.load.rate,
        "arrival": plan.load.arrival,
        "slice_s": plan.slice_s,
        "early_end": plan.early_end,
        "gate": plan.gate,
        "pre_ping": shared.pre_ping,
        "settings": plan.settings,
    }


def _problem(problem: Problem) -> dict[str, Any]:
    """The problem without what the ledger of errors has of it."""
    return {name: getattr(problem, name) for name in ("kind", "message", "scenario", "cell", "arm")}
