"""Round trips of an operation: what they cost on a slow network, measured and predicted; how many behind a pooler."""

from collections.abc import Sequence
from typing import Final

from dbbench.analysis.analysis import Analysis
from dbbench.analysis.latency import US_PER_S, Effect
from dbbench.records import Run
from dbbench.reports.columns import NOTHING, Column
from dbbench.reports.run.remarks import Titled
from dbbench.stats.paired import TIE_BAND
from dbbench.units import MILLISECOND, milliseconds, time_text, unit_for
from dbbench.wording import count

_SUBSTANTIAL: Final = 100  # a time with so much before the point needs nothing behind it


def round_trip_tables(analysis: Analysis) -> list[Titled]:
    """One for every scenario, layer and number of sessions of a run with latency, or behind a pooler; else none."""
    run = analysis.run
    return [*map(_latency, analysis.effects), *_pooled(run)]


def _pooled(run: Run) -> list[Titled]:
    """How many round trips each arm makes, in every scenario and layer that was measured behind a pooler."""
    plan, counted = run.header.plan, run.header.round_trips
    places = {(cell.scenario, cell.layer): index for index, cell in enumerate(plan.cells) if cell.pooler}
    arms = [arm.name for arm in plan.arms if arm.name in counted]
    return [
        Titled(
            "round trips",
            [scenario, layer, "per operation, straight to the server"],
            [Column("driver", "", arms), Column("round", "trips", [_trips(counted[arm][index]) for arm in arms])],
        )
        for (scenario, layer), index in places.items()
        if arms
    ]


def _latency(group: Sequence[Effect]) -> Titled:
    cell = group[0].cell
    columns = [
        Column("driver", "", [effect.driver for effect in group]),
        Column("round", "trips", [_trips(effect.round_trips) for effect in group]),
    ]
    for position, line in enumerate(group[0].lines):
        heading = f"rtt {milliseconds(line.rtt_s)}"
        measured = [effect.lines[position] for effect in group]
        unit = unit_for([at_rtt.measured_us for at_rtt in measured])
        columns.append(Column(heading, unit.name, [_time(at_rtt.measured_us, unit.us) for at_rtt in measured]))
        if position:  # the first is what the others are predicted from
            columns.append(Column(heading, "vs model", [_deviation(at_rtt.deviation) for at_rtt in measured]))
    place = [cell.scenario, cell.layer, count(cell.sessions, "session"), "mean of an operation"]
    return Titled("network latency", place, columns, _sentences(group))


def _sentences(group: Sequence[Effect]) -> list[str]:
    said = []
    if len(group[0].lines) > 1:
        said.append("The model: round trips x round-trip time + the time at the lowest round-trip time.")
    return said + [sentence for effect in group if (sentence := _tie(effect))]


def _tie(effect: Effect) -> str:
    """The round-trip time above which the driver ties with the baseline, and what was measured there."""
    baseline = effect.baseline
    if effect.tie is None:
        return ""
    if effect.tie.rtt_s is None:
        return f"{effect.driver} and {baseline} tie at no latency: their round trips differ."
    if not effect.tie.rtt_s:
        return f"{effect.driver} and {baseline} tie within {TIE_BAND:.0%} at any latency."
    said = (
        f"{effect.driver} and {baseline} tie within {TIE_BAND:.0%} "
        f"from a round-trip time of about {_short(effect.tie.rtt_s)} on"
    )
    checked = effect.tie.checked
    if checked is None:
        return f"{said} (not checked by a measurement)."
    interval = "" if checked.ratio_low is None else f" ({checked.ratio_low:.3f} to {checked.ratio_high:.3f})"
    return f"{said}; measured at {_short(checked.rtt_s)}: {checked.ratio:.3f}{interval} times {baseline}'s latency."


def _short(seconds: float) -> str:
    """A time with the two digits that mean something: 4.2 ms, 17 ms."""
    return time_text(seconds * US_PER_S, digits=2, finest=MILLISECOND)


def _trips(trips: float | None) -> str:
    return NOTHING if trips is None else f"{trips:.2f}".rstrip("0").rstrip(".")


def _time(us: float | None, unit_us: int) -> str:
    if us is None:
        return NOTHING
    value = us / unit_us
    return f"{value:,.0f}" if value >= _SUBSTANTIAL else f"{value:.3g}"


def _deviation(share: float | None) -> str:
    return NOTHING if share is None else f"{share:+.1%}"
