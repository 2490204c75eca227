"""Whole gates on a scripted machine: from a request to verdict, exit code and every report.

Two environments that exist on paper only; the noise is recorded from real gates of identical sides.
"""

import csv
import html
import io
import json
import re
import xml.etree.ElementTree as ET
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec
import pytest
from builders import options_with
from engine.runs import Listener, options
from engine.scripted import ADDRESS, ScriptedMachine

from dbbench import messages, result_file
from dbbench.cli.gate import Inconclusive, measured_verdict
from dbbench.commands.gate.findings import exit_code
from dbbench.commands.gate.homes import GateHomes
from dbbench.commands.gate.inventory import Inventory
from dbbench.commands.gate.judging import FAIL_ERROR, LOOKS, MIN_LOSS, SUSPECT
from dbbench.commands.gate.result import ARMS, BASE, HEAD, GateResult, GateVerdict
from dbbench.commands.gate.sides import Environment, Wanted
from dbbench.commands.gate.steps import Request, between, counted_sides
from dbbench.commands.recording import Ended
from dbbench.commands.run import execute
from dbbench.engine.rounds import GATE_LEAST_ROUNDS, MAX_ROUNDS
from dbbench.engine.routes import Routes
from dbbench.engine.setup import SetUp
from dbbench.engine.watcher import Watcher
from dbbench.errors import CannotStartError, ExitCode, Interrupted, UsageError
from dbbench.messages import Start
from dbbench.plan import Connections
from dbbench.records import Exchange, Run, WireRow
from dbbench.reports import formats, report
from dbbench.reports.stored import shown
from dbbench.wording import count

SAME = "base 1ms, head 1ms recorded"
SLOWER = "base 1000us, head 1100us recorded"
PACKAGES = {"psycopg": "3.2.9", "asyncpg": "0.30.0", "psycopg2-binary": "2.9.10", "sqlalchemy": "2.0.41"}
LOOK_BLOCKS = [look.blocks for look in LOOKS]


@dataclass
class Gated:
    """A gate that is over."""

    run: Run
    result: GateResult
    ended: Ended
    listener: Listener
    machine: ScriptedMachine

    @property
    def verdicts(self) -> dict[tuple[str, str], GateVerdict]:
        """(Scenario, driver) -> verdict."""
        return {(one.row.scenario, one.row.driver): one.row.verdict for one in self.result.findings}

    def exit_code(self, inconclusive: str | None = None) -> int:
        """How the command ends."""
        return exit_code(self.result, self.ended.exit_code, inconclusive)


def environment(
    arm: str, project: Path | None = None, checkout: Path | None = None, versions: Mapping[str, str] | None = None
) -> Environment:
    packages = {name: version for name, version in {**PACKAGES, **(versions or {})}.items() if version}
    return Environment(f"the {arm}", Path(arm), project, checkout, Inventory("CPython", "3.11.7", packages, [], []))


def places(folder: Path, *, project: bool = False, **head: str) -> GateHomes:
    """Homes of two environments, or of two revisions; `head` has versions of packages that only head has."""
    if not project:
        return GateHomes({BASE: environment(BASE), HEAD: environment(HEAD, versions=head)}, folder)
    sides = {arm: environment(arm, folder / "sides" / arm, folder) for arm in ARMS}
    return GateHomes(sides, folder, folder)


def request(folder: Path, *names: str, tolerances: dict[str, float] | None = None, **changes: Any) -> Request:
    """A gate of all drivers with two rounds in a block, as recorded noise has them."""
    project = changes.pop("project", None)
    for name in names:
        for place in (folder, *(folder / "sides" / arm for arm in ARMS)):
            place.mkdir(parents=True, exist_ok=True)
            (place / f"{name}.py").touch()
    given = {"drivers": [], "blocks": None, "budget_s": 300.0, "rounds": 2, **changes}
    return Request(Wanted([], [], None, None, project), options(folder, *names, **given), tolerances or {})


