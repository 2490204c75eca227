"""The fingerprint of a run: the conditions that must be equal in runs that are compared. Pure.

Versions of drivers and SQLAlchemy are not part of it, since comparing them is the purpose. `changed` lists them.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final

import msgspec

from dbbench.plan import Connections, Plan
from dbbench.records import Run, clean

NOT_RECORDED: Final = "not recorded"
_MAX_TEXT: Final = 200  # characters of a value, since a file may contain anything
_MAX_KEY: Final = 40
_SAID_BY_VERSION: Final = ("server_version", "server_version_num")


class Difference(msgspec.Struct, frozen=True):
    """A condition that differs between two runs."""

    key: str
    base: str  # or NOT_RECORDED
    head: str


def fingerprint(run: Run) -> dict[str, str]:
    """Machine, Python, server and settings, each as key and text; what a run does not record is left out.

    Without the clock rate, which changes by itself and would split one machine into many.
    """
    header = run.header
    locks = {"GIL": _every(filter(None, (facts.get("GIL", "") for facts in header.drivers.values())))}
    return _texts({**_machine(header.environment), **locks, **_server(header.server), **_plan(header.plan)})


def mismatches(base: Run, head: Run) -> list[Difference]:
    """The differences that keep two runs from being compared, in the order of their fingerprints.

    What only one of them records counts too, since its value in the other is unknown.
    """
    return differences(fingerprint(base), fingerprint(head))


def changed(base: Run, head: Run) -> list[Difference]:
    """The other differences: versions, facts about drivers, and what hardly matters, like the kernel."""
    return differences(_texts(_rest(base, head)), _texts(_rest(head, base)))


def differences(base: Mapping[str, str], head: Mapping[str, str]) -> list[Difference]:
    """The keys whose texts differ, in the order of the base, then of the head."""
    pairs = ((key, base.get(key, NOT_RECORDED), head.get(key, NOT_RECORDED)) for key in {**base, **head})
    return [Difference(*pair) for pair in pairs if pair[1] != pair[2]]


def _machine(environment: Mapping[str, Any]) -> dict[str, Any]:
    machine = _mapping(environment.get("machine"))
    python = (machine.get("python_implementation"), machine.get("python_version"))
    return {
        "system": str(machine.get("platform", "")).partition("-")[0],  # the rest is the kernel's release
        "cpu model": machine.get("cpu_model_name"),
        "cpus": machine.get("cpu_count"),
        "usable cpus": environment.get("usable_cpus"),
        "Python": " ".join(str(part) for part in python if part),
    }


def _server(server: Mapping[str, Any]) -> dict[str, Any]:
    settings = _mapping(server.get("settings"))
    return {
        "server": str(server.get("version", "")).partition(" on ")[0],  # the rest names the compiler
        "embedded": server.get("embedded", False),
        "transport": server.get("transport"),
        "TLS": server.get("tls"),
        "pooler": server.get("pooler"),
        **{f"server {name}": value for name, value in settings.items() if name not in _SAID_BY_VERSION},
    }


def _plan(plan: Plan) -> dict[str, Any]:
    placement = plan.placement
    due = f"{plan.load.rate or 0:g} operations per second due ({plan.load.arrival}), slices of {plan.slice_s or 0:g} s"
    return {
        "placement": placement.mode,
        "client cpus": placement.client_cpus and len(placement.client_cpus),  # which ones is chance
        "server cpus": placement.server_cpus and len(placement.server_cpus),
        "idle CPUs": "awake" if placement.awake_cpus else "asleep",
        **_connections(plan),
        "load": "closed loop" if plan.load.rate is None else due,
        "think time": f"{plan.load.think_s:g} s",
    }


def _connections(plan: Plan) -> dict[str, Any]:
    """The settings of connections: pool, transactions, and of drivers."""
    of_arms = [arm.connections for arm in plan.arms]
    settings = {
        f"{arm.name if arm.driver == driver else driver}.{name}={'none' if value is None else value}"
        for arm in plan.arms
        for driver, values in arm.connections.settings.items()
        for name, value in values.items()
    }
    return {
        "pool": _every([_pool(each) for each in of_arms if not each.null_pool] or ["NullPool"]),
        "processes": _every(str(each.processes) for each in of_arms if each.processes > 1),
        "checkout": _every(each.checkout for each in of_arms),
        "tx-end": _every(each.tx_end for each in of_arms),
        "isolation": _every(each.isolation or "" for each in of_arms),
        "loop": _every(each.loop for each in of_arms),
        "json": _every("" if each.json == "stdlib" else each.json for each in of_arms),
        "pool-pre-ping": _every("on" if each.pre_ping else "off" for each in of_arms),
        "driver settings": ", ".join(sorted(settings)) or "default",
    }


def _every(texts: Iterable[str]) -> str:
    """The values that arms have, each once."""
    return " | ".join(dict.fromkeys(texts))


def _pool(connections: Connections) -> str:
    pool = connections.pool
    return f"{pool.size}+{pool.max_overflow}, timeout {pool.timeout:g} s"


def _rest(run: Run, other: Run) -> dict[str, Any]:
    """What is not part of the fingerprint; only for drivers and scenarios that the other run has too."""
    header = run.header
    machine = _mapping(header.environment.get("machine"))
    scenarios = {cell.scenario for cell in other.header.plan.cells}
    drivers = {arm: facts for arm, facts in header.drivers.items() if arm in other.header.drivers}
    notes = {"platform": "platform", "cpu_config": "cpu config", "aslr": "aslr", "python_compiler": "Python's compiler"}
    return {
        "dbbench": header.dbbench,
        **_mapping(header.environment.get("packages")),
        **{f"{arm} {fact}": value for arm, facts in drivers.items() for fact, value in facts.items()},
        **{f"file of {cell.scenario}": cell.path for cell in header.plan.cells if cell.scenario in scenarios},
        "server build": header.server.get("version"),
        **{label: machine.get(name) for name, label in notes.items()},
    }


def _texts(facts: Mapping[str, Any]) -> dict[str, str]:
    """Every value as one line that is safe to show, without empty ones."""
    return {
        clean(str(key))[:_MAX_KEY]: clean(str(value))[:_MAX_TEXT]
        for key, value in facts.items()
        if value not in (None, "")
    }


def _mapping(value: Any) -> Mapping[str, Any]:
    """The value if it is a mapping, which a file does not guarantee; else an empty one."""
    return value if isinstance(value, Mapping) else {}
