"""Writes cli.md, the reference of the command line, from the commands themselves: `make docs`.

Names, help, defaults and panels are those of Typer's commands; types and limits those of their functions' parameters,
since Typer keeps them in other places from version to version.
"""

import re
from collections.abc import Iterator, Sequence
from enum import Enum
from inspect import signature
from pathlib import Path
from typing import Annotated, Any, Final, get_args, get_origin

import typer

from dbbench.cli.app import app

PAGE: Final = Path(__file__).with_name("cli.md")
INTRODUCTION: Final = """# Command line

`make docs` writes this page from the commands themselves. Every command also has `--help` (`-h`).
"""
_PLACEHOLDERS: Final = {int: "N", float: "X", Path: "PATH"}
_DEFAULT: Final = re.compile(r" ?\bDefault: (.+?)\.(?= |$)")


def reference() -> str:
    """The whole page: the program, then a section for each of its commands."""
    program: Any = typer.main.get_command(app)
    commands = {name: command for name, command in program.commands.items() if not command.hidden}
    overview = [
        INTRODUCTION,
        program.help,
        *_usage("dbbench", program, "COMMAND [ARGS]..."),
        _table("command", [(f"[{name}](#dbbench-{name})", _first(each.help)) for name, each in commands.items()]),
        *_options(program),
        program.epilog,
    ]
    sections = [part for name, command in commands.items() for part in section(name, command)]
    return "\n\n".join(part.strip("\n") for part in (*overview, *sections)) + "\n"


def section(name: str, command: Any) -> Iterator[str]:
    """What there is to know of a command: usage, help, arguments, options by panel, examples."""
    title = f"dbbench {name}"
    yield f"## {title}"
    yield from _usage(title, command, *(_placed(each) for each in _shown(command, "argument")))
    yield _prose(command.help)
    if arguments := [(f"`{_name(each)}`", *_default_and_help(each, command)) for each in _shown(command, "argument")]:
        yield _table("argument", arguments)
    yield from _options(command)
    if command.epilog:
        heading, *examples = command.epilog.split("\n\n")
        yield f"**{heading.removesuffix(':')}**"
        yield "```sh\n" + "\n".join(re.sub(r" +\((.*)\)$", r"  # \1", each) for each in examples) + "\n```"


def _usage(title: str, command: Any, *placed: str) -> Iterator[str]:
    options = ["[OPTIONS]"] if _shown(command, "option") else []
    yield "```text\n" + " ".join((title, *options, *placed)) + "\n```"


def _placed(argument: Any) -> str:
    """An argument of the usage line: in brackets where it may be left out, with dots where it may be repeated."""
    text = _name(argument) if argument.required else f"[{_name(argument)}]"
    return text if argument.nargs == 1 else f"{text}..."


def _name(argument: Any) -> str:
    return str(argument.metavar or argument.name).strip("[]")


def _options(command: Any) -> Iterator[str]:
    panels: dict[str, list[tuple[str, ...]]] = {}
    for each in _shown(command, "option"):
        row = (_spelling(each, command), *_default_and_help(each, command))
        panels.setdefault(each.rich_help_panel or "Options", []).append(row)
    for title, rows in panels.items():
        yield f"**{title}**"
        yield _table("option", rows)


def _shown(command: Any, kind: str) -> list[Any]:
    return [each for each in command.params if each.param_type_name == kind and not each.hidden]


def _spelling(option: Any, command: Any) -> str:
    """All names of an option, each with what it takes."""
    kind, _ = _declared(option, command)
    if issubclass(kind, bool):
        takes = ""
    elif option.metavar:
        takes = f" {option.metavar}"
    elif issubclass(kind, Enum):
        takes = " " + "|".join(str(one.value) for one in kind)
    else:
        takes = f" {_PLACEHOLDERS.get(kind, 'TEXT')}"
    names = sorted((*option.opts, *option.secondary_opts), key=lambda name: not name.startswith("--"))
    return ", ".join(f"`{name}{takes}`" for name in names)


def _default_and_help(parameter: Any, command: Any) -> tuple[str, str]:
    """The two other columns. A default that Typer does not know is the sentence "Default: ..." of the help."""
    kind, declared = _declared(parameter, command)
    text = (
        parameter.help or getattr(declared, "help", None) or ""
    )  # newer Clicks lose the help of old Typers' arguments
    default = parameter.default
    if parameter.required:
        default = "required"
    elif (said := _DEFAULT.search(text)) and not (parameter.show_default and default is not None):
        default = said[1]
        text = text[: said.start()] + text[said.end() :]
    elif not parameter.show_default or issubclass(kind, bool):
        default = None
    low, high = getattr(declared, "min", None), getattr(declared, "max", None)
    if low is not None:
        text += f" At least {low:g}." if high is None else f" From {_figure(low)} to {_figure(high)}."
    return _prose(_value(default)), _prose(text.strip())


def _figure(number: float) -> str:
    """An end of a range, with a comma at every thousand."""
    return f"{number:,}" if isinstance(number, int) else f"{number:,g}"


def _declared(parameter: Any, command: Any) -> tuple[type, Any]:
    """A parameter's type (an item's where it takes several; bool if unknown), and what the source says of it."""
    found = signature(command.callback, eval_str=True).parameters.get(parameter.name)
    kind, declared = (bool, None) if found is None else (found.annotation, None)
    if get_origin(kind) is Annotated:
        kind, declared = get_args(kind)[:2]
    while get_args(kind):  # list[str] | None -> str
        kind = get_args(kind)[0]
    return kind, declared


def _value(default: Any) -> str:
    """A default as one would type it."""
    if default is None:
        return ""
    if isinstance(default, Enum):
        default = default.value
    return f"{default:.10g}" if isinstance(default, float) else str(default)


def _first(text: str) -> str:
    return _prose(text.partition("\n\n")[0])


def _prose(text: str) -> str:
    """Help as Markdown: options are code, and nothing else is markup."""
    text = re.sub(r"(?<!`)([<*])", r"\\\1", text)
    return re.sub(r"(?<![\w`-])--[a-z][\w-]*", r"`\g<0>`", text)


def _table(first: str, rows: Sequence[tuple[str, ...]]) -> str:
    columns = (first, "default", "help") if len(rows[0]) == 3 else (first, "help")  # noqa: PLR2004
    lines = [columns, ("---",) * len(columns), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


if __name__ == "__main__":
    PAGE.write_text(reference(), encoding="utf-8")
