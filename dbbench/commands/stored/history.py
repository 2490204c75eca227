"""Many stored runs: a list of them, and the trend of each ratio to the control over comparable runs. Pure.

This is for people to look at, not for verdicts: no interval covers what moves a ratio from day to day, and change
points raise many false alarms.
"""

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from statistics import median
from string import ascii_lowercase
from typing import Literal

import msgspec

from dbbench.analysis.places import by_place
from dbbench.analysis.rows import latencies
from dbbench.commands.identity import Identity, identity
from dbbench.commands.stored.compare import Subject, block_log_ratios, is_gate, subject_of
from dbbench.commands.stored.fingerprint import fingerprint
from dbbench.records import Run, clean
from dbbench.stats.change_points import change_points


class Value(msgspec.Struct, frozen=True):
    """What one run says of a driver in a cell."""

    log_ratio: float  # to the control: the median over blocks
    blocks: int
    mean_us: float | None
    p50_us: float | None
    p95_us: float | None
    p99_us: float | None
    control_mean_us: float | None


class Entry(msgspec.Struct, frozen=True):
    """One file of the folder, and the part of its run that a history needs: runs are large, and there may be many."""

    file: str  # its name
    kind: Literal["run", "gate", "unreadable"]
    reason: str = ""  # why it cannot be read
    id: str = ""
    started: str = ""  # UTC, ISO 8601
    status: str = ""
    blocks: int = 0
    scenarios: list[str] = []
    fingerprint: dict[str, str] = {}
    control: str = ""
    identity: Identity | None = None
    values: dict[Subject, Value] = {}


class Point(msgspec.Struct, frozen=True):
    """One run's ratio, and the latencies behind it, which depend on how busy the machine was."""

    run: str  # its id
    started: str
    blocks: int
    ratio: float  # time per operation relative to the control
    mean_us: float | None
    p50_us: float | None
    p95_us: float | None
    p99_us: float | None
    control_mean_us: float | None
    dbbench: str  # version
    driver_version: str
    server_version: str


class Pointer(msgspec.Struct, frozen=True):
    """A point at which a trend may have changed: a hint for people, not a verdict."""

    run: str  # the first after the change
    started: str
    before: float  # median ratio since the previous change point, or the first run
    after: float  # median ratio up to the next change point, or the last run
    p_value: float  # probability that the same runs in random order look like this


class Trend(msgspec.Struct, frozen=True):
    """One driver in one cell, over the runs of one group with the same control, the oldest first."""

    group: str
    scenario: str
    layer: str
    sessions: int
    params: str
    driver: str
    control: str
    points: list[Point]
    changes: list[Pointer]


def entry(file: str, run: Run, control: str | None = None) -> Entry:
    """The part of a run that a history needs; the control defaults to the run's baseline."""
    header = run.header
    chosen = control or header.plan.baseline
    alone = is_gate(run) or all(arm.name != chosen for arm in header.plan.arms)  # there is no control
    ratios = {} if alone else block_log_ratios(run, chosen, everywhere=True)
    return Entry(
        file=_printable(file),
        kind="gate" if is_gate(run) else "run",
        id=header.id,
        started=header.started,
        status=run.status,
        blocks=len({one.block for one in run.measurements}),
        scenarios=list(dict.fromkeys(cell.scenario for cell in header.plan.cells)),
        fingerprint=fingerprint(run),
        control=chosen,
        identity=identity(header),
        values=_values(run, chosen, ratios),
    )


def _values(run: Run, control: str, ratios: Mapping[Subject, Sequence[float]]) -> dict[Subject, Value]:
    """Put the ratios of a run together with the latencies that they are from."""
    if not ratios:
        return {}
    cells = run.header.plan.cells
    times = {subject_of(cells[cell], arm): latencies(measured) for (cell, arm), measured in by_place(run).items()}
    return {
        subject: Value(
            log_ratio=median(logs),
            blocks=len(logs),
            control_mean_us=times[subject._replace(driver=control)]["mean_us"],
            **{name: times[subject][name] for name in ("mean_us", "p50_us", "p95_us", "p99_us")},
        )
        for subject, logs in ratios.items()
    }


def unreadable(file: str, reason: str) -> Entry:
    """The entry of a file that cannot be read."""
    return Entry(_printable(file), "unreadable", _printable(reason))


def in_order(entries: Sequence[Entry]) -> list[Entry]:
    """The entries in the order in which the runs began, with unreadable files last."""
    return sorted(entries, key=lambda one: (one.kind == "unreadable", one.started, one.file))


def groups(entries: Sequence[Entry]) -> dict[str, dict[str, str]]:
    """The names of the fingerprints: a for that of the oldest run, b for the next new one."""
    found: list[dict[str, str]] = []
    for one in in_order(entries):
        if one.kind != "unreadable" and one.fingerprint not in found:
            found.append(one.fingerprint)
    return {_letters(number): prints for number, prints in enumerate(found)}


def group_of(one: Entry, named: Mapping[str, dict[str, str]]) -> str:
    """The name of the entry's group; empty where it has none."""
    return next((name for name, prints in named.items() if one.kind != "unreadable" and prints == one.fingerprint), "")


def trends(entries: Sequence[Entry]) -> list[Trend]:
    """The trends of every driver in every cell over comparable runs, by group, then in order of first appearance."""
    named = groups(entries)
    found: dict[tuple[str, str, Subject], list[tuple[Entry, Value]]] = {}
    for one in in_order(entries):
        for subject, value in one.values.items():
            found.setdefault((group_of(one, named), one.control, subject), []).append((one, value))
    places = list(named)
    return [
        _trend(group, control, subject, found[group, control, subject])
        for group, control, subject in sorted(found, key=lambda key: places.index(key[0]))
    ]


def _trend(group: str, control: str, subject: Subject, values: Sequence[tuple[Entry, Value]]) -> Trend:
    points = [_point(one, subject.driver, value) for one, value in values]
    logs = [value.log_ratio for _, value in values]
    found = change_points(logs)
    # Start and end of the segments between change points.
    stretches = list(pairwise([0, *(at for at, _ in found), len(logs)]))
    pointers = [
        Pointer(points[at].run, points[at].started, _ratio(logs, before), _ratio(logs, after), p_value)
        for (at, p_value), (before, after) in zip(found, pairwise(stretches), strict=True)
    ]
    return Trend(group, *subject, control=control, points=points, changes=pointers)


def _point(one: Entry, driver: str, value: Value) -> Point:
    assert one.identity is not None, "an entry with values has one"
    return Point(
        ratio=math.exp(value.log_ratio),
        blocks=value.blocks,
        mean_us=value.mean_us,
        p50_us=value.p50_us,
        p95_us=value.p95_us,
        p99_us=value.p99_us,
        control_mean_us=value.control_mean_us,
        **one.identity.columns(driver),
    )


def _ratio(logs: Sequence[float], stretch: tuple[int, int]) -> float:
    return math.exp(median(logs[slice(*stretch)]))


def _letters(number: int) -> str:
    """The number in letters: a, b, ... z, aa, ab."""
    letters = ""
    while number >= 0:
        number, letter = divmod(number, len(ascii_lowercase))
        letters = ascii_lowercase[letter] + letters
        number -= 1
    return letters


def _printable(text: str) -> str:
    """The name of a file as printable text; it may not be valid UTF-8."""
    return clean(text).encode("utf-8", "replace").decode("utf-8")
