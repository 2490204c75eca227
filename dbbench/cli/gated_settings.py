"""Settings of base and head, where a gate judges those: --base and --head with NAME=VALUE, or names of arms."""

import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from dbbench.cli.options import SIDES
from dbbench.errors import UsageError

if TYPE_CHECKING:
    from dbbench.commands.gate.sides import Wanted
    from dbbench.commands.gate.steps import Request


class ArmsOfSides(NamedTuple):
    """Names of arms in pyproject.toml."""

    base: str | None
    head: str | None

    def applied(self, request: "Request") -> "Request":
        """What a gate was asked to do, in one environment with two settings where those are to be judged.

        Raises UsageError where only one side has settings, where they concern no driver, and where the arms are of two
        drivers.
        """
        from dbbench.engine.arms import is_setting

        if self.base or self.head:
            return self._named(request)
        written = [*request.wanted.base, *request.wanted.head]
        if not any(map(is_setting, written)):
            return request
        if not (all(map(is_setting, written)) and request.wanted.base and request.wanted.head):
            raise UsageError("settings are judged against settings", "--base pool-pre-ping=off --head pool-pre-ping=on")
        return _written(request)

    def _named(self, request: "Request") -> "Request":
        """The settings are those of arms."""
        from dbbench.cli import pyproject
        from dbbench.engine.arms import named

        options, wanted = request.options, request.wanted
        if not self.base or not self.head:
            raise UsageError("--base-arm and --head-arm go together", "name both")
        if wanted.base or wanted.head or options.drivers:
            raise UsageError("--base-arm and --head-arm exclude --base, --head and --driver: an arm has all that")
        tables = pyproject.arms(Path.cwd())
        (base,) = named(tables, [self.base], options.connections, "--base-arm").arms
        (head,) = named(tables, [self.head], options.connections, "--head-arm").arms
        if base.driver != head.driver:
            raise UsageError(
                f"a gate judges one driver: {base.name} is {base.driver}, {head.name} is {head.driver}",
                f"dbbench run --arm {base.name} --arm {head.name} compares them",
            )
        return replace(
            request,
            wanted=_here(wanted, base.name, head.name),
            options=replace(options, drivers=[base.driver]),
            connections={"base": base.connections, "head": head.connections},
        )


def arms_of_sides(
    base_arm: Annotated[
        str | None,
        typer.Option(
            rich_help_panel=SIDES,
            metavar="NAME",
            help="Settings of base: those that \\[tool.dbbench.arms.NAME] has in pyproject.toml.",
            show_default=False,
        ),
    ] = None,
    head_arm: Annotated[
        str | None,
        typer.Option(rich_help_panel=SIDES, metavar="NAME", help="Settings of head, likewise.", show_default=False),
    ] = None,
) -> ArmsOfSides:
    """Make the options of arms."""
    return ArmsOfSides(base_arm, head_arm)


def _written(request: "Request") -> "Request":
    """The settings are those that --base and --head have."""
    from dbbench.drivers import DEFAULT
    from dbbench.engine.arms import Variation, concerned, with_settings

    options, wanted = request.options, request.wanted
    written = [*wanted.base, *wanted.head]
    variations = [Variation(name, (value,)) for name, _, value in (text.partition("=") for text in written)]
    drivers = concerned(options.drivers or DEFAULT, variations)
    if not drivers:
        usual = ", ".join(options.drivers or DEFAULT)
        raise UsageError(f"{', '.join(written)}: no setting of {usual}", "--driver names another")
    return replace(
        request,
        wanted=_here(wanted, ", ".join(wanted.base), ", ".join(wanted.head)),
        options=replace(options, drivers=drivers, variations=variations),
        connections={
            "base": with_settings(options.connections, wanted.base, "--base"),
            "head": with_settings(options.connections, wanted.head, "--head"),
        },
    )


def _here(wanted: "Wanted", *labels: str) -> "Wanted":
    """This environment, for both sides; UsageError where another is asked for, too."""
    if wanted.project or wanted.base_python or wanted.head_python or wanted.from_source:
        raise UsageError("settings are judged alone: without --project, --from-source and other interpreters")
    python = Path(sys.executable)
    return replace(wanted, base=[], head=[], base_python=python, head_python=python, labels=labels)