def gated(asked: Request, homes: GateHomes, *, at_looks: bool = False, counts: Sequence[WireRow] = ()) -> Gated:
    """Measure and judge; `at_looks` leaves out what is said between two looks, which ends nothing and takes time.

    `counts` were made before.
    """
    machine, listener = ScriptedMachine(), Listener()
    given, purpose = between(asked, homes, listener)
    look = purpose.look
    if at_looks:
        purpose = replace(
            purpose,
            look=lambda plan, measured: look(plan, measured) if measured[-1].block + 1 in LOOK_BLOCKS else set(),
        )
    ended = execute(given, listener, replace(purpose, count=lambda *_: counts), machine.site)
    run = result_file.read(ended.path)
    return Gated(run, shown(run).found, ended, listener, machine)


@pytest.fixture(scope="module")
def identical(tmp_path_factory: pytest.TempPathFactory) -> Gated:
    """A gate of identical sides."""
    folder = tmp_path_factory.mktemp("identical")
    return gated(request(folder, SAME), places(folder))


@pytest.fixture(scope="module")
def slower(tmp_path_factory: pytest.TempPathFactory) -> Gated:
    """A gate of two scenarios, of which head is slower by 10% in one."""
    folder = tmp_path_factory.mktemp("slower")
    return gated(request(folder, SAME, SLOWER), places(folder, asyncpg="0.31.0"))


def ending(
    of: Gated, capsys: pytest.CaptureFixture[str], format_: str, *reports: tuple[str, Path],
    inconclusive: Inconclusive | None = None,
) -> tuple[int, str, str]:  # fmt: skip
    """Let the command end: exit code, stdout, stderr."""
    code = measured_verdict(of.ended, inconclusive).end(format_, reports)
    printed = capsys.readouterr()
    return code, printed.out, printed.err


def test_identical_sides_pass_at_the_first_look(identical: Gated) -> None:
    assert identical.result.verdict is GateVerdict.PASS
    assert identical.result.blocks == LOOK_BLOCKS[0]
    assert identical.verdicts == {(SAME, driver): GateVerdict.PASS for driver in ("psycopg", "asyncpg", "psycopg2")}
    assert identical.exit_code() == ExitCode.OK
    assert identical.run.status == "complete"


def test_what_is_known_is_said_after_every_block(identical: Gated) -> None:
    first, second, *standings = identical.listener.notes

    assert (first, second) == ("base: the base; head: the head", "the installed packages are the same")
    assert [standing.partition(" (")[0] for standing in standings] == [
        f"  after {count(at, 'block')}" for at in range(1, 13)
    ]
    assert standings[0].endswith("psycopg -0.9% ?, asyncpg -0.8% ?, psycopg2 +2.9% ?")
    assert standings[-1].endswith("psycopg +0.9% ok, asyncpg +0.2% ok, psycopg2 +1.0% ok")


def test_a_slower_head_fails_by_name_and_nothing_else_does(slower: Gated) -> None:
    assert slower.result.verdict is GateVerdict.FAIL
    assert slower.result.blocks in LOOK_BLOCKS
    assert slower.exit_code() == slower.exit_code("pass") == ExitCode.REGRESSION
    for one in slower.result.findings:
        row = one.row
        assert row.loss is not None
        assert row.loss_low is not None
        assert row.loss_high is not None
        assert row.p_adjusted is not None
        assert row.loss_low <= row.loss <= row.loss_high
        if row.scenario == SLOWER:
            assert row.verdict is GateVerdict.FAIL
            assert row.loss == pytest.approx(0.1, abs=0.03)
            assert row.loss_low > MIN_LOSS
            assert row.p_adjusted <= FAIL_ERROR
            assert one.head_us == pytest.approx(1.1 * (one.base_us or 0), rel=0.03)
        else:
            assert row.verdict is not GateVerdict.FAIL


def test_a_faster_head_passes(tmp_path: Path) -> None:
    assert gated(request(tmp_path, "base 1100us, head 1000us recorded"), places(tmp_path)).exit_code() == ExitCode.OK


def test_a_tolerance_decides_what_is_fine(tmp_path: Path, slower: Gated) -> None:
    cpu = gated(request(tmp_path, SLOWER, tolerances={"cpu": 0.2, f"{SLOWER}.time": 0.2}), places(tmp_path))

    assert [(one.row.metric, one.tolerance) for one in cpu.result.findings[:2]] == [("time", 0.2), ("cpu", 0.2)]
    assert {one.row.verdict for one in cpu.result.findings} == {GateVerdict.FAIL}, "beyond doubt is beyond doubt"
    assert {one.tolerance for one in slower.result.findings} == {0.05}


