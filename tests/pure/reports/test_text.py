"""What all reports share: numbers rounded once, documents without NaN, fields that no spreadsheet runs."""

import json
import math

import msgspec
import pytest

from dbbench.reports.columns import Column
from dbbench.reports.csv_text import table as csv_table
from dbbench.reports.exported import exported, mean_count, rounded
from dbbench.reports.json_text import ascii_text, text
from dbbench.reports.markdown_text import table as markdown_table
from dbbench.reports.text import place, when


@pytest.mark.parametrize("value", [None, math.nan, math.inf, -math.inf])
def test_what_is_no_number_is_none(value: float | None) -> None:
    assert rounded(value, 3) is None


def test_nothing_is_minus_zero() -> None:
    assert math.copysign(1, rounded(-0.0001, 3) or 0.0) == 1


class Sample(msgspec.Struct):
    """A row of an export."""

    ratio_low: float
    p50_us: float
    blocks: int
    name: str


def test_ratios_have_four_digits_and_the_rest_as_many_as_asked_for() -> None:
    sample = Sample(0.123456, 1.23456789, 7, "x")

    assert exported(sample) == {"ratio_low": 0.1235, "p50_us": 1.235, "blocks": 7, "name": "x"}
    assert exported(sample, 5)["p50_us"] == 1.23457


def test_a_mean_count_that_is_whole_is_an_int() -> None:
    assert [mean_count(mean) for mean in (3.0, 2.5, 1 / 3)] == [3, 2.5, 0.3333]
    assert isinstance(mean_count(3.0), int)


def test_documents_have_no_nan() -> None:
    assert json.loads(text({"ratio": math.nan, "name": "ä"})) == {"ratio": None, "name": "ä"}
    with pytest.raises(ValueError, match="not JSON compliant"):
        ascii_text({"ratio": math.nan})
    assert ascii_text({"name": "ä\x1b"}).isascii()


def test_csv_has_words_for_truth_and_nothing_that_utf_8_cannot_encode() -> None:
    shown = csv_table(["name", "grew", "other"], [{"name": "\ud800", "grew": True, "other": False}])

    assert shown == "name,grew,other\n?,yes,no\n"


def test_markdown_tables_escape_headings_and_values() -> None:
    layout = [Column("driver", "", ["a|b"]), Column("p50", "ms", ["1"])]

    assert markdown_table(layout).splitlines() == ["| driver | p50 ms |", "| --- | ---: |", "| a\\|b | 1 |"]


def test_a_place_leaves_out_what_there_is_not() -> None:
    assert place("orders", "", 1, "") == ("orders", ["1 session"])
    assert place("orders", "orm", 1500, "rows=5") == ("orders", ["orm", "1,500 sessions", "rows=5"])


def test_what_is_no_time_stays_as_it_is() -> None:
    assert when("2026-11-23T03:15:00+00:00") == "2026-11-23 03:15 UTC"
    assert when("yesterday") == "yesterday"
