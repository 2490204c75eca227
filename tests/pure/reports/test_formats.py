"""The table of formats: every row leads to a function, and asking for what there is costs nothing."""

import io
import os
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest
from builders import many_sided_run
from rich.console import Console

from dbbench.analysis.analysis import analyse
from dbbench.errors import UsageError
from dbbench.reports import FORMATS, exporter, formats, renderer, report

COMMANDS = list(dict.fromkeys(command for command, _ in FORMATS if command != "export"))


@pytest.mark.parametrize("row", FORMATS, ids=" ".join)
def test_every_row_leads_to_a_function(row: tuple[str, str]) -> None:
    module, name = FORMATS[row].split(":")

    assert callable(getattr(import_module(f"dbbench.reports.{module}"), name))


def test_export_has_the_formats_of_runs_and_of_gates() -> None:
    assert formats("export") == (
        "csv", "json", "markdown", "pyperf", "hgrm", "junit", "bmf", "customSmallerIsBetter",
    )  # fmt: skip
    assert formats("show") == formats("run") == ("table", "csv", "json", "markdown")


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_a_table_by_default_and_json(command: str) -> None:
    assert formats(command)[0] == "table"
    assert "json" in formats(command)


@pytest.mark.parametrize("command", COMMANDS)
def test_a_format_that_a_command_does_not_have_is_a_usage_error(command: str) -> None:
    for function in (report, renderer):
        with pytest.raises(UsageError, match=f"--format html: {command} has table, "):
            function(command, "html")


@pytest.mark.parametrize("format_", ["junit", "annotations"])
def test_an_export_of_a_run_in_a_format_of_gates_is_a_usage_error(format_: str) -> None:
    with pytest.raises(UsageError, match=f"--format {format_} is for the results of dbbench gate"):
        exporter(format_)


def test_a_table_as_text_is_what_a_console_of_80_columns_prints() -> None:
    analysis, printed = analyse(many_sided_run()), io.StringIO()
    render = renderer("run")
    assert render is not None
    render(analysis, Console(file=printed, width=80))
    lines = [line.rstrip() for line in printed.getvalue().splitlines()]

    assert report("run", "table")(analysis).splitlines() == lines


def test_what_has_no_colours_has_no_renderer() -> None:
    assert renderer("gate --wire", "table") is None
    assert renderer("run", "csv") is None


def test_an_export_of_one_file_goes_to_the_output(tmp_path: Path) -> None:
    analysis = analyse(many_sided_run())

    assert list(exporter("json")(analysis, tmp_path)) == [(tmp_path, report("run", "json")(analysis))]


def test_asking_for_the_formats_imports_no_report() -> None:
    code = (
        "import sys; from dbbench.reports import FORMATS, formats\n"
        "for command, _ in FORMATS: formats(command)\n"
        "print(sorted(name for name in sys.modules if name.startswith('dbbench') or name in ('rich', 'msgspec')))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=True,
    )

    assert done.stdout == "['dbbench', 'dbbench.errors', 'dbbench.reports', 'dbbench.texts', 'dbbench.wording']\n"
