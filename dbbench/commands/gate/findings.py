"""From the records of a gate to its findings. Pure."""

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from dbbench.analysis.rows import params_text
from dbbench.commands.gate import counts
from dbbench.commands.gate.judging import LOOKS, Judged, ending, look_at
from dbbench.commands.gate.result import BASE, HEAD, Difference, Finding, GateResult, GateRow, GateVerdict, Metric, Side
from dbbench.commands.gate.tables import tables, total_us
from dbbench.commands.identity import server_version
from dbbench.errors import ExitCode
from dbbench.plan import Plan
from dbbench.records import Measurement, Problem, Run

_STEP_S: Final = 30  # suggested budgets are multiples of this
_MOST_BLOCKS: Final = LOOKS[-1].blocks


def result(run: Run, conditions: Sequence[tuple[str, str]]) -> GateResult:
    """Judge a gate, complete or not; `conditions` are lines for reports."""
    plan = run.header.plan
    made = tables(plan, run.measurements)
    judged = ending(made.counted, made.tolerances)
    advice = look_at(made.advisory, made.tolerances) if made.advisory else {}
    by_arm: dict[tuple[int, str], list[Measurement]] = defaultdict(list)
    for one in run.measurements:
        by_arm[one.cell, one.arm].append(one)
    wire = counts.differences(run)
    findings = [
        msgspec.structs.replace(
            _finding(
                run, (cell, metric), one, made.tolerances[cell, metric], by_arm, advisory=(cell, metric) in advice
            ),
            wire=counts.in_words(wire, plan.cells[cell]),
        )
        for (cell, metric), one in sorted((judged | advice).items(), key=lambda item: item[0][0])
    ]
    verdict = _verdict(findings)
    blocks = len({one.block for one in run.measurements})
    base, head = (run.header.sides.get(arm, Side(arm, "")) for arm in (BASE, HEAD))
    return GateResult(
        verdict=verdict,
        blocks=blocks,
        findings=findings,
        base=base,
        head=head,
        differences=differences(base.packages, head.packages),
        problems=[_problem(plan, problem) for problem in run.problems],
        conditions=list(conditions),
        run_id=run.header.id,
        started=run.header.started,
        measured_s=run.end.measured_s if run.end else 0.0,
        status=run.status,
        dbbench=run.header.dbbench,
        server=server_version(run.header.server),
        budget_hint=_hint(run, findings, blocks) if verdict is GateVerdict.INCONCLUSIVE else "",
    )


def differences(base: Mapping[str, str], head: Mapping[str, str]) -> list[Difference]:
    """The packages (name -> version) that differ between the sides, sorted by name."""
    both = [Difference(name, base.get(name), head.get(name)) for name in sorted({*base, *head})]
    return [each for each in both if each.base != each.head]


def exit_code(found: GateResult, measuring: int, inconclusive: str | None) -> int:
    """The exit code of a gate, by its verdict, unless a signal ended it or something could not be measured.

    `measuring` is the exit code of the measuring (see errors.ExitCode); `inconclusive` is "pass" or "fail" where the
    option was given. A FAIL stands whatever else went wrong, a PASS does not.
    """
    if measuring > ExitCode.BUG:  # a signal
        return measuring
    if found.verdict is GateVerdict.FAIL:
        return ExitCode.REGRESSION
    if measuring not in (ExitCode.OK, ExitCode.INCONCLUSIVE):
        return measuring
    if found.verdict is GateVerdict.PASS:
        return ExitCode.OK
    return {None: ExitCode.INCONCLUSIVE, "pass": ExitCode.OK, "fail": ExitCode.REGRESSION}[inconclusive]


def _verdict(findings: Sequence[Finding]) -> GateVerdict:
    verdicts = {finding.row.verdict for finding in findings} - {GateVerdict.ADVISORY}
    if GateVerdict.FAIL in verdicts:
        return GateVerdict.FAIL
    return GateVerdict.PASS if verdicts == {GateVerdict.PASS} else GateVerdict.INCONCLUSIVE


def _finding(
    run: Run,
    key: tuple[int, Metric],
    judged: Judged,
    tolerance: float,
    by_arm: Mapping[tuple[int, str], Sequence[Measurement]],
    *,
    advisory: bool,
) -> Finding:
    (index, metric), plan = key, run.header.plan
    cell = plan.cells[index]
    excluded = _excluded(run, index)
    loss = None if excluded else judged.loss
    verdict = GateVerdict.ADVISORY if advisory else GateVerdict.INCONCLUSIVE if loss is None else judged.verdict
    row = GateRow(
        scenario=cell.scenario,
        layer=cell.layer,
        sessions=cell.sessions,
        driver=cell.driver,
        metric=metric,
        loss=loss,
        loss_low=None if loss is None else judged.low,
        loss_high=None if loss is None else judged.high,
        p_adjusted=None if loss is None or advisory else judged.p_adjusted,
        verdict=verdict,
        params=params_text(cell),
    )
    reason = excluded
    if loss is None and not reason:
        reason = _disturbed(run, index) or "not measured on both sides"
    elif advisory and not reason:
        reason = "too few operations in a block for this percentile to count"
    return Finding(
        row=row,
        tolerance=tolerance,
        base_us=total_us(metric, by_arm[index, BASE]),
        head_us=total_us(metric, by_arm[index, HEAD]),
        detectable=None if loss is None else judged.detectable,
        blocks_wanted=judged.blocks_wanted if verdict is GateVerdict.INCONCLUSIVE and loss is not None else None,
        reason=reason,
    )


def _excluded(run: Run, index: int) -> str:
    """Why the cell cannot be compared; empty where it can."""
    for problem in run.problems:
        concerned = problem.cell == index or (
            problem.cell is None
            and (problem.scenario == run.header.plan.cells[index].scenario or problem.kind == "worker lost")
        )
        if concerned and problem.kind not in ("different", "errors", "disturbed", "outage"):
            return f"{problem.kind}: {problem.message}"
    return ""


def _disturbed(run: Run, index: int) -> str:
    """Why what was measured in the cell is not judged, if that is so."""
    return next((each.message for each in run.problems if each.kind == "disturbed" and each.cell == index), "")


def _problem(plan: Plan, problem: Problem) -> str:
    cell = plan.cells[problem.cell].label if problem.cell is not None else problem.scenario
    where = ", ".join(part for part in (cell, problem.arm) if part)
    kind = "returns something else: " if problem.kind == "different" else ""
    return f"{where}: {kind}{problem.message}" if where else problem.message


def _hint(run: Run, findings: Sequence[Finding], blocks: int) -> str:
    """What would decide the gate, in one sentence; empty where that is not known."""
    open_ = [one for one in findings if one.row.verdict is GateVerdict.INCONCLUSIVE]
    wanted = [one.blocks_wanted for one in open_ if one.blocks_wanted is not None]
    if len(wanted) < len(open_) or not blocks or run.end is None:
        return ""
    needed = max(wanted)
    seconds = math.ceil(run.end.measured_s / blocks * min(needed, _MOST_BLOCKS) / _STEP_S) * _STEP_S
    if needed <= _MOST_BLOCKS:
        return f"About {needed} blocks would decide it: --budget {seconds} gives them."
    return (
        f"About {needed} blocks would decide it, and a gate ends after {_MOST_BLOCKS}: give each block more to measure "
        "(fewer scenarios or drivers, or a longer --budget), or a larger --tolerance."
    )
