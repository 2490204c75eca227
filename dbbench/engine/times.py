"""About how long the parts of a run take, in words: said before they begin."""

from collections.abc import Sequence

from dbbench.engine.planning import OPEN_S, WARM_UP_S_PER_CONNECTION, WORKER_START_S, check_limit_s
from dbbench.engine.setup import Cost
from dbbench.plan import Plan
from dbbench.wording import count


def announcement(plan: Plan) -> str:
    """What comes, about how long the set-up takes on an idle machine, and how long the measuring may."""
    connections = sum(plan.connections(cell) for cell in plan.cells)
    arm_s = WORKER_START_S + OPEN_S * len(plan.cells) + WARM_UP_S_PER_CONNECTION * connections
    limit_s, effort = check_limit_s(plan), plan.effort
    limit = "" if limit_s is None else f" (at most {limit_s:.0f} s for each driver in a cell)"
    then = count(effort.blocks or 0, "block") if effort.budget_s is None else f"{effort.budget_s:g} s of measuring"
    return f"set-up of {count(len(plan.cells), 'cell')}, about {len(plan.arms) * arm_s:.0f} s{limit}, then {then}"


def too_long(plan: Plan, costs: Sequence[Cost]) -> str:
    """What to say where one block takes longer than the budget, by what the set-up found; else empty."""
    block_s = len(plan.arms) * (
        WORKER_START_S
        + sum(
            OPEN_S + cost.warm_up_s + rounds * cost.slice_s
            for cost, rounds in zip(costs, plan.rounds, strict=True)
            if cost.slice_s
        )
    )
    if plan.effort.budget_s is None or plan.gate is not None or block_s <= plan.effort.budget_s:
        return ""
    return (
        f"one block takes about {block_s:.0f} s here, more than the budget of {plan.effort.budget_s:g} s: every cell "
        "is measured once, with fewer slices; fewer scenarios, layers, drivers or sessions, or a longer --budget, "
        "allow for more"
    )
