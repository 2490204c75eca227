"""Groups of options and words, as Typer sees them and as commands get them."""

import re
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import pytest
import typer
from typer.testing import CliRunner

from dbbench.cli.groups import Group, OneOf, expanded, words

Colour = Literal["red", "green"]


@dataclass(frozen=True)
class Paint:
    """What a group makes."""

    colour: Colour
    coats: int
    tint: Colour | None
    given: bool


def paint(
    context: typer.Context,
    colour: Annotated[Colour, typer.Option(help="Which colour.")] = "red",
    coats: Annotated[int, typer.Option(min=1, help="How many.")] = 2,
    tint: Annotated[Colour | None, typer.Option()] = None,
) -> Paint:
    source = context.get_parameter_source("colour")
    return Paint(colour, coats, tint, source is not None and source.name == "COMMANDLINE")


def shed(
    paint: Annotated[Paint, Group(paint)],
    size: Annotated[int, typer.Option()],
    format_: Annotated[str, OneOf(("text", "a-b")), typer.Option("--format")] = "text",
) -> object:
    return paint, size, format_


def door(
    context: typer.Context,
    paint: Annotated[
        Paint, Group(paint, without=("coats",), defaults={"colour": "green"}, help={"colour": "Of the door."})
    ],
) -> object:
    assert context.info_name
    return paint


def run(function: Any, *arguments: str) -> Any:
    """What the function returns, called by Typer."""
    program = typer.Typer()
    program.command()(expanded(function))
    return typer.main.get_command(program)(arguments, standalone_mode=False)


def refused(function: Any, *arguments: str) -> str:
    program = typer.Typer()
    program.command()(expanded(function))
    done = CliRunner().invoke(program, arguments)
    assert done.exit_code == 2
    return " ".join(done.output.replace("│", " ").split())


def test_a_group_is_built_of_its_options() -> None:
    assert run(shed, "--size", "3") == (Paint("red", 2, None, given=False), 3, "text")
    assert run(shed, "--size", "3", "--colour", "green", "--coats", "1", "--tint", "red") == (
        Paint("green", 1, "red", given=True),
        3,
        "text",
    )


def test_commands_get_plain_words() -> None:
    painted, _, format_ = run(shed, "--size", "3", "--tint", "green", "--format", "a-b")

    assert [type(word) for word in (painted.colour, painted.tint, format_)] == [str, str, str]
    assert format_ == "a-b"


def test_a_command_may_leave_an_option_of_a_group_out_and_have_other_defaults() -> None:
    assert run(door) == Paint("green", 2, None, given=False)
    assert re.search("No such option:? '?--coats", refused(door, "--coats", "1")), "in click's words, old or new"
    assert run(shed, "--size", "1")[0].colour == "red", "those of other commands stay"


def test_a_command_may_describe_an_option_of_a_group_in_its_own_words() -> None:
    def helps(function: Any) -> list[str]:
        program = typer.Typer()
        program.command()(expanded(function))
        command: Any = typer.main.get_command(program)
        return [each.help for each in command.params if each.name == "colour"]

    assert (helps(shed), helps(door)) == (["Which colour."], ["Of the door."])


def test_a_wrong_word_is_refused_with_the_option_and_its_words() -> None:
    message = refused(shed, "--size", "1", "--colour", "blue")

    for part in ("--colour", "'blue'", "'red'", "'green'"):
        assert part in message
    assert "'a-b'" in refused(shed, "--size", "1", "--format", "xml")


def test_words_are_those_that_an_option_takes() -> None:
    made = expanded(shed)

    assert words(made, "format_") == ("text", "a-b")
    assert words(made, "tint") == ("red", "green")
    assert words(made, "coats") == ()


def test_two_options_of_one_name_are_a_mistake_in_the_command() -> None:
    def twice(paint: Annotated[Paint, Group(paint)], coats: Annotated[int, typer.Option()] = 3) -> object:
        return paint, coats

    with pytest.raises(TypeError, match="twice: two parameters are called coats"):
        expanded(twice)
