"""What a gate found, in plain words; the same in every report that people read.

All text from data goes through `shown` here, so the results are short, on one line, and UTF-8.
"""

from collections.abc import Iterator, Sequence
from typing import Final

from dbbench.commands.gate.result import SAME, Finding, GateResult, GateRow, GateVerdict, Metric
from dbbench.reports.columns import NOTHING
from dbbench.reports.text import MAX_TEXT, number, share, shown
from dbbench.units import in_one_unit
from dbbench.wording import are, count

METRICS: Final[dict[Metric, str]] = {
    "time": "time per operation",
    "cpu": "client CPU per operation",
    "p95": "p95 latency",
    "p99": "p99 latency",
}
SHORT: Final[dict[Metric, str]] = {"time": "time", "cpu": "CPU", "p95": "p95", "p99": "p99"}
WORDS: Final[dict[GateVerdict, str]] = {
    GateVerdict.PASS: "PASS",
    GateVerdict.FAIL: "FAIL",
    GateVerdict.INCONCLUSIVE: "INCONCLUSIVE",
    GateVerdict.ADVISORY: "ADVISORY",
}
MAX_NAMED: Final = 3  # rows in the sentence of a verdict; the tables have all of them

_MORE: Final[dict[Metric, tuple[str, str]]] = {  # a latency is high, a time is much
    "time": ("more", "less"),
    "cpu": ("more", "less"),
    "p95": ("higher", "lower"),
    "p99": ("higher", "lower"),
}
_URGENT: Final = (GateVerdict.FAIL, GateVerdict.INCONCLUSIVE)  # what people look for first
_SMALL_P: Final = 0.001
_DIGITS: Final = (1, 2, 3)  # that a share may have, in per cent


# --- the verdict -----------------------------------------------------------------------------------------------------


def verdict_sentence(result: GateResult) -> str:
    """What failed, or that everything is within tolerance, or what is inconclusive and what would decide it."""
    counted = [finding for finding in result.findings if finding.row.verdict is not GateVerdict.ADVISORY]
    match result.verdict:
        case GateVerdict.FAIL:
            said = _failed(counted)
        case GateVerdict.INCONCLUSIVE:
            said = f"{_inconclusive(counted)} {_full_stop(shown(result.budget_hint, MAX_TEXT))}".rstrip()
        case _:
            said = _passed(counted)
    advisory = len(result.findings) - len(counted)
    return f"{said} {_advisory(advisory)}".rstrip()


def _failed(counted: Sequence[Finding]) -> str:
    failing = [finding for finding in counted if finding.row.verdict is GateVerdict.FAIL]
    if not failing:
        return "The gate failed, though no comparison did (see the problems)."
    worst_first = sorted(failing, key=lambda finding: finding.tolerance - (number(finding.row.loss) or 0.0))
    said = f"{_of(failing, counted)} {'fails' if len(failing) == 1 else 'fail'}: {_named(worst_first)}"
    open_ = sum(finding.row.verdict is GateVerdict.INCONCLUSIVE for finding in counted)
    return f"{said}; {open_:,} {are(open_)} inconclusive." if open_ else f"{said}."


def _inconclusive(counted: Sequence[Finding]) -> str:
    open_ = [finding for finding in counted if finding.row.verdict is GateVerdict.INCONCLUSIVE]
    if not counted:
        return "There was nothing to compare."
    if not open_:
        return "The gate is inconclusive, though no comparison is (see the problems)."
    return f"{_of(open_, counted)} {are(len(open_))} inconclusive: {_named(open_)}."


def _passed(counted: Sequence[Finding]) -> str:
    tolerances = list(dict.fromkeys(finding.tolerance for finding in counted))
    if not counted:
        return "Nothing was compared that could fail."
    allowed = f"the tolerance of {share(tolerances[0])}" if len(tolerances) == 1 else "their tolerances"
    if len(counted) == 1:
        return f"The only comparison is within {allowed}."
    return f"All {len(counted):,} comparisons are within {allowed}."


def _advisory(advisory: int) -> str:
    if not advisory:
        return ""
    return f"{advisory:,} {are(advisory)} advisory and no part of the verdict."


