"""Many stored runs: which there are, how each ratio to the control went over those that are alike. Pure.

For a person to look at, and no more: what moves a ratio from day to day is in no interval (statistics.md, 1b: change
points raise many alarms that are none).
"""

import math
import random
from collections.abc import Mapping, Sequence
from itertools import accumulate, pairwise
from statistics import mean, median
from string import ascii_lowercase
from typing import Final, Literal

import msgspec

from dbbench.records import Run, clean
from dbbench.stored.changes import Subject, block_log_ratios, is_gate
from dbbench.stored.fingerprint import fingerprint

FEWEST: Final = 3  # runs on each side of a change point
MAX_P: Final = 0.01  # of a change point
_SHUFFLES: Final = 999  # a p-value of 0.01 then has a standard error of 0.003
_SEED: Final = 20261123  # fixed: the same runs give the same change points, whenever they are read
_ROUNDING: Final = 1e-9  # statistics that differ by a smaller share are equal


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


def change_points(values: Sequence[float]) -> list[tuple[int, float]]:
    """Find where the level of the values changes: the index of the first value after it, and its p-value.

    Binary segmentation (Vostrikova, Soviet Mathematics Doklady 24, 1981): where a stretch changes, both of its sides
    are looked at in turn. So steady values have a change point with probability MAX_P at most, if they come in no
    order; values that drift have more. Ten are the fewest in which there is one: fewer have too few orders.
    """
    found: list[tuple[int, float]] = []
    stretches = [(0, len(values))]
    while stretches:
        start, end = stretches.pop()
        if (split := _split(values[start:end])) is not None:
            at, p_value = start + split[0], split[1]
            found.append((at, p_value))
            stretches += [(start, at), (at, end)]
    return sorted(found)


def _split(values: Sequence[float]) -> tuple[int, float] | None:
    """Find the most likely change of the stretch; None where other orders of the values look like that as well.

    The largest weighted CUSUM against its distribution over permutations (Antoch and Huskova, Statistics & Probability
    Letters 53, 2001), the observed order counted among them. It gives up when the p-value cannot be small any more
    (Besag and Clifford, Biometrika 78, 1991), so that steady values, nearly all of them, cost little.
    """
    if len(values) < 2 * FEWEST:
        return None
    middle = mean(values)
    centred = [value - middle for value in values]
    observed, at = _cusum(centred)
    threshold, rng, hits = observed * (1 - _ROUNDING), random.Random(_SEED), 1
    for _ in range(_SHUFFLES):
        rng.shuffle(centred)
        hits += _cusum(centred)[0] >= threshold
        if hits > MAX_P * (_SHUFFLES + 1):
            return None
    return at, hits / (_SHUFFLES + 1)


def _cusum(centred: Sequence[float]) -> tuple[float, int]:
    """Give the largest between-sides sum of squares (up to a factor) and how many values are before that split."""
    total = len(centred)
    sums = enumerate(accumulate(centred), 1)
    return max((value * value / (k * (total - k)), k) for k, value in sums if FEWEST <= k <= total - FEWEST)
