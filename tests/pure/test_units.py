"""Times and shares, read and written."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dbbench import units


@pytest.mark.parametrize(("text", "seconds"), [("90", 90), ("90s", 90), ("2m", 120), ("0.5", 0.5), ("1.5m", 90)])
def test_long_times_need_no_unit(text: str, seconds: float) -> None:
    assert units.seconds(text) == seconds


@pytest.mark.parametrize("text", ["", "0", "-1", "5h", "1e3", "s", "2 m", "nan"])
def test_what_is_no_long_time_says_how_to_write_one(text: str) -> None:
    with pytest.raises(ValueError, match=r"^seconds, like 90, 90s or 2m$"):
        units.seconds(text)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("20ms", 0.02), ("500us", 0.0005), ("500µs", 0.0005), ("500\N{GREEK SMALL LETTER MU}s", 0.0005), ("1.5s", 1.5),
        ("0ms", 0), ("20 ms", 0.02), ("20MS", 0.02), ("2.3ms", 0.0023),
    ],
)  # fmt: skip
def test_short_times_have_a_unit(text: str, seconds: float) -> None:
    assert units.duration(text) == seconds


@pytest.mark.parametrize("text", ["", "20", "0", "-1ms", "5m", "ms", "1 2ms"])
def test_what_is_no_short_time_says_how_to_write_one(text: str) -> None:
    with pytest.raises(ValueError, match=re.escape("a time with its unit, like 20ms, 500us or 1.5s")):
        units.duration(text)


def test_a_quantity_keeps_the_number_as_it_was_written() -> None:
    assert units.quantity("10.50 us") == ("10.50", units.MICROSECOND)


@pytest.mark.parametrize(("text", "share"), [("2%", 0.02), ("0.02", 0.02), ("99.9%", 0.999)])
def test_shares_are_percentages_or_fractions(text: str, share: float) -> None:
    assert units.share(text) == pytest.approx(share)


@pytest.mark.parametrize("text", ["", "0", "0%", "100%", "1", "2", "-2%", "2 %", "two"])
def test_what_is_no_share_says_how_to_write_one(text: str) -> None:
    with pytest.raises(ValueError, match=r"^a share, like 2% or 0\.02$"):
        units.share(text)


@given(st.integers(1, 1_000_000))
def test_milliseconds_are_written_as_they_are_read(microseconds: int) -> None:
    assert units.duration(units.milliseconds(microseconds / 1e6)) == pytest.approx(microseconds / 1e6, rel=1e-12)


@pytest.mark.parametrize(
    ("us", "digits", "text"),
    [
        (0.94, 3, "0.94 µs"), (940, 3, "940 µs"), (7123, 3, "7.12 ms"), (1_250_000, 3, "1.25 s"),
        (4_217, 2, "4.2 ms"), (17_300, 2, "17 ms"), (20_000, 6, "20 ms"), (1_500_000, 6, "1.5 s"), (0, 3, "0 µs"),
        (123_456_789_000, 3, "123,000 s"),
    ],
)  # fmt: skip
def test_times_have_so_many_digits_and_a_unit_that_suits_them(us: float, digits: int, text: str) -> None:
    assert units.time_text(us, digits) == text


def test_times_are_in_no_unit_finer_than_asked_for() -> None:
    assert units.time_text(540, 2, finest=units.MILLISECOND) == "0.54 ms"
    assert units.time_text(0, 2, finest=units.MILLISECOND) == "0 ms"
    assert units.time_text(2_500_000, 2, finest=units.MILLISECOND) == "2.5 s"


@pytest.mark.parametrize(
    ("values", "shown"),
    [
        ([1.5, 2000.0], (["1.50", "2,000"], "µs")), ([1500.0, 2_000_000.0], (["1.50", "2,000"], "ms")),
        ([12_300.0], (["12.3"], "ms")), ([2e6, 3e8], (["2.00", "300.00"], "s")), ([], ([], "µs")),
        ([0.0], (["0.00"], "µs")),
    ],
)  # fmt: skip
def test_times_of_a_sentence_share_a_unit_in_which_none_falls_below_one(
    values: list[float], shown: tuple[list[str], str]
) -> None:
    assert units.in_one_unit(values) == shown