def _of(some: Sequence[Finding], all_: Sequence[Finding]) -> str:
    return f"{len(some):,} of {count(len(all_), 'comparison')}"


def _named(findings: Sequence[Finding]) -> str:
    said = [row_sentence(finding) for finding in findings[:MAX_NAMED]]
    more = len(findings) - len(said)
    return "; ".join([*said, f"and {more:,} more"] if more else said)


def _full_stop(text: str) -> str:
    return f"{text}." if text and not text.endswith((".", "!", "?")) else text


# --- a row -----------------------------------------------------------------------------------------------------------


def row_sentence(finding: Finding) -> str:
    """What was found: orders, orm, 1 session, asyncpg: 5.1% more time per operation (4.2% to 6.0%), tolerance 3%.

    Without a loss, why there is none; for a failing row, also what the counts say of it.
    """
    row = finding.row
    where = ", ".join([*cell(row), shown(row.driver)])
    if number(row.loss) is None:
        return f"{where}: {not_measured(finding)}"
    counted = f"; {on_the_wire(finding)}" if row.verdict is GateVerdict.FAIL and finding.wire else ""
    return f"{where}: {_loss_in_words(finding)}, {_against_tolerance(finding)}{counted}"


def _against_tolerance(finding: Finding) -> str:
    """The tolerance; a row that failed within it, because head is surely slower, has to explain that."""
    row, tolerance = finding.row, share(finding.tolerance)
    middle, p = number(row.loss), number(row.p_adjusted)
    if row.verdict is not GateVerdict.FAIL or middle is None or middle > finding.tolerance:
        return f"tolerance {tolerance}"
    chance = "" if p is None else " (p < 0.001)" if p < _SMALL_P else f" (p {p:.3f})"
    return f"within the tolerance of {tolerance}, but no chance result{chance}"


def on_the_wire(finding: Finding) -> str:
    """What head does differently on the wire, if anything: on the wire 4 -> 11 round trips per operation."""
    return f"on the wire {shown(finding.wire, MAX_TEXT)}"


def not_measured(finding: Finding) -> str:
    """That there is no loss, and why."""
    said = f"no loss can be given for {METRICS[finding.row.metric]}"
    return f"{said}: {shown(finding.reason, MAX_TEXT)}" if finding.reason else said


def what_would_decide(finding: Finding) -> str:
    """The loss that would have been found, and how many blocks would decide; empty where neither is known."""
    said = []
    if (detectable := number(finding.detectable)) is not None:
        said.append(f"a loss of {share(detectable)} would have been found")
    if finding.blocks_wanted is not None:
        said.append(f"about {count(finding.blocks_wanted, 'block')} would decide")
    return ", ".join(said)


def remarks(findings: Sequence[Finding], *, within: bool) -> Iterator[str]:
    """What a table of the rows leaves out; `within`: the cell need not be named."""
    advisory: dict[str, list[str]] = {}
    for finding in _counted_differently(findings):
        yield f"{_who(finding, [finding], within=within)}: {on_the_wire(finding)}"
    for finding in findings:
        row, who = finding.row, _who(finding, findings, within=within)
        if row.verdict is GateVerdict.ADVISORY:
            advisory.setdefault(finding.reason, []).append(who)
        elif number(row.loss) is None:
            who = _who(finding, [finding], within=within)  # the rest names the metric
            yield f"{who}: {not_measured(finding)}"
        elif row.verdict is GateVerdict.INCONCLUSIVE and (said := what_would_decide(finding)):
            yield f"{who}: {said}"
    for reason, names in advisory.items():
        # The rows of a metric are often advisory for one reason.
        yield f"advisory: {'; '.join(names)}{f' ({shown(reason, MAX_TEXT)})' if reason else ''}"


def _counted_differently(findings: Sequence[Finding]) -> list[Finding]:
    """A finding for each cell and driver whose counts differ between base and head."""
    found: dict[tuple[object, ...], Finding] = {}
    for finding in findings:
        if finding.wire not in ("", SAME):
            found.setdefault((*cell(finding.row), finding.row.params, finding.row.driver), finding)
    return list(found.values())