def test_a_percentile_counts_where_a_block_has_enough_operations(tmp_path: Path) -> None:
    asked = request(
        tmp_path,
        "base 10us, head 10us recorded",
        drivers=["asyncpg"],
        tolerances={"p95": 0.1, "p99": 0.1},
        budget_s=1.0,
    )
    found = gated(asked, places(tmp_path))
    asked = request(
        tmp_path,
        "base 200us, head 200us recorded",
        tolerances={"p95": 0.1},
        budget_s=3.0,
        output=tmp_path / "few.jsonl",
    )
    few = gated(asked, places(tmp_path))

    assert {one.row.metric: one.row.verdict is GateVerdict.ADVISORY for one in found.result.findings} == {
        "time": False,
        "p95": False,
        "p99": True,
    }
    assert {one.row.metric: one.row.verdict is GateVerdict.ADVISORY for one in few.result.findings} == {
        "time": False,
        "p95": True,
    }
    assert "too few operations in a block" in few.result.findings[1].reason


def test_a_suspect_loss_is_looked_at_again_although_all_pass(tmp_path: Path) -> None:
    found = gated(request(tmp_path, "base 1000us, head 1011us recorded", drivers=["asyncpg"]), places(tmp_path))
    (one,) = found.result.findings
    (at_first,) = [note for note in found.listener.notes if note.startswith(f"  after {LOOK_BLOCKS[0]} blocks")]
    shown = re.search(r"asyncpg \+([\d.]+)% ok$", at_first)

    assert shown is not None
    assert 100 * SUSPECT < float(shown[1]) < 5
    assert found.result.blocks == LOOK_BLOCKS[1]
    assert one.row.verdict is GateVerdict.PASS
    assert one.row.loss is not None
    assert one.row.loss < SUSPECT


def test_what_no_look_decides_is_inconclusive_after_the_last(tmp_path: Path) -> None:
    asked = request(tmp_path, SAME, drivers=["asyncpg"], tolerances={"time": 0.01})
    found = gated(asked, places(tmp_path), at_looks=True)

    assert found.result.blocks == LOOK_BLOCKS[-1]
    assert found.exit_code() == ExitCode.INCONCLUSIVE
    assert f"a gate ends after {LOOK_BLOCKS[-1]}" in found.result.budget_hint


@pytest.mark.parametrize(
    ("inconclusive", "code"),
    [(None, ExitCode.INCONCLUSIVE), ("pass", ExitCode.OK), ("fail", ExitCode.REGRESSION)],
)
def test_a_gate_whose_time_is_over_is_inconclusive(tmp_path: Path, inconclusive: str | None, code: ExitCode) -> None:
    found = gated(request(tmp_path, SAME, budget_s=5.0), places(tmp_path))

    assert found.result.verdict is GateVerdict.INCONCLUSIVE
    assert 1 < found.result.blocks < LOOK_BLOCKS[0]
    assert found.exit_code(inconclusive) == code
    assert "blocks would decide it: --budget" in found.result.budget_hint


def test_what_was_disturbed_is_not_judged(tmp_path: Path) -> None:
    """Head takes twice as long, in blocks that say nothing: neither PASS nor FAIL."""
    stopped = " ".join(f"stopped in block {block}" for block in range(3))
    found = gated(request(tmp_path, f"base 1ms {stopped}, head 2ms", blocks=3, rounds=5), places(tmp_path))

    assert found.result.verdict is GateVerdict.INCONCLUSIVE
    for one in found.result.findings:
        assert (one.row.loss, one.row.verdict) == (None, GateVerdict.INCONCLUSIVE)
        assert one.reason == "block 1 is left out: the worker of base was stopped by a signal"
    assert exit_code(found.result, ExitCode.INCONCLUSIVE, None) == ExitCode.INCONCLUSIVE


