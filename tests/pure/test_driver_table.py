"""The table of drivers: what a row promises, and what is refused because of it."""

from dataclasses import replace
from pathlib import Path

import pytest

from dbbench.commands.gate.requirements import bare, extras_of
from dbbench.commands.gate.sides import WORKER_PACKAGES
from dbbench.drivers import DEFAULT, DRIVERS, PRESETS, Driver, check_installed, check_layers, of_extras
from dbbench.drivers.settings import JSON
from dbbench.engine.options import Options
from dbbench.engine.planning import make_plan
from dbbench.errors import UsageError
from dbbench.plan import Connections, Layer, Placement
from dbbench.scenario import Description

RAW_ONLY = Driver(
    name="toy",
    is_async=True,
    requirement="toy-driver",
    distributions=("toy-driver",),
    module="toy",
    summary="a toy without a dialect",
    layers=("raw",),
)
POINT_READS = Description("point_reads", "", {}, ["orm", "core", "raw"], [1], None, has_reset=False)


class Silent:
    """A watcher that nobody listens to."""

    def say(self, what: str) -> None: ...
    def advance(self, fraction: float, left_s: float | None) -> None: ...
    def note(self, text: str) -> None: ...
    def problem(self, text: str) -> None: ...


@pytest.mark.parametrize("driver", DRIVERS.values(), ids=str)
def test_a_row_agrees_with_itself(driver: Driver) -> None:
    assert bare(driver.requirement) in driver.distributions
    assert bool(driver.dialect) == bool({"orm", "core"} & set(driver.layers))
    ours = [each for each in WORKER_PACKAGES if bare(each) == bare(driver.requirement)]
    assert [extras_of(driver.requirement) <= extras_of(each) for each in ours] == ([] if driver.extra else [True])
    assert set(driver.safe) <= set(driver.settings)
    assert JSON in driver.settings or driver.extra


def test_a_driver_of_an_extra_says_how_it_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    assert of_extras(["psycopg", "pg8000"]) == ["pg8000"], "a gate installs it on both sides"
    check_installed(DRIVERS)
    monkeypatch.setitem(DRIVERS, "toy", replace(RAW_ONLY, extra="toy"))
    with pytest.raises(UsageError, match=r"^toy is not installed; pip install 'dbbench\[toy\]'$"):
        check_installed(["psycopg", "toy"])


@pytest.mark.parametrize("driver", DRIVERS.values(), ids=str)
def test_a_file_defines_what_the_table_says(driver: Driver) -> None:
    adapter = driver.adapter()

    for name in ("connect_arguments", "facts", "open_pool", "bare"):
        assert callable(getattr(adapter, name))


def test_the_drivers_of_a_run_are_in_the_table() -> None:
    assert set(DEFAULT) <= set(DRIVERS)
    assert not {name for names in PRESETS.values() for name in names if DRIVERS[name].extra}, "extras are asked for"


def plan_of(layers: list[str] | None) -> None:
    options = Options([Path("point_reads.py")], ["psycopg", "toy"], layers=layers)  # type: ignore[arg-type]
    make_plan(options, {Path("point_reads.py"): POINT_READS}, Placement("free"), Silent())


@pytest.mark.parametrize("layers", [None, ["core", "raw"], ["orm"]])
def test_a_layer_that_a_driver_does_not_have_is_refused_before_anything_is_measured(
    monkeypatch: pytest.MonkeyPatch, layers: list[str] | None
) -> None:
    monkeypatch.setitem(DRIVERS, "toy", RAW_ONLY)

    with pytest.raises(UsageError, match=r"^toy has no (core|orm) layer; --layer raw measures what it has"):
        plan_of(layers)


def test_the_layers_that_a_driver_has_are_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(DRIVERS, "toy", RAW_ONLY)

    plan_of(["raw"])


@pytest.mark.parametrize(
    ("driver", "setting", "layers", "way_out"),
    [
        ("asyncpg", "json", ["core", "orm"], "json changes nothing at the core and orm layer; it is for --layer raw"),
        (
            "asyncpg",
            "prepared_statement_cache_size",
            ["raw"],
            "prepared_statement_cache_size changes nothing at the raw layer; it is for --layer orm,core",
        ),
    ],
)
def test_a_setting_that_changes_nothing_is_refused(
    driver: str, setting: str, layers: list[Layer], way_out: str
) -> None:
    connections = Connections(settings={driver: {setting: 0}})
    options = Options([Path("point_reads.py")], [driver], layers=layers, connections=connections)
    with pytest.raises(UsageError, match=way_out):
        make_plan(options, {Path("point_reads.py"): POINT_READS}, Placement("free"), Silent())


def test_all_missing_layers_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(DRIVERS, "toy", RAW_ONLY)

    with pytest.raises(UsageError, match="toy has no core and no orm layer"):
        check_layers(["psycopg", "toy"], ["raw", "orm", "core"])
