"""A run is analysed once, and every report of it reads the same."""

from collections.abc import Callable
from typing import Any

import builders
import msgspec
import pytest
from builders import cell, layered_run, many_sided_run, measurements, plan, run

from dbbench.analysis import analysis as analysing
from dbbench.analysis import rows as judging
from dbbench.analysis.analysis import analyse
from dbbench.records import Run
from dbbench.reports import formats, report


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """How often each part of an analysis is worked out."""
    counted: dict[str, int] = {}

    def counting(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(*arguments: Any, **options: Any) -> Any:
            counted[name] = counted.get(name, 0) + 1
            return function(*arguments, **options)

        return wrapped

    for module, name in ((judging, "judgements"), (judging, "blocks"), (analysing, "by_place")):
        monkeypatch.setattr(module, name, counting(name, getattr(module, name)))
    return counted


@pytest.mark.parametrize("format_", formats("run"))
@pytest.mark.parametrize("made", [many_sided_run(), layered_run()])
def test_a_report_judges_the_table_once_and_sorts_the_measurements_once(
    made: Run, format_: str, calls: dict[str, int]
) -> None:
    assert report("run", format_)(analyse(made), details=True)

    assert calls == {"judgements": 1, "blocks": 1, "by_place": 1}


def test_cells_have_their_rows_breakdowns_and_failures_by_arm() -> None:
    made = run(plan([cell(), cell(params={"rows": 5}), cell("bulk_inserts", rows=1000)]))
    analysis = analyse(made)

    assert [of.cell for of in analysis.cells] == made.header.plan.cells
    for of in analysis.cells:
        assert [row.driver for row in of.rows] == list(builders.DRIVERS)
        assert [breakdown.driver for breakdown in of.breakdowns] == list(builders.DRIVERS)
        assert len(of.failures) == len(builders.DRIVERS)
    assert analysis.rows == [row for of in analysis.cells for row in of.rows]


def test_cells_that_are_wholly_alike_stay_apart() -> None:
    fast, slow = (
        [
            msgspec.structs.replace(one, failures={code: 7})
            for one in measurements({"psycopg": time}, cell=index, errors=1)
        ]
        for index, (time, code) in enumerate(((100.0, "40001"), (900.0, "23505")))
    )
    first, second = analyse(run(plan([cell(), cell()], ["psycopg"]), [*fast, *slow])).cells

    assert first.rows[0].mean_us == pytest.approx(100.0, rel=0.2)
    assert second.rows[0].mean_us == pytest.approx(900.0, rel=0.2)
    assert first.failures[0][0].code == "40001"
    assert second.failures[0][0].code == "23505"


def test_a_run_without_cells_has_nothing() -> None:
    analysis = analyse(run(plan([]), []))

    assert (analysis.cells, analysis.rows, analysis.failures, analysis.layer_tax, analysis.effects) == ([],) * 5
