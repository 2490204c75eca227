"""A whole self-check, a short one."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from dbbench.cli.app import app
from dbbench.commands.selfcheck import kept, steps
from dbbench.commands.selfcheck.result import self_check
from dbbench.records import SelfChecked
from dbbench.result_file import read_any


def read(path: Path) -> SelfChecked:
    stored = read_any(path)
    assert isinstance(stored, SelfChecked)
    return stored


@pytest.mark.alone
def test_a_whole_self_check(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    drivers = ["asyncpg", "psycopg2"]
    monkeypatch.setattr(steps, "DRIVERS", drivers)
    monkeypatch.setattr(steps, "PGBENCH_PAIRS", 6)
    done = CliRunner().invoke(app, ["selfcheck", "--seconds", "1", "--seed", "1", "--format", "json", "--quiet"])
    document = json.loads(done.stdout)
    found = kept.kept()

    assert done.exit_code == 0, done.stderr
    assert found is not None
    (stored,) = (tmp_path / "results").iterdir()
    assert CliRunner().invoke(app, ["show", str(stored), "--format", "json"]).stdout == done.stdout
    assert found == self_check(read(stored)), "it is kept, too"
    assert (document["status"], document["problems"]) == ("complete", [])
    assert [(one["layer"], one["sessions"], one["driver"]) for one in document["harness_overhead"]] == [
        (layer, sessions, driver)
        for layer, sessions in [("raw", 1), ("raw", 10), ("core", 1), ("orm", 1)]
        for driver in drivers
    ]
    assert all(0.5 < one.ratio < 2 for one in found.harness_overhead)
    assert [one.placement for one in found.noise_floor] == ["shared", "split"]
    assert all(0.005 < one.injected < 0.3 for one in found.noise_floor)
    assert [one.placement for one in found.sensitivity] == ["shared", "split"]
    assert found.pgbench is not None
    assert found.pgbench.tax > 0.2, "Python costs something"
    assert found.pgbench.low is not None
    assert found.pgbench.low <= found.pgbench.tax
    assert {"driver", "layer", "ratio", "low", "high"} <= set(document["harness_overhead"][0])
    assert {"placement", "half_width", "false_alarm_rate"} <= set(document["noise_floor"][0])
    assert {"placement", "smallest_effect"} <= set(document["sensitivity"][0])
