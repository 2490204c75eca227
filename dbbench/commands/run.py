"""The `run` command as a list of steps, from options to a finished result file."""

import contextlib
import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from typing import Final

import msgspec

from dbbench import result_file
from dbbench.commands import break_even
from dbbench.commands.recording import Ended, Journal, recording
from dbbench.commands.selfcheck import kept
from dbbench.engine.blocks import Blocks, decided_cells
from dbbench.engine.exclusive import exclusive
from dbbench.engine.opening import Opened, OpenSite, header, opened, opened_site
from dbbench.engine.options import Options
from dbbench.engine.rounds import settled
from dbbench.engine.routes import Routes
from dbbench.engine.setup import SetUp
from dbbench.engine.site import AT_HOME, Homes
from dbbench.engine.times import announcement, too_long
from dbbench.engine.watcher import Watcher
from dbbench.engine.workers import Workers
from dbbench.errors import ExitCode
from dbbench.plan import Plan
from dbbench.records import Header, Measurement, Problem, Side, WireRow
from dbbench.relay.handle import can_relay


def remark(blocks: Blocks, watch: Watcher) -> None:
    """Tell the user why the run ended, and how far to trust it."""
    plan, effort = blocks.workers.plan, blocks.workers.plan.effort
    if blocks.decided:
        cells = "every cell" if len(blocks.shapes) == len(plan.cells) else "every cell that can be compared"
        watch.note(f"{'precise enough' if effort.precision else f'{cells} is decided'} after {blocks.measured_s:.0f} s")
    elif effort.precision is not None:
        watch.note(
            f"not every ratio is known to {100 * effort.precision:g}% after {blocks.measured_s:.0f} s; "
            "--budget allows more time"
        )
    if warning := kept.warning(blocks.log_ratios.values(), plan.placement.mode):
        watch.note(warning)
    budget_s = effort.budget_s
    if budget_s is not None and blocks.late:
        why = "the first block alone takes longer" if blocks.begun == 1 else "what had begun was finished"
        watch.note(f"measured for {blocks.measured_s:.0f} s, with a budget of {budget_s:g} s: {why}")


@dataclass(frozen=True)
class Purpose:
    """The purpose of a run, which commands adapt; the defaults compare drivers."""

    arrange: Callable[[Plan], Plan] = lambda plan: plan  # makes the last changes to what is measured
    homes: Homes = AT_HOME
    sides: Mapping[str, Side] = field(default_factory=dict)  # arm -> its environment
    look: Callable[[Plan, Sequence[Measurement]], set[int]] = decided_cells  # after a block: cells that need no more
    remark: Callable[[Blocks, Watcher], None] = remark  # at the end
    count: Callable[[SetUp, Routes, Watcher], Iterable[WireRow]] = (
        lambda _set_up, _routes, _watch: ()
    )  # before it times


DRIVERS_COMPARED: Final = Purpose()


def execute(
    options: Options, watch: Watcher, purpose: Purpose = DRIVERS_COMPARED, open_site: OpenSite = opened_site
) -> Ended:
    """Measure, and write the result file along the way.

    Raises DbbenchError, and leaves no file behind, when nothing could be measured at all.
    """
    started = datetime.now(UTC)
    run_id = result_file.new_id()
    exit_codes = {"different": ExitCode.OK, "not comparable": ExitCode.INCONCLUSIVE, "disturbed": ExitCode.INCONCLUSIVE}
    if options.pooled:
        exit_codes["errors"] = ExitCode.OK  # what fails behind a pooler is what is to be known
    with (
        recording(options.output, started, run_id, watch, exit_codes) as journal,
        exclusive(watch) as is_alone,
        opened(options, run_id, watch, purpose.arrange, purpose.homes, open_site) as found,
    ):
        make_header = partial(header, run_id=run_id, started=started, other_runs=not is_alone)
        _measure(options, found, make_header, journal, watch, purpose)
    return Ended(journal.path, journal.exit_code)


def _measure(
    options: Options,
    found: Opened,
    make_header: Callable[[Workers], Header],
    journal: Journal,
    watch: Watcher,
    purpose: Purpose,
) -> None:
    """Set up, measure block by block, and end with the purpose's remark."""
    workers, secret = found.workers, found.workers.site.start.address.password
    with contextlib.ExitStack() as stack:
        watch.note(announcement(workers.plan))
        lost = workers.start("set-up", stack)
        set_up = SetUp(workers, watch.say, watch.note)
        for problem in itertools.chain(lost, found.problems, set_up.run(found.described, stack)):
            journal.report(problem, secret, watch)
        workers = replace(workers, plan=settled(set_up.plan(), set_up.costs()))
        if warning := too_long(workers.plan, set_up.costs()):
            watch.note(warning)
        settings = any(arm.name != arm.driver for arm in options.arms)  # round trips say why one costs more
        counts = bool(options.rtts or options.pooled or settings) and can_relay(workers.site.start.address)
        trips = break_even.round_trips(workers, found.routes.relay) if counts else {}
        top = msgspec.structs.replace(make_header(workers), sides=dict(purpose.sides), round_trips=trips)
        journal.write(top)
        for row in purpose.count(set_up, found.routes, watch):
            journal.write(row, measures=False)
    blocks = Blocks(workers, set_up.shapes, watch.say, purpose.look, watch.advance)
    for record in blocks.blocks():
        if isinstance(record, Problem):
            journal.report(record, secret, watch)
        else:
            journal.write(record)
        journal.measured_s = blocks.measured_s
    journal.measured_s = blocks.measured_s
    if options.rtts:
        for checked in break_even.checks(blocks, top, watch.say):
            journal.write(checked)
    purpose.remark(blocks, watch)