def _who(finding: Finding, among: Sequence[Finding], *, within: bool) -> str:
    row = finding.row
    of = f", {METRICS[row.metric]}" if any(other.row.metric != row.metric for other in among) else ""
    return ", ".join([*([] if within else cell(row)), shown(row.driver)]) + of


def cell(row: GateRow) -> list[str]:
    """Where the row was measured: the scenario, the layer and the sessions."""
    return [shown(row.scenario), *filter(None, [shown(row.layer)]), count(row.sessions, "session")]


def urgent_first(findings: Sequence[Finding]) -> list[Finding]:
    """The failing rows first, then the inconclusive ones, then the rest, each in their order."""
    return sorted(
        findings,
        key=lambda finding: _URGENT.index(finding.row.verdict) if finding.row.verdict in _URGENT else len(_URGENT),
    )


# --- numbers ---------------------------------------------------------------------------------------------------------


def loss(finding: Finding) -> str:
    """The loss with its interval for a table: +5.1% (+4.2 to +6.0)."""
    middle, low, high = _losses(finding.row)
    if middle is None:
        return NOTHING
    digits = _digits(finding)
    said = f"{middle:+z.{digits}%}"
    if low is None or high is None:
        return said
    return f"{said} ({100 * low:+z.{digits}f} to {100 * high:+z.{digits}f})"


def _loss_in_words(finding: Finding) -> str:
    """The loss with its interval for a sentence: 5.1% more time per operation (4.2% to 6.0%)."""
    middle, low, high = _losses(finding.row)
    assert middle is not None
    digits, (more, less) = _digits(finding), _MORE[finding.row.metric]
    said = f"{abs(middle):.{digits}%} {less if middle < 0 else more} {METRICS[finding.row.metric]}"
    if low is None or high is None:
        return said
    if (low < 0) == (high < 0) == (middle < 0):
        ends = sorted((abs(low), abs(high)))
        return f"{said} ({ends[0]:.{digits}%} to {ends[1]:.{digits}%})"
    words = [f"{abs(end):.{digits}%} {less if end < 0 else more}" for end in (low, high)]
    return f"{said} ({' to '.join(words)})"


def _losses(row: GateRow) -> tuple[float | None, float | None, float | None]:
    return number(row.loss), number(row.loss_low), number(row.loss_high)


def _digits(finding: Finding) -> int:
    """The fewest that tell the loss and its ends from the tolerance: 5.04% is more than 5%, and must look it."""
    values = [value for value in _losses(finding.row) if value is not None and value != finding.tolerance]
    for digits in _DIGITS:
        edge = round(100 * finding.tolerance, digits)
        if all(round(100 * value, digits) != edge for value in values):
            return digits
    return _DIGITS[0]  # nobody could see a difference as small as that


def times(values_us: Sequence[float | None]) -> tuple[list[str], str]:
    """Times in one unit, and the unit; an unknown time is a dash."""
    known = [number(value) for value in values_us]
    texts, unit = in_one_unit([value for value in known if value is not None])
    left = iter(texts)
    return [NOTHING if value is None else next(left) for value in known], unit


# --- texts -----------------------------------------------------------------------------------------------------------


def pythons(result: GateResult) -> tuple[str, str] | None:
    """The Python of base and that of head, where they differ."""
    base, head = shown(result.base.python), shown(result.head.python)
    return None if base == head else (base, head)


def packages(result: GateResult) -> list[tuple[str, str, str]]:
    """What is installed differently, Python first: its name, its version in base and in head."""
    python = pythons(result)
    versions = [
        (difference.package, difference.base or NOTHING, difference.head or NOTHING)
        for difference in result.differences
    ]
    return [
        *([("Python", *python)] if python else []),
        *((shown(package), shown(base), shown(head)) for package, base, head in versions),
    ]


def no_packages(result: GateResult) -> str:
    """Why the list of different packages is empty."""
    if result.base.packages or result.head.packages:
        return "The installed packages are the same in base and head."
    return "Which packages are installed in base and head is not known."
