"""A folder of runs: groups, trends, change points that are there and those that are not, and what reports show."""

import csv
import io
import json
import math
import random
from itertools import pairwise
from typing import Any

import builders
import chance
import msgspec
import pytest
from builders import cell, measurements, plan
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from dbbench.commands.stored.history import Entry, _letters, entry, group_of, groups, in_order, trends, unreadable
from dbbench.plan import Gate
from dbbench.records import Run, clean
from dbbench.reports import history as reports
from dbbench.stats.change_points import FEWEST, change_points

EVIL = "[bold]x[/oops]|`y`<b>\x1b[2J\u202e@me"
VALUES = st.lists(st.floats(-2, 2).map(lambda value: round(value, 2)), max_size=20)


def run(day: int, ratio: float = 0.6, *, arms: tuple[str, ...] = ("psycopg", "asyncpg"), **header: Any) -> Run:
    means = dict(zip(arms, (300.0, 300.0 * ratio, 400.0), strict=False))
    made = builders.run(plan(arms=arms), measurements(means, blocks=4))
    named = {"id": f"{day:06x}", "started": f"2026-11-{day:02}T03:15:00+00:00", **header}
    return msgspec.structs.replace(made, header=msgspec.structs.replace(made.header, **named))


def stored(*runs: Run, control: str | None = None) -> list[Entry]:
    return [entry(f"{one.header.id}.jsonl", one, control) for one in runs]


def printed(entries: list[Entry], encoding: str = "utf-8") -> str:
    raw = io.BytesIO()
    file = io.TextIOWrapper(raw, encoding=encoding, newline="\n")
    reports.render(entries, Console(file=file, width=80, force_terminal=False, legacy_windows=False))
    file.flush()
    return raw.getvalue().decode(encoding)


def other_server() -> dict[str, Any]:
    return {**builders.header().server, "version": "PostgreSQL 17.2 on x"}


def gate() -> Run:
    made = run(30)
    gated = msgspec.structs.replace(made.header.plan, gate=Gate({}))
    return msgspec.structs.replace(made, header=msgspec.structs.replace(made.header, plan=gated))


# --- change points ---------------------------------------------------------------------------------------------------


def noise(rng: random.Random, runs: int) -> list[float]:
    return [rng.gauss(0, 0.03) for _ in range(runs)]


@pytest.mark.parametrize("runs", [0, 1, 5, 9, 10, 40])
def test_values_that_are_all_the_same_have_no_change_point(runs: int) -> None:
    assert change_points([0.1] * runs) == []


def test_a_step_is_found_where_it_is() -> None:
    rng = random.Random(1)
    values = [value + (math.log(0.82) if at < 11 else math.log(0.91)) for at, value in enumerate(noise(rng, 24))]
    ((at, p_value),) = change_points(values)

    assert at == 11
    assert p_value <= 0.01


def test_several_steps_are_found() -> None:
    levels = [0.0] * 15 + [0.5] * 15 + [0.2] * 15
    values = [level + value for level, value in zip(levels, noise(random.Random(2), 45), strict=True)]

    assert [at for at, _ in change_points(values)] == [15, 30]