def test_a_side_that_returns_something_else_is_not_compared(tmp_path: Path) -> None:
    found = gated(request(tmp_path, "base 1ms, head 1ms recorded returns 2", budget_s=5.0), places(tmp_path))

    assert found.exit_code() == ExitCode.INCONCLUSIVE
    assert {(one.row.loss, one.row.verdict) for one in found.result.findings} == {(None, GateVerdict.INCONCLUSIVE)}
    assert "operation 1: head gave int 2, base gave int 1" in found.result.findings[0].reason


def test_two_environments_are_compared_anyway_where_that_is_asked_for(tmp_path: Path) -> None:
    asked = request(tmp_path, "base 1ms, head 1ms recorded returns 2", budget_s=5.0)
    asked = replace(asked, options=replace(asked.options, compare_anyway=True))
    found = gated(asked, places(tmp_path))

    assert all(one.row.loss is not None for one in found.result.findings)
    assert "returns something else: operation 1: head gave int 2" in found.result.problems[0]
    assert found.run.status == "complete"


def test_a_revision_that_returns_something_else_is_compared_and_it_is_said(tmp_path: Path) -> None:
    asked = request(tmp_path, "base 1ms, head 1ms recorded returns 2", budget_s=5.0, project=tmp_path)
    found = gated(asked, places(tmp_path, project=True))

    assert found.exit_code() == ExitCode.INCONCLUSIVE
    assert all(one.row.loss is not None for one in found.result.findings)
    assert "returns something else" in found.result.problems[0]
    assert found.run.status == "complete"


def test_revisions_that_make_the_same_tables_share_them(tmp_path: Path) -> None:
    found = gated(request(tmp_path, SAME, budget_s=5.0, project=tmp_path), places(tmp_path, project=True))

    assert not any("tables of their own" in note for note in found.listener.notes)
    assert {each.schema for each in found.machine.workers if each.name in ARMS} == {"schema_0"}


@pytest.mark.parametrize("block", [1, 3])
def test_a_cell_that_was_disturbed_has_a_gap_and_the_gate_goes_on(tmp_path: Path, block: int) -> None:
    """Also where that is its last block so far: rows of a table are as long as each other."""
    found = gated(request(tmp_path, SAME, f"base 1ms, head 1ms recorded suspended in block {block}"), places(tmp_path))

    assert found.exit_code() == ExitCode.OK
    assert [problem.kind for problem in found.run.problems] == ["disturbed"] * len(found.run.problems)
    assert found.run.problems
    assert {one.row.verdict for one in found.result.findings} == {GateVerdict.PASS}


def test_every_scenario_of_a_project_gets_schemas_of_its_own(tmp_path: Path) -> None:
    asked = request(tmp_path, SAME, SLOWER, "base 3ms, head 3ms recorded", budget_s=5.0, project=tmp_path)
    found = gated(asked, places(tmp_path, project=True))

    assert found.machine.schemas == [f"schema_{number}" for number in range(6)]
    assert {each.schema for each in found.machine.workers if each.name in ARMS} <= {"schema_0", "schema_2", "schema_4"}


def test_a_revision_that_changes_the_tables_has_tables_of_its_own(tmp_path: Path) -> None:
    name = f"{SAME}, rebuilt"
    found = gated(request(tmp_path, name, budget_s=5.0, project=tmp_path), places(tmp_path, project=True))

    assert (
        f"{name}: head and base have tables of their own (table t: as head makes it; table t: as base makes it)"
        in found.listener.notes
    )
    assert {(each.name, each.schema) for each in found.machine.workers if each.name in ARMS} == {
        ("base", "schema_0"),
        ("head", "schema_1"),
    }
    assert all(one.row.loss is not None for one in found.result.findings)


def test_each_side_works_with_its_own_files(tmp_path: Path) -> None:
    found = gated(request(tmp_path, SAME, budget_s=5.0, project=tmp_path), places(tmp_path, project=True))

    opened = {
        (name, Path(asked.cell.path).parent) for name, asked in found.machine.asked if isinstance(asked, messages.Open)
    }
    assert opened == {(arm, tmp_path / "sides" / arm) for arm in ARMS}


