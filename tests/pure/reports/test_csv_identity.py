"""Every CSV says which run and versions its rows are of, and can be read where a comma stands before the decimals."""

import csv
import io
import locale
from collections.abc import Callable, Mapping
from functools import partial
from typing import Final

import builders
import msgspec
import pytest
from builders import cell, measurements, plan
from conftest import REPOSITORY

from dbbench import result_file
from dbbench.choices import Decimal
from dbbench.commands.stored.compare import compare
from dbbench.commands.stored.history import entry
from dbbench.records import Run
from dbbench.reports import exporter, report
from dbbench.reports.run.csv import TABLES
from dbbench.reports.stored import shown

STORED: Final = REPOSITORY / "tests" / "data" / "schema1"
SEPARATORS: Final[Mapping[Decimal, str]] = {"point": ",", "comma": ";"}


def stored_run(number: int) -> Run:
    """A run that differs from others in nothing but its identity."""
    arms = {"psycopg": 150.4, "asyncpg": 120.7}
    made = builders.run(plan([cell("orders", params={"rows": 10})], list(arms)), measurements(arms))
    environment = {"packages": {"psycopg": "3.3.9", "asyncpg": f"0.{number}.0"}}
    started = f"2026-11-{number:02}T03:15:00+00:00"
    server = {"version": "PostgreSQL 18.4", "settings": {"server_version": "18.4 (Debian 18.4-1)"}}
    header = msgspec.structs.replace(
        made.header, id=f"run{number}", started=started, environment=environment, server=server
    )
    return msgspec.structs.replace(made, header=header)


def tables() -> dict[str, Callable[[Decimal], str]]:
    """Every CSV of runs: what it is -> its text, with decimal points or commas."""
    base, head = stored_run(1), stored_run(2)
    gate = shown(result_file.read_any(STORED / "gate.jsonl")).found
    return {
        **{name: partial(table_of_a_run, name) for name in TABLES},
        "compare": lambda decimal: report("compare", "csv")(compare(base, head), decimal=decimal),
        "history": lambda decimal: report("history", "csv")([entry("1", base), entry("2", head)], decimal=decimal),
        "gate": lambda decimal: report("gate", "csv")(gate, decimal=decimal),
    }


def table_of_a_run(name: str, decimal: Decimal) -> str:
    ((_, text),) = exporter("csv")(shown(stored_run(1)).found, None, table=name, decimal=decimal)
    return text


def read(text: str, decimal: Decimal = "point") -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text, newline=""), delimiter=SEPARATORS[decimal]))


def test_rows_of_several_runs_can_be_told_apart_once_they_are_put_together() -> None:
    together = [line for number in range(1, 5) for line in read(report("run", "csv")(shown(stored_run(number)).found))]

    assert len({tuple(line.values()) for line in together}) == len(together) == 8
    assert [line["run"] for line in together[::2]] == ["run1", "run2", "run3", "run4"]
    assert [line["driver_version"] for line in together[1::2]] == ["0.1.0", "0.2.0", "0.3.0", "0.4.0"]
    assert {line["driver_version"] for line in together[::2]} == {"3.3.9"}
    assert {line["server_version"] for line in together} == {"18.4"}
    assert {line["started"] for line in together} == {f"2026-11-0{number}T03:15:00+00:00" for number in range(1, 5)}


def test_the_history_has_the_latencies_and_versions_behind_its_ratios() -> None:
    lines = read(tables()["history"]("point"))

    assert [line["run"] for line in lines] == ["run1", "run2"]
    assert [line["driver_version"] for line in lines] == ["0.1.0", "0.2.0"]
    for line in lines:
        assert float(line["mean_us"]) == pytest.approx(120, rel=0.02)
        assert float(line["control_mean_us"]) == pytest.approx(150, rel=0.02)
        assert float(line["p50_us"]) == pytest.approx(120, rel=0.02)


@pytest.mark.parametrize("name", tables())
def test_with_decimal_commas_a_german_program_reads_the_same_numbers(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = tables()[name]
    points, commas = read(made("point")), read(made("comma"), "comma")
    # What localeconv() says under de_DE, which not every system has.
    monkeypatch.setattr(locale, "_override_localeconv", {"decimal_point": ",", "thousands_sep": "."}, raising=False)

    assert len(points) == len(commas)
    for line, other in zip(points, commas, strict=True):
        assert list(line) == list(other)
        for column, value in line.items():
            if value != other[column]:
                assert locale.atof(other[column]) == float(value)
                assert "." not in other[column]
    if name in ("cells", "compare", "history", "gate"):
        assert any(line != other for line, other in zip(points, commas, strict=True))


def test_a_comparison_names_both_runs_and_their_versions() -> None:
    line = read(tables()["compare"]("point"))[0]

    assert (line["base_run"], line["head_run"]) == ("run1", "run2")
    assert (line["base_driver_version"], line["head_driver_version"]) == ("0.1.0", "0.2.0")
    assert line["base_server_version"] == line["head_server_version"] == "18.4"
