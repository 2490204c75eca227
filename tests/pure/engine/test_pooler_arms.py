"""The arms and cells that are compared behind a pooler."""

import pytest
from builders import cell
from conftest import Cli

from dbbench.drivers import DRIVERS
from dbbench.engine.pooler_arms import behind, matrix, variants
from dbbench.plan import Connections, Pooler


def test_every_driver_is_measured_with_its_defaults_and_what_is_documented_for_poolers() -> None:
    arms = matrix(["psycopg", "asyncpg", "psycopg2"], Connections())
    assert [arm.name for arm in arms] == [
        "psycopg", "psycopg+safe", "psycopg+prepare_threshold=0", "psycopg+null", "psycopg+safe+null",
        "asyncpg", "asyncpg+safe", "asyncpg+null", "asyncpg+safe+null",
        "psycopg2", "psycopg2+null",
    ]  # fmt: skip
    assert arms.pop(2).connections.settings == {"psycopg": {"prepare_threshold": 0}}, "at once, which many take for off"
    for arm in arms:
        assert arm.connections.settings.get(arm.driver, {}) == (DRIVERS[arm.driver].safe if "+safe" in arm.name else {})
        assert arm.connections.null_pool == arm.name.endswith("+null")


def test_what_is_documented_are_settings_that_drivers_have() -> None:
    for driver in DRIVERS.values():
        assert set(driver.safe) <= set(driver.settings)


def test_cells_are_measured_without_the_poolers_too() -> None:
    poolers = variants("transaction", follows_prepared_statements=True)
    assert poolers == [Pooler("transaction", 0), Pooler("transaction", 200)]
    assert [each.pooler for each in behind([cell()], poolers)] == [None, *poolers]
    assert variants("transaction", follows_prepared_statements=False) == [Pooler("transaction")]
    assert variants("session", follows_prepared_statements=True) == [Pooler("session")]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--pooler", "statement"], "'statement' is not one of 'transaction', 'session'"),
        (["--pooler", "session", "--rtt", "1ms"], "exclude each other"),
        (["--rate", "10", "--rtt", "1ms"], "exclude each other"),
        (["--rtt", "1"], "a time with its unit"),
        (["--rtt", "2s"], "at most 1 s"),
    ],
)
def test_bad_options_get_one_line(dbbench: Cli, arguments: list[str], message: str) -> None:
    done = dbbench("run", "point_reads", *arguments)
    assert done.returncode == 2
    assert message in " ".join(done.stderr.replace("│", " ").split())  # Typer puts its own in a box


def test_without_pgbouncer_it_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch, dbbench: Cli) -> None:
    monkeypatch.setattr("dbbench.server.pgbouncer.SYSTEM_PATHS", ())
    done = dbbench("run", "point_reads", "--pooler", "transaction", "--quiet", PATH="/nonexistent")
    assert done.returncode == 4
    assert "apt-get install pgbouncer" in done.stderr
