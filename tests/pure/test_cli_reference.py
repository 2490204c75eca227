"""docs/cli.md: what `make docs` would write now, with every command and option."""

import re
from typing import Any

import typer
from cli_reference import PAGE, reference

from dbbench.cli.app import app


def commands() -> dict[str, Any]:
    program: Any = typer.main.get_command(app)
    return dict(program.commands)


def sections() -> dict[str, str]:
    """What the page says of each command."""
    parts = re.split(r"^## dbbench (\w+)$", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def test_the_page_is_what_the_commands_say() -> None:
    assert PAGE.read_text(encoding="utf-8") == reference(), "make docs"


def test_every_command_and_option_is_on_the_page() -> None:
    documented = sections()

    assert list(documented) == [name for name, command in commands().items() if not command.hidden]
    for name, section in documented.items():
        for parameter in commands()[name].params:
            if parameter.param_type_name == "option" and not parameter.hidden:
                for spelling in (*parameter.opts, *parameter.secondary_opts):
                    assert re.search(rf"^\| .*`{spelling}[ `]", section, re.MULTILINE), (name, spelling)


def test_every_command_and_parameter_has_help_and_an_example() -> None:
    for name, section in sections().items():
        rows = re.findall(r"^\| `(.+?)` .*\| (.*) \|$", section, re.MULTILINE)

        assert commands()[name].help
        assert f"\ndbbench {name}" in section.partition("**Examples**")[2]
        assert [row for row, help_ in rows if not help_] == []
        assert len(rows) == len([each for each in commands()[name].params if not each.hidden])


def test_its_tables_have_as_many_cells_in_every_row() -> None:
    for table in re.findall(r"(?:^\|.*\n)+", PAGE.read_text(encoding="utf-8"), re.MULTILINE):
        bars = {len(re.findall(r"(?<!\\)\|", row)) for row in table.splitlines()}

        assert len(bars) == 1, table
