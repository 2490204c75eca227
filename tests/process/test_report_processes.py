"""What a report loads, and pyperf itself reading what is exported: in processes of their own."""

import os
import re
import subprocess
import sys
from pathlib import Path

import builders
import pytest
from conftest import REPOSITORY

from dbbench.reports.run.pyperf import suite, text


def python(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run Python where the tests' own modules can be imported."""
    paths = os.pathsep.join(map(str, (REPOSITORY, REPOSITORY / "tests")))
    return subprocess.run(
        [sys.executable, *arguments],
        env={**os.environ, "PYTHONPATH": paths, "PYTHONIOENCODING": "utf-8"},
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=True,
    )


def test_csv_of_a_run_loads_neither_rich_nor_pyperf() -> None:
    code = (
        "import sys, builders; from dbbench.analysis.analysis import analyse; from dbbench.reports import report\n"
        "for format_ in ('csv', 'json'): report('run', format_)(analyse(builders.run()))\n"
        "print([name for name in ('rich', 'pyperf', 'sqlalchemy', 'asyncpg', 'psycopg') if name in sys.modules])"
    )

    assert python("-c", code).stdout == "[]\n"


@pytest.mark.parametrize(
    ("command", "made", "formats"),
    [
        ("gate", "import pure.reports.test_gate_reports as made; of = made.failing()",
         ("csv", "json", "bmf", "customSmallerIsBetter", "annotations", "markdown")),
        ("wire", "import pure.reports.test_wire_reports as made; of = made.usual()", ("csv", "json")),
    ],
    ids=["gate", "wire"],
)  # fmt: skip
def test_reports_for_machines_load_neither_rich_nor_junitparser(
    command: str, made: str, formats: tuple[str, ...]
) -> None:
    code = (
        f"import sys; {made}; from dbbench.reports import report\n"
        "heavy = ('rich', 'junitparser')\n"
        "for name in [name for name in sys.modules if name.partition('.')[0] in heavy]:\n"
        "    del sys.modules[name]\n"
        f"for name in {formats}:\n"
        f"    report({command!r}, name)(of)\n"
        "print([name for name in heavy if name in sys.modules])"
    )

    assert python("-c", code).stdout == "[]\n"


@pytest.fixture
def suites(tmp_path: Path) -> dict[str, str]:
    """Files of each arm's suite, and of all arms in one."""
    made = builders.many_sided_run()
    paths = {}
    for arm in (*builders.DRIVERS, None):
        path = tmp_path / f"{arm or 'all'}.json"
        path.write_text(text(suite(made, arm)), encoding="utf-8")
        paths[arm or "all"] = str(path)
    return paths


def test_pyperf_reads_the_suites(suites: dict[str, str]) -> None:
    stats = python("-m", "pyperf", "stats", suites["asyncpg"]).stdout

    assert "point_reads[orm,sessions=8]" in stats
    assert "bulk_inserts[core,sessions=1]" in stats
    assert "/asyncpg" not in stats
    assert "Number of run with values: 12" in stats


def test_pyperf_compares_two_arms(suites: dict[str, str]) -> None:
    done = python("-m", "pyperf", "compare_to", "-v", suites["psycopg"], suites["asyncpg"])

    assert re.search(r"point_reads\[orm,sessions=8\].*1\.70x faster", done.stdout.replace("\n", " "))
    assert "ERROR" not in done.stdout + done.stderr


def test_pyperf_compares_all_arms_of_two_runs(suites: dict[str, str]) -> None:
    done = python("-m", "pyperf", "compare_to", "--table", suites["all"], suites["all"])

    assert "Benchmarks with tag 'asyncpg'" in done.stdout
    assert "point_reads[orm,sessions=8]/asyncpg" in python("-m", "pyperf", "stats", suites["all"]).stdout
    assert "ERROR" not in done.stdout + done.stderr
