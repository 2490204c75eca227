"""What both sides of a gate put on the wire, counted before they are timed: it tells why one of them takes longer."""

from collections.abc import Callable, Iterator, Mapping
from typing import Final

import msgspec

from dbbench.analysis.rows import params_text
from dbbench.child import WorkerFailedError, WorkerLostError
from dbbench.commands.gate.result import ARMS, SAME
from dbbench.commands.wire.changes import Change, changes
from dbbench.commands.wire.steps import WARM_UP, Counting
from dbbench.engine.routes import Routes
from dbbench.engine.setup import SetUp
from dbbench.errors import DbbenchError
from dbbench.plan import Cell
from dbbench.records import Run, WireRow

OPERATIONS: Final = 10
MOST_S: Final = 10.0  # for an arm in a cell: the gate has better things to do
Place = tuple[str, str, str, str]  # scenario, layer, parameters, driver


def counted(
    set_up: SetUp, routes: Routes, say: Callable[[str], None], note: Callable[[str], None]
) -> Iterator[WireRow]:
    """Count both sides of every cell that will be timed, once for each scenario, layer and driver.

    The workers of the set-up must be running. What cannot be counted is a note: the gate goes on without it.
    """
    plan = set_up.workers.plan
    first: dict[Place, int] = {}
    for index in set_up.shapes:
        first.setdefault(place(plan.cells[index]), index)
    try:
        counting = Counting(set_up.workers, routes.relay, OPERATIONS)
    except DbbenchError as error:
        note(f"nothing is counted on the wire: {error.message}")
        return
    for index in first.values():
        label = plan.cells[index].label
        say(f"counting {label}")
        try:
            yield from [_row(counting, set_up, index, arm) for arm in ARMS]
        except (WorkerFailedError, WorkerLostError, _NotCountedError) as error:
            note(f"{label}: not counted on the wire: {error}")


class _NotCountedError(Exception):
    """Why an arm is not counted in a cell."""


def _row(counting: Counting, set_up: SetUp, index: int, arm: str) -> WireRow:
    if arm not in set_up.workers.running:
        raise _NotCountedError(f"the worker of {arm} has ended")
    if (WARM_UP + OPERATIONS) * set_up.per_operation_ns[index, arm] > MOST_S * 1e9:
        raise _NotCountedError("its operations take too long; --wire counts them all the same")
    return msgspec.structs.replace(counting.row(index, arm), trace=[], untraced=0)


def place(cell: Cell) -> Place:
    """Where a cell's counts belong; they do not depend on sessions."""
    return cell.scenario, cell.layer, params_text(cell), cell.driver


def differences(run: Run) -> dict[Place, list[Change]]:
    """What the sides of a stored gate do differently on the wire, besides bytes, wherever it was counted."""
    base, head = ([row for row in run.counts if row.arm == arm] for arm in ARMS)
    both = {_place(row) for row in base} & {_place(row) for row in head}
    found: dict[Place, list[Change]] = {key: [] for key in both}
    for change in changes(base, head):
        key = change.scenario, change.layer, change.params, change.driver
        if key in both and change.counts:
            found[key].append(change)
    return found


def in_words(found: Mapping[Place, list[Change]], cell: Cell) -> str:
    """What the cell's sides do differently on the wire; SAME, or empty where that is not known."""
    key = place(cell)
    if key not in found:
        return ""
    return "; ".join(": ".join(filter(None, (change.difference, change.because))) for change in found[key]) or SAME


def _place(row: WireRow) -> Place:
    return row.scenario, row.layer, row.params, row.driver
