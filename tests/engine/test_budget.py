"""How long a run measures: a number of blocks, a budget, until every cell is decided, or until it is precise enough.

Time is the scripted machine's own: it goes on while slices run and workers start.
"""

from pathlib import Path
from typing import Any

import msgspec
import pytest
from engine.runs import measured, options
from engine.scripted import START_NS

from dbbench import result_file
from dbbench.analysis.analysis import analyse
from dbbench.commands.selfcheck import kept
from dbbench.commands.selfcheck.result import SelfCheck
from dbbench.engine.blocks import BUDGET_SLACK
from dbbench.engine.rounds import LEAST_ROUNDS, PILOT_BLOCKS
from dbbench.errors import ExitCode
from dbbench.records import NoiseFloor
from dbbench.stats.paired import Verdict, half_width, looks

CLEAR = "psycopg 1ms, asyncpg 2ms"
NOISY = "psycopg 1ms noise 30%, asyncpg 1ms noise 30%"
NEVER = 0.0001  # a precision that noise does not allow
FIRST = next(iter(looks(1))).blocks


def test_a_number_of_blocks_is_kept_however_clear_the_case_is(tmp_path: Path) -> None:
    found = measured(options(tmp_path, CLEAR, blocks=FIRST + 3))

    assert found.blocks == [FIRST + 3]
    assert found.rows[1].verdict is Verdict.SLOWER
    assert found.listener.notes == []


def test_progress_goes_from_nothing_to_all_and_on_within_blocks(tmp_path: Path) -> None:
    found = measured(options(tmp_path, CLEAR, NOISY, blocks=3))
    fractions, left_s = found.listener.fractions, found.listener.left_s

    assert fractions[0] == 0.0
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1.0
    assert len(set(fractions)) == 1 + 3 * 2 * 3, "a step for every round"
    assert left_s[0] is None
    assert left_s[-1] == 0.0
    assert all(left is not None and left >= 0 for left, done in zip(left_s, fractions, strict=True) if done)
    assert [stage for stage in found.listener.stages if stage.startswith("block ")] == ["block 1", "block 2", "block 3"]


def test_what_cannot_be_measured_counts_as_done(tmp_path: Path) -> None:
    found = measured(options(tmp_path, "all 1ms, unprepared", CLEAR, blocks=2))

    assert found.listener.fractions[-1] == 1.0


def test_the_measured_time_begins_with_the_first_block(tmp_path: Path) -> None:
    found = measured(options(tmp_path, "psycopg 1ms", drivers=["psycopg"], blocks=2, rounds=3))
    worker_s, warm_up_s, slice_s, lead_in_s = START_NS / 1e9, 0.032, 0.01, 0.004

    assert found.run.end is not None
    assert found.run.end.measured_s == pytest.approx(2 * (worker_s + warm_up_s + 3 * (slice_s + lead_in_s)), rel=0.01)


@pytest.mark.parametrize("budget_s", [5.0, 7.3, 20.0])
def test_a_budget_ends_with_the_last_block_that_ends_in_time(tmp_path: Path, budget_s: float) -> None:
    found = measured(options(tmp_path, NOISY, blocks=None, budget_s=budget_s, precision=NEVER))
    assert found.run.end is not None
    block_s = found.run.end.measured_s / found.blocks[0]

    assert found.run.status == "complete"
    assert budget_s * (1 + BUDGET_SLACK) - 1.2 * block_s <= found.run.end.measured_s <= budget_s * (1 + BUDGET_SLACK)
    assert f"not every ratio is known to 0.01% after {found.run.end.measured_s:.0f} s" in found.listener.notes[0]
    assert "--budget allows more time" in found.listener.notes[0]
    assert set(found.listener.left_s) == {None}, "how long a precision takes is not known"


@pytest.mark.parametrize(("budget_in_blocks", "blocks"), [(0.95, 1), (1.7, 1), (1.9, 2), (2.0, 2)])
def test_a_block_is_begun_where_it_ends_in_time(tmp_path: Path, budget_in_blocks: float, blocks: int) -> None:
    name = "psycopg 100ms, asyncpg 100ms"
    one = measured(options(tmp_path, name, output=tmp_path / "one.jsonl"))
    assert one.run.end is not None
    budget_s = budget_in_blocks * one.run.end.measured_s
    found = measured(options(tmp_path, name, blocks=None, budget_s=budget_s))

    assert found.blocks == [blocks]


