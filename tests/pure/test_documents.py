"""What the documents say is so: their commands, columns and links."""

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import typer
from conftest import REPOSITORY
from documents import DOCUMENTS, documented_commands
from typer.testing import CliRunner

from dbbench.analysis.rows import COLUMNS
from dbbench.cli.app import app
from dbbench.commands.selfcheck import steps
from dbbench.commands.selfcheck.result import SelfCheck


@pytest.mark.parametrize("command", documented_commands())
def test_documented_commands_are_understood(command: str) -> None:
    """tests/process/test_docs.py runs those that no other test does."""
    program: Any = typer.main.get_command(app)
    name, *arguments = shlex.split(re.split(" >>? ", command)[0])[1:]

    assert program.commands[name].make_context(name, arguments).params


@pytest.mark.parametrize("command", [each for each in documented_commands() if "selfcheck" in each])
def test_documented_self_checks_get_their_time(command: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """What they measure is the business of test_selfcheck.py: it takes minutes."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    seconds: list[float] = []

    def run(_watch: object, stage_s: float, **_: object) -> SelfCheck:
        seconds.append(stage_s)
        return SelfCheck([], [], [], None, [])

    monkeypatch.setattr(steps, "run", run)
    done = CliRunner().invoke(app, shlex.split(command)[1:])

    assert done.exit_code == 0, done.stderr
    assert seconds == [float((re.findall(r"--seconds (\d+)", command) or ["30"])[0])]


def test_every_csv_column_is_documented() -> None:
    text = (REPOSITORY / "docs" / "results.md").read_text()
    columns = [column for column in COLUMNS if f"`{column}`" not in text]
    assert columns == ["p50_us", "p90_us", "p95_us", "p99_us", "p999_us"]  # written as `mean_us` ... `max_us`


def test_documents_link_to_what_is_there() -> None:
    for document in (*DOCUMENTS, REPOSITORY / "CONTRIBUTING.md"):
        for target, anchor in re.findall(r"\]\(([^)#:]*)#?([^):]*)\)", document.read_text()):
            path = document.parent / target if target else document
            assert path.exists(), (document.name, target)
            assert not anchor or anchor in anchors(path), (document.name, target, anchor)


def anchors(document: Path) -> list[str]:
    """What a link to one of its headings ends with, as GitHub makes it."""
    headings = re.findall(r"^#+ (.+)$", document.read_text(), re.MULTILINE)
    return [re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings]
