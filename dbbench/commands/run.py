"""The `run` command as a list of steps, from options to a finished result file."""

import contextlib
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import msgspec

from dbbench import records
from dbbench.commands import break_even
from dbbench.commands.selfcheck import kept
from dbbench.engine.blocks import BUDGET_SLACK, Blocks
from dbbench.engine.exclusive import exclusive
from dbbench.engine.opening import gathered, header, problem_line
from dbbench.engine.options import Options
from dbbench.engine.setup import Cost, SetUp
from dbbench.engine.watcher import Watcher
from dbbench.engine.workers import Homes
from dbbench.errors import DbbenchError, ExitCode, Interrupted, ServerLostError
from dbbench.plan import Plan
from dbbench.records import End, Measurement, Problem, Side, Writer
from dbbench.relay.handle import can_relay
from dbbench.server.target import redacted


@dataclass(frozen=True)
class Ended:
    """How a run ended."""

    path: Path
    exit_code: int


@dataclass(frozen=True)
class Purpose:
    """What a run is for, when it is not to compare drivers."""

    arrange: Callable[[Plan], Plan]
    homes: Homes
    sides: dict[str, Side]
    settle: Callable[[Plan, Sequence[Cost]], Plan]  # the plan once it is known what its cells cost
    look: Callable[[Plan, Sequence[Measurement]], set[int]]  # see Blocks.look


def execute(options: Options, watch: Watcher, purpose: Purpose | None = None) -> Ended:
    """Measure, and write the result file as it goes.

    Raises DbbenchError, and leaves no file, when nothing could be measured at all.
    """
    started = datetime.now(UTC)
    run_id = records.new_id()
    with _output(options, started, run_id) as writer, exclusive(watch) as is_alone:
        journal = _Journal(writer, other_runs=not is_alone, expects_errors=options.pooler is not None)
        status: Literal["complete", "degraded", "interrupted", "failed"]
        try:
            _measure(options, run_id, started, journal, watch, purpose)
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
    """Writes records, and remembers what decides how the run ends."""

    def __init__(self, writer: Writer, *, other_runs: bool, expects_errors: bool) -> None:
        self._writer = writer
        self._fine = ("different", "errors") if expects_errors else ("different",)  # problems that are results
        self.other_runs = other_runs  # on this machine, when this one began
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
    options: Options, run_id: str, started: datetime, journal: _Journal, watch: Watcher, purpose: Purpose | None
) -> None:
    """Start everybody who works on the run, make what they need, measure."""
    with (
        gathered(options, run_id, watch)
        if purpose is None
        else gathered(options, run_id, watch, purpose.arrange, purpose.homes)
    ) as found:
        crew = found.crew
        set_up = SetUp(crew, watch.say, watch.note)
        with contextlib.ExitStack() as stack:
            workers = crew.start_workers("set-up", stack)
            problems = [*found.problems, *set_up.run(found.described, workers, stack)]
            if purpose is not None:
                crew.plan = purpose.settle(crew.plan, set_up.costs())
            counts = bool(options.rtts or options.pooler) and can_relay(crew.site.start.address)
            trips = break_even.round_trips(crew, found.routes.relay, workers) if counts else {}
            sides = {} if purpose is None else purpose.sides
            top = header(found, run_id, started, other_runs=journal.other_runs)
            top = msgspec.structs.replace(top, sides=sides, round_trips=trips)
            journal.write(top)
            for problem in problems:
                _report(problem, crew.site.start.address.password, journal, watch)
        bench = Blocks(crew, set_up.shapes, watch.say)
        if purpose is not None:
            bench.look = purpose.look
        _blocks(bench, journal, watch)
        if options.rtts:
            for checked in break_even.checks(bench, top, watch.say):
                journal.write(checked)
        if purpose is None:
            _remark(bench, watch)


def _blocks(bench: Blocks, journal: _Journal, watch: Watcher) -> None:
    """Measure, and keep everything as it comes."""
    watch.advance(*bench.progress())
    for record in bench.blocks():
        if isinstance(record, Problem):
            _report(record, bench.crew.site.start.address.password, journal, watch)
        else:
            journal.write(record)
        journal.measured_s = bench.measured_s
        watch.advance(*bench.progress())


def _remark(bench: Blocks, watch: Watcher) -> None:
    """Say why the run ended, and what is to be thought of it."""
    plan = bench.crew.plan
    if bench.decided:
        watch.note(f"{'precise enough' if plan.precision else 'every cell is decided'} after {bench.measured_s:.0f} s")
    elif plan.precision is not None:
        watch.note(
            f"not every ratio is known to {100 * plan.precision:g}% after {bench.measured_s:.0f} s; --budget gives more"
        )
    if warning := kept.warning(bench.log_ratios.values(), plan.placement.mode):
        watch.note(warning)
    budget_s = plan.budget_s
    if budget_s is not None and bench.measured_s > budget_s * (1 + BUDGET_SLACK):
        watch.note(f"one block took longer than the budget of {budget_s:g} s: measured for {bench.measured_s:.0f} s")


def _report(problem: Problem, secret: str, journal: _Journal, watch: Watcher) -> None:
    message = redacted(problem.message, secret)  # a scenario's exception may say anything
    problem = msgspec.structs.replace(problem, message=message)
    journal.write(problem)
    watch.problem(problem_line(problem))


@contextlib.contextmanager
def _output(options: Options, started: datetime, run_id: str) -> Iterator[Writer]:
    """The result file, made before anything else starts, and removed again when nothing comes of it."""
    path = options.output or Path("results")
    if options.output is None or os.path.isdir(path):  # noqa: PTH112 - Path.is_dir raises where it may not look
        path = records.default_path(path, started, run_id)
    writer = None
    try:
        with Writer.create(path) as writer:
            yield writer
    except BaseException:
        if writer is not None:
            path.unlink(missing_ok=True)
        raise
