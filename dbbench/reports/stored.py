"""What is printed and exported of a result file: which command's reports it has, and what they are made of."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from dbbench.analysis.analysis import analyse
from dbbench.commands.capacity.result import answer
from dbbench.commands.gate.findings import result as verdict
from dbbench.commands.gate.steps import wire_changes
from dbbench.commands.pool.result import pools
from dbbench.commands.selfcheck.result import self_check
from dbbench.commands.wire.result import result as counts
from dbbench.records import Counts, PoolSearch, Run, Search, SelfChecked, Stored
from dbbench.reports.run.footer import conditions


class Shown(NamedTuple):
    """What the reports of a command are functions of."""

    command: str  # of dbbench.reports.FORMATS
    found: Any
    warns: bool = True  # whether its table says what is wrong with the file
    on_console: Mapping[str, Any] = {}  # options of its table


def shown(stored: Stored) -> Shown:
    """The reports that the file has.

    Raises UsageError for an objective that is none, DbbenchError for counts of a gate that are not whole.
    """
    match stored:
        case Search():
            return Shown("capacity", answer(stored))
        case PoolSearch():
            return Shown("pool", pools(stored))
        case SelfChecked():
            return Shown("selfcheck", self_check(stored), warns=False)
        case Counts():
            return _counts(stored)
        case Run() if stored.header.plan.gate is not None:
            return Shown("gate", verdict(stored, conditions(stored)))
        case Run():
            return Shown("run", analyse(stored))


def _counts(stored: Counts) -> Shown:
    if stored.header.plan.gate is not None:
        return Shown("gate --wire", wire_changes(stored), warns=False)
    found = counts(stored)
    return Shown("wire", found, warns=False, on_console={"trace": found.traced})