def test_a_block_that_gets_slow_ends_with_the_budget(tmp_path: Path) -> None:
    name = "psycopg 10ms crawls in block 1, asyncpg 10ms crawls in block 1, sessions 1 2 3 4"
    found = measured(options(tmp_path, name, blocks=None, budget_s=40.0, rounds=20))
    assert found.run.end is not None
    first, *others = found.run.header.plan.cell_order(1)
    (slices,) = {len(one.slices) for one in found.of_cell(first) if one.block == 1}

    assert 0 < slices < 20, "all arms have as many"
    assert [found.blocks[cell] for cell in (first, *others)] == [2, 1, 1, 1]
    assert 40.0 * (1 + BUDGET_SLACK) < found.run.end.measured_s < 40.0 * (1 + BUDGET_SLACK) + 3
    assert found.listener.notes == [
        f"measured for {found.run.end.measured_s:.0f} s, with a budget of 40 s: what had begun was finished"
    ]


def test_time_that_is_left_is_told_where_it_is_known(tmp_path: Path) -> None:
    found = measured(options(tmp_path, NOISY, blocks=None, budget_s=5.0))

    assert found.listener.left_s[0] == 5.0
    left = [left_s for left_s in found.listener.left_s if left_s is not None]
    assert left == sorted(left, reverse=True)
    assert len(left) == len(found.listener.left_s)


def test_a_block_that_takes_longer_than_the_budget_measures_every_cell_once_and_is_said(tmp_path: Path) -> None:
    name = "psycopg 100ms, asyncpg 100ms, sessions 1 2 3 4"
    found = measured(options(tmp_path, name, blocks=None, budget_s=5.0, rounds=20))
    slices = [{len(one.slices) for one in found.of_cell(cell)} for cell in found.run.header.plan.cell_order(0)]
    expected, said = found.listener.notes

    assert found.blocks == [1, 1, 1, 1]
    assert slices[-1] == {1}, "all arms have as many"
    assert slices == sorted(slices, key=max, reverse=True)
    assert found.run.end is not None
    assert expected.startswith("one block takes about ")
    assert "here, more than the budget of 5 s" in expected
    assert said == (
        f"measured for {found.run.end.measured_s:.0f} s, with a budget of 5 s: the first block alone takes longer"
    )


def test_a_run_ends_at_the_look_at_which_every_cell_is_decided(tmp_path: Path) -> None:
    found = measured(options(tmp_path, CLEAR, blocks=None, budget_s=500.0))
    row = found.rows[1]

    assert found.ended.exit_code == ExitCode.OK
    assert found.blocks == [FIRST]
    assert row.verdict is Verdict.SLOWER
    assert (row.ratio_low, row.ratio, row.ratio_high) == pytest.approx((2, 2, 2))
    assert found.run.end is not None
    assert found.run.end.measured_s < 100
    assert found.listener.notes == [f"every cell is decided after {found.run.end.measured_s:.0f} s"]


def test_a_cell_that_is_decided_gets_no_more_blocks(tmp_path: Path) -> None:
    found = measured(options(tmp_path, CLEAR, NOISY, blocks=None, budget_s=60.0, precision=0.05))
    clear, noisy = found.blocks

    assert clear in {look.blocks for look in looks(2)}
    assert noisy > clear
    assert {row.blocks for row in found.rows} == {clear, noisy}


def test_cells_with_short_visits_come_first_and_alone_until_they_are_decided(tmp_path: Path) -> None:
    slow = "psycopg 40ms, asyncpg 80ms"
    found = measured(options(tmp_path, slow, CLEAR, blocks=None, budget_s=120.0, rounds=None))
    plan, first = found.run.header.plan, next(iter(looks(2))).blocks
    begins = {cell: min(one.block for one in found.of_cell(cell)) for cell in (0, 1)}

    assert plan.early == [1]
    assert begins == {0: first, 1: 0}
    assert found.blocks == [first, first]
    assert {row.verdict for row in found.rows} == {Verdict.BASELINE, Verdict.SLOWER}
    assert max(one.slices[-1].began_ns for one in found.of_cell(1)) < 20e9
    assert all(row.blocks == first for row in analyse(result_file.read(found.ended.path)).rows)