def test_a_side_that_cannot_prepare_is_blamed(tmp_path: Path) -> None:
    found = gated(request(tmp_path, f"{SAME}, unprepared", budget_s=5.0), places(tmp_path))

    assert found.exit_code() == ExitCode.DEGRADED
    assert "prepare failed" in found.result.findings[0].reason


def test_a_scenario_that_one_side_does_not_have_is_left_out(tmp_path: Path) -> None:
    asked = request(tmp_path, SAME, SLOWER, budget_s=5.0, project=tmp_path)
    (tmp_path / "sides" / BASE / f"{SLOWER}.py").unlink()
    found = gated(asked, places(tmp_path, project=True))

    assert f"{SLOWER}.py is not in base: nothing to compare it with, left out" in found.listener.notes
    assert {scenario for scenario, _ in found.verdicts} == {SAME}

    (tmp_path / "sides" / HEAD / f"{SAME}.py").unlink()
    with pytest.raises(UsageError, match="no scenario is in both base and head"):
        between(asked, places(tmp_path, project=True), Listener())


def test_drivers_that_both_sides_have_are_measured(tmp_path: Path) -> None:
    asked = request(tmp_path, SAME, budget_s=5.0)
    found = gated(asked, places(tmp_path, asyncpg="", psycopg2=""))

    assert {driver for _, driver in found.verdicts} == {"psycopg", "psycopg2"}
    assert "measured with psycopg, psycopg2: the others are not installed on both sides" in found.listener.notes
    assert "different packages: asyncpg 0.30.0 -> not there" in found.listener.notes


def test_a_driver_that_was_asked_for_must_be_on_both_sides(tmp_path: Path) -> None:
    asked = request(tmp_path, SAME, drivers=["asyncpg"])

    with pytest.raises(CannotStartError, match="asyncpg is not installed in head; pip install asyncpg there"):
        between(asked, places(tmp_path, asyncpg=""), Listener())


def test_rounds_follow_from_what_the_cells_cost(tmp_path: Path) -> None:
    """As many as make a block that fits 27 times in the budget, more of the quicker cell, and no more than pays."""
    rounds = []
    for budget_s in (30.0, 150.0, 10_000.0):
        machine, output = ScriptedMachine(), tmp_path / f"{budget_s}.jsonl"
        asked = request(tmp_path, "base 1ms, head 1ms", "base 1ms, head 2ms", budget_s=budget_s, rounds=None)
        given, purpose = between(asked, places(tmp_path), Listener())
        given = options_with(given, output=output, budget_s=budget_s)
        execute(given, Listener(), replace(purpose, look=lambda plan, _: set(range(len(plan.cells)))), machine.site)
        rounds.append(result_file.read(output).header.plan.rounds)

    low, middle, high = rounds
    assert set(low) == {GATE_LEAST_ROUNDS}
    assert GATE_LEAST_ROUNDS < middle[-1] < middle[0] < high[0] <= MAX_ROUNDS


@pytest.mark.parametrize(("sessions", "measured"), [(None, {4}), ([2, 8], {2, 8})])
def test_the_fewest_sessions_are_measured_unless_others_are_asked_for(
    tmp_path: Path, sessions: list[int] | None, measured: set[int]
) -> None:
    asked = request(tmp_path, f"{SAME}, sessions 15 4", sessions=sessions, budget_s=3.0)

    assert {cell.sessions for cell in gated(asked, places(tmp_path)).run.header.plan.cells} == measured


# --- counts ----------------------------------------------------------------------------------------------------------


def counts_of(scenario: str, base: int, head: int, **changes: Any) -> list[WireRow]:
    """What both sides of asyncpg put on the wire: so many statements in a transaction."""
    nothing = Exchange(1, {}, {}, 1, 1, {}, 0)
    return [
        msgspec.structs.replace(
            WireRow(
                arm=arm, scenario=scenario, layer="orm", params="rows=50", driver="asyncpg", tx_end="rollback",
                operations=10, round_trips=float(2 + selects), sent={"Query": float(2 + selects)}, received={},
                bytes_sent=10.0, bytes_received=20.0,
                statements={"BEGIN": 1.0, "SELECT": float(selects), "ROLLBACK": 1.0}, prepares_per_100=0.0,
                spread=(2 + selects, 2 + selects), connect=nothing, connect_statements=[], first=nothing,
            ),
            **changes,
        )
        for arm, selects in ((BASE, base), (HEAD, head))
    ]  # fmt: skip


