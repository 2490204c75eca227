"""What the help of commands says, as people see it."""

import re

import pytest
from conftest import Cli

from dbbench.cli.app import COMMANDS


@pytest.mark.parametrize("command", [each.name for each in COMMANDS])
def test_no_name_in_brackets_is_taken_for_markup(dbbench: Cli, command: str) -> None:
    """Rich would print `the settings that has in pyproject.toml`."""
    done = dbbench(command, "--help", COLUMNS="200")
    assert done.returncode == 0
    assert not re.search(r"\bthat\s+has\b|\bof\s+has\b|\\\[", done.stdout)
    if "--arm " in done.stdout:
        assert "[tool.dbbench.arms.NAME]" in done.stdout
