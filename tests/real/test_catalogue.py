"""The built-in scenarios that answer one question each: every way of theirs, with every driver, does the same work."""

import json

import pytest
from conftest import Cli

WAYS = {
    "n_plus_one": (["orm"], "lazy,selectin,joined,subquery", ("orders=50", "page=5")),
    "in_lists": (["core", "raw"], "in,any,unnest", ("rows=200", "keys=10")),
    "upsert": (["core", "raw"], "values,many,unnest", ("rows=200", "batch=10")),
}
DRIVERS = ("psycopg", "asyncpg", "psycopg2")  # of both kinds, and every dialect


@pytest.mark.parametrize("scenario", WAYS)
def test_every_way_of_a_scenario_does_the_same_with_every_driver(measure: Cli, scenario: str) -> None:
    layers, forms, params = WAYS[scenario]
    few = ("--blocks", "1", "--rounds", "1", "--format", "json", "--quiet", *(f"--set={each}" for each in params))
    varied = ("--vary", f"set.form={forms}", "--driver", ",".join(DRIVERS), "--layer", ",".join(layers))
    done = measure("run", scenario, *varied, *few)
    assert done.returncode == 0, done.stderr  # else some are not comparable, or failed
    found = {(row["layer"], row["driver"]) for row in json.loads(done.stdout)["cells"] if row["operations"]}
    assert found == {
        (layer, f"{driver}+form={form}") for layer in layers for driver in DRIVERS for form in forms.split(",")
    }


@pytest.mark.parametrize("scenario", ["n_plus_one", "upsert"])
def test_a_way_that_there_is_not_is_named_with_those_that_there_are(measure: Cli, scenario: str) -> None:
    done = measure("wire", scenario, "-d", "psycopg2", "--set", "form=best", "--quiet")
    assert done.returncode == 3
    assert f"form=best: {WAYS[scenario][1].split(',')[0]}" in " ".join(done.stderr.split())
