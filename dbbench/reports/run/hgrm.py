"""HdrHistogram's percentile distributions (.hgrm): for its plotter, and for what reads the output of wrk2.

The text is that of Java's `AbstractHistogram.outputPercentileDistribution(stream, 5, scale)`, which the plotter
(https://hdrhistogram.github.io/HdrHistogram/plotFiles.html) splits at blanks, taking the lines of four numbers; the
last line has three. Values are milliseconds, as wrk2 writes and the plotter assumes, with all of their nanoseconds:
HdrHistogram prints as many decimals as it keeps digits, and three of them would round 60 us by 0.8%.
One text per cell and driver; in an open loop two, because response time and service time are two distributions.
"""

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import product
from pathlib import Path
from typing import Final, NamedTuple

from dbbench.analysis.analysis import Analysis
from dbbench.analysis.rows import params_text
from dbbench.errors import UsageError, nearest
from dbbench.plan import Cell
from dbbench.records import Measurement
from dbbench.reports.run.folder import is_folder, safe
from dbbench.stats.histogram import OCTAVE_BITS, Histogram, value_of

NS_PER_MS: Final = 1_000_000
TICKS: Final = 5  # lines for every halving of the distance to 100%
# In HdrHistogram's words: values of 8 leading bits, and how many doublings take these to 2**63 nanoseconds.
_SUB_BUCKETS: Final = 2 ** (OCTAVE_BITS + 1)
_BUCKETS: Final = 63 - OCTAVE_BITS


class Series(NamedTuple):
    """One distribution; it has at least one sample."""

    name: str  # of its file, without .hgrm: point_reads-orm-1-psycopg
    latency: Histogram
    max_ns: int  # the largest sample: exactly, or as its bucket says
    mean_ns: float


class _Place(NamedTuple):
    """Where a distribution belongs."""

    cell: int
    arm: str
    kind: str  # which of an open loop's two times; closed loop: empty


def files(analysis: Analysis, output: Path | None, driver: str | None = None) -> Iterator[tuple[Path | None, str]]:
    """Write a file per distribution into a folder; the only one there is also to a file.

    `driver` leaves the others out. Raises UsageError for one that was not in the run, and where a folder is needed.
    """
    distributions = series(analysis, driver)
    if output is not None and is_folder(output):
        for distribution in distributions:
            yield output / f"{distribution.name}.hgrm", text(distribution)
    elif len(distributions) == 1:
        yield output, text(distributions[0])
    else:
        raise UsageError(
            f"--format hgrm makes a file for every cell and driver, here {len(distributions)}: name a folder for them "
            "with -o DIR/, or where the run has one cell choose a driver with --driver"
        )


def series(analysis: Analysis, arm: str | None) -> list[Series]:
    """The distributions of all cells, of one arm or of all; those without a sample are left out.

    Raises UsageError when the run has no such arm, or when nothing is left.
    """
    plan = analysis.run.header.plan
    arms = [known.name for known in plan.arms]
    if arm is not None and arm not in arms:
        raise UsageError(f"no driver {arm!r} in this run; {nearest(arm, arms)}")

    kinds = ("",) if plan.load.rate is None else ("response", "service")
    places = [_Place(*place) for place in product(range(len(plan.cells)), arms, kinds)]
    names = _names(plan.cells, places)  # of all, so that a name does not depend on which arm was asked for
    merged = [
        _merged(name, analysis.places[place.cell, place.arm], service=place.kind == "service")
        for name, place in zip(names, places, strict=True)
        if arm in (None, place.arm)
    ]
    if not any(merged):
        raise UsageError(f"there is nothing to export: {arm or 'no driver'} has no operation that succeeded")
    return [distribution for distribution in merged if distribution]