def test_a_failure_says_what_was_counted_and_passes_are_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = request(tmp_path, SAME, SLOWER, drivers=["asyncpg"])
    counts = [*counts_of(SLOWER, 2, 101), *counts_of(SAME, 1, 2)]
    found = gated(asked, places(tmp_path), at_looks=True, counts=counts)
    by_scenario = {one.row.scenario: one for one in found.result.findings}
    said = "on the wire 4 -> 103 round trips per operation: SELECT: 2 -> 101"

    assert found.run.counts == counts, "stored in the result's file"
    assert found.result.verdict is GateVerdict.FAIL
    assert by_scenario[SLOWER].wire == said.removeprefix("on the wire ")
    assert by_scenario[SAME].row.verdict is not GateVerdict.FAIL, "counts decide nothing"
    for format_ in ("table", "markdown", "junit"):
        text = html.unescape(" ".join(ending(found, capsys, format_)[1].replace("|", " ").split()))
        assert said in text, format_
        assert ("on the wire 3 -> 4 round trips per operation: SELECT: 1 -> 2" in text) == (format_ != "junit")
    assert said in report("gate", "annotations")(found.result)
    details = json.loads(ending(found, capsys, "json")[1])["details"]
    assert {one["wire"] for one in details} == {one.wire for one in found.result.findings}


def test_a_failure_with_the_same_on_the_wire_says_that_too(tmp_path: Path) -> None:
    asked = request(tmp_path, SLOWER, drivers=["asyncpg"])
    bytes_alone = counts_of(SLOWER, 1, 1)
    bytes_alone[1] = msgspec.structs.replace(bytes_alone[1], bytes_received=25.0)
    found = gated(asked, places(tmp_path), at_looks=True, counts=bytes_alone)

    assert "; on the wire the same in base and head" in report("gate", "annotations")(found.result)
    assert "asyncpg: on the wire" not in report("gate", "table")(found.result)


def test_a_gate_without_counts_says_nothing_of_them(slower: Gated, tmp_path: Path) -> None:
    one_side = gated(
        request(tmp_path, SAME, drivers=["asyncpg"], budget_s=5.0), places(tmp_path), counts=counts_of(SAME, 1, 2)[:1]
    )

    for found in (slower, one_side):
        assert "wire" not in report("gate", "json")(found.result)
        assert "on the wire" not in report("gate", "table")(found.result)


def test_what_cannot_be_counted_is_a_note_and_the_gate_goes_on(tmp_path: Path) -> None:
    """Through TLS nothing can be read."""
    asked = request(tmp_path, SAME, drivers=["asyncpg"], budget_s=5.0)
    machine, listener = ScriptedMachine(), Listener()
    given, purpose = between(asked, places(tmp_path), listener)
    start = Start("", msgspec.structs.replace(ADDRESS, sslmode="require"), "", Connections(), None)

    def count(set_up: SetUp, routes: Routes, watch: Watcher) -> Iterable[WireRow]:
        del routes
        with ExitStack() as stack:
            return counted_sides(set_up, Routes(start, set_up.workers.plan, {}, stack), watch)

    ended = execute(given, listener, replace(purpose, count=count), machine.site)

    assert any(note.startswith("nothing is counted on the wire: the messages cannot be") for note in listener.notes)
    assert result_file.read(ended.path).counts == []
    assert shown(result_file.read(ended.path)).found.findings[0].row.loss is not None


def test_a_gate_that_only_counted_leaves_no_file(tmp_path: Path) -> None:
    with pytest.raises(Interrupted):
        gated(
            request(tmp_path, "base 1ms, head 1ms interrupted in block 0", drivers=["asyncpg"]),
            places(tmp_path),
            counts=counts_of(SAME, 1, 1),
        )

    assert not (tmp_path / "run.jsonl").exists()


