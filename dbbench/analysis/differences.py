"""How two results differ, and what makes them comparable: pure reading of the lines of worker/canonical.py."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from dbbench.analysis.natures import COLLECTIONS, MISSING, ORDER, TABLE, Nature, Part, nature

# `operation 1[3]['a: b'].name: str 'x'`: keys of mappings are quoted, and may contain what else ends a path.
_LINE: Final = re.compile(r"""((?:\[(?:'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"|[^\]])*\]|[^\[:])*): (.*)""", re.DOTALL)
_STEP: Final = re.compile(r"[\[.]")
_AT_MOST: Final = 3  # natures that are told


@dataclass(frozen=True)
class Difference:
    """The first place where two results differ in some way."""

    path: str
    got: Part | None  # None: there is nothing at this place
    wanted: Part | None
    nature: Nature
    more: int = 0  # places that differ in the same way

    def sentence(self, name: str, reference: str) -> str:
        """What was found, in words: where, who gave what, why, and what to change."""
        got, wanted = ("nothing" if part is None else part.shown for part in (self.got, self.wanted))
        more = f" ({self.more:,} more like it)" if self.more else ""
        why = f": {self.nature.says}" if self.nature.says else ""
        way_out = f"; {self.nature.way_out}" if self.nature.way_out else ""
        return f"{self.path}: {name} gave {got}, {reference} gave {wanted}{more}{why}{way_out}"


def sentences(
    name: str, lines: Sequence[str], reference: str, others: Sequence[str], *, complete: bool = True
) -> list[str]:
    """How the results of two arms differ, one sentence for each nature; `complete`: the lines are all there are."""
    if found := differences(lines, others, complete=complete):
        return [each.sentence(name, reference) for each in found[:_AT_MOST]]
    return [f"{name} and {reference} differ beyond the first {len(lines):,} values; return fewer to see where"]


def differences(lines: Sequence[str], others: Sequence[str], *, complete: bool = True) -> list[Difference]:
    """Where two results differ, one difference for each nature; none where the lines are equal.

    Beneath a place that differs nothing is compared. `complete`: whether the lines are all there are; otherwise what
    only one of them has may merely have been cut off.
    """
    mine, theirs = dict(map(read, lines)), dict(map(read, others))
    found: dict[str, tuple[Part | None, Part | None]] = {}
    for path in dict.fromkeys([*mine, *theirs]):
        pair = mine.get(path), theirs.get(path)
        known = complete or None not in pair
        if pair[0] != pair[1] and known and not any(above in found for above in _above(path)):
            found[path] = pair
    if found and _rows(mine) == _rows(theirs):
        path, (got, wanted) = next(iter(found.items()))
        return [Difference(path, got, wanted, ORDER, len(found) - 1)]
    return _grouped(found)


def read(line: str) -> tuple[str, Part]:
    """The path and the value of a line; of a table's line, its name and what is said of it."""
    match = _LINE.fullmatch(line)
    path, value = match.groups() if match else (line, "")
    first, _, rest = value.partition(" ")
    if path.startswith("table "):
        return path, Part("", value)
    return path, Part(rest, first) if rest in COLLECTIONS else Part(first, rest)


def _above(path: str) -> Iterator[str]:
    """The places that contain the place."""
    return (path[: step.start()] for step in _STEP.finditer(path))


def _grouped(found: Mapping[str, tuple[Part | None, Part | None]]) -> list[Difference]:
    """The first difference of each nature, with the number of those like it."""
    natures = {path: _nature(*pair) for path, pair in found.items()}
    counts = Counter(each.name for each in natures.values())
    firsts: dict[str, Difference] = {}
    for path, (got, wanted) in found.items():
        its = natures[path]
        firsts.setdefault(its.name, Difference(path, got, wanted, its, counts[its.name] - 1))
    return list(firsts.values())


def _nature(got: Part | None, wanted: Part | None) -> Nature:
    if got is None or wanted is None:
        return MISSING
    return TABLE if not got.kind else nature(got, wanted)


def _rows(parts: Mapping[str, Part]) -> Counter[tuple[tuple[str, Part], ...]]:
    """The items of each operation's result, without their numbers."""
    rows: dict[tuple[str, str], list[tuple[str, Part]]] = {}
    for path, part in parts.items():
        operation, _, rest = path.partition("[")
        number, _, inside = rest.partition("]")
        place = f"{operation}[{inside}" if number.isdecimal() else path
        rows.setdefault((operation, number if number.isdecimal() else ""), []).append((place, part))
    return Counter(map(tuple, rows.values()))
