"""The `run` command as a list of steps, from options to a finished result file."""

import contextlib
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Literal

import msgspec

from dbbench import records, result_file
from dbbench.commands import break_even
from dbbench.commands.selfcheck import kept
from dbbench.engine.blocks import BUDGET_SLACK, Blocks, decided_cells
from dbbench.engine.exclusive import exclusive
from dbbench.engine.opening import Opened, OpenSite, header, opened, opened_site, problem_line
from dbbench.engine.options import Options
from dbbench.engine.setup import Cost, SetUp
from dbbench.engine.watcher import Watcher
from dbbench.engine.workers import AT_HOME, Homes
from dbbench.errors import DbbenchError, ExitCode, Interrupted, ServerLostError
from dbbench.plan import Plan
from dbbench.records import End, Measurement, Problem, Side
from dbbench.relay.handle import can_relay
from dbbench.result_file import Writer
from dbbench.server.target import redacted


@dataclass(frozen=True)
class Ended:
    """How a run ended."""

    path: Path
    exit_code: int


def remark(blocks: Blocks, watch: Watcher) -> None:
    """Tell the user why the run ended, and how far to trust it."""
    plan, effort = blocks.workers.plan, blocks.workers.plan.effort
    if blocks.decided:
        watch.note(
            f"{'precise enough' if effort.precision else 'every cell is decided'} after {blocks.measured_s:.0f} s"
        )
    elif effort.precision is not None:
        watch.note(
            f"not every ratio is known to {100 * effort.precision:g}% after {blocks.measured_s:.0f} s; "
            "--budget allows more time"
        )
    if warning := kept.warning(blocks.log_ratios.values(), plan.placement.mode):
        watch.note(warning)
    budget_s = effort.budget_s
    if budget_s is not None and blocks.measured_s > budget_s * (1 + BUDGET_SLACK):
        watch.note(f"one block took longer than the budget of {budget_s:g} s: measured for {blocks.measured_s:.0f} s")


@dataclass(frozen=True)
class Purpose:
    """The purpose of a run, which commands adapt; the defaults compare drivers."""

    arrange: Callable[[Plan], Plan] = lambda plan: plan  # makes the last changes to what is measured
    homes: Homes = AT_HOME
    sides: Mapping[str, Side] = field(default_factory=dict)  # arm -> its environment
    settle: Callable[[Plan, Sequence[Cost]], Plan] = lambda plan, _costs: plan  # adapts the plan to the cells' costs
    look: Callable[[Plan, Sequence[Measurement]], set[int]] = decided_cells  # after a block: cells that need no more
    remark: Callable[[Blocks, Watcher], None] = remark  # at the end


DRIVERS_COMPARED: Final = Purpose()


def execute(
    options: Options, watch: Watcher, purpose: Purpose = DRIVERS_COMPARED, open_site: OpenSite = opened_site
) -> Ended:
    """Measure, and write the result file along the way.

    Raises DbbenchError, and leaves no file behind, when nothing could be measured at all.
    """
    started = datetime.now(UTC)
    run_id = result_file.new_id()
    with _output(options, started, run_id) as writer, exclusive(watch) as is_alone:
        journal = _Journal(writer, other_runs=not is_alone, expects_errors=options.pooler is not None)
        status: Literal["complete", "degraded", "interrupted", "failed"]
        try:
            with opened(options, run_id, watch, purpose.arrange, purpose.homes, open_site) as found:
                _measure(options, found, run_id, started, journal, watch, purpose)
            exit_code: int = journal.exit_code
            status, reason = ("degraded" if exit_code == ExitCode.DEGRADED else "complete"), ""
        except Interrupted as signal:
            status, reason, exit_code = "interrupted", str(signal), signal.exit_code
            if not journal.measured:
                raise
        except DbbenchError as error:
            if not journal.measured:
                raise
            status, reason, exit_code = "failed", str(error), error.exit_code
            if isinstance(error, ServerLostError):
                journal.write(Problem("server lost", str(error)))
        journal.write(End(status, datetime.now(UTC).isoformat(timespec="seconds"), journal.measured_s, reason))
    return Ended(writer.path, exit_code)


class _Journal:
    """Writes records, and keeps track of what decides the exit code."""

    def __init__(self, writer: Writer, *, other_runs: bool, expects_errors: bool) -> None:
        self._writer = writer
        self._fine = ("different", "errors") if expects_errors else ("different",)  # problems that are results
        self.other_runs = other_runs  # whether others were running on this machine when this one began
        self.measured = False
        self.measured_s = 0.0
        self.exit_code = ExitCode.OK

    def write(self, record: records.Record) -> None:
        """Write one record."""
        self._writer.write(record)
        if isinstance(record, Measurement):
            self.measured = True
        if isinstance(record, Problem):
            not_comparable = record.kind == "not comparable" and self.exit_code is not ExitCode.DEGRADED
            if record.kind not in self._fine:
                self.exit_code = ExitCode.INCONCLUSIVE if not_comparable else ExitCode.DEGRADED


def _measure(
    options: Options,
    found: Opened,
    run_id: str,
    started: datetime,
    journal: _Journal,
    watch: Watcher,
    purpose: Purpose,
) -> None:
    """Set up, measure block by block, and end with the purpose's remark."""
    workers, secret = found.workers, found.workers.site.start.address.password
    with contextlib.ExitStack() as stack:
        workers.start("set-up", stack)
        set_up = SetUp(workers, watch.say, watch.note)
        problems = [*found.problems, *set_up.run(found.described, stack)]
        workers = replace(workers, plan=purpose.settle(workers.plan, set_up.costs()))
        counts = bool(options.rtts or options.pooler) and can_relay(workers.site.start.address)
        trips = break_even.round_trips(workers, found.routes.relay) if counts else {}
        top = header(workers, run_id, started, other_runs=journal.other_runs)
        top = msgspec.structs.replace(top, sides=dict(purpose.sides), round_trips=trips)
        journal.write(top)
        for problem in problems:
            _report(problem, secret, journal, watch)
    blocks = Blocks(workers, set_up.shapes, watch.say, purpose.look)
    watch.advance(*blocks.progress())
    for record in blocks.blocks():
        if isinstance(record, Problem):
            _report(record, secret, journal, watch)
        else:
            journal.write(record)
        journal.measured_s = blocks.measured_s
        watch.advance(*blocks.progress())
    if options.rtts:
        for checked in break_even.checks(blocks, top, watch.say):
            journal.write(checked)
    purpose.remark(blocks, watch)


def _report(problem: Problem, secret: str, journal: _Journal, watch: Watcher) -> None:
    message = redacted(problem.message, secret)  # a scenario's exception may contain the password
    problem = msgspec.structs.replace(problem, message=message)
    journal.write(problem)
    watch.problem(problem_line(problem))


@contextlib.contextmanager
def _output(options: Options, started: datetime, run_id: str) -> Iterator[Writer]:
    """The result file, made before anything else starts, and removed again if the run raises."""
    path = options.output or Path("results")
    if options.output is None or os.path.isdir(path):  # noqa: PTH112 - Path.is_dir raises where it may not look
        path = result_file.default_path(path, started, run_id)
    writer = None
    try:
        with Writer.create(path) as writer:
            yield writer
    except BaseException:
        if writer is not None:
            path.unlink(missing_ok=True)
        raise
