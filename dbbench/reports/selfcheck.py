"""What a self-check found, for people."""

from collections.abc import Iterator, Sequence
from typing import Any, Final

from rich.console import Console

from dbbench.commands.selfcheck.result import NoiseFloor, Overhead, Pgbench, SelfCheck, Sensitivity
from dbbench.reports.columns import NOTHING as _DASH
from dbbench.reports.columns import Column
from dbbench.reports.console import plain, print_table, print_title, prose
from dbbench.reports.json_text import text

_DEFAULT: Final = "split"  # placement of `dbbench run`


def render(found: SelfCheck, console: Console) -> None:
    """Print tables and a sentence."""
    tables = {
        ("harness overhead", "dbbench's loop against a bare one, shared"): _overhead(found.harness_overhead),
        ("noise floor", "two identical arms, raw; then one that is slowed down"): _floor(found.noise_floor),
        ("sensitivity", "what a run of a minute finds with 95% power"): _sensitivity(found.sensitivity),
    }
    if found.pgbench is not None:
        tables["truth", "PostgreSQL's own C client on the same query, in turns"] = _pgbench(found.pgbench)
    for (name, explained), lines in tables.items():
        head, *rows = lines
        if not rows:
            continue
        print_title(name, [explained], console)
        layout = [Column(title[0], title[1], values) for title, *values in zip(head, *rows, strict=True)]
        print_table(layout, console)
        console.print()
    for line in (*found.problems, sentence(found)):
        console.print(plain(line, console), width=prose(console))


def json_report(found: SelfCheck) -> str:
    """Write one document: all fields of the self-check."""
    return text(found)


def sentence(found: SelfCheck) -> str:
    """What the self-check means for runs on this machine."""
    known = {one.placement: one for one in found.sensitivity}
    placement = _DEFAULT if _DEFAULT in known else next(iter(known), None)
    one = known.get(placement) if placement is not None else None
    if one is None or one.smallest_effect is None:
        return "This machine is too noisy, or was too busy, to tell drivers apart in a minute: do not trust such a run."
    others = [
        f"{other.smallest_effect:.1%} with --placement {other.placement}"
        for other in known.values()
        if other is not one and other.smallest_effect is not None
    ]
    more = f" ({', '.join(others)})" if others else ""
    return (
        f"On this machine a run of {one.seconds:.0f} s tells drivers apart that differ by {one.smallest_effect:.1%} "
        f"or more{more}, at the raw layer and where a cell has the time to itself; do not trust less."
    )


_Lines = Iterator[list[Any]]  # headings, each with what is below it, then rows of text


def _overhead(found: Sequence[Overhead]) -> _Lines:
    layers = list(dict.fromkeys(one.layer for one in found))
    by_place = {(one.driver, one.layer): one for one in found}
    yield [("driver", ""), *((layer, "time vs bare") for layer in layers)]
    for driver in dict.fromkeys(one.driver for one in found):
        cells = (by_place.get((driver, layer)) for layer in layers)
        yield [driver, *(_DASH if one is None else _interval(one.ratio, one.low, one.high) for one in cells)]


def _floor(found: Sequence[NoiseFloor]) -> _Lines:
    yield [("placement", ""), ("95%", "interval"), ("blocks", ""), ("false", "alarms"), ("slowed", "by"), ("found", "")]
    for one in found:
        width = _DASH if one.half_width is None else f"\N{PLUS-MINUS SIGN}{one.half_width:.2%}"
        low, high = one.measured_low, one.measured_high
        measured = f"{one.measured:.1%}" + ("" if low is None or high is None else f" ({low:.1%} to {high:.1%})")
        blocks = f"{one.blocks} in {one.seconds:.0f} s"
        yield [one.placement, width, blocks, f"{one.false_alarm_rate:.1%}", f"{one.injected:.1%}", measured]


def _sensitivity(found: Sequence[Sensitivity]) -> _Lines:
    yield [("placement", ""), ("smallest", "slow-down"), ("blocks", "")]
    for one in found:
        effect = "none up to 50%" if one.smallest_effect is None else f"{one.smallest_effect:.1%}"
        yield [one.placement, effect, f"{one.blocks} in {one.seconds:.0f} s"]


def _pgbench(found: Pgbench) -> _Lines:
    yield [("client", ""), ("per operation", "µs"), ("tax", "")]
    yield ["pgbench -M prepared", f"{found.pgbench_us:.1f}", _DASH]
    low, high = found.low, found.high
    tax = f"{found.tax:.0%}" + ("" if low is None or high is None else f" ({low:.0%} to {high:.0%})")
    yield [f"{found.driver}, raw", f"{found.driver_us:.1f}", tax]


def _interval(ratio: float, low: float | None, high: float | None) -> str:
    return f"{ratio:.3f}" if low is None or high is None else f"{ratio:.3f} ({low:.3f}-{high:.3f})"
