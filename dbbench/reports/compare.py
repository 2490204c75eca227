"""Two stored runs beside each other: a table for people, JSON, CSV and Markdown."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import groupby
from typing import Any, Final

from rich.console import Console
from rich.padding import Padding

from dbbench.choices import Decimal
from dbbench.commands import identity
from dbbench.commands.stored.compare import Change, Comparison, LeftOut
from dbbench.commands.stored.fingerprint import Difference, fingerprint
from dbbench.records import Run, clean
from dbbench.reports.columns import NOTHING, Column
from dbbench.reports.console import INDENT, plain, print_footer, print_table, print_title, prose
from dbbench.reports.csv_text import table as csv_table
from dbbench.reports.exported import exported
from dbbench.reports.json_text import SCHEMA, text
from dbbench.reports.markdown_text import escaped, table
from dbbench.reports.text import place, when
from dbbench.stats.paired import Verdict
from dbbench.units import in_one_unit
from dbbench.wording import are, count

MAX_LINES: Final = 30  # of one kind; all of them are in the JSON
ADVICE: Final = (
    "advisory: intervals hold for the whole table at once (95%), but know only what blocks differ by within each run. "
    "Whole runs of the same differ by more: by 10 to 20% between machines, and on a busy one. "
    "dbbench gate measures both sides in one job"
)
REFUSED: Final = "The two runs are not alike: nothing is compared. --force compares them nevertheless."
NOTHING_IN_COMMON: Final = "The two runs have no driver in a cell in common that could be compared."
# Of two runs of the same thing more than one in twenty say so, too: see ADVICE.
_WORDS: Final = {Verdict.FASTER: "perhaps faster", Verdict.SLOWER: "perhaps slower", Verdict.TIE: "tie"}
_STYLES: Final = {Verdict.FASTER: "green", Verdict.SLOWER: "red"}
DIGITS: Final = 4  # of all numbers of an export


def render(comparison: Comparison, console: Console) -> None:
    """Print on the console, which decides on colours."""
    for (name, rest), rows in _cells(comparison.changes):
        print_title(name, rest, console)
        print_table(columns(rows), console, [_STYLES.get(row.verdict, "") for row in rows])
        console.print(Padding(plain(control_time(rows[0], comparison), console, "dim"), INDENT), width=prose(console))
        console.print()
    if said := _instead(comparison):
        console.print(plain(said, console, "bold"), width=prose(console))
        console.print()
    print_footer(conditions(comparison), console)


def json_report(comparison: Comparison) -> str:
    """Write one document with everything that was compared."""
    document = {
        "schema": SCHEMA,
        "base": _side(comparison.base),
        "head": _side(comparison.head),
        "control": comparison.control,
        "control_changes": comparison.control_changes,
        "compared": not comparison.refused,
        "mismatches": comparison.mismatches,
        "changed": comparison.changed,
        "changes": [exported(change, DIGITS) for change in comparison.changes],
        "left_out": comparison.left_out,
        "warnings": comparison.warnings,
        "advice": ADVICE,
    }
    return text(document)


def csv_report(comparison: Comparison, *, decimal: Decimal = "point") -> str:
    """Write one line per cell and driver of both runs, and which runs these are."""
    sides = {"base": identity.identity(comparison.base.header), "head": identity.identity(comparison.head.header)}
    lines = (
        {
            **exported(change, DIGITS),
            **{
                f"{side}_{name}": value
                for side, of_run in sides.items()
                for name, value in of_run.columns(change.driver).items()
            },
        }
        for change in comparison.changes
    )
    more = [f"{side}_{name}" for side in sides for name in identity.COLUMNS]
    return csv_table((*Change.__struct_fields__, *more), lines, decimal)


def markdown_report(comparison: Comparison) -> str:
    """Write a table per cell and the conditions below, for pull requests and job summaries."""
    parts = [
        f"### {escaped(name)}: {', '.join(map(escaped, rest))}\n\n{table(columns(rows))}\n\n"
        f"{escaped(control_time(rows[0], comparison))}"
        for (name, rest), rows in _cells(comparison.changes)
    ]
    parts += [f"**{_instead(comparison)}**"] if _instead(comparison) else []
    facts = (f"- {escaped(': '.join(filter(None, fact)))}" for fact in conditions(comparison))
    return "\n\n".join([*parts, "\n".join(facts)]) + "\n"


def columns(rows: Sequence[Change]) -> list[Column]:
    """Lay out the rows of one cell: the ratios then and now, and what changed."""
    heading = f"time vs {rows[0].control}"
    return [
        Column("driver", "", [row.driver for row in rows]),
        Column(heading, "base", [ratio(row.base_ratio) for row in rows]),
        Column(heading, "head", [ratio(row.head_ratio) for row in rows]),
        Column("change", "", [_change(row) for row in rows]),
        Column("verdict", "", [_WORDS.get(row.verdict, row.verdict) for row in rows]),
    ]


def control_time(row: Change, comparison: Comparison) -> str:
    """How long the control itself took, and whether it changed too."""
    (base, head), unit = in_one_unit([row.control_base_us, row.control_head_us])
    changed = (
        f", with changes of its own ({', '.join(comparison.control_changes)})" if comparison.control_changes else ""
    )
    return (
        f"{row.control} itself: {base} {unit} per operation, then {head} {unit}{changed} "
        "(not comparable across machines)"
    )


def conditions(comparison: Comparison) -> list[tuple[str, str]]:
    """What was compared, what differs, and how far to believe it; as pairs of a word and a text."""
    facts = [("base", _run(comparison.base)), ("head", _run(comparison.head))]
    facts += _lines("different", comparison.mismatches, _difference)
    facts += _lines("changed", comparison.changed, _difference)
    facts += _lines("left out", comparison.left_out, _left_out)
    facts += [("warning", warning) for warning in comparison.warnings]
    if any(change.change_low is None for change in comparison.changes):
        needed = comparison.blocks_needed
        facts.append(
            ("note", f"{NOTHING} an interval needs {needed} blocks in each run: dbbench run --blocks {needed}")
        )
    return [(clean(label), clean(text)) for label, text in [*facts, ("note", ADVICE)]]


def over_text(row: Change, share: float) -> str:
    """What to say of a row that is over the limit."""
    assert row.change_low is not None
    where = ", ".join([row.scenario, *place_of(row)[1], row.driver])
    return f"{where}: at least {row.change_low:.1%} more time relative to {row.control}; --fail-over is {share:.1%}"


def place_of(row: Any) -> tuple[str, list[str]]:
    """What to call the cell of a row of two runs or of a trend."""
    return place(row.scenario, row.layer, row.sessions, row.params)


def ratio(value: float) -> str:
    """Write a ratio."""
    return f"{value:.2f}" if value < 10 else f"{value:.1f}"  # noqa: PLR2004


def _cells(changes: Iterable[Change]) -> Iterator[tuple[tuple[str, list[str]], list[Change]]]:
    return ((where, list(rows)) for where, rows in groupby(changes, place_of))


def _change(row: Change) -> str:
    """A change with its interval: -8.1% (-14.9% to -0.8%); z avoids -0.0%."""
    if row.change_low is None or row.change_high is None:
        return f"{row.change:+z.1%} ({NOTHING})"
    return f"{row.change:+z.1%} ({row.change_low:+z.1%} to {row.change_high:+z.1%})"


def _instead(comparison: Comparison) -> str:
    if comparison.refused:
        return REFUSED
    return "" if comparison.changes else NOTHING_IN_COMMON


def _run(run: Run) -> str:
    blocks = len({measurement.block for measurement in run.measurements})
    parts = [run.header.id, when(run.header.started), count(blocks, "block"), run.status]
    return ", ".join(parts)


def _lines(label: str, items: Sequence[Any], line: Callable[[Any], str]) -> list[tuple[str, str]]:
    lines = [(label, line(item)) for item in items[:MAX_LINES]]
    if (more := len(items) - MAX_LINES) > 0:
        lines.append(("", f"{more:,} more {are(more)} in the JSON"))
    return lines


def _difference(difference: Difference) -> str:
    return f"{difference.key}: {difference.base} -> {difference.head}"


def _left_out(row: LeftOut) -> str:
    return f"{', '.join([row.scenario, *place_of(row)[1], row.driver])}: {row.reason}"


def _side(run: Run) -> dict[str, Any]:
    header = run.header
    return {"id": header.id, "started": header.started, "status": run.status, "fingerprint": fingerprint(run)}
