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

from dbbench.commands.stored.compare import Subject, block_log_ratios, is_gate
from dbbench.commands.stored.fingerprint import fingerprint
from dbbench.records import Run, clean
from dbbench.stats.change_points import change_points


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
    values: dict[Subject, tuple[float, int]] = {}  # median over blocks of the ln ratio to the control, and their number


class Point(msgspec.Struct, frozen=True):
    """One run's ratio."""

    run: str  # its id
    started: str
    blocks: int
    ratio: float  # time per operation relative to the control


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
    ratios = {} if alone else block_log_ratios(run, chosen)
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
        values={subject: (median(values), len(values)) for subject, values in ratios.items()},
    )


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
    found: dict[tuple[str, str, Subject], list[tuple[Entry, float, int]]] = {}
    for one in in_order(entries):
        for subject, (value, blocks) in one.values.items():
            found.setdefault((group_of(one, named), one.control, subject), []).append((one, value, blocks))
    places = list(named)
    return [
        _trend(group, control, subject, found[group, control, subject])
        for group, control, subject in sorted(found, key=lambda key: places.index(key[0]))
    ]


def _trend(group: str, control: str, subject: Subject, values: Sequence[tuple[Entry, float, int]]) -> Trend:
    points = [Point(one.id, one.started, blocks, math.exp(value)) for one, value, blocks in values]
    logs = [value for _, value, _ in values]
    found = change_points(logs)
    # Start and end of the segments between change points.
    stretches = list(pairwise([0, *(at for at, _ in found), len(logs)]))
    pointers = [
        Pointer(points[at].run, points[at].started, _ratio(logs, before), _ratio(logs, after), p_value)
        for (at, p_value), (before, after) in zip(found, pairwise(stretches), strict=True)
    ]
    return Trend(group, *subject, control=control, points=points, changes=pointers)


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