def test_ten_runs_are_the_fewest_in_which_a_step_is_found() -> None:
    assert [bool(change_points([0.0] * (runs // 2) + [1.0] * (runs - runs // 2))) for runs in (9, 10)] == [False, True]


def test_a_single_run_that_is_off_is_no_change_point() -> None:
    values = noise(random.Random(3), 20)
    values[12] += 1

    assert change_points(values) == []


def test_steady_values_have_a_change_point_as_rarely_as_is_said() -> None:
    assert chance.at_most(0.01, false_change_points(250), 250)


def false_change_points(series: int) -> int:
    """How many of so many series of steady values have a change point."""
    rng = random.Random(20261123)
    return sum(bool(change_points(noise(rng, 20))) for _ in range(series))


@given(VALUES, st.integers(-8, 8))
def test_change_points_know_neither_scale_nor_sign(values: list[float], power: int) -> None:
    places = [at for at, _ in change_points(values)]

    assert [at for at, _ in change_points([-value for value in values])] == places
    assert [at for at, _ in change_points([2.0**power * value for value in values])] == places  # without rounding


def test_change_points_do_not_know_the_level() -> None:
    values = [value + (0.3 if at < 9 else 0) for at, value in enumerate(noise(random.Random(4), 20))]

    assert (
        [at for at, _ in change_points(values)] == [at for at, _ in change_points([3 + one for one in values])] == [9]
    )


@given(VALUES)
def test_there_are_enough_runs_on_each_side(values: list[float]) -> None:
    ends = [0, *(at for at, _ in change_points(values)), len(values)]

    assert len(ends) == 2 or all(after - before >= FEWEST for before, after in pairwise(ends))


# --- groups and trends -----------------------------------------------------------------------------------------------


def test_runs_that_are_alike_are_one_trend_in_the_order_of_time() -> None:
    (trend,) = trends(stored(run(3, 0.8), run(1, 0.5), run(2, 0.6)))

    assert [point.run for point in trend.points] == ["000001", "000002", "000003"]
    assert [round(point.ratio, 1) for point in trend.points] == [0.5, 0.6, 0.8]
    assert (trend.group, trend.driver, trend.control, trend.points[0].blocks) == ("a", "asyncpg", "psycopg", 4)
    assert trend.changes == []


def test_other_fingerprints_and_other_controls_are_other_trends() -> None:
    made = trends(stored(run(1), run(2, server=other_server()), run(3), run(4, arms=("asyncpg", "psycopg"))))

    assert [(one.group, one.control, len(one.points)) for one in made] == [
        ("a", "psycopg", 2),
        ("a", "asyncpg", 1),
        ("b", "psycopg", 1),
    ]


def test_a_named_control_is_that_of_all_runs_that_have_it() -> None:
    made = trends(
        stored(run(1), run(2), run(4, arms=("asyncpg", "psycopg")), run(5, arms=("a", "b")), control="asyncpg")
    )

    assert [(one.driver, one.control, len(one.points)) for one in made] == [("psycopg", "asyncpg", 3)]


def test_an_injected_change_is_pointed_at_with_both_levels() -> None:
    rng = random.Random(5)
    days = range(1, 21)
    (trend,) = trends(stored(*(run(day, (0.82 if day < 12 else 0.91) * math.exp(rng.gauss(0, 0.01))) for day in days)))
    (found,) = trend.changes

    assert (found.run, found.started[:10]) == ("00000c", "2026-11-12")
    assert (round(found.before, 2), round(found.after, 2)) == (0.82, 0.91)
    assert found.p_value <= 0.01


def test_gates_and_files_that_cannot_be_read_are_listed_and_have_no_trend() -> None:
    entries = [*stored(gate(), run(1)), unreadable("torn.jsonl", "is empty")]

    assert [one.kind for one in in_order(entries)] == ["run", "gate", "unreadable"]
    assert len(trends(entries)) == 1
    assert group_of(entries[-1], groups(entries)) == ""
    shown = printed(entries)
    assert " gate " in shown
    assert "torn.jsonl: is empty" in shown


def test_groups_are_named_as_they_came() -> None:
    entries = stored(run(3, server=other_server()), run(2), run(1))

    assert [group_of(one, groups(entries)) for one in entries] == ["b", "a", "a"]
    assert [_letters(number) for number in (0, 25, 26, 27, 702)] == ["a", "z", "aa", "ab", "aaa"]


# --- reports ---------------------------------------------------------------------------------------------------------


def test_the_sparkline_goes_from_the_lowest_to_the_highest() -> None:
    assert reports.sparkline([0.5, 0.7, 1.0], reports.BLOCKS) == "▁▄█"
    assert reports.sparkline([1.0, 0.5], reports.ASCII) == "#_"
    assert set(reports.sparkline([0.7] * 3, reports.BLOCKS)) <= {"▄", "▅"}
    assert set(reports.sparkline([0.700, 0.703, 0.698], reports.BLOCKS)) <= set("▄▅▆")  # below the tie band


@given(st.lists(st.floats(1e-30, 1e30), min_size=1, max_size=40))
def test_every_value_has_a_mark(values: list[float]) -> None:
    assert len(reports.sparkline(values, reports.BLOCKS)) == len(values)


def test_the_table_fits_80_columns_and_an_ascii_console() -> None:
    days = range(1, 29)
    made = (run(day, 0.82 if day < 12 else 0.91, arms=("psycopg", "asyncpg", "psycopg2")) for day in days)
    entries = [*stored(*made, run(29, server=other_server())), unreadable("x.jsonl", "is empty")]

    for encoding in ("utf-8", "ascii"):
        shown = printed(entries, encoding)
        assert max(map(len, shown.splitlines())) <= 80
        assert "asyncpg: perhaps a change at run 00000c, 2026-11-12: 0.82 -> 0.91" in shown
        assert "unlike a: server PostgreSQL 17.2" in shown
    assert "▁" in printed(entries)
    assert "____####" in printed(entries, "ascii")


def test_json_and_csv_hold_every_value() -> None:
    entries = stored(*(run(day, 0.82 if day < 12 else 0.91) for day in range(1, 21)), gate())
    document = json.loads(reports.json_report(entries))
    lines = list(csv.DictReader(io.StringIO(reports.csv_report(entries))))

    assert [one["kind"] for one in document["runs"]] == ["run"] * 20 + ["gate"]
    assert len(document["trends"][0]["points"]) == len(lines) == 20
    assert [line["run"] for line in lines if line["change_p_value"]] == ["00000c"]
    assert document["trends"][0]["changes"][0]["run"] == "00000c"
    assert document["groups"]["a"]["server"] == "PostgreSQL 18.4"


def test_a_folder_with_nothing_readable_is_listed() -> None:
    entries = [unreadable("x.jsonl", "is empty")]

    assert "x.jsonl: is empty" in printed(entries)
    assert json.loads(reports.json_report(entries))["trends"] == []


def test_hostile_names_are_inert_in_every_report() -> None:
    arms = ["psycopg", EVIL, "=1+1"]
    made = builders.run(plan([cell(EVIL, params={EVIL: EVIL})], arms), measurements(dict.fromkeys(arms, 200.0)))
    header = msgspec.structs.replace(made.header, id=EVIL, started=EVIL, server={EVIL: EVIL})
    entries = [
        entry("bad\udcff.jsonl", msgspec.structs.replace(made, header=header)),
        *stored(run(1)),
        unreadable("\udcff\x1b[2J.jsonl", EVIL),
    ]

    for encoding in ("utf-8", "ascii"):
        shown = printed(entries, encoding)
        assert all(clean(line) == line for line in shown.split("\n"))
        assert "[bold]x[/oops]" in shown.replace("\n", "")
    drivers = [line["driver"] for line in csv.DictReader(io.StringIO(reports.csv_report(entries)))]
    assert sorted(drivers) == sorted(["asyncpg", "'=1+1", EVIL])
    assert "\x1b" not in reports.json_report(entries)