def test_layers_of_one_scenario_stay_together(tmp_path: Path) -> None:
    """What a layer adds is found block by block, so its cells need blocks in common."""
    name = "all 1ms 40ms in orm, asyncpg 2ms 80ms in orm, layers raw orm"
    asked = options(tmp_path, name, CLEAR, blocks=None, budget_s=150.0, rounds=None, layers=["raw", "orm"])
    found = measured(asked)
    cells = found.run.header.plan.cells
    (alone,) = found.run.header.plan.early

    assert cells[alone].scenario == CLEAR
    assert all(tax.ratio is not None for tax in analyse(found.run).layer_tax)


def test_what_early_cells_leave_undecided_goes_on_with_the_others(tmp_path: Path) -> None:
    slow = "psycopg 40ms, asyncpg 80ms"
    found = measured(options(tmp_path, slow, NOISY, blocks=None, budget_s=120.0, rounds=None))

    assert found.run.header.plan.early == [1]
    assert found.blocks[1] > found.blocks[0]
    assert {one.block for one in found.of_cell(0)} <= {one.block for one in found.of_cell(1)}


@pytest.mark.parametrize(
    "changes", [{"precision": 0.05}, {"blocks": 3, "budget_s": None}, {"rounds": 5}, {"drivers": ["psycopg"]}]
)
def test_no_cell_comes_early_where_a_run_cannot_end_by_deciding(tmp_path: Path, changes: dict[str, Any]) -> None:
    asked = {"blocks": None, "budget_s": 40.0, "rounds": None, **changes}
    found = measured(options(tmp_path, "psycopg 40ms, asyncpg 80ms", CLEAR, **asked))

    assert found.run.header.plan.early == []


def test_a_precision_ends_the_run_when_it_is_reached(tmp_path: Path) -> None:
    found = measured(options(tmp_path, NOISY, blocks=None, budget_s=None, precision=0.5))
    row = found.rows[1]

    assert found.blocks[0] in {look.blocks for look in looks(1)}
    assert row.ratio is not None
    assert row.ratio_low is not None
    assert row.ratio_high is not None
    assert half_width(row.ratio, (row.ratio_low, row.ratio_high)) <= 0.5
    assert any(note.startswith("precise enough after") for note in found.listener.notes)
    assert found.run.header.plan.effort.budget_s == 900.0


def test_one_arm_alone_uses_its_budget_up(tmp_path: Path) -> None:
    found = measured(options(tmp_path, CLEAR, drivers=["psycopg"], blocks=None, budget_s=10.0))

    assert found.run.end is not None
    assert 10.0 <= found.run.end.measured_s <= 10.0 * (1 + BUDGET_SLACK)


def test_as_many_rounds_as_the_budget_has_time_for(tmp_path: Path) -> None:
    found = [
        measured(options(tmp_path, CLEAR, rounds=None, blocks=1, output=tmp_path / "blocks.jsonl")),
        measured(options(tmp_path, CLEAR, rounds=None, blocks=None, budget_s=5.0, output=tmp_path / "short.jsonl")),
    ]
    (many,), (few,) = [each.run.header.plan.rounds for each in found]

    assert many > few == LEAST_ROUNDS
    assert {len(one.slices) for one in found[0].run.measurements} == {many}
    assert {len(one.slices) for one in found[1].run.measurements if one.block < PILOT_BLOCKS} == {few}


def test_noisy_cells_get_more_rounds_once_that_is_known(tmp_path: Path) -> None:
    quiet = "psycopg 1ms noise 1%, asyncpg 1ms noise 1%"
    found = measured(options(tmp_path, quiet, NOISY, blocks=None, budget_s=40.0, rounds=None, precision=NEVER))
    before, after = (
        [min(len(one.slices) for one in found.of_cell(cell) if one.block == block) for cell in (0, 1)]
        for block in (PILOT_BLOCKS - 1, PILOT_BLOCKS)
    )

    assert after[1] / after[0] > 3 * before[1] / before[0]