def text(distribution: Series) -> str:
    """Write one distribution."""
    mean, deviation = distribution.mean_ns / NS_PER_MS, _deviation_ns(distribution.latency) / NS_PER_MS
    largest, total = distribution.max_ns / NS_PER_MS, distribution.latency.total
    lines = [
        f"{'Value':>12} {'Percentile':>14} {'TotalCount':>10} {'1/(1-Percentile)':>14}",
        "",
        *_lines(distribution),
        f"{largest:12.6f} {1:.12f} {total:10d}",
        f"#[Mean    = {mean:12.6f}, StdDeviation   = {deviation:12.6f}]",
        f"#[Max     = {largest:12.6f}, Total count    = {total:12d}]",
        f"#[Buckets = {_BUCKETS:12d}, SubBuckets     = {_SUB_BUCKETS:12d}]",
    ]
    return "\n".join(lines) + "\n"


def _merged(name: str, measured: Iterable[Measurement], *, service: bool) -> Series | None:
    """Merge the blocks of one arm in one cell; None when nothing succeeded."""
    merged = Histogram()
    sum_ns = max_ns = 0
    for measurement in measured:
        merged.merge(Histogram(measurement.service if service else measurement.latency))
        sum_ns += measurement.sum_ns
        max_ns = max(max_ns, measurement.max_ns)
    counts = {bucket: count for bucket, count in merged.counts.items() if count}
    if not counts:
        return None
    if service:  # the exact figures are those of the response times, which are never shorter
        max_ns = min(max_ns, value_of(max(counts)))
        sum_ns = sum(value_of(bucket) * count for bucket, count in counts.items())
    latency = Histogram(counts)
    return Series(name, latency, max_ns, sum_ns / latency.total)


def _lines(distribution: Series) -> Iterator[str]:
    """A line for every tick that a bucket reaches; the bucket that reaches 100% has one line only.

    The ticks are 0%, 10%, ... 50%, 55%, ... 75%, 77.5%, and so on: five for every halving of what is left. They are
    the same for all distributions, which the plotter relies on.
    """
    counts, total = distribution.latency.counts, distribution.latency.total
    below = tick = 0
    for bucket in sorted(counts):
        below += counts[bucket]
        # A bucket's midpoint may lie beyond the largest value in it.
        value = min(value_of(bucket), distribution.max_ns) / NS_PER_MS
        while True:
            halvings, step = divmod(tick, TICKS)
            beyond, of = 2 * TICKS - step, 2 * TICKS << halvings  # the share beyond the tick, in whole numbers
            if (total - below) * of > beyond * total:
                break
            yield f"{value:12.6f} {1 - beyond / of:.12f} {below:10d} {of / beyond:14.2f}"
            tick += 1
            if below == total:
                return


def _deviation_ns(latency: Histogram) -> float:
    """The standard deviation of the samples, each taken for the midpoint of its bucket."""
    total = latency.total
    values = [(value_of(bucket), count) for bucket, count in latency.counts.items()]
    mean = sum(value * count for value, count in values) / total
    return math.sqrt(math.fsum((value - mean) ** 2 * count for value, count in values) / total)


def _names(cells: Sequence[Cell], places: Sequence[_Place]) -> list[str]:
    """Names of files: with parameters only where cells differ in nothing else, with numbers where all else fails."""

    def named(place: _Place, *more: str) -> str:
        cell = cells[place.cell]
        parts = (cell.scenario, cell.layer, str(cell.sessions), *more, place.arm, place.kind)
        return "-".join(safe(part) for part in parts if part)

    names = [named(place) for place in places]
    often = _often(names)
    names = [
        named(place, params_text(cells[place.cell])) if often[name.lower()] > 1 else name
        for name, place in zip(names, places, strict=True)
    ]
    if max(_often(names).values(), default=0) > 1:
        names = [f"{name}-{number}" for number, name in enumerate(names)]
    return names


def _often(names: Iterable[str]) -> Counter[str]:
    """How often each name occurs, for a file system that takes a for A."""
    return Counter(name.lower() for name in names)
