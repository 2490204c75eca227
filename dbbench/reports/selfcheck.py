"""What a self-check found, for people."""

from collections.abc import Iterator, Sequence
from typing import Any, Final

import msgspec
from rich.console import Console

from dbbench.commands.selfcheck.result import SelfCheck
from dbbench.records import NoiseFloor, Overhead, Pgbench, Sensitivity
from dbbench.reports.columns import NOTHING as _DASH
from dbbench.reports.columns import Column
from dbbench.reports.console import plain, print_footer, print_table, print_title, prose
from dbbench.reports.json_text import text

_DEFAULT: Final = "split"  # placement of `dbbench run`


def render(check: SelfCheck, console: Console, *, file: str = "") -> None:
    """Print tables and a sentence; `file` names the result file."""
    tables = {
        ("harness overhead", "dbbench's loop against a bare one, shared"): _overhead(check.harness_overhead),
        ("noise floor", "two identical arms, raw; then one that is slowed down"): _floor(check.noise_floor),
        ("sensitivity", "what a run of a minute finds with 95% power"): _sensitivity(check.sensitivity),
    }
    if check.pgbench is not None:
        tables["truth", "PostgreSQL's own C client on the same query, in turns"] = _pgbench(check.pgbench)
    for (name, explained), lines in tables.items():
        head, *rows = lines
        if not rows:
            continue
        print_title(name, [explained], console)
        layout = [Column(title[0], title[1], values) for title, *values in zip(head, *rows, strict=True)]
        print_table(layout, console)
        console.print()
    for line in (*check.problems, *_ended(check)):
        console.print(plain(line, console), width=prose(console))
    if file:
        print_footer([("file", file)], console)


def json_report(check: SelfCheck) -> str:
    """Write one document: all fields of the self-check."""
    return text(_fields(check))


def _fields(record: msgspec.Struct) -> dict[str, Any]:
    """The fields by name, without the types that the lines of a result file have."""
    return {name: _plain(value) for name, value in msgspec.structs.asdict(record).items()}


def _plain(value: Any) -> Any:
    if isinstance(value, msgspec.Struct):
        return _fields(value)
    return [_plain(each) for each in value] if isinstance(value, list) else value


def _ended(check: SelfCheck) -> Iterator[str]:
    """How it ended, and what it means as far as it came."""
    if not check.finished:
        yield f"The self-check did not finish: {': '.join(filter(None, (check.status, check.reason)))}."
    if check.finished or check.sensitivity:
        yield sentence(check)


def sentence(check: SelfCheck) -> str:
    """What the self-check means for runs on this machine."""
    known = {sensitivity.placement: sensitivity for sensitivity in check.sensitivity}
    placement = _DEFAULT if _DEFAULT in known else next(iter(known), None)
    usual = known.get(placement) if placement is not None else None
    if usual is None or usual.smallest_effect is None:
        return "This machine is too noisy, or was too busy, to tell drivers apart in a minute: do not trust such a run."
    others = [
        f"{other.smallest_effect:.1%} with --placement {other.placement}"
        for other in known.values()
        if other is not usual and other.smallest_effect is not None
    ]
    more = f" ({', '.join(others)})" if others else ""
    return (
        f"On this machine a run of {usual.seconds:.0f} s tells drivers apart that differ by "
        f"{usual.smallest_effect:.1%} or more{more}, "
        "at the raw layer and where a cell has the time to itself; do not trust less."
    )


_Lines = Iterator[list[Any]]  # headings, each with what is below it, then rows of text


def _overhead(overheads: Sequence[Overhead]) -> _Lines:
    """A row for each driver at each place, and what it does to a ratio.

    The loop adds the same time to every driver. So if another one takes twice as long as this one, which takes 1 by
    itself and r with the loop, its ratio reads (2 + r - 1) / r.
    """
    yield [("driver", ""), ("layer", ""), ("sessions", ""), ("time vs bare", ""), ("a ratio of", "2.00 reads")]
    for one in sorted(overheads, key=lambda one: list(dict.fromkeys(map(_place, overheads))).index(_place(one))):
        reads = f"{(1 + one.ratio) / one.ratio:.2f}"
        yield [one.driver, one.layer, f"{one.sessions}", _interval(one.ratio, one.low, one.high), reads]


def _place(overhead: Overhead) -> tuple[str, int]:
    return overhead.layer, overhead.sessions


def _floor(floors: Sequence[NoiseFloor]) -> _Lines:
    yield [("placement", ""), ("95%", "interval"), ("blocks", ""), ("false", "alarms"), ("slowed", "by"), ("found", "")]
    for floor in floors:
        width = _DASH if floor.half_width is None else f"\N{PLUS-MINUS SIGN}{floor.half_width:.2%}"
        low, high = floor.measured_low, floor.measured_high
        measured = f"{floor.measured:.1%}" + ("" if low is None or high is None else f" ({low:.1%} to {high:.1%})")
        blocks = f"{floor.blocks} in {floor.seconds:.0f} s"
        yield [floor.placement, width, blocks, f"{floor.false_alarm_rate:.1%}", f"{floor.injected:.1%}", measured]


def _sensitivity(sensitivities: Sequence[Sensitivity]) -> _Lines:
    yield [("placement", ""), ("smallest", "slow-down"), ("blocks", "")]
    for sensitivity in sensitivities:
        effect = "none up to 50%" if sensitivity.smallest_effect is None else f"{sensitivity.smallest_effect:.1%}"
        yield [sensitivity.placement, effect, f"{sensitivity.blocks} in {sensitivity.seconds:.0f} s"]


def _pgbench(pgbench: Pgbench) -> _Lines:
    yield [("client", ""), ("per operation", "µs"), ("tax", "")]
    yield ["pgbench -M prepared", f"{pgbench.pgbench_us:.1f}", _DASH]
    low, high = pgbench.low, pgbench.high
    tax = f"{pgbench.tax:.0%}" + ("" if low is None or high is None else f" ({low:.0%} to {high:.0%})")
    yield [f"{pgbench.driver}, raw", f"{pgbench.driver_us:.1f}", tax]


def _interval(ratio: float, low: float | None, high: float | None) -> str:
    return f"{ratio:.3f}" if low is None or high is None else f"{ratio:.3f} ({low:.3f}-{high:.3f})"
