"""What `dbbench wire` found: counts per operation, plain data between the counting and the reports."""

import msgspec

from dbbench.commands.identity import Identity, identity
from dbbench.engine.opening import problem_line
from dbbench.plan import TxEnd, Value
from dbbench.records import Counts, WireRow, status


class WireResult(msgspec.Struct, frozen=True):
    """All rows of one command, and under which settings they were counted."""

    rows: list[WireRow]
    tx_end: TxEnd
    pool_pre_ping: bool
    settings: dict[str, dict[str, Value]]  # driver -> its settings that are not the defaults
    identity: Identity
    problems: list[str]  # what could not be counted, and why
    status: str = "complete"  # how the command ended
    reason: str = ""  # why it ended early
    null_pool: bool = False  # whether every operation opened a connection
    traced: bool = False  # whether the messages of operations are to be shown


def result(counts: Counts) -> WireResult:
    """What the rows of a result file say, however far the counting came."""
    plan = counts.header.plan
    return WireResult(
        rows=counts.rows,
        tx_end=plan.shared.tx_end,
        pool_pre_ping=plan.shared.pre_ping,
        null_pool=plan.shared.null_pool,
        settings=plan.settings,
        identity=identity(counts.header),
        problems=[problem_line(problem) for problem in counts.problems],
        status=status(counts.end),
        reason=counts.end.reason if counts.end else "",
        traced=counts.header.traced,
    )
