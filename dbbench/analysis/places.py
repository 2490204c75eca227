"""Where measurements belong: to an arm in a cell."""

from collections.abc import Mapping, Sequence

from dbbench.records import Measurement, Run

Places = Mapping[tuple[int, str], Sequence[Measurement]]
"""The cell's index and the arm's name -> its measurements, a block each; all places of the plan are there."""


def by_place(run: Run) -> Places:
    """Sort the measurements of a run by cell and arm."""
    plan = run.header.plan
    places: dict[tuple[int, str], list[Measurement]] = {
        (index, arm.name): [] for index in range(len(plan.cells)) for arm in plan.arms
    }
    for measurement in run.measurements:
        places.setdefault((measurement.cell, measurement.arm), []).append(measurement)
    return places
