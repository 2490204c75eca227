"""Many stored runs: which there are, how each ratio to the control went over those that are alike. Pure.

For a person to look at, and no more: what moves a ratio from day to day is in no interval (statistics.md, 1b: change
points raise many alarms that are none).
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
    """One file of the folder, and as much of its run as a history needs: runs are large, and there may be many."""

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
    values: dict[Subject, tuple[float, int]] = {}  # ln of the ratio to the control, median over so many blocks


class Point(msgspec.Struct, frozen=True):
    """What one run says."""

    run: str  # its id
    started: str
    blocks: int
    ratio: float  # time per operation relative to the control


class Pointer(msgspec.Struct, frozen=True):
    """Where a trend has perhaps changed: a pointer for a person, no verdict."""

    run: str  # the first after the change
    started: str
    before: float  # median ratio back to the change point before, or the first run
    after: float
    p_value: float  # that runs in any other order would look so


class Trend(msgspec.Struct, frozen=True):
    """One driver in one cell, over the runs of one group that have the same control; the oldest first."""

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
    """Keep of a run what a history needs; the control is the run's baseline where none is named."""
    header = run.header
    chosen = control or header.plan.baseline
    alone = is_gate(run) or all(arm.name != chosen for arm in header.plan.arms)  # nothing to relate anything to
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
    """Give what is known of a file that cannot be read."""
    return Entry(_printable(file), "unreadable", _printable(reason))


def in_order(entries: Sequence[Entry]) -> list[Entry]:
    """Sort by when the runs began; what cannot be read comes last."""
    return sorted(entries, key=lambda one: (one.kind == "unreadable", one.started, one.file))


def groups(entries: Sequence[Entry]) -> dict[str, dict[str, str]]:
    """Name the fingerprints: a for that of the oldest run, b for the next."""
    found: list[dict[str, str]] = []
    for one in in_order(entries):
        if one.kind != "unreadable" and one.fingerprint not in found:
            found.append(one.fingerprint)
    return {_letters(number): prints for number, prints in enumerate(found)}


def group_of(one: Entry, named: Mapping[str, dict[str, str]]) -> str:
    """Give the name of the entry's group; empty where it has none."""
    return next((name for name, prints in named.items() if one.kind != "unreadable" and prints == one.fingerprint), "")


def trends(entries: Sequence[Entry]) -> list[Trend]:
    """Put the values of runs that are alike in a row, for every driver in every cell; by group, then as they came."""
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
    # Ends of the stretches around each change point: those between it and its neighbours.
    stretches = list(pairwise([0, *(at for at, _ in found), len(logs)]))
    pointers = [
        Pointer(points[at].run, points[at].started, _ratio(logs, before), _ratio(logs, after), p_value)
        for (at, p_value), (before, after) in zip(found, pairwise(stretches), strict=True)
    ]
    return Trend(group, *subject, control=control, points=points, changes=pointers)


def _ratio(logs: Sequence[float], stretch: tuple[int, int]) -> float:
    return math.exp(median(logs[slice(*stretch)]))


def _letters(number: int) -> str:
    """Count a, b, ... z, aa, ab."""
    letters = ""
    while number >= 0:
        number, letter = divmod(number, len(ascii_lowercase))
        letters = ascii_lowercase[letter] + letters
        number -= 1
    return letters


def _printable(text: str) -> str:
    """Make the name of a file text that can be written: it may be no UTF-8."""
    return clean(text).encode("utf-8", "replace").decode("utf-8")


# --- change points ---------------------------------------------------------------------------------------------------