def test_a_signal_ends_a_gate_whatever_it_has_found(tmp_path: Path) -> None:
    found = gated(request(tmp_path, "base 1ms, head 2ms recorded interrupted in block 3"), places(tmp_path))

    assert found.result.status == "interrupted"
    assert found.exit_code() == found.exit_code("pass") == 130


def test_a_lost_worker_leaves_no_pass(tmp_path: Path) -> None:
    found = gated(
        request(tmp_path, "base 1ms, head 1ms recorded lost in block 3", drivers=["asyncpg"], budget_s=5.0),
        places(tmp_path),
    )

    assert found.exit_code() == found.exit_code("pass") == ExitCode.DEGRADED
    assert "worker lost" in found.result.findings[0].reason


# --- how it ends -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("format_", formats("gate"))
def test_every_format_prints_what_the_report_is(
    slower: Gated, capsys: pytest.CaptureFixture[str], format_: str
) -> None:
    code, printed, _ = ending(slower, capsys, format_)

    assert code == ExitCode.REGRESSION
    assert "slower" in printed or "1100us" in printed
    if format_ != "table":  # that knows the file, and colours
        assert printed == report("gate", format_)(slower.result)


def test_the_reports_agree_with_each_other(slower: Gated, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    reports = [(name, tmp_path / "out" / f"gate.{name}") for name in ("junit", "csv", "markdown", "bmf")]
    code, printed, _ = ending(slower, capsys, "json", *reports)
    document = json.loads(printed)
    written = list(csv.DictReader(io.StringIO((tmp_path / "out" / "gate.csv").read_text())))
    tree = ET.parse(tmp_path / "out" / "gate.junit")  # noqa: S314 - our own file

    assert code == ExitCode.REGRESSION
    assert (document["verdict"], document["blocks"]) == ("fail", slower.result.blocks)
    assert [row["verdict"] for row in written] == [cell["verdict"] for cell in document["cells"]]
    assert [(row["scenario"], row["driver"]) for row in written] == list(slower.verdicts)
    failed = [case.get("classname") for case in tree.iter("testcase") if case.find("failure") is not None]
    assert failed == [f"dbbench.{SLOWER}"] * 3
    assert "FAIL" in (tmp_path / "out" / "gate.markdown").read_text()
    assert json.loads((tmp_path / "out" / "gate.bmf").read_text())
    assert {each["package"]: (each["base"], each["head"]) for each in document["differences"]} == {
        "asyncpg": ("0.30.0", "0.31.0")
    }


def test_a_workflow_gets_its_summary_and_annotations(
    slower: Gated, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "summary.md"))
    (tmp_path / "summary.md").write_text("before\n")
    code, _, complained = ending(slower, capsys, "table")

    assert code == ExitCode.REGRESSION
    assert "::error" in complained
    summary = (tmp_path / "summary.md").read_text()
    assert summary.startswith("before\n")
    assert "FAIL" in summary
    assert SLOWER in summary


def test_a_report_that_cannot_be_written_does_not_hide_the_verdict(
    identical: Gated, slower: Gated, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    lost = ("bmf", tmp_path / "file" / "bmf.json")

    failed, _, complained = ending(slower, capsys, "table", lost)
    passed, printed, _ = ending(identical, capsys, "table", lost)
    assert failed == ExitCode.REGRESSION
    assert "bmf.json cannot be written" in complained
    assert passed == ExitCode.DEGRADED
    assert "PASS" in printed


def test_an_inconclusive_gate_ends_as_it_was_asked_to(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = gated(request(tmp_path, SAME, budget_s=5.0), places(tmp_path))

    assert ending(found, capsys, "table")[0] == ExitCode.INCONCLUSIVE
    assert ending(found, capsys, "table", inconclusive="pass")[0] == ExitCode.OK
    code, printed, _ = ending(found, capsys, "table", inconclusive="fail")
    assert code == ExitCode.REGRESSION
    assert "INCONCLUSIVE" in printed


def test_what_is_shown_again_is_the_same(slower: Gated, capsys: pytest.CaptureFixture[str]) -> None:
    _, first, _ = ending(slower, capsys, "json")
    _, again, _ = ending(slower, capsys, "json")

    assert first == again
