"""The `run` command as a list of steps, from options to a finished result file."""

import contextlib
import itertools
import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import msgspec

from dbbench import records, trust
from dbbench.alone import alone
from dbbench.bench import BUDGET_SLACK, Bench
from dbbench.errors import DbbenchError, ExitCode, Interrupted, ServerLostError
from dbbench.gathering import Options, gathered, header, problem_line
from dbbench.progress import Watcher
from dbbench.records import End, Measurement, Problem, Writer
from dbbench.server.target import redacted
from dbbench.setup import SetUp


@dataclass(frozen=True)
class Outcome:
    """How a run ended."""

    path: Path
    exit_code: int


def execute(options: Options, watch: Watcher) -> Outcome:
    """Measure, and write the result file as it goes.

    Raises DbbenchError, and leaves no file, when nothing could be measured at all.
    """
    started = datetime.now(UTC)
    run_id = records.new_id()
    with _output(options, started, run_id) as writer, alone(watch) as is_alone:
        journal = _Journal(writer, other_runs=not is_alone)
        status: Literal["complete", "degraded", "interrupted", "failed"]
        try:
            _measure(options, run_id, started, journal, watch)
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
    return Outcome(writer.path, exit_code)


class _Journal:
    """Writes records, and remembers what decides how the run ends."""

    def __init__(self, writer: Writer, *, other_runs: bool) -> None:
        self._writer = writer
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
            self.exit_code = ExitCode.INCONCLUSIVE if not_comparable else ExitCode.DEGRADED


def _measure(options: Options, run_id: str, started: datetime, journal: _Journal, watch: Watcher) -> None:
    """Start everybody who works on the run, make what they need, measure."""
    with gathered(options, run_id, watch) as found:
        crew = found.crew
        set_up = SetUp(crew, watch.say, watch.note)
        with contextlib.ExitStack() as stack:
            workers = crew.start_workers("set-up", stack)
            journal.write(header(found, run_id, started, other_runs=journal.other_runs))
            for problem in itertools.chain(found.problems, set_up.run(found.described, workers, stack)):
                _report(problem, crew.site.start.address.password, journal, watch)
        _blocks(Bench(crew, set_up.shapes, watch.say), journal, watch)


def _blocks(bench: Bench, journal: _Journal, watch: Watcher) -> None:
    watch.advance(*bench.progress())
    for record in bench.blocks():
        if isinstance(record, Problem):
            _report(record, bench.crew.site.start.address.password, journal, watch)
        else:
            journal.write(record)
        journal.measured_s = bench.measured_s
        watch.advance(*bench.progress())
    plan = bench.crew.plan
    if bench.decided:
        watch.note(f"{'precise enough' if plan.precision else 'every cell is decided'} after {bench.measured_s:.0f} s")
    elif plan.precision is not None:
        watch.note(
            f"not every ratio is known to {100 * plan.precision:g}% after {bench.measured_s:.0f} s; --budget gives more"
        )
    if warning := trust.warning(bench.log_ratios.values(), plan.placement.mode):
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
