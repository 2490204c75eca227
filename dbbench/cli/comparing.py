"""What is compared: options of the commands that measure several settings of a driver. Others are in options.py."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, NamedTuple

import typer

from dbbench import choices
from dbbench.cli import completion
from dbbench.cli.options import OF_POOLS, SETTINGS
from dbbench.errors import UsageError

if TYPE_CHECKING:
    from dbbench.engine.arms import Variation
    from dbbench.engine.options import Options

_OPTIONS: Final = {  # what varies -> parameters that say the same for all arms
    "pool": (*OF_POOLS[:2], "null_pool"),
    "pool-pre-ping": ("pool_pre_ping",),
    "tx-end": ("tx_end",),
    "checkout": ("checkout",),
    "loop": ("loop",),
}

Vary = Annotated[
    list[str] | None,
    typer.Option(
        rich_help_panel=SETTINGS,
        metavar="NAME=VALUE,...",
        autocompletion=completion.variations,
        help="Measure each driver with each of these values, repeatable: pool-pre-ping=off,on, "
        "pool=5+10,15+0,null, tx-end=rollback,commit,autocommit, loop=asyncio,uvloop, checkout=request,session, "
        "isolation=read-committed,serializable, json=stdlib,orjson, a driver's own setting like "
        "psycopg.prepare_threshold=5,0,none, a scenario's parameter like set.get_db=minimal,commit.",
        show_default=False,
    ),
]
Processes = Annotated[
    str | None,
    typer.Option(
        rich_help_panel=SETTINGS,
        metavar="N,...",
        help="Clients as they are deployed: N processes for each driver, each with a pool of its own, over which the "
        "sessions are spread: by default as many as the pools have connections. Several numbers are compared. "
        "Default: 1.",
        show_default=False,
    ),
]
NamedArm = Annotated[
    list[str] | None,
    typer.Option(
        rich_help_panel=SETTINGS,
        metavar="NAME",
        help="Measure a driver with the settings that \\[tool.dbbench.arms.NAME] has in pyproject.toml, repeatable; "
        "the first is the baseline.",
        show_default=False,
    ),
]
Between = Annotated[
    choices.Between | None,
    typer.Option(
        rich_help_panel=SETTINGS,
        help="Compare scenarios with each other, under each driver: two ways to do one thing.",
        show_default=False,
    ),
]
Compare = Annotated[
    choices.Compare | None,
    typer.Option(
        rich_help_panel=SETTINGS,
        help="With --vary: compare the settings of each driver among themselves, or all with one baseline. "
        "Default: settings.",
        show_default=False,
    ),
]


class Comparing(NamedTuple):
    """What is compared, besides drivers."""

    variations: "list[Variation]"
    names: list[str]  # of arms in pyproject.toml
    compare: choices.Compare | None
    between: choices.Between | None

    @property
    def asked(self) -> bool:
        """Whether settings are compared, and not only drivers with other settings than usual."""
        return bool(self.names or self.between) or any(len(each.values) > 1 for each in self.variations)

    def applied(self, options: "Options", baseline: str = "") -> "Options":
        """The options with the arms that were asked for; `baseline`: empty for the first.

        Raises UsageError where there are no such arms.
        """
        from dbbench.cli import pyproject
        from dbbench.engine import arms

        if self.names:
            made = arms.named(pyproject.arms(Path.cwd()), self.names, options.connections)
            return replace(options, drivers=made.drivers, baseline=made.baseline, arms=made.arms)
        variations = self.variations
        if self.between is not None:
            if len(options.scenarios) == 1:
                raise UsageError("--between scenarios compares two scenarios or more", "name their files")
            variations = [arms.Variation(arms.SCENARIO, tuple(map(str, options.scenarios))), *variations]
        if not variations:
            return options
        made = arms.varied(options.drivers, options.connections, variations, baseline=baseline, compare=self.compare)
        return replace(options, baseline=made.baseline, arms=made.arms, variations=variations)


def comparing(
    context: typer.Context,
    vary: Vary = None,
    processes: Processes = None,
    arm: NamedArm = None,
    between: Between = None,
    compare: Compare = None,
) -> Comparing:
    """Make the options of what is compared."""
    from dbbench.cli import values
    from dbbench.cli.command import given
    from dbbench.engine.arms import variation

    variations = [variation(each) for each in vary or []]
    if processes is not None:
        if any(each.name == "processes" for each in variations):
            raise UsageError("--vary processes and --processes exclude each other", "leave one out")
        values.numbers("--processes", processes)
        variations.append(variation(f"processes={processes}"))
    for each in variations:
        if twice := given(context, *_OPTIONS.get(each.name, ())):
            option = min(twice).replace("_", "-")
            raise UsageError(f"--vary {each.name} and --{option} exclude each other", "leave one out")
    if arm and between:
        raise UsageError("--arm and --between exclude each other", "leave one out")
    if arm and variations:
        raise UsageError("--arm and --vary exclude each other: an arm has its settings", "leave one out")
    if arm and given(context, "driver", "preset"):
        raise UsageError("--arm and --driver exclude each other: an arm has its driver", "leave one out")
    if compare is not None and not (variations or between):
        raise UsageError("--compare goes with --vary: without it there is nothing but drivers to compare")
    names = [name for each in arm or [] for name in each.split(",") if name]
    return Comparing(variations, list(dict.fromkeys(names)), compare, between)
