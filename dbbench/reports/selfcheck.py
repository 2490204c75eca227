"""What a self-check found, for people."""

from collections.abc import Iterator, Sequence
from typing import Final

from rich.console import Console
from rich.table import Table
from rich.text import Text

from dbbench.trust import NoiseFloor, Overhead, Pgbench, SelfCheck, Sensitivity

_DASH: Final = "\N{EN DASH}"
_DEFAULT: Final = "split"  # placement of `dbbench run`


def render(found: SelfCheck, console: Console) -> None:
    """Print tables and a sentence."""
    _print(console, "harness overhead", "dbbench's loop against a bare one, shared", _overhead(found.harness_overhead))
    _print(console, "noise floor", "two identical arms, and one slowed by a known busy-wait", _floor(found.noise_floor))
    _print(console, "sensitivity", "what a run of a minute finds with 95% power", _sensitivity(found.sensitivity))
    if found.pgbench is not None:
        _print(console, "truth", "PostgreSQL's own C client, same query, in turns", _pgbench(found.pgbench))
    for line in (*found.problems, sentence(found)):
        console.print(Text(line), width=min(console.width, 100))


def sentence(found: SelfCheck) -> str:
    """Say what it means for runs on this machine."""
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
        f"or more{more}, where a cell has the time to itself; do not trust less."
    )


def _overhead(found: Sequence[Overhead]) -> Iterator[list[str]]:
    yield ["driver", "layer", "time vs bare"]
    for one in found:
        yield [one.driver, one.layer, _interval(one.ratio, one.low, one.high, 3)]


def _floor(found: Sequence[NoiseFloor]) -> Iterator[list[str]]:
    yield ["placement", "95% interval", "blocks", "false alarms", "slowed by", "found"]
    for one in found:
        width = _DASH if one.half_width is None else f"\N{PLUS-MINUS SIGN}{one.half_width:.2%}"
        low, high = one.measured_low, one.measured_high
        measured = f"{one.measured:.1%}" + ("" if low is None or high is None else f" ({low:.1%} to {high:.1%})")
        blocks = f"{one.blocks} in {one.seconds:.0f} s"
        yield [one.placement, width, blocks, f"{one.false_alarm_rate:.1%}", f"{one.injected:.1%}", measured]


def _sensitivity(found: Sequence[Sensitivity]) -> Iterator[list[str]]:
    yield ["placement", "smallest slow-down", "blocks"]
    for one in found:
        effect = "none up to 50%" if one.smallest_effect is None else f"{one.smallest_effect:.1%}"
        yield [one.placement, effect, f"{one.blocks} in {one.seconds:.0f} s"]


def _pgbench(found: Pgbench) -> Iterator[list[str]]:
    yield ["client", "time per operation", "tax"]
    yield ["pgbench -M prepared", f"{found.pgbench_us:.1f} us", ""]
    low, high = found.low, found.high
    tax = f"{found.tax:.0%}" + ("" if low is None or high is None else f" ({low:.0%} to {high:.0%})")
    yield [f"{found.driver}, raw", f"{found.driver_us:.1f} us", tax]


def _interval(value: float, low: float | None, high: float | None, digits: int) -> str:
    if low is None or high is None:
        return f"{value:.{digits}f}"
    return f"{value:.{digits}f} ({low:.{digits}f}-{high:.{digits}f})"


def _print(console: Console, name: str, explained: str, lines: Iterator[list[str]]) -> None:
    console.print(Text.assemble((name, "bold"), (f" - {explained}", "dim")))
    head, *rows = lines
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for position, title in enumerate(head):
        table.add_column(Text(title, "dim"), justify="left" if position == 0 else "right", no_wrap=True)
    for row in rows:
        table.add_row(*(Text(each) for each in row))
    console.print(table)
    console.print()
