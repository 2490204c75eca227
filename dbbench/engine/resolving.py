"""From what arms were asked to run to what they run: values of parameters, and scenarios that are compared as one."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec

from dbbench.engine.options import Options
from dbbench.errors import UsageError, nearest
from dbbench.plan import Arm
from dbbench.scenario import Description
from dbbench.wording import listed

Described = Mapping[Path, Description]
ParamsOf = Callable[[Path, Mapping[str, str]], Mapping[str, Any]]
"""The parameters of a scenario, of which some have other values: by name, as they were written."""


def resolved(options: Options, described: Described, params_of: ParamsOf) -> tuple[Options, Described]:
    """The options with values where arms have parameters as they were written, and the scenarios of the cells.

    Where arms have scenarios of their own, that is one, with what they have in common. Raises UsageError where a
    scenario has no such parameter, or it cannot have the value, and where the scenarios have no layer in common.
    """
    arms = [_with_values(arm, described, params_of) for arm in options.arms]
    compared = [described[Path(path)] for path in dict.fromkeys(arm.path for arm in arms if arm.path)]
    if not compared:
        return replace(options, arms=arms), described
    one = _in_common(compared)
    arms = [_with_own(arm, described[Path(arm.path)], one) for arm in arms]
    return replace(options, arms=arms), {Path(arms[0].path): one}


def _with_values(arm: Arm, described: Described, params_of: ParamsOf) -> Arm:
    values: dict[str, Any] = {}
    own = {path: scenario for path, scenario in described.items() if arm.path in ("", str(path))}
    for path, scenario in own.items() if arm.params else ():
        for name in arm.params:
            if name not in scenario.params:
                raise UsageError(f"--vary set.{name}: no parameter of {scenario.name}", nearest(name, scenario.params))
        try:
            params = params_of(path, arm.params)
        except UsageError as error:
            raise UsageError(error.message.replace("--set ", "--vary set."), error.remedy) from None
        found = {name: params[name] for name in arm.params}
        if values and found != values:
            raise UsageError(f"{arm.name}: its values are not the same in all scenarios", "name one scenario")
        values = found
    return msgspec.structs.replace(arm, params=values)


def _in_common(scenarios: Sequence[Description]) -> Description:
    """What cells say of scenarios that are compared."""
    first = scenarios[0]
    layers = [layer for layer in first.layers if all(layer in one.layers for one in scenarios)]
    if not layers:
        names = listed([one.name for one in scenarios])
        raise UsageError(f"{names} have no layer in common", "what is compared runs at the same layer")
    sessions = [number for number in first.sessions if all(number in one.sessions for one in scenarios)]
    same = first.params.items()
    return Description(
        name=",".join(one.name for one in scenarios),
        summary="",
        params={name: value for name, value in same if all(one.params.get(name) == value for one in scenarios)},
        layers=layers,
        sessions=sessions or first.sessions[:1],
        rows=first.rows if all(one.rows == first.rows for one in scenarios) else None,
        has_reset=any(one.has_reset for one in scenarios),
    )


def _with_own(arm: Arm, scenario: Description, one: Description) -> Arm:
    """The arm with the parameters that only its own scenario has."""
    own = {name: value for name, value in scenario.params.items() if name not in one.params}
    return msgspec.structs.replace(arm, params={**own, **arm.params})