@pytest.mark.parametrize("asked", [{"blocks": 6, "rounds": None}, {"blocks": None, "budget_s": 10.0, "rounds": 7}])
def test_rounds_do_not_change_where_their_number_or_that_of_blocks_was_asked_for(
    tmp_path: Path, asked: dict[str, Any]
) -> None:
    found = measured(options(tmp_path, NOISY, precision=None if asked["blocks"] else NEVER, **asked))

    assert found.blocks[0] > PILOT_BLOCKS
    assert {len(one.slices) for one in found.run.measurements} == set(found.run.header.plan.rounds)


def test_rounds_that_were_asked_for_are_kept(tmp_path: Path) -> None:
    found = measured(options(tmp_path, CLEAR, "all 1ms, sessions 15", rounds=7))

    assert found.run.header.plan.rounds == [7, 7]
    assert {len(one.slices) for one in found.run.measurements} == {7}


def test_an_open_loop_has_response_times_and_service_times(tmp_path: Path) -> None:
    """On one connection asyncpg keeps up with 300 operations a second; psycopg, which can do 250, does not."""
    found = measured(options(tmp_path, "psycopg 4ms, asyncpg 1ms", rate=300.0, blocks=None, budget_s=40.0, rounds=None))
    slow, fast = analyse(found.run).breakdowns

    assert found.run.header.plan.paced
    assert found.run.header.plan.slice_s == pytest.approx(2.0)
    assert found.run.header.plan.rounds == [1]
    for row, explained in zip(found.rows, (slow, fast), strict=True):
        assert row.operations + explained.not_started == 600 * row.blocks
        assert row.cpu_us_per_op is None
        assert explained.service_p50_us is not None
        assert row.p50_us is not None
        assert row.p50_us >= explained.service_p50_us, "response time is service time and lag"
        assert explained.lag_p50_us is not None
    assert fast.service_p50_us == pytest.approx(1_000, rel=0.01)
    assert slow.service_p50_us == pytest.approx(4_000, rel=0.01)
    assert slow.lag_p50_us is not None
    assert fast.lag_p50_us is not None
    assert slow.lag_p50_us > 50 * (fast.lag_p50_us + 100)
    assert found.rows[1].verdict is Verdict.FASTER


def test_a_pause_makes_drivers_comparable_by_latency(tmp_path: Path) -> None:
    found = measured(options(tmp_path, CLEAR, think_s=0.02, sessions=[4]))

    assert found.run.header.plan.paced
    assert all(request.load.think_s == 0.02 for _, request in found.machine.slices())
    # By throughput they would be nearly alike: most of the time they pause.
    assert [row.ops_per_second for row in found.rows] == pytest.approx([4 / 0.021, 4 / 0.022])
    assert found.rows[1].ratio == pytest.approx(2.0, rel=1e-6)


def kept_self_check(placement: str, block_sd: float) -> SelfCheck:
    floor = NoiseFloor(placement, None, 0.0, 60.0, 12, block_sd, 0.1, 0.1, None, None)
    return SelfCheck([], [floor], [], None, [])


def test_a_run_that_is_noisier_than_its_machine_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    kept.path().parent.mkdir(parents=True)
    kept.path().write_bytes(msgspec.json.encode(kept_self_check("split", 0.01)))
    noisy = measured(options(tmp_path, NOISY, blocks=6, rounds=1))
    quiet = measured(options(tmp_path, CLEAR, blocks=6, rounds=1, output=tmp_path / "quiet.jsonl"))
    elsewhere = measured(
        options(tmp_path, NOISY, blocks=6, rounds=1, placement="shared", output=tmp_path / "shared.jsonl")
    )

    assert [note.partition(": ")[0] for note in noisy.listener.notes] == [
        "this run was noisier than this machine can be"
    ]
    assert quiet.listener.notes == elsewhere.listener.notes == []
