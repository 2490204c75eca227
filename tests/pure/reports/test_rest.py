"""What the footer says about rows that are left undecided."""

import re

import builders
from builders import cell, measurements, plan, run

from dbbench.analysis.analysis import analyse
from dbbench.records import End, Run
from dbbench.reports.run.rest import rest

END = End("complete", "2026-11-23T03:16:01+00:00", 60.0, "")
CLEAR = {"psycopg": 300.0, "asyncpg": 200.0, "psycopg2": 420.0}


def noisy(cells: int, *, noise: float = 0.08, slow_us: float = 300.0) -> Run:
    """One cell that cannot be decided, beside others that are."""
    made = [cell(sessions=1 + number) for number in range(cells)]
    open_ = {"psycopg": slow_us, "asyncpg": 1.02 * slow_us, "psycopg2": 2 * slow_us}
    found = measurements(open_, noise=noise)
    for number in range(1, cells):
        found += measurements(CLEAR, cell=number)
    return run(plan(made), found, end=END)


def said(of: Run) -> str:
    return " ".join(rest(of, analyse(of).rows))


def seconds(of: Run) -> tuple[int, int]:
    found = re.fullmatch(r"1 row is undecided: about (\d+) s more would tell; --budget (\d+)", said(of))
    assert found, said(of)
    return int(found[1]), int(found[2])


def test_the_rest_is_estimated_by_the_share_of_the_time_that_open_cells_have_had() -> None:
    alone, budget_s = seconds(noisy(1))
    among_three, _ = seconds(noisy(3))

    assert alone > 60
    assert budget_s - 60 <= alone <= budget_s - 50
    assert alone / 6 < among_three < alone, "its cell alone would go on"


def test_what_would_take_hours_is_not_counted_in_seconds() -> None:
    assert said(noisy(1, noise=0.9)) == "2 rows are undecided: more than an hour would be needed to tell"


def test_nothing_is_said_where_all_is_decided_nor_where_the_number_of_blocks_was_asked_for() -> None:
    made = noisy(1)

    assert said(run(plan([cell()]), measurements(CLEAR), end=END)) == ""
    assert said(run(builders.changed(made.header.plan, budget_s=None, blocks=12), made.measurements, end=END)) == ""
