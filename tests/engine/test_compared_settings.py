"""Runs that compare settings of drivers: within each driver, whatever becomes of one of them."""

from pathlib import Path

import pytest
from engine.runs import measured, options

from dbbench.engine.arms import Arms, named, variation, varied
from dbbench.engine.options import Options
from dbbench.errors import ExitCode
from dbbench.plan import Connections
from dbbench.stats.paired import Verdict

OFF, ON = "pool-pre-ping=off", "pool-pre-ping=on"


def compared(folder: Path, name: str, arms: Arms, **changes: object) -> Options:
    return options(folder, name, drivers=arms.drivers, baseline=arms.baseline, arms=arms.arms, **changes)


def pinged(*drivers: str, baseline: str = "") -> Arms:
    return varied(drivers, Connections(), [variation("pool-pre-ping=off,on")], baseline=baseline)


def test_each_driver_is_compared_with_itself(tmp_path: Path) -> None:
    name = f"psycopg+{OFF} 1000us, psycopg+{ON} 1500us, asyncpg 400us"
    found = measured(compared(tmp_path, name, pinged("psycopg", "asyncpg")))

    assert {row.driver: row.ratio for row in found.rows} == {
        f"psycopg+{OFF}": 1.0,
        f"psycopg+{ON}": pytest.approx(1.5),
        f"asyncpg+{OFF}": 1.0,
        f"asyncpg+{ON}": pytest.approx(1),
    }


def test_identical_settings_under_two_names_tie(tmp_path: Path) -> None:
    tables = {"production": {"driver": "psycopg"}, "candidate": {"driver": "psycopg", "pool": "5+10"}}
    arms = named(tables, ["production", "candidate"], Connections())
    found = measured(compared(tmp_path, "psycopg 1ms noise 1%", arms, blocks=12))

    assert [(row.driver, row.verdict) for row in found.rows] == [
        ("production", Verdict.BASELINE),
        ("candidate", Verdict.TIE),
    ]


def test_what_fails_with_one_setting_loses_nothing_of_the_others(tmp_path: Path) -> None:
    name = f"psycopg 1ms, asyncpg+{OFF} fails 42601, asyncpg+{ON} 1ms"
    found = measured(compared(tmp_path, name, pinged("psycopg", "asyncpg")))

    assert found.ended.exit_code == ExitCode.DEGRADED
    assert {row.driver: row.verdict for row in found.rows} == {
        f"psycopg+{OFF}": Verdict.BASELINE,
        f"psycopg+{ON}": Verdict.UNDECIDED,
        f"asyncpg+{OFF}": Verdict.FAILED,
        f"asyncpg+{ON}": Verdict.UNDECIDED,
    }
    assert all(row.operations for row in found.rows if row.verdict != Verdict.FAILED)
    (note,) = found.listener.notes
    assert f"asyncpg+{OFF} cannot be measured here, so nothing is left to compare asyncpg+{ON} with" in note


def test_where_nothing_is_left_to_compare_nothing_is_measured(tmp_path: Path) -> None:
    name = f"psycopg+{ON} fails 42601, asyncpg+{OFF} fails 42601"
    found = measured(compared(tmp_path, name, pinged("psycopg", "asyncpg")))

    assert found.run.measurements == []
    assert len(found.listener.notes) == 1


def test_a_baseline_that_fails_is_replaced_in_its_own_group(tmp_path: Path) -> None:
    ends = variation("tx-end=rollback,commit,autocommit")
    arms = varied(["psycopg", "asyncpg"], Connections(), [ends])
    name = "psycopg 1ms, asyncpg+tx-end=rollback fails 42601, asyncpg+tx-end=commit 1ms, asyncpg 2ms"
    found = measured(compared(tmp_path, name, arms))

    assert found.run.header.plan.cells[0].instead == {"asyncpg+tx-end=rollback": "asyncpg+tx-end=commit"}
    assert {row.driver: row.ratio for row in found.rows} == {
        "psycopg+tx-end=rollback": 1.0,
        "psycopg+tx-end=commit": pytest.approx(1),
        "psycopg+tx-end=autocommit": pytest.approx(1),
        "asyncpg+tx-end=rollback": None,
        "asyncpg+tx-end=commit": 1.0,
        "asyncpg+tx-end=autocommit": pytest.approx(2),
    }
    (note,) = found.listener.notes
    assert "asyncpg+tx-end=rollback cannot be measured here: comparing asyncpg+tx-end=autocommit with" in note


def test_results_are_compared_within_each_driver(tmp_path: Path) -> None:
    name = f"psycopg returns 1, asyncpg+{OFF} returns 2, asyncpg+{ON} returns 3"
    found = measured(compared(tmp_path, name, pinged("psycopg", "asyncpg")))

    assert [(problem.kind, problem.arm) for problem in found.run.problems] == [("not comparable", f"asyncpg+{ON}")]
    assert {row.driver: row.verdict for row in found.rows if row.driver.startswith("psycopg")} == {
        f"psycopg+{OFF}": Verdict.BASELINE,
        f"psycopg+{ON}": Verdict.UNDECIDED,
    }
