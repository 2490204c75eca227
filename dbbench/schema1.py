"""Converts lines of result files of schema 1, in which slices and plans were flat."""

import contextlib
from collections.abc import Collection
from typing import Any


def upgraded(raw: Any) -> Any:
    """A line of schema 1, as decoded from JSON, in the form of schema 2; the decoder reports wrong types."""
    with contextlib.suppress(AttributeError, KeyError, TypeError, ValueError):
        if raw["type"] == "measurement":
            raw["slices"] = [_nested(each, "usage", ("position", "round")) for each in raw["slices"]]
        elif raw["type"] == "run":
            raw["plan"] = _plan(raw["plan"])
    return raw


def _nested(flat: dict[str, Any], name: str, kept: Collection[str]) -> dict[str, Any]:
    """The mapping with all keys but those kept moved into a mapping called `name`."""
    return {
        **{key: value for key, value in flat.items() if key in kept},
        name: {key: value for key, value in flat.items() if key not in kept},
    }


def _plan(plan: dict[str, Any]) -> dict[str, Any]:
    """The plan in a file of schema 1, where connections belonged to the run and not to its arms, in today's form."""
    settings = plan.get("settings", {})
    shared: dict[str, Any] = {
        key: plan[key] for key in ("pool", "checkout", "tx_end", "loop", "pre_ping") if key in plan
    }
    arms = []
    for arm in plan["arms"]:
        own = dict(settings.get(arm["driver"], {})) | arm.get("settings", {})
        of_driver: dict[str, Any] = {arm["driver"]: own} if own else {}
        of_arm = of_driver if arm["driver"] else settings
        connections: dict[str, Any] = {**shared, "null_pool": arm.get("null_pool", False), "settings": of_arm}
        arms.append({**_without(arm, ("settings", "null_pool")), "connections": connections})
    load = {key: plan[key] for key in ("rate", "arrival", "think_s") if key in plan}
    effort = {key: plan[key] for key in ("budget_s", "blocks", "precision") if key in plan}
    return {
        **_without(plan, (*shared, *load, *effort, "settings", "arms")),
        "arms": arms,
        "load": load,
        "effort": effort,
    }


def _without(flat: dict[str, Any], keys: Collection[str]) -> dict[str, Any]:
    return {key: value for key, value in flat.items() if key not in keys}
