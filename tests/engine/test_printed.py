"""What a run prints and exports, from options to text; the golden files of tests/golden have every detail."""

import csv
import io
import json
import re
from pathlib import Path

import pytest
from engine.runs import Measured, measured, options

from dbbench import result_file
from dbbench.analysis.analysis import analyse
from dbbench.cli.output import show_file, show_stored
from dbbench.errors import ExitCode
from dbbench.records import Run
from dbbench.reports import report

NAME = "psycopg 1ms, asyncpg 2ms returns 2, psycopg2 500us fails 40001 20%"


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> Measured:
    """A run of which little goes well."""
    return measured(
        options(tmp_path_factory.mktemp("printed"), NAME, drivers=["psycopg", "asyncpg", "psycopg2"], blocks=9)
    )


def printed(run: Run, format_: str, capsys: pytest.CaptureFixture[str], *, details: bool = False) -> str:
    show_stored(run, format_, Path("run.jsonl"), details=details)
    return capsys.readouterr().out


def test_a_run_reads_as_it_was_written(one: Measured) -> None:
    again = result_file.read(one.ended.path)

    assert again == one.run
    assert analyse(again).rows == one.rows
    assert one.ended.exit_code == ExitCode.DEGRADED, "failures outweigh what is not comparable"


def test_the_table_says_what_is_known_and_what_is_not(one: Measured, capsys: pytest.CaptureFixture[str]) -> None:
    text = " ".join(printed(one.run, "table", capsys).split())

    assert "psycopg2 needs 38.5% less time per operation than psycopg" in text
    assert "asyncpg is not comparable (see below)" in text
    assert "psycopg2: 81 of 432 operations failed: 40001 transaction rollback (81)" in text
    assert "operation 1: asyncpg gave int 2, psycopg gave int 1" in text
    assert f"{NAME}.py:3: Error: told to" in text
    assert "seed 1, degraded" in text
    assert "PostgreSQL 18.4" in text
    assert "psycopg 1.2, asyncpg 1.2, psycopg2 1.2" in text


def test_details_say_where_the_time_goes(one: Measured, capsys: pytest.CaptureFixture[str]) -> None:
    plain = printed(one.run, "table", capsys)
    details = printed(one.run, "table", capsys, details=True)

    assert "where the time goes" not in plain
    assert "where the time goes" in details
    assert re.search(r"^ +asyncpg +200\.2 +1,798 +800 +400 +0 +64\.0 *$", details, re.MULTILINE)


@pytest.mark.parametrize("format_", ["csv", "json", "markdown"])
def test_every_format_prints_what_the_report_is(
    one: Measured, capsys: pytest.CaptureFixture[str], format_: str
) -> None:
    assert printed(one.run, format_, capsys) == report("run", format_)(analyse(one.run))

    show_file(one.ended.path, format_, details=False)
    assert capsys.readouterr().out == report("run", format_)(analyse(one.run))


def test_csv_and_json_have_the_same_cells(one: Measured, capsys: pytest.CaptureFixture[str]) -> None:
    table = list(csv.DictReader(io.StringIO(printed(one.run, "csv", capsys))))
    document = json.loads(printed(one.run, "json", capsys))

    assert [(row["driver"], row["verdict"]) for row in table] == [
        ("psycopg", "baseline"),
        ("asyncpg", "not comparable"),
        ("psycopg2", "faster"),
    ]
    assert [cell["verdict"] for cell in document["cells"]] == [row["verdict"] for row in table]
    assert [int(row["operations"]) for row in table] == [cell["operations"] for cell in document["cells"]]
    assert [int(row["errors"]) for row in table] == [0, 0, one.rows[2].errors]
    assert document["cells"][2]["ratio"] == pytest.approx(0.5 / 0.8, rel=0.02)  # a fifth of its operations is lost
    assert document["run"]["status"] == "degraded"
    assert document["run"]["measured_s"] == pytest.approx(one.run.end.measured_s if one.run.end else None, abs=0.001)


def test_an_interrupted_run_is_printed_as_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = measured(options(tmp_path, "psycopg 1ms, asyncpg 2ms interrupted in block 2", blocks=9))

    assert "interrupted" in printed(found.run, "table", capsys)
    assert json.loads(printed(found.run, "json", capsys))["run"]["status"] == "interrupted"


def test_layers_are_put_side_by_side(tmp_path: Path) -> None:
    found = measured(options(tmp_path, "psycopg 1ms 3ms in orm, asyncpg 2ms, layers raw orm", layers=["raw", "orm"]))

    tax = analyse(found.run).layer_tax

    assert [(each.driver, each.base, each.layer) for each in tax] == [
        ("psycopg", "raw", "orm"),
        ("asyncpg", "raw", "orm"),
    ]
    assert [each.ratio for each in tax] == pytest.approx([3.0, 1.0])
