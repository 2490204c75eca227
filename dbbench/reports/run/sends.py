"""What an operation of the raw layer sends, beside what the driver's own users send: from the adapters' facts."""

from collections.abc import Mapping
from typing import Final

from dbbench.drivers.settings import OFF, RESET
from dbbench.plan import Arm, TxEnd
from dbbench.records import Run
from dbbench.wording import listed

_ENDS: Final[Mapping[str, str]] = {"rollback": "ROLLBACK", "commit": "COMMIT"}


def sends(run: Run, *, details: bool = False) -> list[str]:
    """A line for each driver of the raw layer; `details`: also what dbbench adds to the driver's own behaviour."""
    plan = run.header.plan
    if not any(cell.layer == "raw" for cell in plan.cells):
        return []
    said: dict[str, list[str]] = {}  # text -> arms
    added: list[str] = []
    older: list[str] = []
    for arm in plan.arms:
        facts = run.header.drivers.get(arm.name, {})
        if "idiom" in facts:
            said.setdefault(_sent(arm, facts) + _idiom(arm.connections.tx_end, facts), []).append(arm.name)
            added.append(f"raw {arm.name} and what dbbench adds: {facts.get('adds', '')}")
        elif "round trip" in (release := facts.get("on release", "")) and arm.connections.checkout == "request":
            older.append(f"raw: the pool of {arm.name} {release}; --checkout session leaves it out")
    lines = [f"raw {listed(arms)}: {text}" for text, arms in said.items()]
    if any(arm.connections.tx_end != "autocommit" for arm in plan.arms) and lines:
        lines.append("raw: an operation that begins with db.transaction() sends its BEGIN and COMMIT instead")
    return [*lines, *older, *(added if details else [])]


def _sent(arm: Arm, facts: Mapping[str, str]) -> str:
    """The parts of an operation, in order."""
    connections = arm.connections
    end = _ENDS.get(connections.tx_end)
    parts = ["your statements"] if end is None else ["BEGIN", "your statements", end]
    if connections.tx_end == "rollback" and facts.get("rollback"):
        parts[-1] += f" {facts['rollback']}"
    resets = connections.settings.get(arm.driver, {}).get(RESET) != OFF
    if connections.checkout == "request" and facts.get("reset") and resets:
        parts.append(f"{facts['reset']} (--checkout session leaves it out)")
    return ", ".join(parts)


def _idiom(tx_end: TxEnd, facts: Mapping[str, str]) -> str:
    """How the driver's own users end an operation, where that is something else."""
    idiom = facts["idiom"]
    if idiom == tx_end:
        return ""
    ours, theirs = _ENDS.get(tx_end), _ENDS.get(idiom)
    if theirs is None:
        what = f"has no BEGIN and no {ours}"
    elif ours is None:
        what = f"has BEGIN and {theirs}"
    else:
        what = f"ends with {theirs}"
    return f"; its own idiom {what}: --tx-end {idiom}"
