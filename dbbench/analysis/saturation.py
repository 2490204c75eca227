"""Whether an open loop measured the client instead of the server: a client without CPU time left begins late. Pure.

CPU alone says nothing: a client that has nothing to do polls for the moment when the next operation is due, to begin in
time. One that polls is not late.
"""

from collections.abc import Iterator, Sequence
from typing import Final

from dbbench.analysis.places import Places
from dbbench.plan import Plan
from dbbench.records import Measurement
from dbbench.stats.histogram import Histogram
from dbbench.units import time_text

BUSY: Final = 0.9  # of one CPU: a worker's event loop, or Python's lock, has no more
_LATE_NS: Final = 1_000_000  # by which operations must begin late, besides
_LATE_SHARE: Final = 0.2  # of the median service time
_NS_PER_US: Final = 1_000


def is_busy(cpu_ns: int, elapsed_ns: int) -> bool:
    """Whether a client that used, or waited for, so much CPU time in so long has hardly any left."""
    return elapsed_ns > 0 and cpu_ns >= BUSY * elapsed_ns


def used(cpu_ns: int, ready_ns: int, elapsed_ns: int) -> str:
    """What a client did with its CPU: used it, and waited for it where others had it."""
    waited = f" and waited for it {ready_ns / elapsed_ns:.0%} of the time" if ready_ns > (1 - BUSY) * elapsed_ns else ""
    return f"used {cpu_ns / elapsed_ns:.0%} of a CPU{waited}"


def is_late(lag: Histogram, service: Histogram) -> bool:
    """Whether operations begin so late that it shows in their response times."""
    late_ns, usual_ns = lag.percentile(0.9), service.percentile(0.5)
    return late_ns is not None and usual_ns is not None and late_ns > max(_LATE_NS, _LATE_SHARE * usual_ns)


def warnings(plan: Plan, places: Places) -> Iterator[str]:
    """A sentence for every arm in every cell whose client was saturated."""
    if plan.load.rate is None:
        return
    for index, cell in enumerate(plan.cells):
        for arm in plan.arms:
            if said := _said(places[index, arm.name], arm.connections.processes):
                yield f"{cell.label}, {arm.name}: {said}"


def _said(measured: Sequence[Measurement], processes: int) -> str:
    slices = [part for one in measured for part in one.slices]
    cpu_ns, elapsed_ns = sum(part.usage.cpu_ns for part in slices), sum(part.usage.elapsed_ns for part in slices)
    ready_ns = sum(part.usage.ready_ns for part in slices)
    lag, service = Histogram(), Histogram()
    for one in measured:
        lag.merge(Histogram(one.lag))
        service.merge(Histogram(one.service))
    if not is_busy(cpu_ns + ready_ns, elapsed_ns * processes) or not is_late(lag, service):
        return ""
    late = time_text((lag.percentile(0.9) or 0) / _NS_PER_US)
    return (
        f"the client itself was saturated: it {used(cpu_ns, ready_ns, elapsed_ns)}, and one operation in ten began "
        f"more than {late} late; its times are not the server's"
    )
